# SPDX-License-Identifier: Apache-2.0
"""TLS of links: contexts that accept nothing weaker, who the peer is, and what went wrong in words.

TLS 1.3 only, certificates on both sides, no session tickets: each connection proves its certificate anew, so that a
revocation cannot be bypassed by resuming. The peer's identity is the URI in its certificate; host names mean nothing.
Certificates are replaced by making new contexts: links that exist go on, new ones use them.
"""

import ssl
import time
from collections.abc import Container
from datetime import datetime
from typing import Final

from remsim.causes import cause_of
from remsim.core.errors import RemsimError, StartError
from remsim.core.identity import Identity, Role
from remsim.core.values import dataclass
from remsim.pki.credentials import Credentials, Stamp, is_list_too_old
from remsim.pki.errors import CertificateError
from remsim.pki.facts import RevocationFacts, read_certificate

#: A handshake takes two round trips and a signature; a peer that needs longer than this does not want one.
HANDSHAKE_TIMEOUT_S: Final = 10.0

#: What the first bytes of a TLS client may be: a record with a handshake, version 3.x, at most 2**14 bytes (and some
#: that share their high byte with it), and in it a ClientHello.
_GREETING: Final[tuple[Container[int], ...]] = (b"\x16", b"\x03", range(256), range(65), range(256), b"\x01")
#: How many bytes ``greeting_fault`` looks at.
GREETING_BYTES: Final = len(_GREETING)
_HTTP_METHODS: Final = frozenset({b"GET ", b"HEAD", b"POST", b"PUT "})


class TlsSetupError(StartError):
    """Certificates or keys that cannot be used for links."""


class HandshakeError(RemsimError):
    """A link that did not come up because of TLS, or because the peer is not who it should be. One line."""


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What a peer has proven."""

    identity: Identity
    serial: int
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Expectation:
    """Whom a link may lead to: anybody of these roles, or one identity only."""

    roles: frozenset[Role]
    identity: Identity | None = None

    @classmethod
    def of(cls, *roles: Role) -> "Expectation":
        """Anybody of these roles."""
        return cls(frozenset(roles))

    @classmethod
    def exactly(cls, identity: Identity) -> "Expectation":
        """Everybody who may speak for this identity."""
        return cls(frozenset({identity.role}), identity)

    def check(self, found: Identity) -> None:
        """Raises HandshakeError if ``found`` is somebody else."""
        if self.identity is not None and not found.covers(self.identity):
            raise HandshakeError(f"the peer is {found}, not {self.identity}")
        if found.role not in self.roles:
            wanted = " or ".join(sorted(role.value for role in self.roles))
            raise HandshakeError(f"the peer is {found}, no {wanted}")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """One generation of everything that is read from files."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    identity: Identity
    not_after: datetime
    revocations: RevocationFacts | None
    stamps: tuple[Stamp, ...]


class TlsContexts:
    """The contexts of one program, made of one directory of credentials. ``reload`` makes new ones."""

    def __init__(self, credentials: Credentials) -> None:
        """Raises TlsSetupError or PkiError, with the command that mends it."""
        self.credentials = credentials
        self._loaded = _load(credentials)
        #: For REST: the server shows its certificate, the caller a token. Stays the same object, because a listening
        #: HTTP server keeps its context; connections that follow a reload are shown the new certificate.
        self.rest = _context(credentials, ssl.PROTOCOL_TLS_SERVER)
        self.rest.set_alpn_protocols(["http/1.1"])

    def reload(self) -> None:
        """Use what the files hold now for new links. Raises TlsSetupError or PkiError; then the old stays in use."""
        self._loaded = _load(self.credentials)
        _load_pair(self.rest, self.credentials)

    @property
    def server(self) -> ssl.SSLContext:
        """For accepted links."""
        return self._loaded.server

    @property
    def client(self) -> ssl.SSLContext:
        """For dialled links."""
        return self._loaded.client

    @property
    def identity(self) -> Identity:
        """Who we are."""
        return self._loaded.identity

    @property
    def not_after(self) -> datetime:
        """When our own certificate expires."""
        return self._loaded.not_after

    @property
    def stamps(self) -> tuple[Stamp, ...]:
        """Those of the files as they were before they were read: see ``Credentials.stamps``."""
        return self._loaded.stamps

    @property
    def revocations(self) -> RevocationFacts | None:
        """The list that is in use, None if there is none."""
        return self._loaded.revocations

    def is_revoked(self, serial: int) -> bool:
        """Whether the list in use has this certificate: the check of links that are up already."""
        revocations = self._loaded.revocations
        return revocations is not None and serial in revocations.serials

    def is_list_too_old(self, now: float) -> bool:
        """Whether the list is missing or too old to rely on; ``now`` is in seconds since 1970. To be reported."""
        revocations = self._loaded.revocations
        return revocations is None or is_list_too_old(revocations, now)


@dataclass(frozen=True, slots=True)
class LinkTls:
    """What makes a link one over TLS: our contexts, and whom we want at the other end."""

    contexts: TlsContexts
    expects: Expectation

    def check_peer(self, ssl_object: ssl.SSLObject | ssl.SSLSocket | None) -> PeerCertificate:
        """Who the peer is, after the handshake. Raises HandshakeError if it is nobody we want."""
        der = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
        if der is None:
            raise HandshakeError("the peer showed no certificate")
        try:
            facts = read_certificate(der)
        except CertificateError as error:
            raise HandshakeError(f"the peer's certificate cannot be used: {error}") from None
        if facts.identity is None:
            raise HandshakeError("the peer's certificate names no identity")
        if self.contexts.is_revoked(facts.serial):
            raise HandshakeError(f"the certificate of {facts.identity} is revoked")
        self.expects.check(facts.identity)
        return PeerCertificate(facts.identity, facts.serial, facts.not_after)


def greeting_fault(raw: bytes) -> str:
    """Why what a peer says first cannot be the greeting of a TLS client (RFC 8446, 4.1.2 and 5.1); "" if it can be.

    ``bytes`` may be all that has come so far. Whether it is a good greeting only OpenSSL knows.
    """
    for byte, allowed in zip(raw, _GREETING, strict=False):
        if byte not in allowed:
            is_http = raw[:4] in _HTTP_METHODS
            return "the peer speaks HTTP, not TLS" if is_http else "the peer does not speak TLS"
    return ""


def explain(error: BaseException) -> str:
    """One line for people on why a link, or its handshake, failed."""
    return cause_of(error).words


def _load(credentials: Credentials) -> _Loaded:
    stamps = credentials.stamps()
    facts = credentials.check()
    revocations = credentials.revocations()
    server = _context(credentials, ssl.PROTOCOL_TLS_SERVER)
    client = _context(credentials, ssl.PROTOCOL_TLS_CLIENT)
    # A list of a time to come, for a clock is or was wrong, OpenSSL takes for a reason to refuse everybody. It is asked
    # all the same, by ``LinkTls.check_peer``, for each peer.
    has_list = revocations is not None and revocations.issued_at.timestamp() <= time.time()
    for context in (server, client):
        _demand_certificates(context, credentials, has_list=has_list)
    return _Loaded(server, client, credentials.identity(), facts.not_after, revocations, stamps)


def _context(credentials: Credentials, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    _load_pair(context, credentials)
    return context


def _load_pair(context: ssl.SSLContext, credentials: Credentials) -> None:
    try:
        # Without an answer of ours, OpenSSL would ask for a passphrase at the terminal.
        context.load_cert_chain(credentials.pair_file, password="")
    except (ssl.SSLError, OSError) as error:
        is_misfit = isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH"
        reason = "the key does not belong to the certificate" if is_misfit else credentials.pair_fault()
        raise TlsSetupError(
            f"key and certificate in {credentials.pair_file} cannot be used: {reason}",
            hint=f"{credentials.remedy}; or put the right file there: a key of P-256 without a passphrase, and below "
            "it its certificate, both PEM",
        ) from None


def _demand_certificates(context: ssl.SSLContext, credentials: Credentials, *, has_list: bool) -> None:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(cafile=credentials.authority_file)
        if has_list:
            # A list of ours never expires for OpenSSL, so a server that is away for long does not cut every link; its
            # age is watched and reported instead.
            context.load_verify_locations(cafile=credentials.revocations_file)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except (ssl.SSLError, OSError) as error:
        raise TlsSetupError(
            f"authority and revocation list in {credentials.directory} cannot be used: {explain(error)}",
            hint=credentials.remedy,
        ) from None


__all__ = [
    "GREETING_BYTES",
    "HANDSHAKE_TIMEOUT_S",
    "Expectation",
    "HandshakeError",
    "LinkTls",
    "PeerCertificate",
    "TlsContexts",
    "TlsSetupError",
    "explain",
    "greeting_fault",
]
