# SPDX-License-Identifier: Apache-2.0
"""A peer that sends without end is looked at in small pieces, in turn with everybody else. Over both kinds of loop."""

import asyncio

import pytest

from remsim.net.link import PIECE_BYTES
from remsim.wire import ccm
from remsim.wire.link.engine import LinkEngine
from tests.doubles.certificates import CertificateWorld
from tests.doubles.link_world import dialled_raw, factory
from tests.doubles.tls_world import LOOPBACK, Run, client_tls, dial, noted_world, server_tls

FLOOD = ccm.PING * 40_000


class Pieces(list[tuple[LinkEngine, int]]):
    """Which link looked at how many bytes, in this order."""

    def __init__(self) -> None:
        self.have_begun = asyncio.Event()


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> Pieces:
    found = Pieces()
    original = LinkEngine.receive_data

    def noting(connection: LinkEngine, data: bytes, now: float) -> None:
        found.append((connection, len(data)))
        if len(found) == 3:
            found.have_begun.set()
        original(connection, data, now)

    monkeypatch.setattr(LinkEngine, "receive_data", noting)
    return found


def test_flood_of_pings_leaves_others_their_turns(run: Run, pieces: Pieces) -> None:
    async def play() -> None:
        async with noted_world() as (hub, _, _):
            listener = await hub.listen(LOOPBACK, factory())
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
            await at_server.ups.get()
            link, _ = await at_client.ups.get()
            client._links[link]._transport.write(ccm.PING * pings)
            await are_answered.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LinkEngine, "_on_ccm", counting)
        run(play())
    assert max(length for _, length in pieces) <= PIECE_BYTES
