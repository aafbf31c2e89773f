# SPDX-License-Identifier: Apache-2.0
"""The server's REST interface (rsres.md) as the command-line tools use it: where it is, a few calls, failures in words.

A server with certificates serves https only. On its own host everything is found by itself: the authority is in the
state directory. Elsewhere the operator names a copy of it; without one, https goes by what the system trusts. Knows
paths, JSON and HTTP; refuses to know what is printed. Works with the C server, too, whose errors have no text.

HTTP and TLS are imported when a server is called, because help needs neither.
"""

import json
from collections.abc import Mapping
from os import R_OK, access
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from remsim import __version__
from remsim.config import CREDENTIALS_NAME, REST_PORT, HostPort, default_state_dir
from remsim.core.bearer import bearer
from remsim.core.errors import ConfigError, RemsimError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.net.runtime.report import say_error
from remsim.pki.system_trust import system_trust

if TYPE_CHECKING:
    import ssl

    import httpx2

    from remsim.config import CtlConfig
    from remsim.rest import AsyncRest, Rest, RestApiError

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
    # A server of ours says what it does not know.
    404: f"is that the REST of a remsim server? It is at port {REST_PORT} by default",
    401: "put one into REMSIM_TOKEN",
    403: "put one with more rights into REMSIM_TOKEN",
    429: "wait a little",
}

_HERE: Final = HostPort("127.0.0.1", REST_PORT)


class RestError(RemsimError):
    """The server could not be asked, or said no. ``status`` is its HTTP status, None if there was no answer.

    ``code`` is what it says to programs; a server of the C suite says nothing.
    """

    def __init__(self, message: str, *, hint: str = "", status: int | None = None, code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        if status is not None:
            self.json_code = code or str(status)


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
        tls: "ssl.SSLContext | None" = None,
        transport: "httpx2.BaseTransport | None" = None,
    ) -> None:
        """``base`` as for ``base_url``. ``tls`` says whom https may lead to, by default whom the system trusts.

        ``transport`` replaces the network in tests. Raises ConfigError for a token that is none.
        """
        import httpx2

        self.base = base_url(base)
        self._token, self._tls = token, tls
        headers = {"User-Agent": f"remsim/{__version__}", "Accept": "application/json", "Accept-Encoding": "identity"}
        if token is not None:
            headers["Authorization"] = bearer(token)
        # The server is a neighbour: a proxy of the environment must not get between.
        self._http = httpx2.Client(
            base_url=self.base + API_PREFIX,
            headers=headers,
            timeout=timeout_s,
            trust_env=False,
            verify=system_trust(self.base) if tls is None else tls,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def v2(self) -> "Rest":
        """The same server, by REST v2; to be closed by itself."""
        from remsim.rest import Rest

        return Rest(self.base, token=self._token, tls=self._tls, explain=self._unreached)

    def async_v2(self) -> "AsyncRest":
        """The same for asyncio."""
        from remsim.rest import AsyncRest

        return AsyncRest(self.base, token=self._token, tls=self._tls, explain=self._unreached)

    def _unreached(self, error: Exception) -> "RestApiError":
        from remsim.rest import RestApiError

        found = self._no_answer(error)
        return RestApiError(str(found), hint=found.hint)

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

    def get_warnings(self) -> list[JsonObject]:
        """Return what is wrong, as far as a server of ours knows; by REST v2. Raises RestApiError."""
        from remsim.rest.warnings import list_warnings

        with self.v2() as rest:
            return [found.model_dump(mode="json") for found in rest.items(list_warnings())]

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
        import httpx2

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
        import httpx2

        try:
            with self._http.stream(method, path, json=body) as response:
                content = _read(response)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._no_answer(error) from None
        if not response.is_success:
            raise _refusal(response.status_code, content)
        return content


def _tls_refusal(base: str, error: "ssl.SSLError") -> RestError:
    import ssl

    from remsim.net.tls.contexts import explain
    from remsim.pki.server_tls import NotServerError

    if isinstance(error, NotServerError):
        return RestError(f"{base} is {error.who}, no server", hint="check the URL; is there a proxy?")
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _UNTRUSTED:
        hint = "name the authority of its installation with --authority FILE; remsim pki show --authority prints it"
    elif isinstance(error, ssl.SSLCertVerificationError):
        hint = "see remsim pki show on the server's host"
    elif "CERTIFICATE_REQUIRED" in (error.reason or ""):
        # REST asks nobody for a certificate.
        hint = f"that is a port for clients and banks; REST has one of its own, {REST_PORT} by default"
    else:
        hint = (
            "without certificates, or with --rest-open, its REST is plain: write http://HOST:PORT; "
            f"the port is {REST_PORT} by default"
        )
    return RestError(f"{base} is not asked: {explain(error)}", hint=hint)


def _tls_error(error: BaseException) -> "ssl.SSLError | None":
    """What TLS found wrong, below what the HTTP library made of it."""
    import ssl

    found: BaseException | None = error
    while found is not None and not isinstance(found, ssl.SSLError):
        found = found.__cause__ or found.__context__
    return found


def _reason(error: Exception) -> str:
    """In words, from below what the HTTP library made of it."""
    from remsim.causes import cause_of

    found: BaseException | None = error
    while found is not None and not isinstance(found, OSError):
        found = found.__cause__ or found.__context__
    return cause_of(error if found is None else found).words


def _read(response: "httpx2.Response") -> bytes:
    """The answer, of which no more is taken than is allowed."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        # What it becomes has no limit.
        raise RestError("the server's answer is compressed", hint="nobody asked for that: is there a proxy?")
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
    error, code = value.get("error") if isinstance(value, dict) else None, ""
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        message = error["message"]
        hint = error["hint"] if isinstance(error.get("hint"), str) else hint
        code = error["code"] if isinstance(error.get("code"), str) else ""
    return RestError(f"{message} (HTTP {status})", hint=hint, status=status, code=code)


@dataclass(frozen=True, slots=True)
class RestTarget:
    """A base URL; and for https, the file of the authority whose server it must be, None: whom the system trusts."""

    base: str
    authority: Path | None = None

    @classmethod
    def of(cls, config: "CtlConfig", environ: Mapping[str, str]) -> Self:
        """What the settings mean on this host. Raises ConfigError."""
        if config.rest is not None and "://" in config.rest:
            base, address = base_url(config.rest), _address(config.rest)
            if not base.startswith("https:"):
                return cls(base)
        else:
            address = _HERE if config.rest is None else HostPort.parse(config.rest, default_port=REST_PORT)
            # Where a server listens, by the same variable; that is here.
            address = _HERE.with_port(address.port) if address.is_every_address else address
            base = ""
        authority = config.authority
        if authority is None and address.is_loopback:
            authority = authority_here(environ)
        return cls(base or f"{'http' if authority is None else 'https'}://{address}", authority)

    def reveals_token(self) -> bool:
        """Whether a token would pass over a network in clear."""
        return self.base.startswith("http:") and not _address(self.base).is_loopback

    def context(self) -> "ssl.SSLContext | None":
        """The context for https by our own authority, None without one. Raises ConfigError."""
        if self.authority is None:
            return None
        from remsim.pki import files
        from remsim.pki.credentials import Credentials
        from remsim.pki.errors import PkiError
        from remsim.pki.facts import decode_pem
        from remsim.pki.server_tls import server_context

        # A host that has enrolled has the list beside it, kept fresh by its program.
        revocations = Credentials(self.authority.parent).revocations_file
        try:
            pem = files.read_public(self.authority)
            decode_pem(pem)
            return server_context(pem, revocations if revocations.exists() else None)
        except PkiError as error:
            raise ConfigError(
                f"the authority {self.authority} cannot be used: {error}",
                hint="print it on the server's host with: remsim pki show --authority",
            ) from None


def open_rest(config: "CtlConfig", environ: Mapping[str, str], *, program: str) -> RestClient:
    """The way to the server. Warns if that gives the token away. Raises ConfigError."""
    target = RestTarget.of(config, environ)
    if config.token is not None and target.reveals_token():
        say_error(
            f"warning: the token goes to {target.base} in the clear: anyone on the path can read and use it",
            hint="use https, and --authority FILE",
            program=program,
        )
    return RestClient(target.base, token=config.token, timeout_s=config.timeout_s, tls=target.context())


def authority_here(environ: Mapping[str, str]) -> Path | None:
    """The authority's certificate in the state directory of this host's server, if we may read it."""
    from remsim.pki.credentials import Credentials

    given = environ.get("REMSIM_STATE_DIR")
    try:
        folder = Path(given) if given else default_state_dir("server", environ)
    except ConfigError:
        return None
    path = Credentials(folder / CREDENTIALS_NAME).authority_file
    return path if access(path, R_OK) else None


def _address(url: str) -> HostPort:
    parts = urlsplit(url)
    return HostPort(parts.hostname or "", parts.port or REST_PORT)
