# SPDX-License-Identifier: Apache-2.0
"""The server's REST interface (rsres.md) as the command-line tools use it: a few calls, and failures in words.

Knows paths, JSON and HTTP; refuses to know what is printed. Works with the C server, too, whose errors have no text.
"""

import json
import ssl
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import httpx2

from remsim import __version__
from remsim.causes import cause_of
from remsim.config import REST_PORT, HostPort
from remsim.core.errors import ConfigError, RemsimError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.net.tls.contexts import explain
from remsim.pki.server_tls import NotServerError

JsonObject = dict[str, object]

#: Prefix of every path (rsres.md).
API_PREFIX: Final = "/api/backend/v1"
#: A list of all mappings of the largest installation stays far below this.
MAX_ANSWER_BYTES: Final = 64 << 20

#: Of the verdicts on a certificate (X509_V_ERR_*), those that another authority may mend: it is not known, or the name
#: was compared, which is not done with an authority of ours.
_UNTRUSTED: Final = frozenset({18, 19, 20, 21, 62, 64})

_MEANINGS: Final = {
    400: "the server does not accept the request",
    401: "the server wants a token",
    403: "the token does not allow this",
    404: "the server does not know it",
    409: "it is in conflict with what exists",
    429: "too many failed attempts",
}
_HINTS: Final = {
    401: "put one into REMSIM_TOKEN",
    403: "put one with more rights into REMSIM_TOKEN",
    429: "wait a little",
}


class RestError(RemsimError):
    """The server could not be asked, or said no. ``status`` is its HTTP status, None if there was no answer."""

    def __init__(self, message: str, *, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


def slotmap_id(bank_slot: BankSlot) -> int:
    """Return the number by which REST v1 names a mapping (rsres.md, section 4)."""
    return bank_slot.bank_id << 16 | bank_slot.slot_nr


def mapping_object(bank_slot: BankSlot, client_slot: ClientSlot) -> JsonObject:
    """Return the JSON object that names a mapping (rsres.md, section 2.4)."""
    return {
        "bank": {"bankId": bank_slot.bank_id, "slotNr": bank_slot.slot_nr},
        "client": {"clientId": client_slot.client_id, "slotNr": client_slot.slot_nr},
    }


def base_url(text: str) -> str:
    """Return the server's base URL from an URL or HOST:PORT. Raises ConfigError."""
    if "://" not in text:
        return f"http://{HostPort.parse(text, default_port=REST_PORT)}"
    try:
        parts = urlsplit(text)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigError(f"{text!r} is no URL of a server", hint=f"write http://HOST:{REST_PORT}")
    return text.rstrip("/").removesuffix(API_PREFIX)


class RestClient:
    """Calls to one server. Use it as a context manager; every method raises RestError."""

    def __init__(
        self,
        base: str,
        *,
        token: str | None = None,
        timeout_s: float = 10.0,
        tls: ssl.SSLContext | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """``base`` as for ``base_url``. ``tls`` says whom https may lead to, by default whom the system trusts.

        ``transport`` replaces the network in tests.
        """
        self.base = base_url(base)
        headers = {"User-Agent": f"remsim/{__version__}", "Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        # The server is a neighbour: a proxy of the environment must not get between.
        self._http = httpx2.Client(
            base_url=self.base + API_PREFIX,
            headers=headers,
            timeout=timeout_s,
            trust_env=False,
            verify=True if tls is None else tls,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str) -> JsonObject | None:
        """Return the object at ``path``; None for an empty answer, with which the C server says "unknown".

        It has all that the server knows: ours tells more than v1 if it is asked to, and the C server ignores queries.
        """
        content = self._ask("GET", f"{path}{'&' if '?' in path else '?'}more=true")
        if not content:
            return None
        value = _parse_json(content)
        if not isinstance(value, dict):
            raise RestError(f"{self.base}{API_PREFIX}{path} did not give a JSON object", hint="is this the REST port?")
        return value

    def get_list(self, name: str) -> list[JsonObject]:
        """Return all of ``banks``, ``clients`` or ``slotmaps``."""
        value = (self.get(f"/{name}") or {}).get(name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise RestError(f"{self.base} did not give a list of {name}", hint="is this a server's REST port?")
        return value

    def create_mapping(self, bank_slot: BankSlot, client_slot: ClientSlot) -> None:
        """Store a mapping; the bank and the client are told by the server."""
        self._ask("POST", "/slotmaps", body=mapping_object(bank_slot, client_slot))

    def delete_mapping(self, bank_slot: BankSlot) -> None:
        """Delete the mapping of a bank slot."""
        self._ask("DELETE", f"/slotmaps/{slotmap_id(bank_slot)}")

    def global_reset(self) -> None:
        """Delete all mappings."""
        self._ask("POST", "/global-reset")

    def _no_answer(self, error: Exception) -> RestError:
        is_https = self.base.startswith("https:")
        tls_error = _tls_error(error)
        if isinstance(error, httpx2.TimeoutException):
            return RestError(f"{self.base} does not answer", hint="is it a remsim server?")
        if tls_error is not None:
            return _tls_refusal(self.base, tls_error)
        if isinstance(error, httpx2.RemoteProtocolError) and not is_https:
            return RestError(
                f"{self.base} does not speak plain HTTP",
                hint=f"with certificates it speaks https://: name the authority with --authority FILE; "
                f"REST has a port of its own, {REST_PORT} by default",
            )
        if isinstance(error, httpx2.RemoteProtocolError):
            return RestError(f"{self.base} does not speak HTTP", hint=f"REST is at port {REST_PORT} by default")
        return RestError(
            f"cannot reach {self.base}: {_reason(error)}", hint="is the server running, with its REST interface there?"
        )

    def _ask(self, method: str, path: str, *, body: JsonObject | None = None) -> bytes:
        try:
            with self._http.stream(method, path, json=body) as response:
                content = _read(response)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._no_answer(error) from None
        if not response.is_success:
            raise _refusal(response.status_code, content)
        return content


def _tls_refusal(base: str, error: ssl.SSLError) -> RestError:
    if isinstance(error, NotServerError):
        return RestError(f"{base} is {error.who}, no server", hint="check the URL; is there a proxy?")
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _UNTRUSTED:
        hint = "name the authority of its installation with --authority FILE; remsim pki show --authority prints it"
    elif isinstance(error, ssl.SSLCertVerificationError):
        hint = "see remsim pki show on the server's host"
    else:
        hint = "without certificates, or with --rest-open, its REST is plain: write http://HOST:PORT"
    return RestError(f"{base} is not asked: {explain(error)}", hint=hint)


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """What TLS found wrong, below what the HTTP library made of it."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ssl.SSLError):
        found = found.__cause__ or found.__context__
    return found


def _reason(error: Exception) -> str:
    """In words, from below what the HTTP library made of it."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, OSError):
        found = found.__cause__ or found.__context__
    return cause_of(error if found is None else found).words


def _read(response: httpx2.Response) -> bytes:
    """The answer, of which no more is taken than is allowed."""
    raw = bytearray()
    for piece in response.iter_bytes():
        raw += piece
        if len(raw) > MAX_ANSWER_BYTES:
            raise RestError("the server's answer is too long", hint="is this a server's REST port?")
    return bytes(raw)


def _parse_json(raw: bytes) -> object:
    try:
        value: object = json.loads(raw)
    except (ValueError, RecursionError):
        raise RestError("the server's answer is not JSON", hint="is this a server's REST port?") from None
    return value


def _refusal(status: int, content: bytes) -> RestError:
    """The error body of our server, ``{"error": {"code", "message", "hint"}}``, or the meaning of the bare status."""
    message, hint = _MEANINGS.get(status, "the server failed"), _HINTS.get(status, "")
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        message = error["message"]
        hint = error["hint"] if isinstance(error.get("hint"), str) else hint
    return RestError(f"{message} (HTTP {status})", hint=hint, status=status)
