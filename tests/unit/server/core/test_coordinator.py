# SPDX-License-Identifier: Apache-2.0
"""What the server makes of links, messages and orders: the life of mappings as a whole."""

import pytest

from remsim.server.core.coordinator import UnknownBankError
from remsim.server.core.slotmap import MappingState
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ResultCode
from tests.doubles.server_world import ServerWorld

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


def test_client_whose_mapping_no_bankd_has_heard_of_learns_that_there_is_none_yet() -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    client = world.client("7:0")
    assert world.told(client) == ["B1:0 none"]
    bank = world.bank(1)
    assert world.told(client) == ["B1:0 none"]
    world.answer(bank, rspro.CreateMappingReq)
    assert world.told(client) == ["B1:0 none", AT_BANK]


def test_client_whose_mapping_a_bankd_may_have_is_told_nothing_before_that_is_known() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.lose(bank)
    assert world.told(world.client("7:0")) == []


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
    assert world.log[-1].level == "warning"


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


def test_returning_bankd_keeps_a_mapping_that_was_deleted_and_made_again() -> None:
    world = ServerWorld()
    client, bank = world.client("7:0"), world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.lose(bank)
    for _ in range(2):
        world.delete("1:0")
        world.post("1:0", "7:0")
    world.post("1:1", "8:0")
    world.delete("1:1")
    assert world.rows.removals == {1}
    bank = world.bank(1)
    assert world.asked(bank) == ["+B1:0 C7:0"]
    assert world.rows.removals == set()
    world.answer(bank, rspro.CreateMappingReq)
    assert world.told(client) == [AT_BANK, "B1:0 none", AT_BANK]


@pytest.mark.parametrize("is_known_to_be_sent", [True, False])
def test_what_was_made_again_and_deleted_before_it_was_sent_is_removed(is_known_to_be_sent: bool) -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.lose(bank)
    world.delete("1:0")
    world.post("1:0", "7:0")
    world.is_store_slow = True
    bank = world.bank(1)
    if not is_known_to_be_sent:
        world.is_store_broken = True
        world.commit()
        world.is_store_broken = False
    assert world.asked(bank) == []
    world.delete("1:0")
    world.commit()
    asked = world.asked(bank)
    assert asked == ["-B1:0 C7:0"] * (2 if is_known_to_be_sent else 1)
    for _ in asked:
        world.answer(bank, rspro.RemoveMappingReq)
    assert world.rows.removals == set()
    assert world.coordinator.slotmap.removal_count() == 0


def test_removal_is_forgotten_only_when_the_database_knows_that_the_bankd_is_told_again() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.lose(bank)
    world.delete("1:0")
    world.post("1:0", "7:0")
    world.is_store_slow = True
    world.bank(1)
    assert world.rows.removals == {1}
    world.is_store_slow = False
    world.start()
    assert world.asked(world.bank(1)) == ["+B1:0 C7:0"]
    assert world.rows.removals == set()


def test_bankd_that_returns_while_the_mapping_made_again_is_being_deleted_is_told_to_remove_it() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, rspro.CreateMappingReq)
    world.lose(bank)
    world.delete("1:0")
    world.post("1:0", "7:0")
    world.is_store_slow = True
    world.delete("1:0")
    bank = world.bank(1)
    assert world.asked(bank) == ["-B1:0 C7:0"]
    world.commit()
    assert world.asked(bank) == ["-B1:0 C7:0"]


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
