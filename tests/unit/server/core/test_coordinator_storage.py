# SPDX-License-Identifier: Apache-2.0
"""What follows from a database that is slow or refuses: nothing before the commit, and nothing half done."""

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.actions import (
    StoreDeliveries,
    StoredWebhook,
    StoreLock,
    StoreSent,
    StoreWebhook,
    StoreWebhookEnd,
)
from remsim.server.core.reconciler import ANSWER_TIMEOUT_S, STORE_RETRY_S
from remsim.server.core.slotmap import ConflictError, MappingState
from remsim.wire.messages.rspro import CreateMappingReq
from tests.doubles.server_world import ServerWorld


def test_bankd_hears_of_a_mapping_only_after_the_database_knows_that_it_may() -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    world.is_store_slow = True
    bank = world.bank(1)
    assert world.asked(bank) == []
    world.commit()
    assert world.asked(bank) == ["+B1:0 C7:0"]
    assert world.rows.mappings[1].is_sent


def test_bankd_is_not_told_what_could_not_be_stored_and_told_when_it_returns() -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    world.is_store_broken = True
    bank = world.bank(1)
    assert world.asked(bank) == []
    world.is_store_broken = False
    world.lose(bank)
    assert world.asked(world.bank(1)) == ["+B1:0 C7:0"]


def test_mapping_deleted_while_its_creation_waits_for_the_database_is_not_created() -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    world.is_store_slow = True
    bank = world.bank(1)
    world.delete("1:0")
    world.commit()
    assert world.asked(bank) == ["-B1:0 C7:0"]
    world.is_store_broken = True
    world.is_store_slow = False
    world.post("1:1", "7:1")
    assert world.asked(bank) == ["-B1:0 C7:0"]


def test_failure_to_note_a_mapping_that_is_gone_meanwhile_is_harmless() -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    world.is_store_slow = True
    world.bank(1)
    (sent,) = world.waiting
    world.waiting.clear()
    world.delete("1:0")
    world.commit()
    world.waiting.append(sent)
    world.is_store_broken = True
    world.commit()
    assert len(world.coordinator.slotmap) == 0


def test_post_that_could_not_be_stored_frees_the_slots() -> None:
    world = ServerWorld()
    world.is_store_broken = True
    world.post("1:0", "7:0")
    world.is_store_broken = False
    world.post("1:0", "7:0")
    assert len(world.coordinator.slotmap) == 1


def test_slots_are_reserved_while_the_database_works() -> None:
    world = ServerWorld()
    world.is_store_slow = True
    world.post("1:0", "7:0")
    with pytest.raises(ConflictError):
        world.post("1:0", "8:0")
    with pytest.raises(ConflictError):
        world.post("1:1", "7:0")


def test_deletion_that_could_not_be_stored_can_be_ordered_again() -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    world.is_store_broken = True
    world.delete("1:0")
    world.is_store_broken = False
    world.delete("1:0")
    assert len(world.coordinator.slotmap) == 0


def test_deletion_is_ordered_once() -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    world.is_store_slow = True
    world.delete("1:0")
    assert world.coordinator.plan_deletion([world.mapping("1:0")]) is None
    # The database may answer twice, for all we know.
    world.waiting.append(world.waiting[0])
    world.commit()
    assert len(world.coordinator.slotmap) == 0


def test_failed_deletion_of_a_mapping_that_is_gone_is_harmless() -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    world.is_store_slow = True
    world.delete("1:0")
    decision = world.waiting[0]
    world.commit()
    assert world.coordinator.on_store_failed(decision, world.now) == []


@pytest.mark.parametrize(
    "decision",
    [
        StoreWebhook(StoredWebhook(1, "https://example.org/", "secret", None, None, None, "token", 1e9)),
        StoreWebhookEnd(1),
        StoreDeliveries((), (1,)),
    ],
)
def test_webhooks_are_no_concern_of_links_and_mappings(
    decision: StoreWebhook | StoreWebhookEnd | StoreDeliveries,
) -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    bank = world.bank(1)
    assert world.coordinator.on_stored(decision, world.now, created_at=world.rows.wall) == []
    assert world.coordinator.on_store_failed(decision, world.now) == []
    assert world.asked(bank) == ["+B1:0 C7:0"]


class TestChanges:
    """Several mappings deleted and created at once."""

    def change(self, world: ServerWorld, ended: list[str], created: list[tuple[str, str]]) -> None:
        pairs = [(BankSlot.parse(bank), ClientSlot.parse(client)) for bank, client in created]
        change = world.coordinator.plan_change([world.mapping(bank) for bank in ended], pairs)
        assert change is not None
        world.run([change])

    def test_bankd_loses_the_old_mapping_before_it_hears_of_the_new_one(self) -> None:
        world = ServerWorld()
        bank = world.bank(1)
        world.post("1:0", "7:0")
        world.answer(bank, CreateMappingReq)
        assert world.asked(bank) == ["+B1:0 C7:0"]
        self.change(world, ["1:0"], [("1:1", "7:0"), ("1:0", "8:0")])
        assert world.asked(bank)[1:] == ["-B1:0 C7:0", "+B1:1 C7:0", "+B1:0 C8:0"]
        live = {(str(row.bank), str(row.client)) for row in world.rows.mappings.values() if row.is_live}
        assert live == {("B1:1", "C7:0"), ("B1:0", "C8:0")}

    def test_nothing_is_reserved_when_one_slot_is_taken(self) -> None:
        world = ServerWorld()
        world.post("1:0", "7:0")
        with pytest.raises(ConflictError):
            self.change(world, [], [("1:1", "8:0"), ("1:0", "9:0")])
        world.post("1:1", "8:0")

    def test_what_is_not_stored_leaves_everything_as_it_was(self) -> None:
        world = ServerWorld()
        world.post("1:0", "7:0")
        world.is_store_broken = True
        self.change(world, ["1:0"], [("1:1", "7:0")])
        world.is_store_broken = False
        assert world.coordinator.slotmap.by_client_slot(ClientSlot(7, 0)) is world.mapping("1:0")
        world.delete("1:0")
        world.post("1:1", "7:0")

    def test_mapping_that_another_request_deletes_cannot_be_changed(self) -> None:
        world = ServerWorld()
        world.post("1:0", "7:0")
        world.is_store_slow = True
        world.delete("1:0")
        with pytest.raises(ConflictError):
            self.change(world, ["1:0"], [("1:1", "7:0")])

    def test_nothing_to_do_is_nothing_to_store(self) -> None:
        assert ServerWorld().coordinator.plan_change([], []) is None

    def test_labels_are_known_once_they_are_stored(self) -> None:
        world = ServerWorld()
        world.is_store_broken = True
        world.run([world.coordinator.plan_labels("B1:0", ["roaming"])])
        assert world.coordinator.labels.of("B1:0") == ()
        world.is_store_broken = False
        world.run([world.coordinator.plan_labels("B1:0", ["roaming"])])
        assert world.coordinator.labels.of("B1:0") == ("roaming",)
        assert world.rows.labels == {"B1:0": ("roaming",)}


def test_lock_holds_once_it_is_stored_and_ends_nothing() -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    bank = world.bank(1)
    assert world.asked(bank) == ["+B1:0 C7:0"]
    locks = world.coordinator.slotmap.locks
    world.is_store_broken = True
    world.run([locks.plan(BankSlot(1, 1), "worn", "test")])
    assert locks.all() == []
    world.is_store_broken = False
    for number in (0, 1):
        world.run([locks.plan(BankSlot(1, number), "worn", "test")])
    assert [lock.bank for lock in locks.all()] == [BankSlot(1, 0), BankSlot(1, 1)]
    with pytest.raises(ConflictError, match="B1:1 is locked: worn"):
        world.coordinator.plan_creation(BankSlot(1, 1), ClientSlot(7, 1))
    assert world.asked(bank) == ["+B1:0 C7:0"]
    world.run([StoreLock(BankSlot(1, 1), None, "test")])
    world.post("1:1", "7:1")
    assert world.asked(bank) == ["+B1:0 C7:0", "+B1:1 C7:1"]


def test_mapping_whose_deletion_failed_is_created_at_a_bankd_that_came_meanwhile() -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    world.is_store_slow = True
    world.delete("1:0")
    bank = world.bank(1)
    (deletion,) = world.waiting
    world.waiting.clear()
    world.run(world.coordinator.on_store_failed(deletion, world.now))
    assert world.asked(bank) == []
    world.commit()
    assert world.asked(bank) == ["+B1:0 C7:0"]


def test_mapping_whose_deletion_failed_while_it_was_held_is_created_at_once() -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    world.is_store_slow = True
    bank = world.bank(1)
    world.delete("1:0")
    sent, deletion = world.waiting
    world.waiting = [sent]
    world.commit()
    assert world.asked(bank) == []
    world.run(world.coordinator.on_store_failed(deletion, world.now))
    assert world.asked(bank) == ["+B1:0 C7:0"]


def test_active_mapping_whose_deletion_failed_is_not_created_again() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.answer(bank, CreateMappingReq)
    world.is_store_broken = True
    world.delete("1:0")
    assert world.asked(bank) == ["+B1:0 C7:0"]
    assert world.state("1:0") is MappingState.ACTIVE


@pytest.mark.parametrize("failures", [1, 3])
def test_mapping_that_could_not_be_noted_as_sent_is_tried_again(failures: int) -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    world.is_store_broken = True
    bank = world.bank(1)
    assert (world.asked(bank), world.state("1:0")) == ([], MappingState.NEW)
    world.advance(STORE_RETRY_S * (failures - 1) + 0.1)
    world.is_store_broken = False
    assert world.asked(bank) == []
    world.advance(STORE_RETRY_S)
    assert world.asked(bank) == ["+B1:0 C7:0"]
    world.answer(bank, CreateMappingReq)
    assert world.state("1:0") is MappingState.ACTIVE
    assert world.coordinator.next_deadline() is None


def test_retry_does_not_move_the_limit_for_answers_that_are_owed() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.post("1:0", "7:0")
    world.advance(ANSWER_TIMEOUT_S - 1)
    world.is_store_broken = True
    world.run(world.coordinator.on_store_failed(StoreSent(1, ()), world.now))
    world.advance(0.9)
    assert bank not in world.closed
    world.advance(0.2)
    assert "unanswered" in world.closed[bank]


def test_bankd_that_left_is_not_tried_again() -> None:
    world = ServerWorld()
    world.post("1:0", "7:0")
    world.is_store_broken = True
    world.lose(world.bank(1))
    world.run(world.coordinator.on_store_failed(StoreSent(1, ()), world.now))
    assert world.coordinator.next_deadline() is None
