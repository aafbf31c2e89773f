# SPDX-License-Identifier: Apache-2.0
"""What is told of stored changes. ``ServerWorld`` checks each time that it is the same before and behind the commit."""

from remsim.core import event_kinds
from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core import change_events
from remsim.server.core.actions import SERVER, StoreLock
from remsim.server.core.card_choice import CardChoice
from remsim.wire.messages.extensions import CardInd
from tests.doubles.server_world import ServerWorld

ICCID = "8900101234567890018"


def told(world: ServerWorld) -> list[str]:
    return [event.name for event in world.log if event.name in change_events.KINDS]


def lend(world: ServerWorld, pool: str, client: str, *, wait_s: float = 0.0) -> int:
    decision = world.coordinator.lending.plan(
        CardChoice.parse(pool),
        ClientSlot.parse(client),
        banks=None,
        by=SERVER,
        priority=0,
        duration_s=60.0,
        wait_s=wait_s,
        wall=world.rows.wall,
        now=world.now,
    )
    world.run([decision])
    return decision.order.id


def test_each_kind_is_one_that_others_are_told_of() -> None:
    assert set(event_kinds.KINDS) >= change_events.KINDS


def test_a_lease_is_told_from_the_request_to_its_end() -> None:
    world = ServerWorld()
    first = lend(world, "B1:0", "C7:0")
    lend(world, "B1:0", "C8:0", wait_s=600.0)
    world.run([world.coordinator.lending.plan_renewal(first, 90.0)])
    world.run([world.coordinator.lending.plan_release(first)])
    world.advance(61.0)
    assert told(world) == [
        *("mapping_created", "lease_granted", "lease_queued", "lease_renewed"),
        *("mapping_deleted", "lease_released", "mapping_created", "lease_granted"),
        *("mapping_deleted", "lease_expired"),
    ]
    waited = [event.fields["waited_s"] for event in world.log if event.name == "lease_granted"]
    assert waited == [0.0, 0.0]


def test_a_renewal_behind_the_end_of_its_lease_in_one_commit_tells_nothing() -> None:
    world = ServerWorld()
    number = lend(world, "B1:0", "C7:0")
    world.is_store_slow = True
    renewal = world.coordinator.lending.plan_renewal(number, 90.0)
    world.delete("1:0")
    world.run([renewal])
    world.log.clear()
    world.commit()
    assert told(world) == ["mapping_deleted", "lease_released"]


def test_a_mapping_that_goes_with_its_card_is_told_when_that_is_stored_and_not_if_it_is_not() -> None:
    for is_broken in (False, True):
        world = ServerWorld()
        link = world.bank(1, is_own=True)
        world.receive(link, CardInd(BankSlot(1, 0), ICCID))
        change = world.coordinator.plan_change(
            [], [(BankSlot(1, 0), ClientSlot(7, 0))], follows={BankSlot(1, 0): ICCID}
        )
        assert change is not None
        world.run([change])
        world.log.clear()
        world.is_store_broken = is_broken
        world.receive(link, CardInd(BankSlot(1, 0), None))
        world.receive(link, CardInd(BankSlot(1, 1), ICCID))
        assert told(world) == ([] if is_broken else ["card_followed", "mapping_deleted", "mapping_created"])


def test_a_lock_is_told_without_its_reason() -> None:
    world = ServerWorld()
    world.run([StoreLock(BankSlot(1, 0), "contact trouble", "x"), StoreLock(BankSlot(1, 0), None, "x")])
    (locked, unlocked) = world.log
    assert (locked.name, locked.bank_slot, locked.fields) == ("slot_locked", BankSlot(1, 0), {})
    assert unlocked.name == "slot_unlocked"
