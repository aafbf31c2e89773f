# SPDX-License-Identifier: Apache-2.0
"""What a host does with keys: make one, request a certificate, sign, check a revocation list. Two ways, one interface.

``cryptography`` where it is installed; else the ``openssl`` program, which 32-bit boards without wheels have. Keys are
P-256 and signatures ECDSA with SHA-256 either way. No key and no secret is ever an argument of a process.
"""

import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Final, Protocol

from remsim.core.errors import reason_of
from remsim.core.installation import install_command
from remsim.pki import files
from remsim.pki.errors import KeyFileError, ToolError
from remsim.pki.facts import REVOCATION_LIST, decode_pem, read_revocation_list

#: The certificate names its holder by URI; the subject is for people, and the authority replaces it anyway.
REQUEST_NAME: Final = "remsim"
#: Making a P-256 key takes milliseconds, also on a small board; its random numbers may have to wait after power-on.
_PROGRAM_TIMEOUT_S: Final = 30.0


class Toolkit(Protocol):
    """One way to handle keys. Every method raises PkiError only."""

    #: For people: how it works.
    name: str

    def make_key(self) -> bytes:
        """A new private key in PEM form (PKCS #8)."""
        ...

    def make_request(self, key: Path) -> bytes:
        """A certificate request (PKCS #10) for a key file, in PEM form."""
        ...

    def sign(self, key: Path, content: bytes) -> bytes:
        """An ECDSA signature with SHA-256, in DER form, by a key file."""
        ...

    def is_signed_by(self, revocation_list: bytes, authority: Path) -> bool:
        """Whether a revocation list (PEM) carries the signature of the authority whose certificate is in a file."""
        ...


class CryptographyToolkit:
    """By the Python package."""

    name = "cryptography"

    def make_key(self) -> bytes:
        """See Toolkit."""
        from remsim.pki import signing

        return signing.make_key()

    def make_request(self, key: Path) -> bytes:
        """See Toolkit."""
        from remsim.pki import signing

        return signing.make_request(files.read_private(key), REQUEST_NAME)

    def sign(self, key: Path, content: bytes) -> bytes:
        """See Toolkit."""
        from remsim.pki import signing

        return signing.sign(files.read_private(key), content)

    def is_signed_by(self, revocation_list: bytes, authority: Path) -> bool:
        """See Toolkit."""
        from remsim.pki import signing

        return signing.is_list_signed_by(revocation_list, files.read_public(authority))


class OpensslToolkit:
    """By the program."""

    name = "openssl"

    def __init__(self, program: str = "openssl") -> None:
        self._program = program

    def make_key(self) -> bytes:
        """See Toolkit."""
        return self._run(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])

    def make_request(self, key: Path) -> bytes:
        """See Toolkit."""
        files.check_private(key)
        subject = f"/CN={REQUEST_NAME}"
        # Without -config the distribution's file would decide what is in the request.
        return self._run(["req", "-new", "-sha256", "-config", "/dev/null", "-subj", subject, "-key", _argument(key)])

    def sign(self, key: Path, content: bytes) -> bytes:
        """See Toolkit."""
        files.check_private(key)
        return self._run(["dgst", "-sha256", "-sign", _argument(key)], content)

    def is_signed_by(self, revocation_list: bytes, authority: Path) -> bool:
        """See Toolkit."""
        files.read_public(authority)
        read_revocation_list(decode_pem(revocation_list, REVOCATION_LIST)[0])
        done = self._call(["crl", "-noout", "-CAfile", _argument(authority)], revocation_list)
        # The exit status says whether it could be read; OpenSSL 3.0 tells a wrong signature by words only.
        return b"verify OK" in done.stderr

    def _run(self, arguments: Sequence[str], content: bytes = b"") -> bytes:
        done = self._call(arguments, content)
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip().splitlines()
            raise KeyFileError(f"openssl {arguments[0]} failed: {words[0] if words else done.returncode}")
        return done.stdout

    def _call(self, arguments: Sequence[str], content: bytes) -> "subprocess.CompletedProcess[bytes]":
        try:
            return subprocess.run(
                [self._program, *arguments], input=content, capture_output=True, timeout=_PROGRAM_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolError(f"cannot run {self._program}: {reason_of(error)}", hint="install openssl") from None


def _argument(path: Path) -> str:
    # A relative name could look like an option.
    return str(path.absolute())


def choose_toolkit() -> Toolkit:
    """The best way on this machine. Raises ToolError if there is none."""
    if find_spec("cryptography") is not None:
        return CryptographyToolkit()
    if which("openssl") is not None:
        return OpensslToolkit()
    raise ToolError(
        "neither the Python package 'cryptography' nor the program 'openssl' is there",
        hint=f"{install_command('pki')}, or install the package openssl of your distribution",
    )
