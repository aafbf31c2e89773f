# SPDX-License-Identifier: Apache-2.0
"""Certificates for programs on the authority's own machine: keys are made and certified here, nobody enrols.

What a new server needs is made by ``found_server``, which may be called again: what exists is kept.
"""

import socket
from collections.abc import Sequence
from pathlib import Path

from remsim.core.identity import Identity, Role
from remsim.core.values import dataclass
from remsim.pki import files, signing
from remsim.pki.authority import CERTIFICATE_FILE, Authority
from remsim.pki.credentials import Credentials, ReceivedCertificate
from remsim.pki.errors import AuthorityError, KeyFileError
from remsim.pki.facts import CertificateFacts
from remsim.pki.ledger import Issued


@dataclass(frozen=True, slots=True)
class BootstrapResult:
    """A server with its authority, and what of it was not there before."""

    #: None: the server has a certificate of an authority elsewhere, and needs none here.
    authority: Authority | None
    is_authority_new: bool
    #: What the server's own certificate says.
    certificate: CertificateFacts
    is_certificate_new: bool


def found_server(
    directory: Path, credentials: Credentials, *, name: str | None, hosts: Sequence[str], now: float
) -> BootstrapResult:
    """Make the authority in ``directory`` and the server's certificate, as far as they are missing. Raises PkiError.

    ``name`` and ``hosts`` are those of a new certificate, by default the host's own.
    """
    identity = Identity.server(name or host_name())
    signing.check_hosts(hosts)
    has_authority = (directory / CERTIFICATE_FILE).exists()
    facts = _existing(credentials)
    if facts is not None and not has_authority:
        return BootstrapResult(None, is_authority_new=False, certificate=facts, is_certificate_new=False)
    if has_authority:
        authority = Authority(directory)
        if facts is not None and not credentials.authority_facts().is_same_authority(authority.facts):
            raise AuthorityError(
                f"the certificate in {credentials.directory} is not of the authority in {directory}",
                hint=f"replace it with: remsim pki issue {facts.identity} --out {credentials.directory}",
            )
    else:
        authority = Authority.create(directory, name=identity.name, now=now)
    if facts is None:
        issue_here(authority, identity, credentials, now=now, hosts=hosts or own_hosts())
    return BootstrapResult(authority, not has_authority, credentials.certificate(), facts is None)


def _existing(credentials: Credentials) -> CertificateFacts | None:
    if not credentials.exist():
        return None
    facts = credentials.check()
    if facts.identity is None or facts.identity.role is not Role.SERVER:
        raise KeyFileError(
            f"the certificate in {credentials.directory} is for {facts.identity}, not for a server",
            hint="give each program a directory of its own with --state DIR",
        )
    return facts


def issue_here(
    authority: Authority, identity: Identity, credentials: Credentials, *, now: float, hosts: Sequence[str] = ()
) -> Issued:
    """Make a key and a certificate for it, and take both into use in ``credentials``. Raises PkiError."""
    key = signing.make_key()
    issued = authority.issue(identity, signing.make_request(key, str(identity)), now=now, hosts=hosts)
    revocations = files.read_public(authority.list_file)
    credentials.install_by_hand(key, ReceivedCertificate(issued.pem, authority.certificate, revocations))
    return issued


def host_name() -> str:
    """The host's name, as far as it can be a server's name."""
    marks = (mark for mark in socket.gethostname() if (mark.isascii() and mark.isalnum()) or mark in "-.")
    return "".join(marks)[:63].strip("-.") or "server"


def own_hosts() -> tuple[str, ...]:
    """The names by which browsers reach a server on this host, unless told otherwise."""
    return host_name(), "localhost"
