# SPDX-License-Identifier: Apache-2.0
"""Makes calls: ``Rest`` for programs that wait, ``AsyncRest`` for asyncio. Both know HTTP, and nothing of resources.

HTTP is imported with the first connection, because help and tables need none.
"""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from pydantic import BaseModel, ValidationError

from remsim import __version__
from remsim.core.bearer import bearer
from remsim.core.ids import BankSlot, ClientSlot
from remsim.pki.system_trust import system_trust
from remsim.rest import models
from remsim.rest.calls import PREFIX, Call, Nothing
from remsim.rest.errors import RestApiError, refusal
from remsim.rest.models import PageOf
from remsim.rest.stream import EventReader, LineReader, ServerSentEvent
from remsim.rest.traces import TraceEndsModel, TraceItem, TraceMissedModel, TraceModel

if TYPE_CHECKING:
    import ssl

    import httpx2

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

#: A page has at most a thousand items.
MAX_ANSWER_BYTES: Final = 16 << 20
#: A stream says something at least every 15 s.
STREAM_SILENCE_S: Final = 45.0
#: Nothing takes longer than the longest wait, and some.
_CALL_S: Final = 930.0
_CONNECT_S: Final = 10.0
#: What a compressed answer becomes has no limit: a few kilobytes, compressed twice, become gigabytes.
_PLAIN: Final = "identity"
#: An event of this kind says that others were lost.
LOST: Final = "lost"

#: Turns what HTTP says into an error for people.
Explain = Callable[[Exception], RestApiError]


class EventsLostError(RestApiError):
    """Events were lost: get the lists anew, and go on behind ``last``."""

    def __init__(self, last: str) -> None:
        super().__init__("events were lost", hint="get the lists anew, and follow again from now on")
        self.last = last


def _check_plain(answer: "httpx2.Response") -> None:
    """Called before any of an answer is read. Raises RestApiError if it is compressed."""
    if answer.headers.get("Content-Encoding", _PLAIN) != _PLAIN:
        raise RestApiError("the server's answer is compressed", hint="nobody asked for that: is there a proxy?")


async def _check_plain_async(answer: "httpx2.Response") -> None:
    _check_plain(answer)


def _take(raw: bytearray, piece: bytes) -> None:
    raw += piece
    if len(raw) > MAX_ANSWER_BYTES:
        raise RestApiError("the server's answer is too long", hint="is this a server's REST port?")


class _Common:
    """What both have in common."""

    def __init__(
        self, base: str, token: str | None, authority: "str | PathLike[str] | None", explain: Explain | None
    ) -> None:
        self.base = base.rstrip("/")
        self._authority = authority
        self._explain = explain
        self._headers = {"User-Agent": f"remsim/{__version__}", "Accept": "application/json", "Accept-Encoding": _PLAIN}
        if token is not None:
            self._headers["Authorization"] = bearer(token)

    def _verify(self, tls: "ssl.SSLContext | None") -> "ssl.SSLContext | bool":
        if tls is not None:
            return tls
        if self._authority is None:
            return system_trust(self.base)
        from remsim.pki.server_tls import server_context

        return server_context(Path(self._authority).read_bytes(), None)

    def _failure(self, error: Exception) -> RestApiError:
        if self._explain is not None:
            return self._explain(error)
        return RestApiError(f"cannot ask {self.base}: {error}", hint="is the server running, with its REST there?")

    def _broken(self) -> RestApiError:
        return RestApiError(f"{self.base} has broken off the stream", hint="is the server running?")

    def _stream_headers(self, last: str | None) -> dict[str, str]:
        return {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last})


def _content(call: Call[M]) -> tuple[bytes | None, dict[str, str]]:
    headers = dict(call.headers)
    if call.body is None:
        return None, headers
    return call.body.model_dump_json(exclude_none=True).encode(), headers | {"Content-Type": "application/json"}


def _answer(call: Call[M], status: int, content: bytes) -> M:
    if not 200 <= status < 300:
        raise refusal(status, content)
    try:
        return call.model.model_validate_json(b"{}" if call.model is Nothing else content)
    except ValidationError:
        text = f"the server's answer to {call.method} {call.path} is not what it should be"
        raise RestApiError(text, hint="is this a server's REST port, and of a version that fits?") from None


def _event(found: ServerSentEvent) -> models.EventModel:
    if found.kind == LOST:
        raise EventsLostError(found.id)
    try:
        return models.EventModel.model_validate_json(found.data)
    except ValidationError:
        raise RestApiError(
            "the server sends an event that cannot be read", hint="is its version a newer one?"
        ) from None


def _trace_item(found: ServerSentEvent) -> TraceItem | None:
    """What a stream of a trace says; None for what a newer server may say."""
    try:
        match found.kind:
            case "record":
                return TraceModel.model_validate_json(found.data)
            case "ends":
                return TraceEndsModel.model_validate_json(found.data)
            case "missed":
                return TraceMissedModel.model_validate_json(found.data)
            case _:
                return None
    except ValidationError:
        raise RestApiError(
            "the server sends a record that cannot be read", hint="is its version a newer one?"
        ) from None


def _slot_text(slot: str) -> str:
    """A bank slot or client slot as it stands in paths. Raises IdRangeError for what is none."""
    return str(ClientSlot.parse(slot) if slot[:1] in "Cc" else BankSlot.parse(slot))


class Rest(_Common):
    """One server. Use it as a context manager; every method raises RestApiError."""

    def __init__(
        self,
        base: str,
        *,
        token: str | None = None,
        authority: "str | PathLike[str] | None" = None,
        tls: "ssl.SSLContext | None" = None,
        explain: Explain | None = None,
        transport: "httpx2.BaseTransport | None" = None,
    ) -> None:
        """``base`` is ``https://HOST:PORT``; ``authority`` the certificate of its authority, by default the system's.

        ``tls`` is for those who have a context already, ``transport`` for tests, ``explain`` for other errors.
        """
        import httpx2

        super().__init__(base, token, authority, explain)
        # The server is a neighbour: a proxy of the environment must not get between.
        self._http = httpx2.Client(
            base_url=self.base + PREFIX,
            headers=self._headers,
            timeout=httpx2.Timeout(_CALL_S, connect=_CONNECT_S),
            trust_env=False,
            verify=self._verify(tls),
            transport=transport,
            event_hooks={"response": [_check_plain]},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def do(self, call: Call[M]) -> M:
        """Make a call."""
        import httpx2

        content, headers = _content(call)
        raw = bytearray()
        try:
            with self._http.stream(
                call.method, call.path, params=dict(call.query), content=content, headers=headers
            ) as answer:
                for piece in answer.iter_bytes():
                    _take(raw, piece)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._failure(error) from None
        return _answer(call, answer.status_code, bytes(raw))

    def items(self, call: Call[PageOf[T]]) -> Iterator[T]:
        """All items of a list, page by page."""
        while True:
            page = self.do(call)
            yield from page.items
            if page.next is None:
                return
            call = call.behind(page.next)

    def events(
        self, last: str | None = None, *, on_open: Callable[[], None] | None = None
    ) -> Iterator[models.EventModel]:
        """What happens from now on, or behind the event with the id ``last``, until the server ends the stream.

        ``on_open`` is called once the stream is open: a list asked for then is not older than what the stream tells.
        Raises EventsLostError where events were lost, too.
        """
        for found in self._stream("/events", last, on_open):
            yield _event(found)

    def trace(self, slot: str, last: str | None = None) -> Iterator[TraceItem]:
        """What passes at a slot, ``B1:3`` or ``C7:0``, from now on or behind the record with the id ``last``.

        Ends when the server ends the stream. Raises IdRangeError, too.
        """
        for found in self._stream(f"/traces/{_slot_text(slot)}", last):
            if (item := _trace_item(found)) is not None:
                yield item

    def bundle(self, slot: str) -> bytes:
        """Diagnostics of a slot, made anonymous: an archive, tar.gz. Raises IdRangeError, too."""
        import httpx2

        raw = bytearray()
        try:
            with self._http.stream("GET", f"/bundles/{_slot_text(slot)}") as answer:
                for piece in answer.iter_bytes():
                    _take(raw, piece)
        except httpx2.HTTPError as error:
            raise self._failure(error) from None
        if not answer.is_success:
            raise refusal(answer.status_code, bytes(raw))
        return bytes(raw)

    def _stream(
        self, path: str, last: str | None, on_open: Callable[[], None] | None = None
    ) -> Iterator[ServerSentEvent]:
        import httpx2

        reader, lines, refused = EventReader(), LineReader(), bytearray()
        timeout = httpx2.Timeout(STREAM_SILENCE_S, connect=_CONNECT_S)
        is_open = False
        try:
            with self._http.stream("GET", path, headers=self._stream_headers(last), timeout=timeout) as answer:
                if not answer.is_success:
                    for piece in answer.iter_bytes():
                        _take(refused, piece)
                    raise refusal(answer.status_code, bytes(refused))
                is_open = True
                if on_open is not None:
                    on_open()
                for piece in answer.iter_bytes():
                    for line in lines.on_bytes(piece):
                        if (found := reader.on_line(line)) is not None:
                            yield found
        except httpx2.HTTPError as error:
            raise self._broken() if is_open else self._failure(error) from None


class AsyncRest(_Common):
    """The same for asyncio. Use it as an asynchronous context manager; every method raises RestApiError."""

    def __init__(
        self,
        base: str,
        *,
        token: str | None = None,
        authority: "str | PathLike[str] | None" = None,
        tls: "ssl.SSLContext | None" = None,
        explain: Explain | None = None,
        transport: "httpx2.AsyncBaseTransport | None" = None,
    ) -> None:
        """As for ``Rest``."""
        import httpx2

        super().__init__(base, token, authority, explain)
        self._http = httpx2.AsyncClient(
            base_url=self.base + PREFIX,
            headers=self._headers,
            timeout=httpx2.Timeout(_CALL_S, connect=_CONNECT_S),
            trust_env=False,
            verify=self._verify(tls),
            transport=transport,
            event_hooks={"response": [_check_plain_async]},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def do(self, call: Call[M]) -> M:
        """Make a call."""
        import httpx2

        content, headers = _content(call)
        raw = bytearray()
        try:
            async with self._http.stream(
                call.method, call.path, params=dict(call.query), content=content, headers=headers
            ) as answer:
                async for piece in answer.aiter_bytes():
                    _take(raw, piece)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._failure(error) from None
        return _answer(call, answer.status_code, bytes(raw))

    async def items(self, call: Call[PageOf[T]]) -> AsyncGenerator[T, None]:
        """All items of a list, page by page."""
        while True:
            page = await self.do(call)
            for item in page.items:
                yield item
            if page.next is None:
                return
            call = call.behind(page.next)

    async def events(
        self, last: str | None = None, *, on_open: Callable[[], None] | None = None
    ) -> AsyncGenerator[models.EventModel, None]:
        """As ``Rest.events``."""
        async with aclosing(self._stream("/events", last, on_open)) as stream:
            async for found in stream:
                yield _event(found)

    async def trace(self, slot: str, last: str | None = None) -> AsyncGenerator[TraceItem, None]:
        """As ``Rest.trace``."""
        async with aclosing(self._stream(f"/traces/{_slot_text(slot)}", last)) as stream:
            async for found in stream:
                if (item := _trace_item(found)) is not None:
                    yield item

    async def bundle(self, slot: str) -> bytes:
        """As ``Rest.bundle``."""
        import httpx2

        raw = bytearray()
        try:
            async with self._http.stream("GET", f"/bundles/{_slot_text(slot)}") as answer:
                async for piece in answer.aiter_bytes():
                    _take(raw, piece)
        except httpx2.HTTPError as error:
            raise self._failure(error) from None
        if not answer.is_success:
            raise refusal(answer.status_code, bytes(raw))
        return bytes(raw)

    async def _stream(
        self, path: str, last: str | None, on_open: Callable[[], None] | None = None
    ) -> AsyncGenerator[ServerSentEvent, None]:
        import httpx2

        reader, lines, refused = EventReader(), LineReader(), bytearray()
        timeout = httpx2.Timeout(STREAM_SILENCE_S, connect=_CONNECT_S)
        is_open = False
        try:
            async with self._http.stream("GET", path, headers=self._stream_headers(last), timeout=timeout) as answer:
                if not answer.is_success:
                    async for piece in answer.aiter_bytes():
                        _take(refused, piece)
                    raise refusal(answer.status_code, bytes(refused))
                is_open = True
                if on_open is not None:
                    on_open()
                async for piece in answer.aiter_bytes():
                    for line in lines.on_bytes(piece):
                        if (found := reader.on_line(line)) is not None:
                            yield found
        except httpx2.HTTPError as error:
            raise self._broken() if is_open else self._failure(error) from None
