# SPDX-License-Identifier: Apache-2.0
"""Odd, unreadable and unasked messages, indications, unauthenticated peers, and bankds that the server dials."""

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.legal_messages import LEGAL_IN
from remsim.server.core.peers import PeerState, SessionReport
from remsim.wire.errors import DecodeError
from remsim.wire.link.actions import LinkId
from remsim.wire.link.engine import IdentityReceived, ReceivedUnknown, Undecodable, UnsupportedVersion
from remsim.wire.messages import rspro
from remsim.wire.messages.extensions import TraceInd, TraceKind, TraceOrigin, TraceRecord, TraceReq
from remsim.wire.messages.health import SessionPhase
from remsim.wire.messages.rspro import ResultCode, SlotPhysStatus, UnknownMessage
from tests.doubles.server_world import BANKD, CLIENT, ServerWorld


def test_answers_that_nobody_asked_for_move_nothing_and_are_logged_once() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    for _ in range(3):
        world.receive(bank, rspro.RemoveMappingRes(ResultCode.OK))
        world.receive(bank, rspro.CreateMappingRes(ResultCode.OK))
    assert bank in world.open
    assert [event.level for event in world.log if event.name == "unasked_answer"] == ["warning"] + ["debug"] * 5


def test_answers_for_a_pair_that_nobody_waits_for_move_nothing() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    slots = ClientSlot(7, 0), BankSlot(1, 0)
    world.receive(bank, rspro.CreateMappingRes(ResultCode.OK), request=rspro.CreateMappingReq(*slots))
    world.receive(bank, rspro.RemoveMappingRes(ResultCode.OK), request=rspro.RemoveMappingReq(*slots))
    assert world.reported().count("unasked_answer") == 2


@pytest.mark.parametrize("message", [rspro.ResetStateReq(), rspro.SetAtrReq(ClientSlot(7, 0), b"\x3b\x00")])
def test_message_that_means_nothing_here_is_ignored(message: rspro.Message) -> None:
    world = ServerWorld()
    client = world.client("7:0")
    world.receive(client, message)
    assert client in world.open
    assert "unexpected_message" in world.reported()


def test_legal_states_name_real_states_for_every_message_of_the_table() -> None:
    assert all(states and states <= set(PeerState) for states in LEGAL_IN.values())


def test_undecodable_and_unknown_messages_of_identified_peers_are_ignored() -> None:
    world = ServerWorld()
    client = world.client("7:0")
    world.event(client, Undecodable(DecodeError("no", alternative=2), b""))
    world.event(client, Undecodable(DecodeError("no"), b""))
    world.event(client, ReceivedUnknown(33, 1))
    world.event(client, UnsupportedVersion(3, rspro.ConnectClientReq(CLIENT, ClientSlot(7, 0))))
    world.event(client, IdentityReceived())
    assert client in world.open
    assert [r.level for r in world.log if r.name == "undecodable_message"] == ["warning", "debug"]


@pytest.mark.parametrize(
    ("alternative", "answer"),
    [
        (0, rspro.ConnectBankRes(ServerWorld().settings.identity, ResultCode.ILLEGAL_BANK_ID)),
        (2, rspro.ConnectClientRes(ServerWorld().settings.identity, ResultCode.ILLEGAL_CLIENT_ID)),
    ],
)
def test_connect_request_out_of_range_is_refused_and_closed(alternative: int, answer: rspro.Message) -> None:
    world = ServerWorld()
    link = world.up()
    error = DecodeError("65537 is outside 0..1023", alternative=alternative)
    error.tag = 5
    world.event(link, Undecodable(error, b""))
    assert world.messages(link) == [answer]
    assert link in world.closed


def test_connect_request_whose_tag_cannot_be_read_is_closed_without_answer() -> None:
    world = ServerWorld()
    link = world.up()
    world.event(link, Undecodable(DecodeError("no", alternative=2), b""))
    assert world.messages(link) == []
    assert link in world.closed


@pytest.mark.parametrize("message", [rspro.ConnectBankReq(BANKD, 1, 4), UnknownMessage(2)])
def test_connect_request_of_a_later_version_is_closed(message: rspro.Message | UnknownMessage) -> None:
    world = ServerWorld()
    link = world.up()
    world.event(link, UnsupportedVersion(3, message))
    assert link in world.closed


def test_other_message_of_a_later_version_is_ignored() -> None:
    world = ServerWorld()
    link = world.up()
    world.event(link, UnsupportedVersion(3, UnknownMessage(30)))
    assert link in world.open


def test_error_indication_is_kept_and_reported() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    error = rspro.ErrorInd(
        rspro.ComponentType.REMSIM_BANKD,
        rspro.ErrorSeverity.MAJOR,
        rspro.ErrorCode.UNEXPECTED_DISCONNECT,
        BankSlot(1, 0),
        None,
        "card lost",
    )
    world.receive(bank, error)
    peer = world.coordinator.peers.by_bank(1)
    assert peer is not None
    assert (peer.error_count, peer.last_error) == (1, error)
    assert world.log[-1].shown_fields()["text"] == "card lost"
    assert "about_client_slot" not in world.log[-1].shown_fields()


def test_reader_that_does_not_work_is_kept_until_it_works_again() -> None:
    world = ServerWorld()
    link = world.bank(1, is_own=True)
    peer = world.coordinator.peers.by_bank(1)
    assert peer is not None
    suspended = rspro.ReaderHealthInd(BankSlot(1, 2), rspro.ReaderState.SUSPENDED, 3, "card mute")
    probing = rspro.ReaderHealthInd(BankSlot(1, 2), rspro.ReaderState.PROBING, 3, "card mute")
    world.receive(link, suspended)
    world.receive(link, probing)
    assert peer.readers == {2: probing}
    assert world.reported().count("bank_reader_health") == 2
    for slot in (BankSlot(2, 2), BankSlot(1, 1023)):
        world.receive(link, rspro.ReaderHealthInd(slot, rspro.ReaderState.SUSPENDED, 3))
    assert world.reported().count("foreign_reader_health") == 2
    world.receive(link, rspro.ReaderHealthInd(BankSlot(1, 2), rspro.ReaderState.WORKING, 0))
    assert peer.readers == {}


def test_slot_status_of_a_bankd_is_kept() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    status = SlotPhysStatus(reset_active=False, card_present=True)
    world.receive(bank, rspro.BankSlotStatusInd(BankSlot(1, 3), ClientSlot(0, 0), status))
    world.receive(bank, rspro.BankSlotStatusInd(BankSlot(2, 3), ClientSlot(0, 0), status))
    peer = world.coordinator.peers.by_bank(1)
    assert peer is not None
    assert peer.slot_status == {3: status}
    assert "foreign_slot_status" in world.reported()


def test_sessions_of_a_bankd_are_kept_until_they_end() -> None:
    world = ServerWorld()
    bank = world.bank(1, is_own=True)
    slot, client = BankSlot(1, 0), ClientSlot(7, 0)
    peer = world.coordinator.peers.by_bank(1)
    assert peer is not None
    world.receive(bank, rspro.SessionStateInd(slot, client, SessionPhase.DETACHED, 1500, 3))
    assert peer.sessions == {0: SessionReport(client, "DETACHED", world.now - 1.5, 3)}
    world.receive(bank, rspro.SessionStateInd(slot, client, SessionPhase.NONE, 0, 3))
    assert peer.sessions == {}


@pytest.mark.parametrize("slot", [BankSlot(2, 0), BankSlot(1, 1023)])
def test_session_of_a_slot_that_the_bank_does_not_have_is_ignored(slot: BankSlot) -> None:
    world = ServerWorld()
    bank = world.bank(1, is_own=True)
    world.receive(bank, rspro.SessionStateInd(slot, ClientSlot(7, 0), SessionPhase.ATTACHED, 0, 0))
    peer = world.coordinator.peers.by_bank(1)
    assert peer is not None
    assert peer.sessions == {}
    assert "foreign_session_state" in world.reported()


def test_what_a_bankd_tells_of_a_watched_slot_is_there_for_those_who_watch() -> None:
    world = ServerWorld()
    bank, slot = world.bank(1, is_own=True), BankSlot(1, 0)
    feed, actions = world.coordinator.traces.watch(slot, world.now)
    world.run(actions)
    assert world.last(bank, TraceReq).bank_slot == slot
    record = TraceRecord(TraceKind.COLD_RESET, TraceOrigin.MODEM, 500_000)
    world.receive(bank, TraceInd(0, (record,), bank_slot=slot))
    (entry,) = feed.after(0, 10)
    assert (entry.source, entry.record, entry.at) == (slot, record, world.now - 0.5)
    world.receive(bank, TraceInd(0, (record,), bank_slot=BankSlot(2, 0)))
    assert world.reported()[-1] == "foreign_trace"
    assert len(feed.after(0, 10)) == 1


def test_events_of_a_link_that_is_gone_are_ignored() -> None:
    world = ServerWorld()
    world.event(LinkId(99), IdentityReceived())
    assert world.coordinator.on_link_lost(LinkId(99), "gone", world.now) == []


def test_dialled_bankd_is_asked_who_it_is_before_the_server_introduces_itself() -> None:
    world = ServerWorld()
    link = world.up("192.0.2.9", dialled_port=9990)
    assert link in world.asked_identity
    assert world.messages(link) == []
    world.event(link, IdentityReceived())
    assert world.messages(link) == [rspro.ConnectClientReq(world.settings.identity, None)]
    world.post("1:0", "7:0")
    client = world.client("7:0")
    world.bank(1, link=link)
    world.answer(link, rspro.CreateMappingReq)
    assert world.told(client)[-1] == "B1:0 192.0.2.9:9990", "clients reach it where the server did"


def test_dialled_bankd_that_refuses_the_server_is_closed() -> None:
    world = ServerWorld()
    link = world.up("192.0.2.9", dialled_port=9990)
    world.event(link, IdentityReceived())
    answer = rspro.ConnectClientRes(BANKD, ResultCode.IDENTITY_IN_USE)
    world.receive(link, answer, request=rspro.ConnectClientReq(world.settings.identity, None))
    assert link in world.closed
    assert "bankd_refused_server" in world.reported()
