# SPDX-License-Identifier: Apache-2.0
"""Mappings: transitions, indexes, reservations."""

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.state_machine import IllegalTransitionError
from remsim.server.core.actions import ParkedMapping
from remsim.server.core.slotmap import (
    MAPPING_TRANSITIONS,
    AnswerQueue,
    ConflictError,
    Freed,
    Mapping,
    MappingEvent,
    MappingState,
    SlotMap,
)


def make(number: int, bank: str, client: str, *, is_sent: bool = False) -> Mapping:
    return Mapping(number, BankSlot.parse(bank), ClientSlot.parse(client), 1e9, is_sent=is_sent)


def test_every_state_has_a_way_in_and_a_way_out() -> None:
    reached = {following for _, _, following in MAPPING_TRANSITIONS}
    left = {state for state, _, following in MAPPING_TRANSITIONS if following is not state}
    assert reached == set(MappingState)
    assert left == set(MappingState) - {MappingState.GONE}


def test_every_event_moves_something() -> None:
    assert {event for _, event, _ in MAPPING_TRANSITIONS} == set(MappingEvent)


def test_step_that_is_not_listed_raises() -> None:
    mapping = make(1, "1:0", "2:0")
    with pytest.raises(IllegalTransitionError, match="mapping: 'removeMappingRes' in state NEW"):
        mapping.step(MappingEvent.REMOVED)


@pytest.mark.parametrize(
    ("bank", "client", "reason"),
    [
        ("1:0", "3:0", r"B1:0 is mapped to C2:0 already"),
        ("1:1", "2:0", r"C2:0 is mapped to B1:0 already"),
        ("5:5", "9:9", r"just being mapped"),
        ("5:4", "6:6", r"just being mapped"),
    ],
)
def test_reserve_names_the_slot_that_is_taken(bank: str, client: str, reason: str) -> None:
    slotmap = SlotMap()
    slotmap.add(make(1, "1:0", "2:0"))
    slotmap.reserve(BankSlot(5, 5), ClientSlot(6, 6))
    with pytest.raises(ConflictError, match=reason):
        slotmap.reserve(BankSlot.parse(bank), ClientSlot.parse(client))


def test_unreserve_gives_both_slots_back() -> None:
    slotmap = SlotMap()
    slotmap.reserve(BankSlot(5, 5), ClientSlot(6, 6))
    slotmap.unreserve(BankSlot(5, 5), ClientSlot(6, 6))
    slotmap.reserve(BankSlot(5, 5), ClientSlot(6, 6))


def test_live_mapping_is_found_by_all_its_names() -> None:
    slotmap = SlotMap()
    first, second = make(1, "1:0", "2:0"), make(2, "1:1", "2:1")
    slotmap.add(second)
    slotmap.add(first)
    assert list(slotmap) == [second, first]
    assert len(slotmap) == 2
    assert slotmap.get(1) is slotmap.by_bank_slot(BankSlot(1, 0)) is slotmap.by_client_slot(ClientSlot(2, 0)) is first
    assert slotmap.live_of_bank(1) == (second, first)
    assert slotmap.live_of_bank(9) == ()


def test_mapping_that_no_bankd_knows_is_gone_when_deleted() -> None:
    slotmap = SlotMap()
    mapping = make(1, "1:0", "2:0")
    slotmap.add(mapping)
    assert slotmap.delete(mapping, 5.0) is False
    assert slotmap.get(1) is None
    assert slotmap.removals_of_bank(1) == ()


def test_mapping_that_a_bankd_may_know_stays_as_removal_until_answered() -> None:
    slotmap = SlotMap()
    mapping = make(1, "1:0", "2:0", is_sent=True)
    slotmap.add(mapping)
    assert slotmap.delete(mapping, 5.0) is True
    slotmap.reserve(mapping.bank, mapping.client)
    assert slotmap.removals_of_bank(1) == (mapping,)
    assert slotmap.removal_count() == 1
    mapping.step(MappingEvent.REMOVE_SENT)
    slotmap.removed(mapping)
    assert slotmap.removal_count() == 0


def test_slot_without_a_mapping_knows_when_the_last_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    slotmap = SlotMap()
    mapping = make(1, "1:0", "2:0")
    slotmap.add(mapping)
    assert slotmap.freed(mapping.bank) is None
    slotmap.delete(mapping, 5.0)
    assert slotmap.freed(mapping.bank) == Freed(5.0, mapping.client)
    assert slotmap.freed(mapping.client) == Freed(5.0, mapping.bank)
    # What waits for its card is not free.
    slotmap.park(ParkedMapping(2, BankSlot(1, 0), ClientSlot(2, 0), "8901", 4.0, 5.0))
    assert slotmap.freed(mapping.client) is None
    slotmap.unpark(2, 7.0)
    assert slotmap.freed(mapping.client) == Freed(7.0, mapping.bank)
    slotmap.add(make(3, "1:0", "2:1"))
    assert slotmap.freed(mapping.bank) is None
    monkeypatch.setattr("remsim.server.core.slotmap.MAX_FREED", 2)
    for number in (4, 5):
        slotmap.add(other := make(number, f"9:{number}", f"9:{number}"))
        slotmap.delete(other, 8.0)
    assert slotmap.freed(mapping.client) is None
    assert slotmap.freed(ClientSlot(9, 4)) is None
    assert slotmap.freed(ClientSlot(9, 5)) == Freed(8.0, BankSlot(9, 5))


def test_mapping_is_found_by_the_card_that_it_follows_now() -> None:
    slotmap = SlotMap()
    mapping, other = make(1, "1:0", "2:0"), make(2, "1:1", "2:1")
    slotmap.add(mapping)
    slotmap.add(other)
    slotmap.follow(mapping, "8901")
    assert slotmap.follower("8901") is mapping
    slotmap.follow(mapping, "8902")
    assert (slotmap.follower("8901"), slotmap.follower("8902")) == (None, mapping)
    # Another mapping follows the card now; the first one leaves it alone.
    slotmap.follow(other, "8902")
    slotmap.follow(mapping, None)
    assert mapping.follows is None
    assert slotmap.follower("8902") is other
    slotmap.delete(other, 5.0)
    assert slotmap.follower("8902") is None


def test_answers_find_the_oldest_request_of_their_pair() -> None:
    queue = AnswerQueue()
    first, second, other = make(1, "1:0", "2:0"), make(2, "1:0", "2:0"), make(3, "1:1", "2:1")
    for mapping in (first, second, other):
        queue.push(mapping)
    assert queue.pop(BankSlot(1, 1), ClientSlot(2, 1)) is other
    assert queue.pop(BankSlot(1, 0), ClientSlot(2, 0)) is first
    assert queue.pop(BankSlot(1, 0), ClientSlot(2, 0)) is second
    assert queue.pop(BankSlot(1, 0), ClientSlot(2, 0)) is None
