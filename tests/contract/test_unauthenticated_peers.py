# SPDX-License-Identifier: Apache-2.0
"""Many unauthenticated peers: what they cost, and what the log says of them. At listeners over both kinds of loop."""

import asyncio
import gc
import ssl
import weakref
from collections.abc import Callable
from typing import cast

import pytest

from remsim.core.episode import RECURRENCES
from remsim.core.limits import LimitName
from remsim.net.accept.quota import ConnectionQuota
from remsim.net.connections import ConnectionManager
from remsim.net.link import Link
from remsim.net.runtime.tasks import TaskOwner
from remsim.net.tls import transport
from remsim.net.tls.transport import SecureTransport
from remsim.wire.link.actions import Close
from tests.doubles.certificates import CertificateWorld
from tests.doubles.link_world import Program, dialled_raw, factory
from tests.doubles.noted_log import NotedLog
from tests.doubles.tls_world import LOOPBACK, Run, client_tls, dial, noted_world, server_tls


def greeting() -> bytes:
    """What a TLS client says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="x").do_handshake()
    return outgoing.read()


class FakeObserver:
    """Notes refusals, and lets nobody have a turn before ``turn`` is called."""

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.waiting: list[Callable[[], None]] = []

    def may_start(self, _peer: SecureTransport) -> bool:
        return True

    def on_refused(self, _peer: SecureTransport, reason: str, *, limit: LimitName | None = None) -> None:
        self.refusals.append(reason)

    def on_settled(self, _peer: SecureTransport) -> None:
        pass

    def in_turn(self, _peer: SecureTransport, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    def turn(self) -> None:
        """Everybody who waits."""
        waiting, self.waiting = self.waiting, []
        for work in waiting:
            work()


class FakeTcp(asyncio.Transport):
    """Notes what is written, and whether it was cut."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 4711)})
        self.written = b""
        self.is_cut = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def write_eof(self) -> None:
        self.abort()

    def is_closing(self) -> bool:
        return self.is_cut

    def abort(self) -> None:
        self.is_cut = True


class Stage:
    """One peer that has connected."""

    def __init__(self, ca: CertificateWorld) -> None:
        self.observer, self.tcp = FakeObserver(), FakeTcp()
        make_link = cast(Callable[[], Link], None)
        self.transport = SecureTransport(server_tls(ca), make_link, self.observer, is_server=True)
        self.transport.connection_made(self.tcp)

    def end(self) -> None:
        """The connection is gone."""
        self.transport.connection_lost(None)


async def _is_freed(link: "weakref.ref[Link]", program: Program) -> None:
    """Wait for the link's end; nobody must hold it then."""
    gc.disable()
    try:
        await program.ends.get()
        for _ in range(3):
            await asyncio.sleep(0)
        assert link() is None
    finally:
        gc.enable()


class TestTurns:
    async def test_handshake_waits_for_its_turn_however_often_its_bytes_come(self, ca: CertificateWorld) -> None:
        there = Stage(ca)
        for byte in greeting():
            there.transport.data_received(bytes((byte,)))
        assert len(there.observer.waiting) == 1
        assert there.tcp.written == b""
        there.observer.turn()
        assert there.tcp.written.startswith(b"\x16\x03\x03")  # ServerHello
        there.end()

    async def test_who_left_before_his_turn_costs_nothing_any_more(self, ca: CertificateWorld) -> None:
        there = Stage(ca)
        there.transport.data_received(greeting())
        there.end()
        there.observer.turn()
        assert there.tcp.written == b""
        assert there.observer.refusals == ["closed by the peer within the TLS handshake"]

    async def test_who_was_cut_off_before_his_turn_costs_nothing_any_more(self, ca: CertificateWorld) -> None:
        there = Stage(ca)
        there.transport.data_received(greeting())
        there.transport.abort()
        there.observer.turn()
        assert there.tcp.written == b""
        there.end()

    async def test_first_bytes_that_are_not_tls_end_it_without_a_turn(self, ca: CertificateWorld) -> None:
        there = Stage(ca)
        for byte in bytes.fromhex("160301000502"):
            assert not there.tcp.is_cut
            there.transport.data_received(bytes((byte,)))
        assert there.tcp.is_cut
        assert there.observer.refusals == ["the peer does not speak TLS"]
        assert there.observer.waiting == []
        there.end()

    async def test_who_pours_while_he_waits_is_cut_off(self, ca: CertificateWorld) -> None:
        there = Stage(ca)
        there.transport.data_received(greeting())
        there.transport.data_received(bytes(transport.MAX_UNREAD))
        assert there.tcp.is_cut
        assert there.observer.refusals == [f"more than {transport.MAX_UNREAD} bytes within the TLS handshake"]
        there.observer.turn()
        assert there.tcp.written == b""
        there.end()


class TestAtAListener:
    def test_flood_of_one_source_leaves_few_lines_and_all_are_counted(self, run: Run, ca: CertificateWorld) -> None:
        async def play() -> None:
            program, log, refused, quota = Program(), NotedLog(), list[str](), ConnectionQuota()
            async with TaskOwner("world", log=log.logger) as tasks:
                manager = ConnectionManager(
                    program, tasks=tasks, log=log.logger, quota=quota, on_refused=refused.append
                )
                listener = await manager.listen(LOOPBACK, factory(), tls=server_tls(ca))
                for _ in range(RECURRENCES + 5):
                    async with dialled_raw("127.0.0.1", listener.port) as peer:
                        await peer.write(b"\0")
                        assert await peer.read_to_end() == b""
                for _ in range(RECURRENCES):
                    assert (await log.next("tls_refused"))["level"] == "warning"
                assert (await log.next("lines_recur"))["about"] == "peer 127.0.0.1"
                for _ in range(5):
                    assert (await log.next("tls_refused"))["level"] == "debug"
                assert log.is_empty()
                assert refused == ["TLS handshake"] * (RECURRENCES + 5)
                assert len(quota) == 0
                await manager.close()
                tasks.cancel()

        run(play())

    def test_link_that_is_gone_is_freed_without_the_garbage_collector(self, run: Run) -> None:
        async def play() -> None:
            async with noted_world() as (manager, program, _):
                listener = await manager.listen(LOOPBACK, factory())
                async with dialled_raw("127.0.0.1", listener.port) as peer:
                    link, _ = await program.ups.get()
                    found = weakref.ref(manager._links[link])
                    await peer.write(b"\0\5\0")
                    await _is_freed(found, program)

        run(play())

    def test_link_over_tls_that_is_gone_is_freed_without_the_garbage_collector(
        self, run: Run, ca: CertificateWorld
    ) -> None:
        async def play() -> None:
            async with noted_world() as (server, at_server, _), noted_world() as (client, at_client, _):
                listener = await server.listen(LOOPBACK, factory(), tls=server_tls(ca))
                dial(client, listener, client_tls(ca))
                accepted, _ = await at_server.ups.get()
                dialled, _ = await at_client.ups.get()
                found = weakref.ref(server._links[accepted])
                client.execute(Close(dialled, "enough"))
                await _is_freed(found, at_server)

        run(play())

    @pytest.mark.parametrize(
        ("sent", "reason"),
        [
            (
                greeting(),
                "this is TLS, not RSPRO over plain TCP: the peer has a certificate, this program has none here",
            ),
            (b"GET / HTTP/1.1\r\n\r\n", "this is HTTP, not RSPRO: REST has a port of its own"),
            (bytes.fromhex("0000fe"), "empty frame of protocol FE"),
        ],
    )
    def test_port_without_tls_says_why_it_ends_a_link_before_it_knows_the_peer(
        self, run: Run, sent: bytes, reason: str
    ) -> None:
        """The other end sees a connection that is closed, and is told to look at this log."""

        async def play() -> None:
            async with noted_world() as (manager, program, log):
                listener = await manager.listen(LOOPBACK, factory())
                async with dialled_raw("127.0.0.1", listener.port) as peer:
                    await peer.write(sent)
                    await peer.read_to_end()
                line = await log.next("peer_unidentified")
                assert (line["level"], line["reason"]) == ("warning", reason)
                # A peer that just leaves, as a probe of a load balancer does, is worth no line.
                async with dialled_raw("127.0.0.1", listener.port):
                    await program.ups.get()
                while (await program.ends.get())[1] != "closed by the peer":
                    pass
                assert log.is_empty()

        run(play())
