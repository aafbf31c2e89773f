# SPDX-License-Identifier: Apache-2.0
"""A server that is killed anywhere: each stored change has its event for webhooks, and what was not stored has none.

The files of the database are copied before each statement and each commit of a running server. A copy is what a server
finds that starts after a kill at that moment.
"""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from remsim.core.ids import BankSlot, ClientSlot
from remsim.logs import get_logger
from remsim.net.runtime.tasks import TaskOwner
from remsim.server import webhooks as sender
from remsim.server.core.actions import SERVER
from remsim.server.core.coordinator import Coordinator, ServerSettings
from remsim.server.core.slotmap import ConflictError
from remsim.server.core.tokens import EVERYTHING
from remsim.server.core.webhooks import Webhooks
from remsim.server.metrics import ServerMetrics
from remsim.server.runtime import ServerRuntime, UnknownMappingError
from remsim.server.store.writer import Store, StoreError
from remsim.server.webhooks import WebhookSender
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType
from tests.contract.test_rest_webhooks import PATIENCE_S, Receiver, receiving

IDENTITY = ComponentIdentity(ComponentType.REMSIM_SERVER, "server", "remsim", "1")
#: The row of the mapping that this one is stored in cannot be written.
SPOILT = BankSlot(1, 3)
KINDS = ["mapping_created", "mapping_deleted"]


class Crashes:
    """Copies of the database, one for each statement and commit; ``fails`` refuses what is about ``SPOILT``."""

    def __init__(self, state: Path, copies: Path) -> None:
        self._state = state
        self._copies = copies
        self.count = 0

    def copy(self) -> None:
        folder = self._copies / str(self.count)
        folder.mkdir(parents=True)
        for file in self._state.glob("server.sqlite*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, folder)
        self.count += 1

    def before_statement(self, *of: object) -> None:
        statement, parameters = str(of[2]), of[3]
        self.copy()
        # The second and third value of the row.
        if statement.startswith("INSERT INTO mappings") and tuple(parameters)[:2] == (1, SPOILT.slot_nr):  # type: ignore[arg-type]  # those of a row
            raise IntegrityError("spoilt", None, Exception("spoilt"))

    def before_commit(self, _connection: object) -> None:
        self.copy()

    @contextmanager
    def watched(self) -> Iterator[None]:
        event.listen(Engine, "before_cursor_execute", self.before_statement)
        event.listen(Engine, "commit", self.before_commit)
        try:
            yield
        finally:
            event.remove(Engine, "before_cursor_execute", self.before_statement)
            event.remove(Engine, "commit", self.before_commit)
            self.copy()

    def folders(self) -> list[Path]:
        return [self._copies / str(number) for number in range(self.count)]


def stored_and_told(folder: Path) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """What a copy holds: changes of mappings, and what waits to be told of them."""
    with closing(sqlite3.connect(folder / "server.sqlite")) as database:
        changes = []
        for bank, nr, client, client_nr, deleted_at in database.execute(
            "SELECT bank_id, bank_slot_nr, client_id, client_slot_nr, deleted_at FROM mappings"
        ):
            pair = f"B{bank}:{nr}", f"C{client}:{client_nr}"
            changes.append(("mapping_created", *pair))
            changes += [] if deleted_at is None else [("mapping_deleted", *pair)]
        bodies = [body for (body,) in database.execute("SELECT body FROM deliveries")]
        announced = [json.loads(events) for (events,) in database.execute("SELECT events FROM announcements")]
        bodies += [text for events in announced for _kind, text, _banks, _clients in events]
    return sorted(changes), sorted(_of(json.loads(body)) for body in bodies)


def delivered(folder: Path) -> list[int]:
    """Of each delivery, whether it is stored as done."""
    with closing(sqlite3.connect(folder / "server.sqlite")) as database:
        return [is_done for (is_done,) in database.execute("SELECT is_delivered FROM deliveries")]


def _of(told: dict[str, str]) -> tuple[str, str, str]:
    return told["kind"], told["bank_slot"], told["client_slot"]


@dataclass(frozen=True)
class Small:
    """A server without ports: what changes mappings, stores them, and tells webhooks."""

    runtime: ServerRuntime
    hooks: WebhookSender


@asynccontextmanager
async def small_server(state: Path) -> AsyncIterator[Small]:
    """One that runs while the block lasts, as ``ServerService`` puts it together."""
    log = get_logger("test")
    store = Store.at(f"sqlite+aiosqlite:///{state / 'server.sqlite'}", log=log)
    memory = await store.open()
    metrics = ServerMetrics()
    async with TaskOwner("test", log=log) as tasks:
        coordinator = Coordinator(ServerSettings(IDENTITY, {}, None, lambda _: False), memory)
        runtime = ServerRuntime(coordinator, store, metrics, tasks=tasks, log=log)
        runtime.status.restart_counter = memory.restart_counter
        writing = tasks.vital(store.run(runtime), name="store")
        table = Webhooks(memory.webhooks, memory.deliveries, metrics.limits)
        hooks = WebhookSender(runtime, table, tasks=tasks, networks=None, log=log)
        hooks.start(memory.announcements)
        try:
            yield Small(runtime, hooks)
        finally:
            await hooks.stop()
            store.finish()
            assert writing is not None
            await asyncio.wait([writing])
            runtime.close()
            await store.close()
            tasks.cancel()


async def add_webhook(server: Small, url: str) -> None:
    await server.hooks.create(url, "0123456789abcdef", frozenset(KINDS), EVERYTHING, SERVER)


async def change(runtime: ServerRuntime, slot: BankSlot, client: ClientSlot) -> None:
    """Map a slot, or end its mapping."""
    try:
        if runtime.coordinator.slotmap.by_bank_slot(slot) is None:
            await runtime.create_mapping(slot, client, SERVER)
        else:
            await runtime.delete_mapping(slot, SERVER)
    except ConflictError:
        pass
    except UnknownMappingError:
        pass
    except StoreError:
        assert slot == SPOILT


#: Changes that are ordered together.
orders = st.tuples(st.integers(0, 3), st.integers(7, 9))
rounds = st.lists(st.lists(orders, min_size=1, max_size=4), min_size=1, max_size=5)


@settings(max_examples=5, deadline=None, phases=[Phase.generate])
@given(rounds=rounds)
def test_whenever_it_is_killed_what_is_stored_is_told_and_nothing_else(
    rounds: list[list[tuple[int, int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    state, copies = tmp_path_factory.mktemp("state"), tmp_path_factory.mktemp("copies")
    crashes = Crashes(state, copies)

    async def play() -> None:
        async with small_server(state) as server, receiving() as receiver:
            await add_webhook(server, receiver.url)
            with crashes.watched():
                for each in rounds:
                    await asyncio.gather(
                        *(change(server.runtime, BankSlot(1, nr), ClientSlot(client, 0)) for nr, client in each)
                    )

    asyncio.run(play())
    for folder in crashes.folders():
        changes, told = stored_and_told(folder)
        assert changes == told, folder
    changes, _ = stored_and_told(crashes.folders()[-1])
    assert not [each for each in changes if each[1] == str(SPOILT)]


@asynccontextmanager
async def restarted(folder: Path) -> AsyncIterator[Receiver]:
    """A receiver of a server that starts with a copy."""
    with closing(sqlite3.connect(folder / "server.sqlite")) as database:
        (url,) = database.execute("SELECT url FROM webhooks").fetchone()
    receiver = Receiver(port=int(httpx2.URL(url).port or 0))
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", receiver.port)
    try:
        async with small_server(folder):
            yield receiver
    finally:
        server.close()


async def test_a_server_that_starts_tells_what_the_one_before_it_could_not(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    crashes = Crashes(state, tmp_path / "copies")
    async with receiving() as receiver:
        async with small_server(state) as server:
            await add_webhook(server, receiver.url)
            with crashes.watched():
                await server.runtime.create_mapping(BankSlot(1, 0), ClientSlot(7, 0), SERVER)
                first = await receiver.next()
    # The mapping is committed; nobody has heard of it.
    committed = next(folder for folder in crashes.folders() if stored_and_told(folder)[0])
    async with restarted(committed) as receiver:
        again = await receiver.next()
        ids = [json.loads(got.body)["id"] for got in (first, again)]
        assert (ids, _of(json.loads(again.body))) == (["1-1", "2-1"], ("mapping_created", "B1:0", "C7:0"))
    with closing(sqlite3.connect(committed / "server.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM announcements").fetchone() == (0,)
    # Its delivery is committed, and was sent or not: what comes once more has the same id.
    async with restarted(crashes.folders()[-1]) as receiver:
        twice = await receiver.next()
        assert (twice.body, twice.headers["remsim-delivery"]) == (first.body, first.headers["remsim-delivery"])


async def test_what_the_database_does_not_take_is_sent_all_the_same_and_given_to_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "RETRY_S", 0.01)
    refused: list[str] = []

    def refuse(*of: object) -> None:
        if str(of[2]).startswith("DELETE FROM announcements") and len(refused) < 2:
            refused.append(str(of[2]))
            raise IntegrityError("refused", None, Exception("refused"))

    event.listen(Engine, "before_cursor_execute", refuse)
    try:
        async with small_server(tmp_path) as server, receiving() as receiver:
            await add_webhook(server, receiver.url)
            await server.runtime.create_mapping(BankSlot(1, 0), ClientSlot(7, 0), SERVER)
            assert _of(json.loads((await receiver.next()).body)) == ("mapping_created", "B1:0", "C7:0")
            async with asyncio.timeout(PATIENCE_S):
                while delivered(tmp_path) != [1]:
                    await server.runtime.store.written()
    finally:
        event.remove(Engine, "before_cursor_execute", refuse)
    assert len(refused) == 2
    with closing(sqlite3.connect(tmp_path / "server.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM announcements").fetchone() == (0,)


async def test_a_server_that_stops_begins_no_delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, goes_on = asyncio.Event(), asyncio.Event()

    async def late(_hooks: WebhookSender, _host: str, _url: str) -> str:
        asked.set()
        await goes_on.wait()
        return "127.0.0.1"

    monkeypatch.setattr(WebhookSender, "_address", late)
    async with receiving() as receiver:
        async with small_server(tmp_path) as server:
            await add_webhook(server, receiver.url)
            await server.runtime.create_mapping(BankSlot(1, 0), ClientSlot(7, 0), SERVER)
            await asked.wait()
            (queue,) = server.hooks.table
            await server.hooks.stop()
            goes_on.set()
            assert await server.hooks._send(queue.hook, queue.pending[0]) == "the server stops"
        assert receiver.got.empty()
    # It waits for the next start.
    assert delivered(tmp_path) == [0]
