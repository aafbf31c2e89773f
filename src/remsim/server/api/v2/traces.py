# SPDX-License-Identifier: Apache-2.0
"""What passes at a slot, live: server-sent events, or a capture. A slot is traced only while read here."""

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Annotated, Final, Literal, cast

from fastapi import Header, Path, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import WithJsonSchema

from remsim.card.status import describe_sw
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.core.text import counted
from remsim.rest import traces
from remsim.rest.captures import packet_of
from remsim.rest.models import BANK_SLOT, CLIENT_SLOT
from remsim.server.api import limits
from remsim.server.api.auth import TheGrant
from remsim.server.api.errors import V2, ApiError, bad_request, not_found
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheRuntime
from remsim.server.api.v1.views import time_text
from remsim.server.api.v2.answers import problems
from remsim.server.api.v2.streams import (
    HEADERS,
    KEEP_ALIVE_S,
    PORTION,
    RETRY_MS,
    STREAM_TYPE,
    Readers,
    head_of_stream,
    may_go_on,
    number_of,
    streams,
)
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.core.tracing import Slot, TraceEnd, TraceEntry, TraceFeed
from remsim.server.query import ServerQuery
from remsim.server.runtime import ServerRuntime
from remsim.trace.pcapng import file_header, packet_block
from remsim.trace.tap import hidden_places
from remsim.wire.messages.extensions import TraceKind, TraceOrigin, TraceRecord

router = Resource(prefix=V2, tags=["v2 traces"])

PCAPNG_TYPE: Final = "application/x-pcapng"
_STATUS: Final = 2
_OF_EARLIER_RUN: Final = -1

SlotPath = Annotated[
    str,
    WithJsonSchema({"type": "string", "pattern": f"^({BANK_SLOT}|{CLIENT_SLOT})$", "examples": ["B1:3"]}),
    Path(description="a bank slot or a client slot"),
]
_LastId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="the last record that was heard: a stream goes on behind it")
]
_Format = Annotated[
    str,
    WithJsonSchema({"type": "string", "enum": ["events", "pcapng"]}),
    Query(alias="format", description=f"events: {STREAM_TYPE}; pcapng: a capture that lasts"),
]
_CONTENT: Final[dict[str, object]] = {
    **streams("of record a TraceModel, of ends a TraceEndsModel, of missed how many records"),
    PCAPNG_TYPE: {"schema": {"type": "string", "format": "binary"}},
}
_ANSWER: Final[dict[int | str, dict[str, object]]] = {
    200: {"model": traces.TraceModel, "description": "lasts until the caller leaves", "content": _CONTENT}
}


@router.get("/traces/{slot}", responses={**_ANSWER, **problems(400, 404)})
async def follow_trace(
    request: Request,
    runtime: TheRuntime,
    grant: TheGrant,
    slot: SlotPath,
    form: _Format = "events",
    last_event_id: _LastId = None,
) -> Response:
    """Every command at a slot from now on, decoded and redacted, with resets, times, and who asked for it.

    bankd and client tell of it while somebody reads here, and for half a minute longer, so a reader who comes back with
    Last-Event-ID misses nothing. Of more than 200 records in a second the rest is left out, which is said.
    """
    where = read_slot(slot)
    if form not in ("events", "pcapng"):
        raise bad_request(f"{form!r} is no format", "give events or pcapng")
    last = None if last_event_id is None else _position(runtime, last_event_id)
    check_is_known(runtime.query, grant, where)
    readers = cast(Readers, request.app.state.trace_readers)
    if text := readers.are_too_many(grant, limits.MAX_TRACE_READERS, limits.MAX_TRACE_READERS_OF_ONE):
        raise _too_many(text, LimitName.TRACE_READERS)
    if not runtime.has_room_for_trace(where):
        raise _too_many("too many slots are traced already", LimitName.TRACED_SLOTS)
    if request.method == "HEAD":
        return head_of_stream(PCAPNG_TYPE if form == "pcapng" else STREAM_TYPE)
    stream = TraceStream(runtime, grant, readers, where)
    if form == "pcapng":
        return StreamingResponse(stream.capture(), 200, HEADERS, PCAPNG_TYPE)
    return StreamingResponse(stream.events(last), 200, HEADERS, STREAM_TYPE)


def _too_many(text: str, limit: LimitName) -> ApiError:
    return ApiError(503, "too_many_traces", text, "close others", limit=limit)


def read_slot(text: str) -> Slot:
    """Read ``B1:3`` or ``C7:0`` from a path. Raises ApiError."""
    if re.fullmatch(BANK_SLOT, text, re.ASCII) is not None:
        return BankSlot.parse(text)
    if re.fullmatch(CLIENT_SLOT, text, re.ASCII) is not None:
        return ClientSlot.parse(text)
    raise bad_request(f"{text!r} is no slot", "write it as B1:3 or C7:0")


def known_slot(query: ServerQuery, grant: Grant, text: str) -> Slot:
    """Read a slot that there is, and that the token is for. Raises ApiError."""
    slot = read_slot(text)
    check_is_known(query, grant, slot)
    return slot


def check_is_known(query: ServerQuery, grant: Grant, slot: Slot) -> None:
    """There is this slot, and the token is for it. Raises ApiError."""
    if not may_see(grant, slot) or not query.is_known(slot):
        raise not_found(f"there is no slot {slot}", f"see {V2}/banks and {V2}/clients")


def may_see(grant: Grant, *slots: Slot | None) -> bool:
    """Whether the token is for all of these slots."""
    return all(
        grant.allows(TokenRole.VIEWER, bank_id=slot.bank_id)
        if isinstance(slot, BankSlot)
        else grant.allows(TokenRole.VIEWER, client_id=slot.client_id)
        for slot in slots
        if slot is not None
    )


def _position(runtime: ServerRuntime, text: str) -> int:
    """The number behind which to go on; one that never was if it is of an earlier run. Raises ApiError."""
    number = number_of(text, runtime.query.restart_counter, thing="record")
    return _OF_EARLIER_RUN if number is None else number


class TraceStream:
    """One reader. The slot is watched from the first step of ``events`` or ``capture`` to the last."""

    def __init__(self, runtime: ServerRuntime, grant: Grant, readers: Readers, slot: Slot) -> None:
        self._runtime = runtime
        self._grant = grant
        self._readers = readers
        self._slot = slot
        self._number = 0
        self._view = TraceViews(runtime, grant)

    @contextmanager
    def _watching(self) -> Iterator[TraceFeed]:
        """Raises TooManyTracesError if others were faster."""
        feed = self._runtime.watch_trace(self._slot)
        self._number = feed.last
        try:
            with self._readers.reading(self._grant):
                yield feed
        finally:
            self._runtime.leave_trace(feed)

    async def events(self, last: int | None) -> AsyncGenerator[str, None]:
        """The lines of a stream; ``last`` is what the reader has already."""
        run = self._runtime.query.restart_counter
        ends: tuple[TraceEnd, ...] | None = None
        with self._watching() as feed:
            yield f"retry: {RETRY_MS}\n\n"
            if last is not None and feed.began <= last <= feed.last:
                self._number = last
            elif last is not None:
                # Nobody knows how many: the slot was not traced meanwhile.
                yield "event: missed\ndata: {}\n\n"
            async for entries, missed in self._portions(feed):
                if ends != feed.ends:
                    ends = feed.ends
                    text = self._view.ends(feed.slot, ends).model_dump_json(exclude_none=True)
                    yield f"event: ends\ndata: {text}\n\n"
                if missed:
                    yield f'event: missed\ndata: {{"records":{missed}}}\n\n'
                for entry in entries:
                    shown = self._view.record(entry)
                    if shown is not None:
                        text = shown.model_dump_json(exclude_none=True)
                        yield f"id: {shown.id}\nevent: record\ndata: {text}\n\n"
                if not entries:
                    yield f": {run}-{self._number}\n\n"

    async def capture(self) -> AsyncGenerator[bytes, None]:
        """A capture. What GSMTAP cannot say stands in comments, what it cannot show is left out."""
        with self._watching() as feed:
            yield file_header(str(feed.slot))
            async for entries, _ in self._portions(feed):
                blocks = [block for entry in entries if (block := self._view.block(entry))]
                if blocks:
                    yield b"".join(blocks)

    async def _portions(self, feed: TraceFeed) -> AsyncGenerator[tuple[list[TraceEntry], int], None]:
        """What there is, and how much was missed before it; the first portion, and one after each silence, is empty."""
        changes, silence_s = self._runtime.changes, KEEP_ALIVE_S
        checked_at = monotonic()
        yield [], 0
        ends = feed.ends
        while not changes.is_closed:
            missed = max(0, feed.first - 1 - self._number)
            if missed:
                self._number += missed
                self._runtime.trace_missed()
            entries = feed.after(self._number, PORTION)
            if entries:
                self._number = entries[-1].number
                yield entries, missed
            elif await changes.until(partial(_newer, feed, self._number, ends), silence_s) is None or ends != feed.ends:
                ends = feed.ends
                yield [], 0
            if monotonic() - checked_at >= KEEP_ALIVE_S:
                checked_at = monotonic()
                if not await may_go_on(self._runtime, self._grant):
                    return


def _newer(feed: TraceFeed, number: int, ends: tuple[TraceEnd, ...]) -> int | None:
    return feed.last if feed.last > number or feed.ends != ends else None


class TraceViews:
    """Records as a token may see them."""

    def __init__(self, runtime: ServerRuntime, grant: Grant) -> None:
        self._query = runtime.query
        self._grant = grant

    def ends(self, slot: Slot, ends: tuple[TraceEnd, ...]) -> traces.TraceEndsModel:
        """Who tells of a slot."""
        shown = [
            traces.TraceEndModel(slot=str(end.slot), traces=not end.problem, problem=end.problem or None)
            for end in ends
            if may_see(self._grant, slot, end.slot)
        ]
        return traces.TraceEndsModel(slot=str(slot), ends=shown)

    def record(self, entry: TraceEntry) -> traces.TraceModel | None:
        """A record; None if it is not for this token."""
        if not may_see(self._grant, entry.source):
            return None
        bank = entry.bank if may_see(self._grant, entry.bank) else None
        client = entry.client if may_see(self._grant, entry.client) else None
        record = entry.record
        shown = traces.TraceModel(
            id=f"{self._query.restart_counter}-{entry.number}",
            at=time_text(self._query.moment(entry.at)),
            kind="left_out" if record is None else _kind(record),
            source=str(entry.source),
            bank=None if bank is None else str(bank),
            client=None if client is None else str(client),
        )
        if record is None:
            return shown.model_copy(update={"left_out": entry.left_out})
        answer = record.response if record.kind is TraceKind.COMMAND else None
        return shown.model_copy(
            update={
                "origin": _origin(record) if record.kind is TraceKind.COMMAND else None,
                "command_id": command_id(record, bank, client),
                "command": masked_hex(record.command, record.hidden_command),
                "response": masked_hex(record.response, record.hidden_response),
                "words": record.words,
                "answer": None if answer is None else answer_words(answer),
                "card_ms": _ms(entry.card_us),
                "total_ms": _ms(entry.total_us) if client is not None else None,
                "network_ms": _ms(entry.network_us) if client is not None else None,
            }
        )

    def block(self, entry: TraceEntry) -> bytes | None:
        """A record in a capture; None if it is not for this token, or nothing that GSMTAP knows."""
        shown = self.record(entry)
        packet = None if shown is None else packet_of(shown)
        return None if packet is None else packet_block(packet)


def command_id(record: TraceRecord, bank: BankSlot | None, client: ClientSlot | None) -> str | None:
    """What both programs call a command, as far as the reader may know its place."""
    if record.tag is None:
        return None
    whose = record.session.hex() if record.session else str(bank or client or "link")
    return f"{whose}-{record.tag}" + (f"+{record.index}" if record.index else "")


def masked_hex(raw: bytes | None, bits: bytes | None) -> str | None:
    """Hex with ``**`` for hidden bytes."""
    if raw is None:
        return None
    hidden = hidden_places(bits)
    return "".join("**" if place in hidden else f"{byte:02x}" for place, byte in enumerate(raw))


def answer_words(response: bytes) -> str:
    """``9000 ok, 9 bytes``."""
    if len(response) < _STATUS:
        return "no status word"
    sw, size = int.from_bytes(response[-_STATUS:]), len(response) - _STATUS
    return f"{sw:04X} {describe_sw(sw)}" + (f", {counted(size, 'byte')}" if size else "")


def _ms(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1000


_KINDS: Final[dict[TraceKind, Literal["command", "cold_reset", "warm_reset", "atr"]]] = {
    TraceKind.COMMAND: "command",
    TraceKind.COLD_RESET: "cold_reset",
    TraceKind.WARM_RESET: "warm_reset",
    TraceKind.ATR: "atr",
}
_ORIGINS: Final[dict[TraceOrigin, Literal["modem", "guess", "restore", "inventory"]]] = {
    TraceOrigin.MODEM: "modem",
    TraceOrigin.GUESS: "guess",
    TraceOrigin.RESTORE: "restore",
    TraceOrigin.INVENTORY: "inventory",
}


def _kind(record: TraceRecord) -> Literal["command", "cold_reset", "warm_reset", "atr", "other"]:
    return _KINDS.get(record.kind, "other")


def _origin(record: TraceRecord) -> Literal["modem", "guess", "restore", "inventory", "other"]:
    return _ORIGINS.get(record.origin, "other")
