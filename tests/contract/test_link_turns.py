# SPDX-License-Identifier: Apache-2.0
"""A peer that sends without end is looked at in small pieces, in turn with everybody else. Over both kinds of loop."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from remsim.core.limits import LimitCounts, LimitName
from remsim.net import link as link_module
from remsim.net.allowance import Rate
from remsim.net.link import FIRST_PIECE_BYTES, PIECE_BYTES
from remsim.wire import ccm
from remsim.wire.link.actions import Accepted
from remsim.wire.link.engine import KeepAliveTimes, LinkEngine
from tests.doubles.certificates import CertificateWorld
from tests.doubles.link_world import RawEnd, dialled_raw, factory, world
from tests.doubles.reaching import reaches
from tests.doubles.tls_world import LOOPBACK, Run, client_tls, dial, noted_world, server_tls

FLOOD = ccm.PING * 40_000
FLOODERS = 10
#: Two pieces of PINGs use it up, and nobody waits for the next ones.
FRAME_COST = 64
SMALL = Rate(2 * PIECE_BYTES // len(ccm.PING) * (len(ccm.PING) + FRAME_COST) - 1, 1, FRAME_COST)
FIRST_SMALL = Rate(2 * FIRST_PIECE_BYTES // len(ccm.PING) * (len(ccm.PING) + FRAME_COST) - 1, 1, FRAME_COST)
#: How many pieces a flooder has looked at before it pauses; its first bytes may have come alone.
MOST_PIECES = 4


class Pieces(list[tuple[LinkEngine, int]]):
    """Which link looked at how many bytes, in this order."""

    def __init__(self) -> None:
        self.have_begun = asyncio.Event()


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> Pieces:
    found = Pieces()
    original = LinkEngine.receive_data

    def noting(connection: LinkEngine, data: bytes, now: float, at: float = 0.0) -> None:
        found.append((connection, len(data)))
        if len(found) == 3:
            found.have_begun.set()
        original(connection, data, now, at)

    monkeypatch.setattr(LinkEngine, "receive_data", noting)
    return found


def test_flood_of_pings_leaves_others_their_turns(run: Run, pieces: Pieces) -> None:
    async def play() -> None:
        async with noted_world() as (manager, program, _):
            program.when_up = lambda link: manager.execute(Accepted(link))  # it may send more
            listener = await manager.listen(LOOPBACK, factory())
            async with (
                dialled_raw("127.0.0.1", listener.port) as flooder,
                dialled_raw("127.0.0.1", listener.port) as neighbour,
                asyncio.TaskGroup() as tasks,
            ):
                answers = tasks.create_task(flooder.read(len(ccm.PING) + len(FLOOD)))
                flood = tasks.create_task(flooder.write(FLOOD))
                await pieces.have_begun.wait()
                await neighbour.write(ccm.PING)
                assert await neighbour.read(len(ccm.PING)) == ccm.PING  # the engine's own
                assert await neighbour.read(len(ccm.PONG)) == ccm.PONG
                before = len(pieces)
                await flood
                assert (await answers).count(ccm.PONG) == FLOOD.count(ccm.PING)
                assert len(pieces) > before + 10, "the neighbour was answered behind the flood"

    run(play())
    assert max(length for _, length in pieces) <= PIECE_BYTES


def test_flood_over_tls_is_answered_whole_and_in_pieces(run: Run, ca: CertificateWorld, pieces: Pieces) -> None:
    pings, pongs, are_answered = 10_000, 0, asyncio.Event()
    original = LinkEngine._on_ccm

    def counting(connection: LinkEngine, payload: bytes, now: float) -> None:
        nonlocal pongs
        pongs += payload == ccm.PONG[3:]
        if pongs == pings:
            are_answered.set()
        original(connection, payload, now)

    async def play() -> None:
        async with noted_world() as (server, at_server, _), noted_world() as (client, at_client, _):
            listener = await server.listen(LOOPBACK, factory(), tls=server_tls(ca))
            dial(client, listener, client_tls(ca))
            accepted, _ = await at_server.ups.get()
            server.execute(Accepted(accepted))
            link, _ = await at_client.ups.get()
            client.execute(Accepted(link))
            client._links[link]._transport.write(ccm.PING * pings)
            await are_answered.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LinkEngine, "_on_ccm", counting)
        run(play())
    assert max(length for _, length in pieces) <= PIECE_BYTES


class Counts(LimitCounts):
    """Tells when a limit was reached so often."""

    def __init__(self, name: LimitName, times: int) -> None:
        super().__init__()
        self._name, self._times = name, times
        self.are_reached = asyncio.Event()

    def reached(self, name: LimitName) -> None:
        super().reached(name)
        if self[self._name] >= self._times:
            self.are_reached.set()


async def pour(peer: RawEnd) -> None:
    """Send PINGs until the other end closes."""
    try:
        while True:
            await peer.write(FLOOD)
    except ConnectionError:
        return


@pytest.fixture
def small_allowances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "FIRST_RATE", FIRST_SMALL)
    monkeypatch.setattr(link_module, "ACCEPTED_RATE", SMALL)


async def _flood(name: LimitName, pieces: Pieces, *, is_accepted: bool) -> None:
    counts = Counts(name, FLOODERS)
    patient = factory(keep_alive=KeepAliveTimes(60.0, 60.0), connect_timeout_s=60.0)
    async with world(limits=counts) as (manager, program), AsyncExitStack() as ends, asyncio.TaskGroup() as tasks:
        listener = await manager.listen(LOOPBACK, patient)
        neighbour = await ends.enter_async_context(dialled_raw("127.0.0.1", listener.port))
        known, _ = await program.ups.get()
        manager.execute(Accepted(known))
        for _ in range(FLOODERS):
            flooder = await ends.enter_async_context(dialled_raw("127.0.0.1", listener.port))
            link, _ = await program.ups.get()
            if is_accepted:
                manager.execute(Accepted(link))
            tasks.create_task(pour(flooder))
        await counts.are_reached.wait()
        # Every flooder has had what it may, and not one byte of the rest is looked at while the neighbour is served.
        before = [connection for connection, _ in pieces]
        assert await neighbour.read(len(ccm.PING)) == ccm.PING
        for _ in range(100):
            await neighbour.write(ccm.PING)
            assert await neighbour.read(len(ccm.PONG)) == ccm.PONG
        others = [connection for connection, _ in pieces[len(before) :]]
        assert len(others) == 100
        assert len(set(others)) == 1
        assert others[0] not in before
        assert max(Counter(map(id, before)).values()) <= MOST_PIECES
        assert counts[name] == FLOODERS
        # The program ends although they go on sending; this raises TimeoutError if one of them holds it up.
        await manager.close()
        assert len(manager) == 0
        assert {(await program.ends.get())[1] for _ in range(FLOODERS + 1)} == {"shutting down"}


@reaches(LimitName.FIRST_READING)
@pytest.mark.usefixtures("small_allowances")
def test_ten_that_nobody_knows_flood_and_neither_a_neighbour_nor_the_end_waits(run: Run, pieces: Pieces) -> None:
    run(_flood(LimitName.FIRST_READING, pieces, is_accepted=False))


@reaches(LimitName.READING)
@pytest.mark.usefixtures("small_allowances")
def test_ten_accepted_peers_flood_and_neither_a_neighbour_nor_the_end_waits(run: Run, pieces: Pieces) -> None:
    run(_flood(LimitName.READING, pieces, is_accepted=True))


def test_link_that_pauses_goes_on_at_once_when_it_is_accepted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "FIRST_RATE", FIRST_SMALL)
    counts = Counts(LimitName.FIRST_READING, 1)

    async def play() -> None:
        async with world(limits=counts) as (manager, program):
            listener = await manager.listen(LOOPBACK, factory(connect_timeout_s=60.0))
            async with dialled_raw("127.0.0.1", listener.port) as peer, asyncio.TaskGroup() as tasks:
                tasks.create_task(peer.write(FLOOD))
                answers = tasks.create_task(peer.read(len(ccm.PING) + len(FLOOD)))
                link, _ = await program.ups.get()
                await counts.are_reached.wait()
                manager.execute(Accepted(link))
                assert (await answers).count(ccm.PONG) == FLOOD.count(ccm.PING)

    run(play())


def test_flood_over_tls_pauses_too_and_loses_nothing(
    run: Run, ca: CertificateWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A piece is paid for in a few milliseconds, so the link pauses and goes on again and again.
    monkeypatch.setattr(link_module, "FIRST_RATE", Rate(FIRST_SMALL.burst, 1 << 20, FRAME_COST))
    pings, pongs, are_answered = 10_000, 0, asyncio.Event()
    original = LinkEngine._on_ccm

    def counting(connection: LinkEngine, payload: bytes, now: float) -> None:
        nonlocal pongs
        pongs += payload == ccm.PONG[3:]
        if pongs == pings:
            are_answered.set()
        original(connection, payload, now)

    monkeypatch.setattr(LinkEngine, "_on_ccm", counting)

    async def play() -> None:
        async with noted_world() as (server, at_server, _), noted_world() as (client, at_client, _):
            listener = await server.listen(LOOPBACK, factory(), tls=server_tls(ca))
            dial(client, listener, client_tls(ca))
            await at_server.ups.get()
            link, _ = await at_client.ups.get()
            client.execute(Accepted(link))
            client._links[link]._transport.write(ccm.PING * pings)
            await are_answered.wait()
            assert server._limits[LimitName.FIRST_READING] > 1

    run(play())


def test_new_links_that_come_back_for_another_burst_get_little_each(run: Run, pieces: Pieces) -> None:
    """A peer that dials anew has a new allowance, so what a new link may do at once must be little."""
    links = 20

    async def play() -> None:
        counts = Counts(LimitName.FIRST_READING, links)
        async with world(limits=counts) as (hub, _), AsyncExitStack() as ends, asyncio.TaskGroup() as tasks:
            listener = await hub.listen(LOOPBACK, factory(connect_timeout_s=60.0))
            for _ in range(links):
                peer = await ends.enter_async_context(dialled_raw("127.0.0.1", listener.port))
                tasks.create_task(pour(peer))
            await counts.are_reached.wait()
            await hub.close()

    run(play())
    assert max(length for _, length in pieces) <= FIRST_PIECE_BYTES
    read = Counter[int]()
    for connection, length in pieces:
        read[id(connection)] += length
    # What the burst allows in PINGs, and the piece that exceeded it.
    assert max(read.values()) <= 2 * FIRST_PIECE_BYTES
