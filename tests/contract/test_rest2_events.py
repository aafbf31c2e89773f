# SPDX-License-Identifier: Apache-2.0
"""Events of REST v2: the stream over a socket, going on after a break, pages, and who hears what."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from remsim.config import ServerConfig
from remsim.core.limits import LimitName
from remsim.server.api import limits
from remsim.server.api.v2 import events
from remsim.server.api.v2.streams import PORTION, Readers
from remsim.server.core import event_feed
from remsim.server.core.event_feed import EventDraft
from remsim.server.core.tokens import Grant, Scope, TokenRole
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token, revoke_token
from tests.doubles.reaching import reaches
from tests.doubles.server_rig import connect_bank, connect_client, rest_client, running_server

V2 = "/api/v2"
STREAM = {"Accept": "text/event-stream"}
PATIENCE_S = 20.0

Event = dict[str, str]


class Reader:
    """Reads a stream event by event."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> Event | None:
        """The fields of the next event; None at the end. Comments are passed over."""
        found: Event = {}
        async with asyncio.timeout(PATIENCE_S):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if line and name:
                    found[name] = value
                elif "event" in found:
                    return found
                elif not line:
                    found = {}
        return None

    async def until(self, kind: str) -> Event:
        """The next event of this kind."""
        while (event := await self.next()) is not None:
            if event["event"] == kind:
                return event
        raise AssertionError(f"the stream ended without {kind}")


@asynccontextmanager
async def following(rest: httpx2.AsyncClient, last: str | None = None) -> AsyncIterator[Reader]:
    headers = STREAM if last is None else {**STREAM, "Last-Event-ID": last}
    async with rest.stream("GET", f"{V2}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Reader(answer)


async def put(rest: httpx2.AsyncClient, client: str, bank: str) -> None:
    assert (await rest.put(f"{V2}/mappings/{client}", json={"card": bank})).status_code == 201


async def page(rest: httpx2.AsyncClient, query: str = "") -> dict[str, object]:
    answer = await rest.get(f"{V2}/events{query}")
    assert answer.status_code == 200
    found: dict[str, object] = answer.json()
    return found


def kinds(items: object) -> list[str]:
    assert isinstance(items, list)
    return [f"{item['kind']} {item.get('client_slot', '')}".strip() for item in items]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServerService]:
    async with running_server(tmp_path) as running:
        yield running


async def test_stream_tells_what_happens_and_goes_on_after_a_break(service: ServerService) -> None:
    async with rest_client(service, over_socket=True) as rest:
        await put(rest, "C7:0", "B1:0")
        async with following(rest) as reader:
            await put(rest, "C7:1", "B1:1")
            first = await reader.until("mapping_created")
        data = json.loads(first["data"])
        assert (data["bank_slot"], data["client_slot"], data["id"]) == ("B1:1", "C7:1", first["id"])
        assert data["at"].endswith("Z")
        await put(rest, "C7:2", "B1:2")
        await put(rest, "C7:3", "B1:3")
        async with following(rest, first["id"]) as reader:
            heard = [json.loads((await reader.until("mapping_created"))["data"])["client_slot"] for _ in range(2)]
        assert heard == ["C7:2", "C7:3"]


async def test_pages_have_the_same_events(service: ServerService) -> None:
    async with rest_client(service, over_socket=False) as rest:
        async with await connect_bank(service, 1), await connect_client(service, 7):
            await put(rest, "C7:0", "B1:0")
            found = await page(rest, "?limit=2")
            assert kinds(found["items"]) == ["bankd_connected", "client_connected C7:0"]
            behind = await page(rest, f"?cursor={found['next']}")
            assert kinds(behind["items"])[0] == "mapping_created C7:0"
        rest_of_it = await page(rest, f"?cursor={behind['next']}")
        nothing = await page(rest, f"?cursor={rest_of_it['next']}")
        assert "lost" not in nothing
        assert (await rest.get(f"{V2}/events?cursor=x")).status_code == 400


async def test_events_of_an_earlier_run_are_lost(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service, rest_client(service, over_socket=True) as rest:
        await put(rest, "C7:0", "B1:0")
        last = str((await page(rest))["next"])
    async with running_server(tmp_path) as service, rest_client(service, over_socket=True) as rest:
        assert (await page(rest, f"?cursor={last}"))["lost"] is True
        async with following(rest, last) as reader:
            event = await reader.next()
            assert event is not None
            assert event["event"] == "lost"
            await put(rest, "C7:1", "B1:1")
            assert json.loads((await reader.until("mapping_created"))["data"])["client_slot"] == "C7:1"


async def test_reader_that_is_too_slow_is_told_and_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed.EventFeed.__init__, "__kwdefaults__", {"most": 3, "most_bytes": 1 << 20})
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        await put(rest, "C7:0", "B1:0")
        runtime = service.runtime
        assert runtime is not None
        grant = Grant("", "test", TokenRole.VIEWER, Scope())
        readers = Readers()
        # The body of an answer whose reader takes nothing for a while.
        async with aclosing(events.EventStream(runtime, grant, readers).run((1, False))) as stream:
            assert (await anext(stream)).startswith("retry:")
            for nr in range(1, 6):
                await put(rest, f"C7:{nr}", f"B1:{nr}")
            assert "event: lost" in await anext(stream)
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
        assert readers.count == 0


async def test_limited_token_hears_nothing_of_others(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service:
        config = ServerConfig(state_dir=tmp_path)
        scope = Scope(frozenset({1}), frozenset({7}))
        text, _ = await asyncio.to_thread(create_token, config, name="one", role=TokenRole.VIEWER, scope=scope)
        async with (
            rest_client(service, over_socket=False) as rest,
            rest_client(service, over_socket=True, token=text) as limited,
            following(limited) as reader,
        ):
            async with await connect_bank(service, 2), await connect_client(service, 8):
                for client, bank in (("C8:0", "B2:0"), ("C8:1", "B1:1"), ("C7:1", "B2:1"), ("C7:0", "B1:0")):
                    await put(rest, client, bank)
            event = await reader.next()
            assert event is not None
            assert json.loads(event["data"])["client_slot"] == "C7:0"
            assert kinds((await page(limited))["items"]) == ["mapping_created C7:0"]


async def test_stream_ends_with_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.01)
    config = ServerConfig(state_dir=tmp_path)
    async with running_server(tmp_path, rest_open=False) as service:
        text, record = await asyncio.to_thread(create_token, config, name="one", role=TokenRole.VIEWER)
        async with rest_client(service, over_socket=True, token=text) as rest, following(rest) as reader:
            await asyncio.to_thread(revoke_token, config, record.token_id)
            assert await reader.next() is None


async def test_stream_ends_when_the_server_stops(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service:
        async with rest_client(service, over_socket=True) as rest, following(rest) as reader:
            await put(rest, "C7:0", "B1:0")
            await reader.until("mapping_created")
            service.request_stop()
            await service.stop()
            assert await reader.next() is None


@reaches(LimitName.EVENT_READERS)
async def test_no_more_readers_than_the_limit(service: ServerService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_READERS", 1)
    async with rest_client(service, over_socket=True) as rest:
        async with following(rest):
            answer = await rest.get(f"{V2}/events", headers=STREAM)
            assert (answer.status_code, answer.json()["code"]) == (503, "too_many_readers")
            assert int(answer.headers["retry-after"]) > 0


@reaches(LimitName.EVENT_READERS)
async def test_one_token_does_not_take_all_streams(
    service: ServerService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_READERS", 4)
    config = ServerConfig(state_dir=tmp_path)
    text, _ = await asyncio.to_thread(create_token, config, name="one", role=TokenRole.VIEWER)
    async with (
        rest_client(service, over_socket=True, token=text) as rest,
        rest_client(service, over_socket=True) as another,
    ):
        async with following(rest), following(rest), following(rest):
            answer = await rest.get(f"{V2}/events", headers=STREAM)
            assert (answer.status_code, answer.json()["code"]) == (503, "too_many_readers")
            async with following(another):
                pass
        async with following(rest):
            pass


async def test_events_that_a_token_may_not_see_keep_nobody_waiting(service: ServerService) -> None:
    runtime = service.runtime
    assert runtime is not None
    portions = 20
    for _ in range(portions * PORTION):
        runtime.query.feed.keep(EventDraft("bankd_connected", "{}", (2,), ()))
    grant = Grant("", "test", TokenRole.VIEWER, Scope(frozenset({1}), frozenset({7})))
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        others = group.create_task(take_turns())
        answer = await events._page(runtime, grant, 0, 100, is_lost=False)
        assert json.loads(bytes(answer.body))["items"] == []
        assert turns >= portions
        runtime.query.feed.keep(EventDraft("bankd_connected", "{}", (1,), ()))
        turns = 0
        async with aclosing(events.EventStream(runtime, grant, Readers()).run((0, False))) as stream:
            assert (await anext(stream)).startswith("retry:")
            assert "bankd_connected" in await anext(stream)
        assert turns >= portions
        others.cancel()
