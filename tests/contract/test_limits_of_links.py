# SPDX-License-Identifier: Apache-2.0
"""Each limit of links and listeners, reached on real sockets: counted, the offender closed, a neighbour undisturbed."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from remsim.config import HostPort
from remsim.core.identity import Identity, Role
from remsim.core.limits import LimitCounts, LimitName
from remsim.logs import get_logger
from remsim.net import connections as connections_module
from remsim.net import link as link_module
from remsim.net.accept.listen import Listener
from remsim.net.accept.quota import ConnectionQuota
from remsim.net.allowance import ACCEPTED_RATE
from remsim.net.connections import ConnectionManager, DialledLink
from remsim.net.runtime.tasks import TaskOwner
from remsim.net.tls import transport as secure_module
from remsim.net.tls.contexts import Expectation, LinkTls
from remsim.wire import ccm, ipa
from remsim.wire.link import requests
from remsim.wire.link.actions import Accepted, Close, LinkId, Send
from remsim.wire.link.engine import MAX_FIRST_FRAME, KeepAliveTimes, Received
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import NO_FLAGS, ComponentType, TpduModemToCard
from tests.doubles import engines
from tests.doubles.certificates import BANK as BANK_ONE
from tests.doubles.certificates import CertificateWorld
from tests.doubles.engines import BANK, CLIENT, frame
from tests.doubles.link_world import Program, RawEnd, dialled_raw, factory, world
from tests.doubles.reaching import reaches
from tests.doubles.tls_world import ONCE, client_tls, server_tls

LOOPBACK = HostPort("127.0.0.1", 0)
CONNECT = rspro.ConnectClientReq(engines.identity(ComponentType.REMSIM_CLIENT), CLIENT)
CREATE = rspro.CreateMappingReq(CLIENT, BANK)
COMMAND = TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(5))


class Stage:
    """A manager with a listener, and a neighbour that was accepted there."""

    def __init__(self, manager: ConnectionManager, program: Program, port: int, counts: LimitCounts) -> None:
        self.manager, self.program, self.port, self.counts = manager, program, port, counts

    async def link(self) -> LinkId:
        """The link that came up."""
        link, _ = await self.program.ups.get()
        return link

    async def ended(self) -> str:
        """Why the next link ended."""
        _, reason = await self.program.ends.get()
        return reason


async def is_answered(peer: RawEnd) -> bool:
    """Whether a neighbour's PING is answered, behind whatever was sent to it before."""
    await peer.write(ccm.PING)
    heard = b""
    while not heard.endswith(ccm.PONG):
        raw = await peer.read(4)
        if not raw:
            return False
        heard += raw
    return True


@asynccontextmanager
async def stage(
    role: ComponentType = ComponentType.REMSIM_SERVER,
    peer: ComponentType | None = None,
    *,
    quota: ConnectionQuota | None = None,
) -> AsyncIterator[tuple[Stage, RawEnd]]:
    """A manager that listens, and its neighbour, accepted."""
    counts = LimitCounts()
    async with world(limits=counts, quota=quota) as (manager, program):
        # A busy machine takes its time for a flood; no other limit is to come first.
        patient = factory(role, peer, keep_alive=KeepAliveTimes(60.0, 60.0), connect_timeout_s=60.0)
        listener = await manager.listen(LOOPBACK, patient)
        async with dialled_raw("127.0.0.1", listener.port) as neighbour:
            found = Stage(manager, program, listener.port, counts)
            manager.execute(Accepted(await found.link()))
            yield found, neighbour
            assert await is_answered(neighbour), "only the offender is to be closed"


@reaches(LimitName.IDENTIFY_TIME)
async def test_peer_that_does_not_say_who_it_is_loses_its_place() -> None:
    async with stage() as (there, _):
        impatient = await there.manager.listen(LOOPBACK, factory(connect_timeout_s=0.001))
        async with dialled_raw("127.0.0.1", impatient.port) as peer:
            assert await there.ended() == "no connect message within 0.001 s"
            assert await peer.read_to_end() in (b"", ccm.PING)
        assert there.counts[LimitName.IDENTIFY_TIME] == 1


@reaches(LimitName.FIRST_FRAME)
async def test_unidentified_peer_must_not_begin_a_long_frame() -> None:
    long = ipa.encode_ccm(b"\x09" + bytes(MAX_FIRST_FRAME))
    async with stage() as (there, neighbour):
        async with dialled_raw("127.0.0.1", there.port) as peer:
            await peer.write(long[:3])
            assert await there.ended() == f"frame of {len(long) - 3} bytes, at most {MAX_FIRST_FRAME} allowed"
        await neighbour.write(long)
        assert there.counts[LimitName.FIRST_FRAME] == 1


@reaches(LimitName.UNANSWERED_REQUESTS)
async def test_peer_that_does_not_wait_for_answers_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_UNANSWERED", 3)
    async with stage(ComponentType.REMSIM_BANKD, ComponentType.REMSIM_SERVER) as (there, neighbour):
        await neighbour.write(frame(CREATE) * 3)
        async with dialled_raw("127.0.0.1", there.port) as offender:
            await offender.write(frame(CREATE) * 4)
            assert "requests without waiting for an answer" in await there.ended()
        assert there.counts[LimitName.UNANSWERED_REQUESTS] == 1


@reaches(LimitName.OUTSTANDING_REQUESTS)
async def test_peer_that_answers_nothing_is_closed_also_while_it_sends_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "MAX_OUTSTANDING", 3)
    async with stage(ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_BANKD) as (there, _):
        async with dialled_raw("127.0.0.1", there.port):
            link = await there.link()
            for _ in range(4):
                there.manager.execute(Send(link, COMMAND))
            assert "requests unanswered" in await there.ended()
        async with dialled_raw("127.0.0.1", there.port) as offender:
            link = await there.link()

            def on_event(_link: LinkId, _event: object) -> None:
                for _ in range(4):
                    there.manager.execute(Send(link, COMMAND))

            there.program.when_event = on_event
            await offender.write(frame(rspro.SetAtrReq(CLIENT, b"\x3b\x00")))
            assert "requests unanswered" in await there.ended()
        assert there.counts[LimitName.OUTSTANDING_REQUESTS] == 2


async def ask_for_ever(peer: RawEnd) -> None:
    """Ask who it is, again and again, without listening."""
    while True:
        await peer.write(ccm.ID_GET * 1000)


@reaches(LimitName.FIRST_WRITE_BUFFER)
async def test_peer_that_asks_and_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where the system's own buffers are large, the peer would be made to wait before.
    monkeypatch.setattr(link_module, "FIRST_RATE", ACCEPTED_RATE)
    async with stage() as (there, _):
        async with dialled_raw("127.0.0.1", there.port, receive_buffer=4096) as peer:
            with pytest.raises(ConnectionError):
                await ask_for_ever(peer)
            assert await there.ended() == "the peer does not read"
        assert there.counts[LimitName.FIRST_WRITE_BUFFER] == 1
        assert there.counts[LimitName.WRITE_BUFFER] == 0


@reaches(LimitName.WRITE_BUFFER)
async def test_accepted_peer_that_does_not_read_is_cut_off_later() -> None:
    message = TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(900))
    async with stage(ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_BANKD) as (there, _):
        async with dialled_raw("127.0.0.1", there.port, receive_buffer=4096):
            link = await there.link()
            there.manager.execute(Accepted(link))
            sent = 0
            while there.manager.is_alive(link):
                there.manager.execute(Send(link, message))
                sent += 900
            assert sent > link_module.MAX_WRITE_BUFFER
            assert await there.ended() == "the peer does not read"
        assert there.counts[LimitName.WRITE_BUFFER] == 1


@reaches(LimitName.CLOSING_TIME)
async def test_close_waits_for_nobody_who_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "FLUSH_TIMEOUT_S", 0.0)
    monkeypatch.setattr(link_module, "MAX_WRITE_BUFFER", 1 << 24)
    async with stage(ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_BANKD) as (there, _):
        async with dialled_raw("127.0.0.1", there.port, receive_buffer=4096):
            link = await there.link()
            there.manager.execute(Accepted(link))
            for _ in range(8000):
                there.manager.execute(Send(link, TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(900))))
            there.manager.execute(Close(link, "enough"))
            assert await there.ended() == "enough"
        assert there.counts[LimitName.CLOSING_TIME] == 1


async def cut(peer: RawEnd) -> bool:
    """Whether the other end closes; returns when it does."""
    try:
        return await peer.read_to_end() in (b"", ccm.PING)
    except ConnectionError:
        return True


@reaches(LimitName.UNIDENTIFIED)
async def test_at_the_limit_the_oldest_pending_connection_makes_room() -> None:
    async with stage(quota=ConnectionQuota(most=1)) as (there, _):
        async with dialled_raw("127.0.0.1", there.port) as first:
            await there.link()
            async with dialled_raw("127.0.0.1", there.port) as second:
                assert await cut(first)
                assert await is_answered(second)
        assert there.counts[LimitName.UNIDENTIFIED] == 1


@reaches(LimitName.UNIDENTIFIED_PER_SOURCE)
async def test_pending_connections_from_one_source_make_room_among_themselves() -> None:
    async with stage(quota=ConnectionQuota(most_per_source=1)) as (there, _):
        async with (
            dialled_raw("127.0.0.1", there.port, source="127.0.0.2") as elsewhere,
            dialled_raw("127.0.0.1", there.port) as first,
        ):
            for _ in range(2):
                await there.link()
            async with dialled_raw("127.0.0.1", there.port) as second:
                assert await cut(first)
                assert await is_answered(second)
            assert await is_answered(elsewhere)
        assert there.counts[LimitName.UNIDENTIFIED_PER_SOURCE] == 1


@reaches(LimitName.CONNECTIONS)
async def test_more_connections_than_descriptors_allow_are_closed() -> None:
    async with stage(quota=ConnectionQuota(most_connections=2)) as (there, _):
        async with dialled_raw("127.0.0.1", there.port) as accepted:
            there.manager.execute(Accepted(await there.link()))
            async with dialled_raw("127.0.0.1", there.port) as third:
                assert await third.read_to_end() in (b"", ccm.PING)
            assert await is_answered(accepted)
        assert there.counts[LimitName.CONNECTIONS] == 1


@asynccontextmanager
async def tls_world(
    quota: ConnectionQuota | None = None,
) -> AsyncIterator[tuple[ConnectionManager, Program, LimitCounts]]:
    """A manager for both ends of links over TLS."""
    counts = LimitCounts()
    program = Program()
    async with TaskOwner("world") as tasks:
        manager = ConnectionManager(program, tasks=tasks, log=get_logger("world"), limits=counts, quota=quota)
        try:
            yield manager, program, counts
        finally:
            await manager.close()
            tasks.cancel()


def dial_as(manager: ConnectionManager, listener: Listener, tls: LinkTls) -> DialledLink:
    """Dial with a certificate."""
    role, peer = ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_SERVER
    dialled = manager.dial(factory(role, peer), name="t", backoff=ONCE, tls=tls)
    dialled.want("127.0.0.1", listener.port)
    return dialled


@reaches(LimitName.LINKS_PER_IDENTITY)
async def test_one_certificate_does_not_take_every_place(ca: CertificateWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "MAX_LINKS_PER_IDENTITY", 1)
    async with tls_world() as (manager, program, counts):
        listener = await manager.listen(LOOPBACK, factory(), tls=server_tls(ca))
        dial_as(manager, listener, client_tls(ca))
        first = {(await program.ups.get())[0] for _ in range(2)}
        offender = dial_as(manager, listener, client_tls(ca))
        lost, reason = await program.ends.get()
        offender.unwant()
        assert reason == "closed by the peer"
        assert counts[LimitName.LINKS_PER_IDENTITY] >= 1
        assert lost not in first
        dial_as(manager, listener, ca.tls(BANK_ONE, Expectation.of(Role.SERVER)))
        link = lost
        while not manager.is_alive(link) or manager.peer_identity(link) != Identity.bank(1):
            link, _ = await program.ups.get()
        assert all(manager.is_alive(link) for link in first)


async def test_certificate_whose_links_are_gone_may_be_used_again(
    ca: CertificateWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "MAX_LINKS_PER_IDENTITY", 1)
    async with tls_world() as (manager, program, counts):
        listener = await manager.listen(LOOPBACK, factory(), tls=server_tls(ca))
        for _ in range(2):
            dialled = dial_as(manager, listener, client_tls(ca))
            for _ in range(2):
                await program.ups.get()
            dialled.unwant()
            for _ in range(2):
                await program.ends.get()
        assert counts[LimitName.LINKS_PER_IDENTITY] == 0


@reaches(LimitName.TLS_HANDSHAKE_TIME)
async def test_silent_peer_at_a_port_for_tls_loses_its_place(
    ca: CertificateWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tls_world(ConnectionQuota()) as (manager, program, counts):
        listener = await manager.listen(LOOPBACK, factory(), tls=server_tls(ca))
        dial_as(manager, listener, client_tls(ca))
        links = [(await program.ups.get())[0] for _ in range(2)]
        monkeypatch.setattr(secure_module, "HANDSHAKE_TIMEOUT_S", 0.001)
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            assert await peer.read_to_end() == b""
        assert counts[LimitName.TLS_HANDSHAKE_TIME] == 1
        (client_end,) = [link for link in links if manager.peer_identity(link) == Identity.server("lab")]
        manager.execute(Send(client_end, CONNECT))
        while not isinstance((await program.events.get())[1], Received):
            pass
        assert program.ends.empty()


@reaches(LimitName.TLS_HANDSHAKE)
async def test_peer_that_pours_within_the_handshake_is_cut_off(
    ca: CertificateWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tls_world(ConnectionQuota()) as (manager, program, counts):
        listener = await manager.listen(LOOPBACK, factory(), tls=server_tls(ca))
        dial_as(manager, listener, client_tls(ca))
        links = [(await program.ups.get())[0] for _ in range(2)]
        monkeypatch.setattr(secure_module, "MAX_UNREAD", 64)
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            await peer.write(bytes.fromhex("160301040001000400 0303") + bytes(100))
            with contextlib.suppress(ConnectionError):
                assert await peer.read_to_end() == b""
        assert counts[LimitName.TLS_HANDSHAKE] == 1
        assert all(manager.is_alive(link) for link in links)


async def test_what_a_peer_sends_after_the_close_over_tls_is_not_kept(ca: CertificateWorld) -> None:
    async with tls_world() as (manager, program, _):
        listener = await manager.listen(LOOPBACK, factory(), tls=server_tls(ca))
        dial_as(manager, listener, client_tls(ca))
        links = [(await program.ups.get())[0] for _ in range(2)]
        (server_end,) = [link for link in links if manager.peer_identity(link) != Identity.server("lab")]
        found = manager._links[server_end]
        found.is_closing = True
        secure = found._transport
        assert isinstance(secure, secure_module.SecureTransport)
        secure.data_received(bytes(1 << 16))
        assert secure._incoming.pending == 0
        found.is_closing = False
