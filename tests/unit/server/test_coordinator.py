# SPDX-License-Identifier: Apache-2.0
"""What the server makes of links, messages and orders: the life of mappings as a whole."""

import pytest

from remsim.ids import BankSlot, ClientSlot
from remsim.server.coordinator import LEGAL_IN, UnknownBankError
from remsim.server.peers import MAX_UNIDENTIFIED_PER_SOURCE, PeerState
from remsim.slotmap import MappingState
from remsim.wire import rspro
from remsim.wire.actions import LinkId
from remsim.wire.connection import IdentityReceived, ReceivedUnknown, Undecodable, UnsupportedVersion
from remsim.wire.errors import DecodeError
from remsim.wire.rspro import ResultCode, SlotPhysStatus, UnknownMessage
from tests.doubles.server_world import BANKD, CLIENT, ServerWorld

AT_BANK = "B1:0 192.0.2.9:9999"


def test_mapping_is_created_at_the_bankd_then_the_client_is_sent_there() -> None:
    world = ServerWorld()
    bank, client = world.bank(1), world.client("7:0")
    world.post("1:0", "7:0")
    assert world.asked(bank) == ["+B1:0 C7:0"]
    assert world.state("1:0") is MappingState.UNACKNOWLEDGED
    assert world.told(client) == []
    world.answer(bank, rspro.CreateMappingReq)
    assert world.state("1:0") is MappingState.ACTIVE
    assert world.told(client) == [AT_BANK]


def test_client_that_comes_later_is_sent_to_its_bankd_right_behind_the_connect_response() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    client = world.client("7:0")
    assert world.kinds(client) == ["ConnectClientRes", "ConfigClientBankReq"]


def test_client_with_a_mapping_that_was_never_acknowledged_is_told_nothing() -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    client = world.client("7:0")
    assert world.told(client) == []
    bank = world.bank(1)
    assert world.told(client) == []
    world.answer(bank, rspro.CreateMappingReq)
    assert world.told(client) == [AT_BANK]


def test_mapping_once_active_is_announced_while_its_bankd_is_absent() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.lose(bank)
    assert world.state("1:0") is MappingState.NEW
    assert world.told(world.client("7:0")) == [AT_BANK]


def test_mapping_once_active_is_announced_after_a_restart_before_the_bankd_returns() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.start()
    client = world.client("7:0")
    assert world.told(client) == [AT_BANK]
    bank = world.bank(1)
    world.answer(bank, rspro.CreateMappingReq)
    assert world.told(client) == [AT_BANK], "an unchanged configuration must not be repeated"


def test_client_is_told_nothing_when_its_bankd_goes_and_returns() -> None:
    world = ServerWorld()
    client, bank = world.client("7:0"), world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.lose(bank)
    bank = world.bank(1)
    assert world.asked(bank) == ["+B1:0 C7:0"]
    world.answer(bank, rspro.CreateMappingReq)
    assert world.told(client) == [AT_BANK]


def test_client_is_told_when_its_bankd_returns_elsewhere() -> None:
    world = ServerWorld()
    client, bank = world.client("7:0"), world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.lose(bank)
    bank = world.bank(1, "192.0.2.10")
    assert world.told(client) == [AT_BANK]
    world.answer(bank, rspro.CreateMappingReq)
    assert world.told(client) == [AT_BANK, "B1:0 192.0.2.10:9999"]


def test_refused_mapping_does_not_send_the_client_and_is_tried_again_when_the_bankd_returns() -> None:
    world = ServerWorld()
    client, bank = world.client("7:0"), world.bank(1)
    world.post("1:9", "7:0")
    world.answer(bank, rspro.CreateMappingReq, ResultCode.ILLEGAL_SLOT_ID)
    assert world.state("1:9") is MappingState.REFUSED
    assert world.mapping("1:9").result == ResultCode.ILLEGAL_SLOT_ID
    assert world.told(client) == ["B1:9 none"]
    world.lose(bank)
    assert world.state("1:9") is MappingState.REFUSED
    bank = world.bank(1)
    world.answer(bank, rspro.CreateMappingReq)
    assert world.told(client) == ["B1:9 none", "B1:9 192.0.2.9:9999"]


def test_refusal_survives_a_restart() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:9", "7:0")
    world.answer(bank, rspro.CreateMappingReq, ResultCode.ILLEGAL_SLOT_ID)
    world.start()
    assert world.state("1:9") is MappingState.REFUSED


def test_deleted_mapping_is_removed_at_the_bankd_and_the_client_told_at_once() -> None:
    world = ServerWorld()
    client, bank = world.client("7:0"), world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.delete("1:0")
    assert world.asked(bank) == ["+B1:0 C7:0", "-B1:0 C7:0"]
    assert world.told(client) == [AT_BANK, "B1:0 none"]
    assert world.rows.removals == {1}
    world.answer(bank, rspro.RemoveMappingReq)
    assert world.rows.removals == set()
    world.answer(client, rspro.ConfigClientBankReq)
    world.answer(client, rspro.ConfigClientBankReq)
    assert world.rows.releases == set()


def test_deletion_while_the_bankd_is_absent_tells_the_client_at_once_and_the_bankd_later() -> None:
    world = ServerWorld()
    client, bank = world.client("7:0"), world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.lose(bank)
    world.delete("1:0")
    assert world.told(client) == [AT_BANK, "B1:0 none"]
    bank = world.bank(1)
    assert world.asked(bank) == ["-B1:0 C7:0"]


def test_bankd_lost_while_a_deletion_is_under_way_is_told_again() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.delete("1:0")
    world.lose(bank)
    world.start()
    bank = world.bank(1)
    assert world.asked(bank) == ["-B1:0 C7:0"]
    world.answer(bank, rspro.RemoveMappingReq, ResultCode.UNKNOWN_SLOTMAP)
    world.lose(bank)
    assert world.asked(world.bank(1)) == []


def test_removal_that_ends_with_an_odd_result_is_done_and_reported() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.delete("1:0")
    world.answer(bank, rspro.RemoveMappingReq, ResultCode.ILLEGAL_SLOT_ID)
    assert world.rows.removals == set()
    assert world.reports[-1].level == "warning"


def test_absent_client_is_told_of_the_deletion_when_it_returns_even_after_a_restart() -> None:
    world = ServerWorld()
    client, bank = world.client("7:0"), world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.lose(client)
    world.delete("1:0")
    world.start()
    client = world.client("7:0")
    assert world.told(client) == ["B1:0 none"]
    world.answer(client, rspro.ConfigClientBankReq)
    world.lose(client)
    assert world.told(world.client("7:0")) == []


def test_mapping_that_no_bankd_heard_of_just_goes() -> None:
    world = ServerWorld()
    client = world.client("7:0")
    world.post("1:0", "7:0")
    world.delete("1:0")
    assert world.rows.removals == set()
    assert world.told(client) == []
    assert world.asked(world.bank(1)) == []


def test_deletion_while_unacknowledged_is_sent_after_the_answer() -> None:
    world = ServerWorld()
    client, bank = world.client("7:0"), world.bank(1)
    world.post("1:0", "7:0")
    world.delete("1:0")
    assert world.asked(bank) == ["+B1:0 C7:0"]
    world.answer(bank, rspro.CreateMappingReq)
    assert world.asked(bank) == ["+B1:0 C7:0", "-B1:0 C7:0"]
    world.answer(bank, rspro.RemoveMappingReq)
    assert world.told(client) == []
    assert world.coordinator.slotmap.removal_count() == 0


@pytest.mark.parametrize("result", [ResultCode.OK, ResultCode.ILLEGAL_SLOT_ID])
def test_creation_waits_for_a_removal_that_waits_for_an_answer(result: ResultCode) -> None:
    world = ServerWorld()
    client, bank = world.client("7:0"), world.bank(1)
    world.post("1:0", "7:0")
    world.delete("1:0")
    world.post("1:0", "7:0")
    world.post("1:1", "8:0")
    assert world.asked(bank) == ["+B1:0 C7:0"]
    world.answer(bank, rspro.CreateMappingReq, result)
    assert world.asked(bank) == ["+B1:0 C7:0", "-B1:0 C7:0", "+B1:0 C7:0", "+B1:1 C8:0"]
    world.answer(bank, rspro.RemoveMappingReq)
    world.answer(bank, rspro.CreateMappingReq)
    assert world.told(client) == [AT_BANK]


def test_recreation_while_deleting_goes_out_behind_the_removal() -> None:
    world = ServerWorld()
    client, bank = world.client("7:0"), world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.delete("1:0")
    world.post("1:3", "7:0")
    assert world.asked(bank) == ["+B1:0 C7:0", "-B1:0 C7:0", "+B1:3 C7:0"]
    world.answer(bank, rspro.CreateMappingReq)
    world.answer(bank, rspro.RemoveMappingReq)
    assert world.told(client) == [AT_BANK, "B1:0 none", "B1:3 192.0.2.9:9999"]


def test_returning_bankd_gets_removals_first_then_creations() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    for slot in range(3):
        world.post(f"1:{slot}", f"{slot}:0")
        world.answer(bank, rspro.CreateMappingReq)
    world.lose(bank)
    world.delete("1:0", "1:2")
    world.post("1:0", "2:0")
    bank = world.bank(1)
    assert world.asked(bank) == ["-B1:0 C0:0", "-B1:2 C2:0", "+B1:1 C1:0", "+B1:0 C2:0"]


def test_reset_of_a_bank_creates_all_that_is_desired_again() -> None:
    world = ServerWorld()
    client, bank = world.client("7:0"), world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.post("1:9", "8:0")
    world.answer(bank, rspro.CreateMappingReq, ResultCode.ILLEGAL_SLOT_ID)
    world.post("1:1", "9:0")
    world.run(world.coordinator.reset_bank(1))
    assert world.kinds(bank)[-1] == "ResetStateReq"
    world.answer(bank, rspro.ResetStateReq)
    assert world.asked(bank)[3:] == ["+B1:0 C7:0", "+B1:9 C8:0"]
    world.answer(bank, rspro.CreateMappingReq)
    world.answer(bank, rspro.CreateMappingReq)
    assert world.told(client) == [AT_BANK]


def test_bankd_that_does_not_reset_is_reported() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.run(world.coordinator.reset_bank(1))
    world.answer(bank, rspro.ResetStateReq, ResultCode.UNSUPPORTED_PROTOCOL_VERSION)
    assert "bankd_did_not_reset" in world.reported()


def test_reset_of_a_bank_that_is_absent_raises() -> None:
    with pytest.raises(UnknownBankError):
        ServerWorld().coordinator.reset_bank(1)


def test_bankd_that_does_not_answer_is_closed_and_told_again_when_it_returns() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.advance(20)
    world.post("1:1", "7:1")
    world.answer(bank, rspro.CreateMappingReq)
    world.advance(29)
    assert bank not in world.closed, "the second request is only 29 s old"
    world.advance(1)
    assert "unanswered" in world.closed[bank]
    assert world.asked(world.bank(1)) == ["+B1:0 C7:0", "+B1:1 C7:1"]


def test_timer_of_a_bank_that_owes_nothing_does_nothing() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    assert world.coordinator.next_deadline() is None
    world.advance(60)
    assert bank in world.open


def test_answers_that_nobody_asked_for_move_nothing_and_are_logged_once() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    for _ in range(3):
        world.receive(bank, rspro.RemoveMappingRes(ResultCode.OK))
        world.receive(bank, rspro.CreateMappingRes(ResultCode.OK))
    assert bank in world.open
    assert [report.level for report in world.reports if report.event == "unasked_answer"] == ["warning"] + ["debug"] * 5


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
    assert [r.level for r in world.reports if r.event == "undecodable_message"] == ["warning", "debug"]


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
    assert world.reports[-1].fields["text"] == "card lost"
    assert "about_client_slot" not in world.reports[-1].fields


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


def test_too_many_strangers_from_one_place_are_turned_away() -> None:
    world = ServerWorld()
    for _ in range(MAX_UNIDENTIFIED_PER_SOURCE):
        world.up("198.51.100.1")
    assert world.up("198.51.100.1") in world.closed
    assert world.client("7:0", "192.0.2.1") in world.accepted


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
    assert world.told(client) == ["B1:0 192.0.2.9:9990"], "clients reach it where the server did"


def test_dialled_bankd_that_refuses_the_server_is_closed() -> None:
    world = ServerWorld()
    link = world.up("192.0.2.9", dialled_port=9990)
    world.event(link, IdentityReceived())
    answer = rspro.ConnectClientRes(BANKD, ResultCode.IDENTITY_IN_USE)
    world.receive(link, answer, request=rspro.ConnectClientReq(world.settings.identity, None))
    assert link in world.closed
    assert "bankd_refused_server" in world.reported()
