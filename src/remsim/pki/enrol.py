# SPDX-License-Identifier: Apache-2.0
"""Enrolment as the new host sees it: trust the server by the code, get a certificate, renew it later.

Two connections. Over the first, which proves nothing, the server names its authority; the code's SHA-256 says whether
to believe it. The second is verified with that authority before the secret is sent, and must lead to a server. Blocks;
a program with an event loop calls it in a thread. Proxies of the environment are not used.
"""

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from remsim.causes import cause_of
from remsim.config import REST_PORT
from remsim.core.values import dataclass
from remsim.pki.codes import EnrolmentCode, encode_bytes
from remsim.pki.credentials import Credentials, ReceivedCertificate
from remsim.pki.errors import EnrolmentError
from remsim.pki.facts import CertificateFacts, decode_pem, read_certificate
from remsim.pki.messages import (
    ANCHOR_PATH,
    CERTIFICATE_PATH,
    RENEWAL_PATH,
    certificate_fingerprint,
    renewal_content,
)
from remsim.pki.server_tls import NotServerError, TimedSocket, server_context
from remsim.pki.toolkit import Toolkit

#: Connection and handshake. The server signs and writes to disk, which takes milliseconds.
TIMEOUT_S: Final = 20.0
#: All questions and answers of an enrolment or a renewal together, however slowly the bytes come.
TIME_LIMIT_S: Final = 40.0
#: Certificate, authority and revocation list; a list of ten thousand entries has 400 kilobytes.
MAX_ANSWER_BYTES: Final = 4 << 20

_WRONG_PLACE: Final = f"is that the server's REST? Write https://HOST:PORT; the port is {REST_PORT} by default"
#: Enrolment needs no token: a server that asks for one has something else at that path.
_ELSEWHERE: Final = frozenset({401, 404})

_MEANINGS: Final = {
    401: "there is no enrolment at that path",
    404: "it does not enrol anybody: has it an authority?",
    429: "too many failed attempts, wait a little",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A server's REST interface over TLS."""

    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """What it was parsed from, in full."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}{self.path}"


def parse_target(url: str) -> Target:
    """Read ``https://HOST[:PORT]``. Raises EnrolmentError, also for plain http: the secret must not travel in clear."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise EnrolmentError(f"{url!r} is no URL", hint=f"write https://HOST:{REST_PORT}") from None
    if parts.scheme != "https":
        raise EnrolmentError("enrolment needs https", hint=f"write https://HOST:{REST_PORT}")
    if not host or port == 0 or parts.query or parts.fragment or parts.username or not url.isprintable():
        raise EnrolmentError(f"{url!r} is no URL of a server", hint=f"write https://HOST:{REST_PORT}")
    return Target(host, port or REST_PORT, parts.path.rstrip("/"))


def enroll(url: str, code: EnrolmentCode, credentials: Credentials, toolkit: Toolkit) -> CertificateFacts:
    """Make a key, have it certified with ``code``, and store everything. Raises PkiError; then nothing is in use.

    May be repeated with the same code if the answer was lost: the key is still the same.
    """
    target = parse_target(url)
    until = time.monotonic() + TIME_LIMIT_S
    authority = _fetch_anchor(target, code, until)
    request = toolkit.make_request(credentials.prepare_key(toolkit))
    body = {
        "identity": str(code.identity),
        "code": encode_bytes(code.code_id),
        "secret": encode_bytes(code.secret),
        "request": request.decode(),
    }
    received = _received(_ask(target, CERTIFICATE_PATH, body, authority, until=until))
    if certificate_fingerprint(received.authority) != code.fingerprint:
        raise EnrolmentError("the server answered with another authority than the code's")
    return credentials.install(received, toolkit, request=request, url=target.url)


def renew(credentials: Credentials, toolkit: Toolkit, *, url: str | None = None) -> CertificateFacts:
    """Replace key and certificate by new ones, from the server that gave the old. Raises PkiError.

    The old pair stays in use until the new one is complete.
    """
    source = url or credentials.source()
    if source is None:
        raise EnrolmentError(
            "this certificate was not got by enrolment", hint="renew it with: remsim pki renew, where the authority is"
        )
    target = parse_target(source)
    old = credentials.certificate_pem()
    authority = credentials.authority()
    request = toolkit.make_request(credentials.prepare_key(toolkit))
    signature = toolkit.sign(credentials.pair_file, renewal_content(old, request))
    body = {"certificate": old.decode(), "request": request.decode(), "signature": signature.hex()}
    revocations = _usable_list(credentials)
    until = time.monotonic() + TIME_LIMIT_S
    received = _received(_ask(target, RENEWAL_PATH, body, authority, revocations, until=until))
    # Over a connection that ours vouches for, it may bring the next certificate of the same key.
    if not _facts(received.authority).is_same_authority(_facts(authority)):
        raise EnrolmentError("the server answered with another authority than ours")
    return credentials.install(received, toolkit, request=request, url=target.url)


def _usable_list(credentials: Credentials) -> Path | None:
    """The stored list, unless it is dated later than now: OpenSSL would refuse everybody for it."""
    facts = credentials.revocations()
    is_usable = facts is not None and facts.issued_at.timestamp() <= time.time()
    return credentials.revocations_file if is_usable else None


def _facts(pem: bytes) -> CertificateFacts:
    return read_certificate(decode_pem(pem)[0])


def _fetch_anchor(target: Target, code: EnrolmentCode, until: float) -> bytes:
    answer = _ask(target, ANCHOR_PATH, {"code": encode_bytes(code.code_id)}, None, until=until)
    authority = _text(answer, "authority")
    if certificate_fingerprint(authority) != code.fingerprint:
        raise EnrolmentError(
            "this is not the server that the code is for: its authority is another one",
            hint="check the URL; if it is right, another server answers in its place",
        )
    return authority


def _context(authority: bytes | None, revocations: Path | None) -> ssl.SSLContext:
    if authority is not None:
        return server_context(authority, revocations)
    # Only for the question that nothing depends on; what it brings is compared with the code.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.sslsocket_class = TimedSocket
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _ask(
    target: Target,
    path: str,
    body: Mapping[str, str],
    authority: bytes | None,
    revocations: Path | None = None,
    *,
    until: float,
) -> Mapping[str, object]:
    context = _context(authority, revocations)
    connection = http.client.HTTPSConnection(target.host, target.port, timeout=TIMEOUT_S, context=context)
    try:
        connection.connect()
        if isinstance(connection.sock, TimedSocket):
            connection.sock.until = until
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        connection.request("POST", target.path + path, json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read(MAX_ANSWER_BYTES + 1)
    except ssl.SSLCertVerificationError as error:
        raise EnrolmentError(
            f"{target.url} is not the server that this host trusts: {error.verify_message}",
            hint="check the URL; if it is right, another server answers in its place",
        ) from None
    except NotServerError as error:
        raise EnrolmentError(f"{target.url} is {error.who}, no server", hint="check the URL") from None
    except ssl.SSLError as error:
        raise EnrolmentError(f"{target.url} is not asked: {cause_of(error).words}", hint=_WRONG_PLACE) from None
    except (http.client.HTTPException, ConnectionResetError):
        # A port for RSPRO may close before its reason arrives.
        raise EnrolmentError(f"{target.url} does not answer as a server's REST does", hint=_WRONG_PLACE) from None
    except TimeoutError:
        raise EnrolmentError(f"{target.url} did not answer in time", hint=_WRONG_PLACE) from None
    except OSError as error:
        cause = cause_of(error)
        raise EnrolmentError(
            f"cannot ask {target.url}: {cause.words}", hint=cause.hint or "is the server running there?"
        ) from None
    finally:
        connection.close()
    return _read_answer(target, response.status, content)


def _read_answer(target: Target, status: int, content: bytes) -> Mapping[str, object]:
    try:
        value: object = json.loads(content) if len(content) <= MAX_ANSWER_BYTES else None
    except (ValueError, RecursionError):
        value = None
    if status == 200 and isinstance(value, dict):
        return value
    error = value.get("error") if isinstance(value, dict) else None
    message, hint = _MEANINGS.get(status, "it does not answer as a server's REST does"), _WRONG_PLACE
    if isinstance(error, dict) and status not in _ELSEWHERE:
        message = str(error.get("message") or message)
        hint = str(error.get("hint") or "")
    raise EnrolmentError(f"{target.url} refused (HTTP {status}): {message}", hint=hint, status=status)


def _text(answer: Mapping[str, object], name: str) -> bytes:
    value = answer.get(name)
    if not isinstance(value, str) or not value.isascii():
        raise EnrolmentError(f"the server's answer has no {name}")
    return value.encode()


def _received(answer: Mapping[str, object]) -> ReceivedCertificate:
    return ReceivedCertificate(_text(answer, "certificate"), _text(answer, "authority"), _text(answer, "revocations"))
