# SPDX-License-Identifier: Apache-2.0
"""Why a connection did not come up, or ended: words for people, and what to do. The one table, for all programs.

What the system and TLS say about it is short and made for programmers: ``[Errno 111]``, ``TLSV1_ALERT_UNKNOWN_CA``.
"""

import errno
import re
import socket
import ssl
from typing import Final

from remsim.core.errors import CLOSED_UNHEARD
from remsim.core.values import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause: what happened, and what may mend it."""

    words: str
    hint: str = ""


_ENROL: Final = "enrol this host: remsim pki code on the server's host, then remsim enroll here"
_CLOCKS: Final = "compare the clocks of both hosts; see remsim pki show; enrol the host whose certificate has ended"
_AUTHORITIES: Final = "both ends need certificates of the same authority: enrol the one that has another"
_PORT: Final = "check host and port: is a remsim program listening there?"

#: What the system says (errno(3)).
_SYSTEM: Final = {
    errno.ECONNREFUSED: Cause("nothing listens at that address and port", "is the program running there? " + _PORT),
    errno.ECONNRESET: Cause("the peer cut the connection", "the other end's log says why"),
    errno.EPIPE: Cause("the peer closed the connection", "the other end's log says why"),
    errno.ECONNABORTED: Cause("the connection was given up", "the other end's log says why"),
    errno.ETIMEDOUT: Cause("the host does not answer", "is it up, and does a firewall let this port through?"),
    errno.EHOSTUNREACH: Cause("the host cannot be reached", "is it up, and is there a route to it?"),
    errno.ENETUNREACH: Cause("there is no route to that network", "check this host's network, or use another address"),
    errno.EADDRNOTAVAIL: Cause("that address cannot be used from here", "check the address; see ip address"),
    errno.EACCES: Cause(
        "the system does not allow this connection", "does a firewall or the sandbox of its service forbid it?"
    ),
    errno.EPERM: Cause(
        "the system does not allow this connection", "does a firewall or the sandbox of its service forbid it?"
    ),
    errno.EMFILE: Cause("this process has no descriptor left", "raise its limit (LimitNOFILE, ulimit -n)"),
    errno.ENFILE: Cause("this host has no descriptor left", "raise fs.file-max"),
}
_NO_NAME: Final = Cause("the host name is not known", "check its spelling and this host's name server")

#: What OpenSSL finds wrong with a peer's certificate (X509_V_ERR_*).
_FOUND: Final = {
    3: Cause("we have no revocation list of its authority", _AUTHORITIES),
    9: Cause("it is not valid yet", _CLOCKS),
    10: Cause("it has expired", _CLOCKS),
    18: Cause("it is self-signed", _AUTHORITIES),
    19: Cause("it is of an authority that we do not trust", _AUTHORITIES),
    20: Cause("it is of an authority that we do not trust", _AUTHORITIES),
    21: Cause("it is of an authority that we do not trust", _AUTHORITIES),
    23: Cause("it is revoked", "enrol the host at the other end again"),
    26: Cause("it is not made for this side of a link", "is that the right host and port?"),
}
#: Alerts that a peer sent (RFC 8446, clause 6.2).
_ALERTS: Final = {
    "CERTIFICATE_EXPIRED": Cause("the peer refuses our certificate: it has expired", _CLOCKS),
    "CERTIFICATE_REVOKED": Cause("the peer refuses our certificate: it is revoked", _ENROL),
    "UNKNOWN_CA": Cause("the peer refuses our certificate: it does not trust our authority", _AUTHORITIES),
    "CERTIFICATE_REQUIRED": Cause("the peer demands a certificate", _ENROL),
    "BAD_CERTIFICATE": Cause("the peer refuses our certificate", "its log says why"),
    "UNSUPPORTED_CERTIFICATE": Cause(
        "the peer refuses our certificate: it is not made for this side of a link", "is that the right host and port?"
    ),
    "CERTIFICATE_UNKNOWN": Cause("the peer refuses our certificate", "its log says why"),
    "ACCESS_DENIED": Cause("the peer does not let us in", "its log says why"),
    "UNRECOGNIZED_NAME": Cause("the peer does not know the name that it was called by", _PORT),
    "NO_APPLICATION_PROTOCOL": Cause("the peer does not speak our protocol over TLS", _PORT),
    "DECRYPT_ERROR": Cause("the peer could not check our signature", "enrol this host again"),
    "INTERNAL_ERROR": Cause("the peer broke off: internal error", "its log says why"),
    "PROTOCOL_VERSION": Cause("the peer does not speak TLS 1.3", _PORT),
    "HANDSHAKE_FAILURE": Cause("the peer broke off the TLS handshake", _PORT),
}
_TLS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Cause("the peer showed no certificate", "enrol the host at the other end"),
    "UNSUPPORTED_PROTOCOL": Cause("the peer does not speak TLS 1.3", _PORT),
    "WRONG_VERSION_NUMBER": Cause(
        "the peer does not speak TLS", "is it another port, or a program that has no certificate and speaks plain TCP?"
    ),
    "HTTP_REQUEST": Cause("the peer speaks HTTP, not TLS", "is that the REST port?"),
    "UNEXPECTED_EOF_WHILE_READING": Cause("the peer closed without a TLS goodbye", "its log says why"),
}
#: A port for plain TCP closes when it hears the beginning of TLS.
CLOSED_IN_HANDSHAKE: Final = Cause(
    "closed by the peer within the TLS handshake",
    "is that its port for plain TCP? Else its log says why",
)
#: A peer that speaks TLS only closes without a word when it is called over plain TCP.
CLOSED_WITHOUT_A_WORD: Final = Cause(
    CLOSED_UNHEARD,
    "does it want a certificate? If so, " + _ENROL + "; else its log says why",
)
_NUMBER: Final = re.compile(r"\[Errno (-?[0-9]{1,5})\]")


def cause_of(error: BaseException) -> Cause:
    """Why something that connects has failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        found = _FOUND.get(error.verify_code, Cause(error.verify_message))
        return Cause(f"the peer's certificate is refused: {found.words}", found.hint)
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        # Some names carry the protocol version that an alert came with: TLSV1_ALERT_UNKNOWN_CA.
        _, is_alert, alert = reason.partition("_ALERT_")
        if is_alert:
            return _ALERTS.get(alert, Cause(f"the peer broke off: {_spoken(alert)}", "its log says why"))
        return _TLS.get(reason, Cause(f"TLS failed: {_spoken(reason) or type(error).__name__}"))
    if isinstance(error, socket.gaierror):
        return _NO_NAME
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (told := _NUMBER.search(str(error))) is not None:
        # asyncio: "Multiple exceptions: [Errno 111] ..., [Errno 111] ...", one for each address of a name.
        number = int(told[1])
    known = None if number is None else _SYSTEM.get(number)
    if known is not None:
        return known
    text = error.strerror if isinstance(error, OSError) else None
    return Cause(text or str(error) or type(error).__name__)


def hint_of(words: str) -> str:
    """What may mend a cause that is known by its words only."""
    return _HINTS.get(words, "")


def _spoken(name: str) -> str:
    return name.lower().replace("_", " ")


_HINTS: Final = {
    cause.words: cause.hint
    for cause in (
        *_SYSTEM.values(),
        *_ALERTS.values(),
        *_TLS.values(),
        *(Cause(f"the peer's certificate is refused: {found.words}", found.hint) for found in _FOUND.values()),
        _NO_NAME,
        CLOSED_IN_HANDSHAKE,
        CLOSED_WITHOUT_A_WORD,
    )
}
