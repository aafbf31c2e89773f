# SPDX-License-Identifier: Apache-2.0
"""Links that are accepted, over real sockets on loopback."""

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from remsim.config import HostPort
from remsim.net import link as link_module
from remsim.wire import ccm
from remsim.wire.link import requests
from remsim.wire.link.actions import Accepted, AskIdentity, Close, LinkId, PeerAddress, Probe, Send
from remsim.wire.link.engine import Event, KeepAliveTimes, ProbeAnswered, Received
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import NO_FLAGS, ComponentType, ResultCode, TpduCardToModem, TpduModemToCard
from tests.doubles import engines
from tests.doubles.engines import BANK, CLIENT, frame
from tests.doubles.link_world import Program, RawEnd, dialled_raw, factory, world

LOOPBACK = HostPort("127.0.0.1", 0)
CONNECT = rspro.ConnectClientReq(engines.identity(ComponentType.REMSIM_CLIENT), CLIENT)
COMMAND = TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(5))
RESPONSE = TpduCardToModem(BANK, CLIENT, NO_FLAGS, b"\x90\0")


async def introduce(peer: RawEnd, program: Program) -> LinkId:
    """Let a classic client introduce itself; return its link."""
    link, _ = await program.ups.get()
    await peer.write(frame(CONNECT))
    assert await program.events.get() == (link, Received(CONNECT, 0))
    return link


async def test_link_is_announced_pinged_and_its_messages_arrive() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory())
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            assert await peer.read(4) == ccm.PING
            link = await introduce(peer, program)
            assert len(manager) == 1
            assert manager.is_alive(link)
            answer = rspro.ConnectClientRes(engines.identity(ComponentType.REMSIM_SERVER), ResultCode.OK)
            manager.execute(Send(link, answer, reply_to=0))
            manager.execute(Accepted(link))
            assert await peer.read(len(frame(answer))) == frame(answer)
            await peer.write(ccm.PING)
            assert await peer.read(4) == ccm.PONG
        assert await program.ends.get() == (link, "closed by the peer")
        assert not manager.is_alive(link)
        assert len(manager) == 0


async def test_address_of_the_other_end_is_known_while_the_link_lives() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory())
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link, address = await program.ups.get()
            assert address == manager.peer_address(link)
            assert address == PeerAddress(IPv4Address("127.0.0.1"), peer.sock.getsockname()[1])
        await program.ends.get()
        with pytest.raises(KeyError):
            manager.peer_address(link)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_both_ip_versions_reach_one_listener_and_keep_their_kind_of_address(host: str) -> None:
    async with world() as (manager, program):
        listener = await manager.listen(HostPort("", 0), factory())
        async with dialled_raw(host, listener.port):
            _, address = await program.ups.get()
            # The kernel says ::ffff:127.0.0.1 on a socket for both.
            assert address.host == ip_address(host)
            assert type(address.host) is (IPv6Address if ":" in host else IPv4Address)


async def test_frames_in_pieces_arrive_whole() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory())
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link, _ = await program.ups.get()
            for byte in frame(CONNECT):
                await peer.write(bytes((byte,)))
            assert await program.events.get() == (link, Received(CONNECT, 0))


async def test_several_answers_to_one_segment_leave_together() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory(ComponentType.REMSIM_BANKD))

        def answer(link: LinkId, event: Event) -> None:
            if isinstance(event, Received) and isinstance(event.message, TpduModemToCard):
                manager.execute(Send(link, RESPONSE, reply_to=event.tag))

        program.when_event = answer
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            await introduce(peer, program)
            await peer.write(frame(COMMAND, tag=1) + frame(COMMAND, tag=2) + ccm.PING)
            # The engine's own answer comes first: it has read the whole segment before the program hears of it.
            expected = ccm.PING + ccm.PONG + frame(RESPONSE, tag=1) + frame(RESPONSE, tag=2)
            assert await peer.read(len(expected)) == expected


async def test_broken_framing_ends_the_link() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory())
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link, _ = await program.ups.get()
            await peer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await program.ends.get() == (link, "this is HTTP, not RSPRO: REST has a port of its own")
            assert await peer.read_to_end() == ccm.PING


async def test_reset_by_the_peer_is_its_reason() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory())
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link, _ = await program.ups.get()
            peer.reset()
            lost, reason = await program.ends.get()
            assert lost == link
            assert reason == "the peer cut the connection"


async def test_deadlines_of_the_engine_are_kept() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory(keep_alive=KeepAliveTimes(timeout_s=0.0)))
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link, _ = await program.ups.get()
            assert await program.ends.get() == (link, "no PONG within 0 s")
            assert await peer.read_to_end() == ccm.PING


async def test_ping_goes_out_again_after_a_pong() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory(keep_alive=KeepAliveTimes(interval_s=0.0)))
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            for _ in range(5):
                assert await peer.read(4) == ccm.PING
                await peer.write(ccm.PONG)
        await program.ends.get()


async def test_probe_is_sent_and_answered() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory())
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link, _ = await program.ups.get()
            manager.execute(Probe(link, 3.0))
            assert await peer.read(8) == ccm.PING * 2
            await peer.write(ccm.PONG)
            assert await program.events.get() == (link, ProbeAnswered())


async def test_probe_that_is_not_answered_ends_the_link() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory())
        async with dialled_raw("127.0.0.1", listener.port):
            link, _ = await program.ups.get()
            manager.execute(Probe(link, 0.0))
            assert await program.ends.get() == (link, "the peer did not answer a probe")


async def test_identity_request_is_sent() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory())
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link, _ = await program.ups.get()
            manager.execute(AskIdentity(link))
            assert await peer.read(4 + len(ccm.ID_GET)) == ccm.PING + ccm.ID_GET


async def test_closed_link_delivers_what_was_sent_before_and_nothing_after() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory(ComponentType.REMSIM_BANKD))
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link = await introduce(peer, program)
            first, second = (rspro.SetAtrReq(CLIENT, bytes((0x3B, n))) for n in range(2))
            manager.execute(Send(link, first))
            manager.execute(Close(link, "mapping removed"))
            manager.execute(Close(link, "again"))
            manager.execute(Send(link, second))
            assert not manager.is_alive(link)
            assert await peer.read_to_end() == ccm.PING + frame(first, tag=1)
        assert await program.ends.get() == (link, "mapping removed")
        assert program.events.empty()


async def test_close_during_an_event_ends_the_delivery_of_events() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory())
        program.when_event = lambda link, _event: manager.execute(Close(link, "enough"))
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link, _ = await program.ups.get()
            await peer.write(frame(CONNECT) * 3)
            assert await program.ends.get() == (link, "enough")
            assert program.events.qsize() == 1


async def test_message_that_must_not_be_sent_ends_the_link() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory())
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link, _ = await program.ups.get()
            manager.execute(Send(link, rspro.CreateMappingRes(ResultCode.OK), reply_to=1))
            assert await program.ends.get() == (link, "internal error")
            assert await peer.read_to_end() == ccm.PING


async def test_action_on_a_link_that_is_gone_does_nothing() -> None:
    async with world() as (manager, _):
        gone = LinkId(99)
        for action in (Send(gone, COMMAND), Close(gone, ""), Accepted(gone), Probe(gone, 1.0), AskIdentity(gone)):
            manager.execute(action)
        manager.attach_session(gone, CLIENT, BANK, lambda _tag, _tpdu, _now: None)
        manager.detach_session(gone)
        manager.answer_tpdu(gone, 1, b"")
        assert not manager.is_alive(gone)


async def test_peer_that_does_not_read_is_cut_off() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory(ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_BANKD))
        async with dialled_raw("127.0.0.1", listener.port, receive_buffer=4096):
            link, _ = await program.ups.get()
            message = TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(900))
            sent = 0
            while manager.is_alive(link):
                manager.execute(Send(link, message))
                sent += 1
            assert sent * 900 > link_module.MAX_WRITE_BUFFER
            assert await program.ends.get() == (link, "the peer does not read")


async def test_close_does_not_wait_for_a_peer_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "FLUSH_TIMEOUT_S", 0.0)
    monkeypatch.setattr(link_module, "MAX_WRITE_BUFFER", 1 << 24)
    monkeypatch.setattr(requests, "MAX_OUTSTANDING", 9000)
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory(ComponentType.REMSIM_CLIENT, ComponentType.REMSIM_BANKD))
        async with dialled_raw("127.0.0.1", listener.port, receive_buffer=4096):
            link, _ = await program.ups.get()
            manager.execute(Accepted(link))
            for _ in range(9000):
                manager.execute(Send(link, TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(900))))
            manager.execute(Close(link, "enough"))
            assert await program.ends.get() == (link, "enough")


async def test_program_that_fails_over_one_link_loses_only_that() -> None:
    caught: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: caught.append(str(context["exception"])))

    def fail(_link: LinkId, _event: Event) -> None:
        raise ArithmeticError("a mistake")

    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory())
        async with dialled_raw("127.0.0.1", listener.port) as good, dialled_raw("127.0.0.1", listener.port) as bad:
            links = [(await program.ups.get())[0] for _ in range(2)]
            program.when_event = fail
            await bad.write(frame(CONNECT))
            lost, reason = await program.ends.get()
            assert (lost, reason) == (links[1], "internal error")
            assert caught == ["a mistake"]
            await good.write(ccm.PING)
            assert await good.read(8) == ccm.PING + ccm.PONG


async def test_program_that_fails_at_the_announcement_loses_the_link() -> None:
    caught: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: caught.append(str(context["exception"])))

    def fail(_link: LinkId) -> None:
        raise ArithmeticError("a mistake")

    async with world() as (manager, program):
        program.when_up = fail
        listener = await manager.listen(LOOPBACK, factory())
        async with dialled_raw("127.0.0.1", listener.port):
            _, reason = await program.ends.get()
            assert reason == "internal error"
            assert caught == ["a mistake"]


# A session that is attached


class Card:
    """Gives these answers in turn, and notes the tags of the commands."""

    def __init__(self, *answers: bytes | None) -> None:
        self._answers = list(answers)
        self.tags: asyncio.Queue[int] = asyncio.Queue()

    def on_tpdu(self, tag: int, tpdu: bytes, _now: float) -> bytes | None:
        assert tpdu == COMMAND.data
        self.tags.put_nowait(tag)
        return self._answers.pop(0)


async def test_session_answers_through_the_call_or_later() -> None:
    card = Card(RESPONSE.data, None, None)
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory(ComponentType.REMSIM_BANKD))
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link = await introduce(peer, program)
            manager.attach_session(link, CLIENT, BANK, card.on_tpdu)
            await peer.write(frame(COMMAND, tag=1))
            expected = ccm.PING + frame(RESPONSE, tag=1)
            assert await peer.read(len(expected)) == expected
            for tag in (2, 3):
                await peer.write(frame(COMMAND, tag=tag))
                while await card.tags.get() != tag:
                    pass
            for tag in (2, 3):
                manager.answer_tpdu(link, tag, RESPONSE.data)
            expected = frame(RESPONSE, tag=2) + frame(RESPONSE, tag=3)
            assert await peer.read(len(expected)) == expected
            assert program.events.empty()
            manager.detach_session(link)
            await peer.write(frame(COMMAND, tag=4))
            assert await program.events.get() == (link, Received(COMMAND, 4))


async def test_session_may_end_with_the_command() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory(ComponentType.REMSIM_BANKD))
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link = await introduce(peer, program)

            def refuse(_tag: int, _tpdu: bytes, _now: float) -> None:
                manager.execute(Close(link, "refused"))

            manager.attach_session(link, CLIENT, BANK, refuse)
            await peer.write(frame(COMMAND, tag=1))
            assert await program.ends.get() == (link, "refused")
            manager.answer_tpdu(link, 1, RESPONSE.data)


async def test_response_that_nobody_asked_for_is_withheld_and_costs_the_link() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory(ComponentType.REMSIM_BANKD))
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link = await introduce(peer, program)
            manager.attach_session(link, CLIENT, BANK, Card().on_tpdu)
            manager.answer_tpdu(link, 1, RESPONSE.data)
            assert await program.ends.get() == (link, "internal error")


async def test_other_messages_pass_the_session() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory(ComponentType.REMSIM_BANKD))
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link = await introduce(peer, program)
            manager.attach_session(link, CLIENT, BANK, Card().on_tpdu)
            await peer.write(ccm.PING)
            assert await peer.read(8) == ccm.PING + ccm.PONG
            # Two commands at once are no frame of the session, but arrive.
            await peer.write(frame(COMMAND, tag=1) + frame(COMMAND, tag=2))
            assert [await program.events.get() for _ in range(2)] == [(link, Received(COMMAND, n)) for n in (1, 2)]


# The end of the program


async def test_orderly_end_delivers_everything_and_tells_the_program() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory(ComponentType.REMSIM_BANKD))
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            link = await introduce(peer, program)
            message = rspro.SetAtrReq(CLIENT, b"\x3b\0")
            manager.execute(Send(link, message))
            await manager.close()
            assert await peer.read_to_end() == ccm.PING + frame(message, tag=1)
            assert await program.ends.get() == (link, "shutting down")
            assert len(manager) == 0


async def test_connection_that_was_being_accepted_at_the_end_is_closed_unannounced() -> None:
    async with world() as (manager, program):
        listener = await manager.listen(LOOPBACK, factory())
        manager._is_closing = True
        async with dialled_raw("127.0.0.1", listener.port) as peer:
            assert await peer.read_to_end() == ccm.PING
        assert program.ups.empty()
        assert program.ends.empty()


def test_connection_without_an_address_gets_none() -> None:
    # A connection that was reset before getpeername.
    assert link_module.peer_address(None) == PeerAddress(IPv4Address("0.0.0.0"), 0)


def test_zone_of_a_link_local_address_is_left_out() -> None:
    assert link_module.peer_address(("fe80::1%eth0", 7, 0, 2)) == PeerAddress(IPv6Address("fe80::1"), 7)
