# SPDX-License-Identifier: Apache-2.0
"""What one host keeps of its own: key and certificate in one file, whom it trusts, what is revoked, whom it asks.

Key and certificate share a file so that replacing them is one step: a process killed at any moment leaves a pair that
fits. The key never leaves the directory. Knows neither network nor how keys are made.
"""

import json
import shlex
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast

from remsim.config.files import AUTHORITY_NAME
from remsim.core.identity import Identity
from remsim.core.values import dataclass
from remsim.pki import files
from remsim.pki.clock import is_from_future
from remsim.pki.errors import CertificateError, KeyFileError, PkiError, about_file
from remsim.pki.facts import (
    CERTIFICATE,
    REVOCATION_LIST,
    CertificateFacts,
    RevocationFacts,
    decode_pem,
    encode_pem,
    read_certificate,
    read_revocation_list,
)
from remsim.pki.toolkit import Toolkit

#: What tells one state of a file from another; None: it is not there.
Stamp = tuple[int, int, int] | None

#: Name of the directory within a program's state directory.
DIRECTORY: Final = "tls"

#: A certificate is renewed when less than this part of its life is left.
RENEWAL_PART: Final = 1 / 3
#: Certificates last so long, and five minutes before they were made.
USUAL_LIFE: Final = timedelta(days=90, minutes=5)
#: Servers sign a new list every hour and push it; one this old means that revocations do not arrive any more.
MAX_LIST_AGE: Final = timedelta(hours=24)

_ENROL: Final = "enrol this host: remsim pki code IDENTITY on the server, then remsim enroll URL CODE here"


@dataclass(frozen=True, slots=True)
class ReceivedCertificate:
    """What an authority's answer brings, all PEM."""

    certificate: bytes
    authority: bytes
    revocations: bytes


class Credentials:
    """The credentials in one directory. Every method raises PkiError only."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        #: Private key and certificate.
        self.pair_file = directory / "identity.pem"
        self.authority_file = directory / "authority.pem"
        self.revocations_file = directory / "revocations.pem"
        #: The key that is being certified.
        self.next_key_file = directory / "next-key.pem"
        self._next_authority_file = directory / "next-authority.pem"
        self._source_file = directory / "enrolment.json"
        # A renewal brings a list in one thread while another is pushed in a second one.
        self._list_turn = threading.Lock()

    @property
    def remedy(self) -> str:
        """What to do if these files cannot be used. Where the authority is at hand, nobody enrols."""
        state = self.directory.parent
        if self.directory.name != DIRECTORY or not (state / AUTHORITY_NAME).is_dir():
            return _ENROL
        again = f"remsim server init --state {shlex.quote(str(state))}"
        gone = f"rm {shlex.quote(str(self.pair_file))} && " if self.exist() else ""
        return f"the authority is on this host; make a new certificate with: {gone}{again}"

    def exist(self) -> bool:
        """Whether this host has a certificate."""
        return self.pair_file.exists()

    def stamps(self) -> tuple[Stamp, ...]:
        """What changes whenever one of the files that a running program uses does."""
        return tuple(_stamp(path) for path in (self.pair_file, self.authority_file, self.revocations_file))

    def check(self) -> CertificateFacts:
        """Make sure that all files are there, readable and private. Returns what the certificate says."""
        if not self.exist():
            raise KeyFileError(f"there is no certificate in {self.directory}", hint=self.remedy)
        files.check_private_directory(self.directory)
        self.authority_facts()
        return self.certificate()

    def check_origin(self) -> None:
        """Make sure that all files are of one authority: peers would refuse whatever is of another."""
        authority, revocations = self.authority_facts(), self.revocations()
        if not self.certificate().is_of(authority):
            raise CertificateError(
                f"the certificate in {self.pair_file} is not of the authority in {self.authority_file}",
                hint=self.remedy,
            )
        if revocations is not None and not revocations.is_of(authority):
            raise CertificateError(
                f"the revocation list in {self.revocations_file} is not of the authority in {self.authority_file}",
                hint=f"remove it; the server sends the right one: rm {self.revocations_file}",
            )

    def certificate(self) -> CertificateFacts:
        """The certificate of this host."""
        with about_file(self.pair_file, self.remedy):
            facts = read_certificate(decode_pem(files.read_private(self.pair_file))[0])
        if facts.identity is None:
            raise CertificateError(f"the certificate in {self.pair_file} names no identity", hint=self.remedy)
        return facts

    def identity(self) -> Identity:
        """Who this host is."""
        return cast(Identity, self.certificate().identity)

    def certificate_pem(self) -> bytes:
        """The certificate alone, without the key."""
        return encode_pem(decode_pem(files.read_private(self.pair_file))[0])

    def authority(self) -> bytes:
        """The certificate that this host trusts, PEM."""
        pem = files.read_public(self.authority_file)
        with about_file(self.authority_file, self.remedy):
            decode_pem(pem)
        return pem

    def authority_facts(self) -> CertificateFacts:
        """What the certificate says that this host trusts."""
        pem = self.authority()
        with about_file(self.authority_file, self.remedy):
            return read_certificate(decode_pem(pem)[0])

    def source(self) -> str | None:
        """URL of the server that gave the certificate; None if it was brought by hand."""
        if not self._source_file.exists():
            return None
        try:
            value: object = json.loads(files.read_public(self._source_file))
        except (ValueError, RecursionError):
            value = None
        url = value.get("url") if isinstance(value, dict) else None
        if not isinstance(url, str):
            raise KeyFileError(f"{self._source_file} does not say whom to ask for renewal", hint=self.remedy)
        return url

    # Life of the certificate

    def renewal_due(self) -> datetime:
        """From when on the certificate is to be renewed."""
        return renewal_due(self.certificate())

    def is_renewal_due(self, now: float) -> bool:
        """Whether the certificate is to be renewed now; ``now`` is in seconds since 1970."""
        return is_renewal_due(self.certificate(), now)

    # Revocation

    def revocations(self) -> RevocationFacts | None:
        """The list that is stored, None if there is none yet."""
        if not self.revocations_file.exists():
            return None
        with about_file(self.revocations_file, f"remove it; the server sends a new one: rm {self.revocations_file}"):
            return read_revocation_list(decode_pem(files.read_public(self.revocations_file), REVOCATION_LIST)[0])

    def revocations_der(self) -> bytes | None:
        """The list that is stored, in DER; None if there is none yet."""
        if not self.revocations_file.exists():
            return None
        return decode_pem(files.read_public(self.revocations_file), REVOCATION_LIST)[0]

    def accept_revocations(self, pem: bytes, toolkit: Toolkit) -> RevocationFacts | None:
        """Store a list that a server pushed, if it is the authority's and newer than ours; return it if it was.

        Raises CertificateError for one that the authority did not sign. An older one is no error: with several
        servers, the slower one may come second; but it never takes a revocation back.
        """
        facts = read_revocation_list(decode_pem(pem, REVOCATION_LIST)[0])
        if not toolkit.is_signed_by(pem, self.authority_file):
            raise CertificateError("a revocation list that our authority did not sign")
        with self._list_turn:
            stored = self.revocations()
            if stored is not None and facts.number <= stored.number:
                return None
            files.write_public(self.revocations_file, pem)
        return facts

    # Being enrolled

    def prepare_key(self, toolkit: Toolkit) -> Path:
        """The key that is to be certified: made now, or left over from an attempt whose answer was lost."""
        files.make_private_directory(self.directory)
        if not self.next_key_file.exists():
            files.write_private(self.next_key_file, toolkit.make_key())
        files.check_private(self.next_key_file)
        return self.next_key_file

    def install(self, received: ReceivedCertificate, toolkit: Toolkit, *, request: bytes, url: str) -> CertificateFacts:
        """Take the certificate of the prepared key into use; ``request`` (PEM) is what was asked for it.

        A revocation list of the same authority stays if it is as new as that of the answer. Raises CertificateError,
        and changes nothing, if the answer is not what this host asked for.
        """
        certificate = decode_pem(received.certificate)[0]
        facts = read_certificate(certificate)
        if facts.identity is None or facts.is_authority:
            raise CertificateError("the server sent a certificate that names no identity")
        if not _has_key(decode_pem(request, "CERTIFICATE REQUEST")[0], facts):
            raise CertificateError("the server sent a certificate for another key")
        authority = decode_pem(received.authority)[0]
        if read_certificate(authority).subject != facts.issuer:
            raise CertificateError("the server sent a certificate of another authority")
        revocations = decode_pem(received.revocations, REVOCATION_LIST)[0]
        self._check_list(revocations, authority, toolkit)
        with self._list_turn:
            keeps_list = self._has_list(authority, at_least=read_revocation_list(revocations).number)
            files.write_public(self.authority_file, encode_pem(authority))
            if not keeps_list:
                files.write_public(self.revocations_file, encode_pem(revocations, REVOCATION_LIST))
        files.write_public(self._source_file, json.dumps({"url": url}).encode() + b"\n")
        self.install_pair(files.read_private(self.next_key_file), encode_pem(certificate))
        self.next_key_file.unlink(missing_ok=True)
        return facts

    def _check_list(self, revocations: bytes, authority: bytes, toolkit: Toolkit) -> None:
        # The toolkits take files, and the authority may be new to this host.
        files.write_public(self._next_authority_file, encode_pem(authority))
        try:
            if not toolkit.is_signed_by(encode_pem(revocations, REVOCATION_LIST), self._next_authority_file):
                raise CertificateError("the server sent a revocation list that its authority did not sign")
        finally:
            self._next_authority_file.unlink(missing_ok=True)

    def _has_list(self, authority: bytes, *, at_least: int) -> bool:
        """Whether a list of this authority is stored already, with such a number."""
        try:
            stored = self.revocations()
            return stored is not None and stored.number >= at_least and decode_pem(self.authority())[0] == authority
        except PkiError:
            # What cannot be used is replaced.
            return False

    def pair_fault(self) -> str:
        """Why nothing can read key and certificate of this host, in words; OpenSSL does not tell."""
        content = files.read_private(self.pair_file)
        if b"ENCRYPTED" in content:
            return "the key has a passphrase"
        for what in ("PRIVATE KEY", CERTIFICATE):
            if f"{what}-----".encode() not in content:
                return f"there is no {what.lower()} in PEM form"
        return "the PEM text is damaged, or of a kind that is not known"

    def install_pair(self, key: bytes, certificate: bytes) -> None:
        """Take a key and its certificate (PEM) into use in one step. The authority's must be there."""
        # Where the issuer stands beside the certificate, OpenSSL does not search and verify it anew in each handshake,
        # which is a third of what one costs.
        files.write_private(self.pair_file, key.rstrip() + b"\n" + certificate + self.authority())

    def install_by_hand(self, key: bytes, received: ReceivedCertificate) -> None:
        """Take everything into use that an authority on the same machine has made."""
        files.make_private_directory(self.directory)
        files.write_public(self.authority_file, received.authority)
        files.write_public(self.revocations_file, received.revocations)
        self.install_pair(key, received.certificate)


def renewal_due(facts: CertificateFacts) -> datetime:
    """From when on a certificate is to be renewed."""
    # One that was dated back while the authority's clock was in doubt is renewed no earlier for that.
    life = min(facts.not_after - facts.not_before, USUAL_LIFE)
    return facts.not_after - life * RENEWAL_PART


def is_renewal_due(facts: CertificateFacts, now: float) -> bool:
    """Whether a certificate is to be renewed: it ends soon, or begins at a time to come, for a clock was wrong."""
    return now >= renewal_due(facts).timestamp() or is_from_future(facts.not_before, now)


def is_list_too_old(facts: RevocationFacts, now: float) -> bool:
    """Whether a list is so old that revocations cannot be relied upon to arrive; ``now`` is in seconds since 1970."""
    return datetime.fromtimestamp(now, UTC) - facts.issued_at > MAX_LIST_AGE


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _has_key(request: bytes, facts: CertificateFacts) -> bool:
    """Whether the request (DER) is for the certificate's key, whose bytes stand in it as they are."""
    return len(facts.public_key) >= 64 and facts.public_key in request
