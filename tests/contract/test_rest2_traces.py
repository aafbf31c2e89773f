# SPDX-License-Identifier: Apache-2.0
"""Traces of REST v2 over a socket: who is asked, what is joined, who sees what, and what was missed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

import pytest

from remsim.config import ServerConfig
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.rest import AsyncRest
from remsim.rest.traces import TraceEndsModel, TraceItem, TraceMissedModel, TraceModel
from remsim.server.api import limits
from remsim.server.api.v2 import traces as api
from remsim.server.core import tracing
from remsim.server.core.tokens import Scope, TokenRole
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token
from remsim.wire.messages.extensions import TraceInd, TraceKind, TraceOrigin, TraceRecord, TraceReq
from tests.doubles.reaching import reaches
from tests.doubles.rounds import until
from tests.doubles.server_rig import RigPeer, connect_bank, connect_client, rest_client, running_server

TRACES = "/api/v2/traces"
PATIENCE_S = 20.0
BANK, CLIENT = BankSlot(1, 3), ClientSlot(7, 0)
SELECT, OK = bytes.fromhex("00a40004023f00"), bytes.fromhex("9000")


def ran(tag: int, spent_us: int = 1000, **changes: object) -> TraceRecord:
    """A command that was answered."""
    values: dict[str, object] = {
        "tag": tag,
        "command": SELECT,
        "response": OK,
        "words": "SELECT MF",
        "spent_us": spent_us,
    }
    return TraceRecord(TraceKind.COMMAND, TraceOrigin.MODEM, 0, **(values | changes))  # type: ignore[arg-type]


def told(*records: TraceRecord, left_out: int = 0) -> TraceInd:
    return TraceInd(left_out, records, BANK, CLIENT)


class World:
    """A server with a bank and a client that can trace, and are mapped to each other."""

    def __init__(self, service: ServerService) -> None:
        self.service = service
        self.bank: RigPeer
        self.client: RigPeer

    async def start(self, stack: AsyncExitStack) -> None:
        self.bank = await stack.enter_async_context(await connect_bank(self.service, 1, is_own=True))
        self.client = await stack.enter_async_context(await connect_client(self.service, 7, is_own=True))
        async with rest_client(self.service, over_socket=False) as rest:
            assert (await rest.put("/api/v2/mappings/C7:0", json={"card": "B1:3"})).status_code == 201

    def url(self) -> str:
        return f"http://{self.service.rest_address}"

    async def asked(self, peer: RigPeer) -> TraceReq:
        """The next order to trace; others are passed over."""
        while True:
            event = await peer.receive()
            assert event is not None
            if isinstance(event.message, TraceReq):
                return event.message


class Stream:
    """One reader of B1:3, or another slot."""

    def __init__(self, rest: AsyncRest, slot: str, last: str | None) -> None:
        self._items = rest.trace(slot, last)
        #: What it began with.
        self.first: TraceItem

    @classmethod
    async def open(cls, rest: AsyncRest, slot: str = "B1:3", last: str | None = None) -> Self:
        """A stream of which the first item has come, so the slot is watched."""
        stream = cls(rest, slot, last)
        stream.first = await stream.next()
        return stream

    @property
    def ends(self) -> TraceEndsModel:
        assert isinstance(self.first, TraceEndsModel)
        return self.first

    async def next(self) -> TraceItem:
        async with asyncio.timeout(PATIENCE_S):
            return await anext(self._items)

    async def record(self) -> TraceModel:
        while not isinstance(item := await self.next(), TraceModel):
            pass
        return item

    async def rest(self) -> list[TraceItem]:
        """All that still comes, to the end of the stream."""
        async with asyncio.timeout(PATIENCE_S):
            return [item async for item in self._items]

    async def close(self) -> None:
        await self._items.aclose()


@asynccontextmanager
async def running(folder: Path, **changes: object) -> AsyncIterator[World]:
    async with running_server(folder, **changes) as service, AsyncExitStack() as stack:
        world = World(service)
        await world.start(stack)
        yield world


async def test_both_ends_are_asked_and_their_halves_are_joined(tmp_path: Path) -> None:
    async with running(tmp_path) as world, AsyncRest(world.url()) as rest:
        stream = await Stream.open(rest)
        assert [(end.slot, end.traces) for end in stream.ends.ends] == [("B1:3", True), ("C7:0", True)]
        assert await world.asked(world.bank) == TraceReq(30_000, bank_slot=BANK)
        assert await world.asked(world.client) == TraceReq(30_000, client_slot=CLIENT)
        world.bank.send(told(ran(5, 12_000, session=b"sessio")))
        await world.bank.settle()
        world.client.send(told(ran(5, 15_500, session=b"sessio"), ran(6, 9000, session=b"sessio")))
        record = await stream.record()
        assert (record.source, record.bank, record.client) == ("B1:3", "B1:3", "C7:0")
        assert (record.card_ms, record.total_ms, record.network_ms) == (12.0, 15.5, 3.5)
        assert record.command_id == f"{b'sessio'.hex()}-5"
        assert (record.words, record.answer, record.origin) == ("SELECT MF", "9000 ok", "modem")
        # The bank says nothing of the second one; it is shown after a moment as the client knows it.
        alone = await stream.record()
        assert (alone.source, alone.card_ms, alone.total_ms) == ("C7:0", None, 9.0)
        await stream.close()


async def test_origins_resets_and_what_was_left_out_are_shown_in_order(tmp_path: Path) -> None:
    async with running(tmp_path) as world, AsyncRest(world.url()) as rest:
        stream = await Stream.open(rest)
        await world.asked(world.bank)
        reset = TraceRecord(TraceKind.WARM_RESET, TraceOrigin.MODEM, 0, words="warm reset")
        atr = TraceRecord(TraceKind.ATR, TraceOrigin.MODEM, 0, response=b"\x3b\x00")
        guess = TraceRecord(
            TraceKind.COMMAND, TraceOrigin.GUESS, 0, tag=1, index=2, command=SELECT, response=OK, hidden_command=b"\x06"
        )
        later = TraceRecord(TraceKind(9), TraceOrigin(9), 0)
        world.bank.send(told(reset, atr, left_out=7))
        world.bank.send(told(guess, later, left_out=7))
        records = [await stream.record() for _ in range(5)]
        assert [one.kind for one in records] == ["left_out", "warm_reset", "atr", "command", "other"]
        assert (records[0].left_out, records[2].response, records[3].command_id) == (7, "3b00", "B1:3-1+2")
        assert records[3].command == "00a4000402****"
        await stream.close()


async def test_peers_that_cannot_trace_are_named(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service:
        async with rest_client(service, over_socket=False) as rest:
            assert (await rest.put("/api/v2/mappings/C7:0", json={"card": "B1:3"})).status_code == 201
        async with await connect_client(service, 7), AsyncRest(f"http://{service.rest_address}") as rest:
            stream = await Stream.open(rest, "C7:0")
            assert [end.problem for end in stream.ends.ends] == [
                "the program of client C7:0 cannot trace: a classic one, or an older one",
                "bank 1 is not connected",
            ]
            # A bank that comes later is asked at once.
            async with await connect_bank(service, 1, is_own=True) as bank:
                assert await World(service).asked(bank) == TraceReq(30_000, bank_slot=BANK)
                bank.send(told(ran(1)))
                assert (await stream.record()).card_ms == 1.0
            await stream.close()


async def test_what_a_peer_says_of_others_is_not_believed(tmp_path: Path) -> None:
    async with running(tmp_path) as world, AsyncRest(world.url()) as rest:
        async with await connect_client(world.service, 8, is_own=True) as other:
            stream = await Stream.open(rest)
            await world.asked(world.bank)
            other.send(TraceInd(0, (ran(1, words="forged"),), BANK, ClientSlot(8, 0)))
            other.send(TraceInd(0, (ran(1, words="forged"),), BANK, CLIENT))
            await other.settle()
            world.bank.send(TraceInd(0, (ran(2, words="forged"),), BankSlot(2, 3), CLIENT))
            await world.bank.settle()
            world.bank.send(told(ran(3, words="true")))
            assert (await stream.record()).words == "true"
            await stream.close()


async def test_scoped_token_sees_its_end_only(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        config = ServerConfig(state_dir=tmp_path)
        scope = Scope(frozenset({1}), frozenset({8}))
        text, _ = await asyncio.to_thread(create_token, config, name="one", role=TokenRole.VIEWER, scope=scope)
        async with AsyncRest(world.url(), token=text) as rest:
            async with rest_client(world.service, over_socket=True, token=text) as plain:
                assert (await plain.get(f"{TRACES}/C7:0")).status_code == 404
            stream = await Stream.open(rest)
            assert [end.slot for end in stream.ends.ends] == ["B1:3"]
            await world.asked(world.client)
            world.client.send(told(ran(4)))
            await world.client.settle()
            world.bank.send(told(ran(5)))
            await world.bank.settle()
            world.client.send(told(ran(5, 9000)))
            record = await stream.record()
            assert (record.source, record.client, record.total_ms, record.network_ms) == ("B1:3", None, None, None)
            assert "C7" not in record.model_dump_json()
            await stream.close()


async def test_reader_who_comes_back_is_told_what_was_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "LINGER_S", 0.2)
    async with running(tmp_path) as world, AsyncRest(world.url()) as rest:
        stream = await Stream.open(rest)
        await world.asked(world.bank)
        world.bank.send(told(ran(1)))
        first = await stream.record()
        second = await Stream.open(rest, last=first.id)
        await stream.close()
        world.bank.send(told(ran(2)))
        last = await second.record()
        await second.close()
        runtime = world.service.runtime
        assert runtime is not None
        traces = runtime.coordinator.traces
        async with asyncio.timeout(PATIENCE_S):
            await until(lambda: not len(traces))
        third = await Stream.open(rest, last=last.id)
        assert third.first == TraceMissedModel(records=None)
        await third.close()


@reaches(LimitName.TRACE_RECORDS)
async def test_reader_that_is_too_slow_is_told_how_much_it_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "KEPT_RECORDS", 3)
    async with running(tmp_path) as world, AsyncRest(world.url()) as rest:
        stream = await Stream.open(rest)
        await world.asked(world.bank)
        resets = [TraceRecord(TraceKind.WARM_RESET, TraceOrigin.MODEM, 0) for _ in range(10)]
        world.bank.send(told(*resets))
        missed = await stream.next()
        assert isinstance(missed, TraceMissedModel)
        assert missed.records == 7
        await stream.close()


@reaches(LimitName.TRACE_READERS)
@pytest.mark.parametrize("limit", ["MAX_TRACE_READERS", "MAX_TRACE_READERS_OF_ONE"])
async def test_no_more_readers_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(limits, limit, 1)
    async with running(tmp_path) as world, AsyncRest(world.url()) as rest:
        stream = await Stream.open(rest)
        async with rest_client(world.service, over_socket=True) as plain:
            answer = await plain.get(f"{TRACES}/B1:3")
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_traces")
        await stream.close()


@reaches(LimitName.TRACED_SLOTS)
async def test_no_more_slots_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MAX_TRACED", 1)
    async with running(tmp_path) as world, AsyncRest(world.url()) as rest:
        stream = await Stream.open(rest)
        async with rest_client(world.service, over_socket=True) as plain:
            answer = await plain.get(f"{TRACES}/B1:4")
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_traces")
        await stream.close()


async def test_malformed_requests_are_refused(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service, rest_client(service, over_socket=True) as rest:
        for path, headers in (("/x", {}), ("/B1:9999", {}), ("/B1:3?format=x", {}), ("/B1:3", {"Last-Event-ID": "x"})):
            answer = await rest.get(f"{TRACES}{path}", headers=headers)
            assert answer.status_code == 400, path
            assert answer.json()["hint"]


async def test_trace_ends_with_its_token_and_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "KEEP_ALIVE_S", 0.01)
    async with running(tmp_path) as world, AsyncRest(world.url()) as rest:
        stream = await Stream.open(rest)
        world.service.request_stop()
        await world.service.stop()
        assert await stream.rest() == []
