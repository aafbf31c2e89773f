# SPDX-License-Identifier: Apache-2.0
"""1 000 clients want 100 cards for random times, while bank and server are killed and come back.

The clock is simulated; coordinator, store and SQLite are the real ones. Whatever happens: no card is lent twice, none
is lost, everybody who waits is served in the order of the requests, and the database holds what the server says.
"""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest

from remsim.core.ids import ClientSlot
from remsim.logs import get_logger
from remsim.server.core.actions import Action, Actor, Audited, Decision, Entry, Note, StoreLease
from remsim.server.core.card_choice import CardChoice
from remsim.server.core.coordinator import Coordinator, ServerSettings
from remsim.server.core.event_feed import EventDraft
from remsim.server.core.leases import LeaseState
from remsim.server.core.slotmap import ConflictError
from remsim.server.store import database
from remsim.server.store.writer import Store
from remsim.wire.link.actions import LinkId, PeerAddress, Send
from remsim.wire.link.engine import Received
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import (
    CreateMappingReq,
    CreateMappingRes,
    RemoveMappingReq,
    RemoveMappingRes,
    ResultCode,
)
from tests.doubles.server_world import BANKD, SERVER

CLIENTS = 1000
CARDS = 100
EVERYBODY = tuple(ClientSlot(nr, 0) for nr in range(CLIENTS))
BY = Actor("test", "-")
POOL = CardChoice.parse("label:roaming")
SETTINGS = ServerSettings(SERVER, {}, None, lambda _client: False)
#: In a step of three seconds: many more than cards come back, so nearly everybody has to wait.
MOST_ASK = 40
#: Something is killed after about so many steps.
KILL_EVERY = 25


class Life:
    """One run of the server, from its start until it is killed. Times are those of the test's clock."""

    def __init__(self, store: Store, coordinator: Coordinator, clock: "Clock") -> None:
        self.store = store
        self.coordinator = coordinator
        self._clock = clock
        self._links = 0
        self.link: LinkId | None = None

    def run(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Audited(decision, entry):
                    self.store.submit(decision, entry=entry)
                case Entry():
                    self.store.record(action)
                case Send(link, message) if link == self.link:
                    self._answer(message)
                case _ if isinstance(action, get_args(Note)):
                    self.store.note(action)
                case _ if isinstance(action, get_args(Decision)):
                    self.store.submit(action)

    def _answer(self, message: rspro.Message) -> None:
        """A bankd that says ok to everything, at once."""
        if isinstance(message, CreateMappingReq):
            self.receive(CreateMappingRes(ResultCode.OK), message)
        elif isinstance(message, RemoveMappingReq):
            self.receive(RemoveMappingRes(ResultCode.OK), message)

    def receive(self, message: rspro.Message, request: rspro.Request | None = None) -> None:
        assert self.link is not None
        self.run(self.coordinator.on_event(self.link, Received(message, 7, request), self._clock.now))

    def connect_bank(self) -> None:
        self._links += 1
        self.link = LinkId(self._links)
        address = PeerAddress(ip_address("192.0.2.9"), 9999)
        self.run(self.coordinator.on_link_up(self.link, address, self._clock.now))
        self.receive(rspro.ConnectBankReq(BANKD, 1, CARDS))

    def kill_bank(self) -> None:
        assert self.link is not None
        link, self.link = self.link, None
        self.run(self.coordinator.on_link_lost(link, "killed", self._clock.now))

    # The store's listener

    def to_tell(self, decisions: Sequence[tuple[Decision, float]]) -> list[tuple[EventDraft, ...]]:
        return [()] * len(decisions)

    def on_stored(
        self, decision: Decision, mapping_ids: tuple[int, ...], created_at: float, announcement: int | None
    ) -> None:
        self.run(self.coordinator.on_stored(decision, self._clock.now, mapping_ids=mapping_ids, created_at=created_at))

    def on_store_failed(self, decision: Decision) -> None:
        raise AssertionError(decision)


class Clock:
    """Seconds since 1970, and of the server's own clock, which begins anew with each run."""

    def __init__(self) -> None:
        self.wall = 1e9
        self.started = 1e9

    @property
    def now(self) -> float:
        return self.wall - self.started


@asynccontextmanager
async def running(folder: Path, clock: Clock) -> AsyncIterator[Life]:
    """The server, until the block ends: then it is killed, and what was not committed is lost."""
    clock.started = clock.wall
    url = f"sqlite+aiosqlite:///{folder / 'server.sqlite'}"
    store = Store(database.open_engine(url), log=get_logger("test"), wall=lambda: clock.wall)
    memory = await store.open()
    life = Life(store, Coordinator(SETTINGS, memory, now=clock.now), clock)
    try:
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(store.run(life))
            life.connect_bank()
            yield life
            writer.cancel()
    finally:
        await store.close()


def rows(folder: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "server.sqlite")) as connection:
        return connection.execute(statement).fetchall()


def plan(life: Life, clock: Clock, client: ClientSlot, duration_s: float, *, wait_s: float) -> StoreLease:
    return life.coordinator.lending.plan(
        POOL,
        client,
        banks=None,
        by=BY,
        priority=0,
        duration_s=duration_s,
        wait_s=wait_s,
        wall=clock.wall,
        now=clock.now,
    )


async def label_cards(market: "Market") -> None:
    async with running(market.folder, market.clock) as life:
        for nr in range(CARDS):
            life.store.submit(life.coordinator.plan_labels(f"B1:{nr}", ["roaming"]))
        await life.store.written()


def check_history(folder: Path) -> None:
    """Everybody had a card once, in the order of the requests, and no card was with two at a time."""
    found = rows(folder, "SELECT id, mapping_id FROM leases ORDER BY id")
    assert len(found) == CLIENTS
    given = [mapping for _, mapping in found]
    assert None not in given
    assert given == sorted(given, key=lambda number: int(str(number)))
    held = rows(
        folder, "SELECT bank_slot_nr, created_at, deleted_at FROM mappings ORDER BY bank_slot_nr, created_at, id"
    )
    assert len({slot for slot, _, _ in held}) == CARDS
    for (slot, _, until), (next_slot, since, _) in pairwise(held):
        assert slot != next_slot or float(str(until)) <= float(str(since))


class Market:
    """Everybody who wants a card, over all runs of the server."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)  # a test's dice
        self.folder = folder
        self.clock = Clock()
        self.to_ask = list(EVERYBODY)
        self.random.shuffle(self.to_ask)
        self.kills = 0
        self.longest = 0

    def step(self, life: Life) -> None:
        """Somebody asks, gives back early, or renews; and time passes."""
        lending, clock = life.coordinator.lending, self.clock
        for _ in range(self.random.randint(0, MOST_ASK)):
            if self.to_ask:
                client = self.to_ask.pop()
                decision = plan(life, clock, client, self.random.uniform(5, 120), wait_s=1e6)
                life.store.submit(decision, entry=Entry(BY, "lease.take", str(client)))
        granted = [lease for lease in lending.table if lease.state is LeaseState.GRANTED]
        if granted and self.random.random() < 0.5:
            chosen = self.random.choice(granted).order.id
            with suppress(ConflictError):  # its time is just over
                if self.random.random() < 0.5:
                    life.store.submit(lending.plan_renewal(chosen, self.random.uniform(5, 120)))
                else:
                    life.store.submit(lending.plan_release(chosen))
        self.longest = max(self.longest, len(lending.table.queue()))
        clock.wall += self.random.uniform(0, 6)
        life.run(life.coordinator.handle_timer(clock.now))

    def check(self) -> None:
        """What the database holds at this moment."""
        lent = rows(
            self.folder,
            "SELECT m.bank_slot_nr, l.id FROM leases l JOIN mappings m ON m.id = l.mapping_id "
            "WHERE l.ended_at IS NULL AND m.deleted_at IS NULL",
        )
        open_leases = rows(self.folder, "SELECT id FROM leases WHERE ended_at IS NULL AND mapping_id IS NOT NULL")
        live = rows(self.folder, "SELECT id FROM mappings WHERE deleted_at IS NULL")
        assert len({slot for slot, _ in lent}) == len(lent) == len(open_leases) == len(live)

    def ask_again(self) -> None:
        """Those whose request was lost with the server ask once more."""
        known = {
            ClientSlot(int(str(client)), int(str(nr)))
            for client, nr in rows(self.folder, "SELECT client_id, client_slot_nr FROM leases")
        }
        self.to_ask = [client for client in EVERYBODY if client not in known]
        self.random.shuffle(self.to_ask)

    async def until_killed(self, life: Life) -> None:
        for _ in range(self.random.randint(1, 2 * KILL_EVERY)):
            self.step(life)
            if self.random.random() < 0.7:
                await life.store.written()
            if self.random.random() < 0.03:
                self.kills += 1
                if life.link is None:
                    life.connect_bank()
                else:
                    life.kill_bank()
            if not self.to_ask and not len(life.coordinator.lending.table):
                return
        # Where it is killed, what it was about to store may be stored, or not.
        for _ in range(self.random.randint(0, 3)):
            await asyncio.sleep(0)


# Some ten seconds; on a machine with other work, several times that.
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1])
async def test_no_card_is_lent_twice_none_is_lost_and_nobody_starves(tmp_path: Path, seed: int) -> None:
    market = Market(seed, tmp_path)
    await label_cards(market)
    runs = 0
    is_done = False
    while not is_done:
        runs += 1
        async with running(tmp_path, market.clock) as life:
            await market.until_killed(life)
            is_done = not market.to_ask and not len(life.coordinator.lending.table)
        market.check()
        market.ask_again()
        assert runs < 500
    assert runs > 3
    assert market.kills > 3
    assert market.longest > CLIENTS / 2
    check_history(tmp_path)
    async with running(tmp_path, market.clock) as life:
        # All cards are there for others.
        for nr in range(CARDS):
            life.store.submit(plan(life, market.clock, ClientSlot(nr, 1), 60, wait_s=0))
        await life.store.written()
        assert len({lease.bank for lease in life.coordinator.lending.table}) == CARDS
