# SPDX-License-Identifier: Apache-2.0
"""TLS towards a server of ours, for its callers on HTTPS: enrolment, and the command line with its token.

Whom they speak to is told by the identity in the certificate, not by the host name that was dialled. The check is part
of the handshake, so nothing is said to anybody who has not passed it. A bank's certificate is good for accepting links,
too, and must not do for a server's.
"""

import ssl
import time
from pathlib import Path

from remsim.core.identity import Identity, Role
from remsim.pki.errors import CertificateError
from remsim.pki.facts import read_certificate


class NotServerError(ssl.SSLError):
    """The handshake came about, but with somebody whose certificate is not that of a server."""

    #: As in errors of OpenSSL's own.
    reason = "NOT_A_SERVER"

    def __init__(self, identity: Identity | None) -> None:
        #: Who it is, for people.
        self.who = "somebody" if identity is None else str(identity)
        super().__init__(ssl.SSL_ERROR_SSL, f"the peer is {self.who}, no server")


class TimedSocket(ssl.SSLSocket):
    """May have one time limit for all that is received: a limit for each call never ends where bytes drip in."""

    #: When it is over, by ``time.monotonic``; None: never.
    until: float | None = None

    def recv_into(self, buffer: bytearray, nbytes: int | None = None, flags: int = 0) -> int:  # type: ignore[override]  # as http.client calls it
        """Raises TimeoutError besides what the base class raises."""
        if self.until is not None:
            left = self.until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.settimeout(left)
        return super().recv_into(buffer, nbytes, flags)


class _ServerSocket(TimedSocket):
    """Talks to servers only."""

    def do_handshake(self, block: bool = False) -> None:
        """Raises NotServerError besides what a handshake raises."""
        super().do_handshake(block)
        _check(self.getpeercert(binary_form=True))


class _ServerObject(ssl.SSLObject):
    """The same for those who move the bytes themselves, as event loops do."""

    def do_handshake(self) -> None:
        """Raises NotServerError besides what a handshake raises."""
        super().do_handshake()
        _check(self.getpeercert(binary_form=True))


def _check(der: bytes | None) -> None:
    try:
        identity = None if der is None else read_certificate(der).identity
    except CertificateError:
        identity = None
    if identity is None or identity.role is not Role.SERVER:
        raise NotServerError(identity)


def server_context(authority: bytes, revocations: Path | None = None) -> ssl.SSLContext:
    """A context for connections to servers of the installation whose authority (PEM) this is: TLS 1.3, nobody else's.

    With a file of ``revocations``, a list of that authority, who is on it is refused. Raises CertificateError if one of
    them cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.sslsocket_class = _ServerSocket
    context.sslobject_class = _ServerObject
    try:
        context.load_verify_locations(cadata=authority.decode("ascii"))
        if revocations is not None:
            context.load_verify_locations(cafile=revocations)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except (ssl.SSLError, OSError, ValueError):
        raise CertificateError("authority or revocation list cannot be used") from None
    return context


__all__ = ["NotServerError", "TimedSocket", "server_context"]
