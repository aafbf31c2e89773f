# SPDX-License-Identifier: Apache-2.0
"""Readers that are found by themselves, told apart and known again."""

import pytest

from remsim.bankd.slots.auto import AutoPlan, KnownReader, reader_key
from remsim.bankd.slots.plan import ReaderAssignment

A, B, C = "ACS ACR33 00 00", "ACS ACR33 01 00", "HID (SN1) 02 00"


def events(assignment: ReaderAssignment) -> list[str]:
    return [problem.event for problem in assignment.problems]


@pytest.mark.parametrize(
    ("name", "key"),
    [(A, "ACS ACR33 ?? 00"), (B, "ACS ACR33 ?? 00"), ("Stub Reader 0001 00", "Stub Reader 0001 00"), ("sim", "sim")],
)
def test_reader_is_known_again_without_its_plug_number(name: str, key: str) -> None:
    assert reader_key(name) == key


def test_found_readers_keep_their_slots() -> None:
    plan = AutoPlan(3)
    assert plan.assign([A, C], {}).readers == {0: A, 1: C}
    assert plan.is_changed
    assert plan.assign([C], {}).readers == {1: C}
    moved = "ACS ACR33 05 00"
    assert plan.assign([C, moved], {}).readers == {0: moved, 1: C}
    assert plan.assign(["new 00 00", C], {}).readers == {1: C, 2: "new 00 00"}


def test_readers_that_cannot_be_told_apart_are_reported_not_guessed() -> None:
    plan = AutoPlan(4)
    found = plan.assign([A, B, C], {})
    assert found.readers == {0: C}
    assert events(found) == ["readers_indistinguishable"]
    assert plan.known == {0: KnownReader("HID (SN1) ?? 00")}


def test_reader_that_had_its_slot_before_its_twin_came_keeps_it() -> None:
    plan = AutoPlan(4)
    current = plan.assign([A], {}).readers
    found = plan.assign([A, B], current)
    assert found.readers == {0: A}
    assert events(found) == ["readers_indistinguishable"]
    assert plan.assign([A, B], {}).readers == {}


def test_too_many_readers_are_reported() -> None:
    plan = AutoPlan(1, {0: KnownReader("gone ?? 00"), 7: KnownReader("far ?? 00")})
    found = plan.assign([C, "far 00 00"], {})
    assert found.readers == {}
    assert events(found) == ["no_free_slot", "no_free_slot"]


def restarted(plan: AutoPlan) -> AutoPlan:
    """The same file, read by the next run."""
    return AutoPlan(plan.slots, dict(plan.known))


def test_equal_readers_are_told_apart_by_their_sockets_in_whatever_order_they_come() -> None:
    plan = AutoPlan(4)
    first = plan.assign([A, B], {}, {A: "1-1", B: "1-2"})
    assert first.readers == {0: A, 1: B}
    assert not first.problems
    # PC/SC counts anew: what is in socket 1-2 is found first.
    assert restarted(plan).assign([A, B], {}, {A: "1-2", B: "1-1"}).readers == {0: B, 1: A}
    # Alone, the second one does not take the slot of the first.
    assert restarted(plan).assign([A], {}, {A: "1-2"}).readers == {1: A}


def test_reader_keeps_its_slot_when_its_twin_comes_later() -> None:
    plan = AutoPlan(4)
    current = plan.assign([A], {}, {A: "1-1"}).readers
    assert plan.assign([A, B], current, {A: "1-1", B: "1-2"}).readers == {0: A, 1: B}


def test_only_reader_of_its_kind_keeps_its_slot_in_another_socket() -> None:
    plan = AutoPlan(4)
    plan.assign([A], {}, {A: "1-1"})
    plan.is_changed = False
    assert plan.assign([A], {}, {A: "2-4"}).readers == {0: A}
    assert plan.known == {0: KnownReader("ACS ACR33 ?? 00", "2-4")}
    assert plan.is_changed


def test_one_of_several_without_serial_number_is_another_one_in_another_socket() -> None:
    plan = AutoPlan(4)
    plan.assign([A, B], {}, {A: "1-1", B: "1-2"})
    assert restarted(plan).assign([A, B], {}, {A: "1-1", B: "1-3"}).readers == {0: A, 2: B}


INTERFACE_0, INTERFACE_1 = "OMNIKEY (SN7) 00 00", "OMNIKEY (SN7) 01 00"


def test_interfaces_of_one_device_with_one_serial_number_keep_their_slots_when_it_is_moved() -> None:
    plan = AutoPlan(4)
    at = {INTERFACE_0: "1-1", INTERFACE_1: "1-1"}
    assert plan.assign([INTERFACE_0, INTERFACE_1], {}, at).readers == {0: INTERFACE_0, 1: INTERFACE_1}
    moved = ("OMNIKEY (SN7) 04 00", "OMNIKEY (SN7) 05 00")
    found = restarted(plan).assign(moved, {}, dict.fromkeys(moved, "2-3.1"))
    assert found.readers == {0: moved[0], 1: moved[1]}
    assert not found.problems


def test_reader_with_a_serial_number_keeps_its_slot_in_another_socket_beside_others() -> None:
    other, moved = "HID (SN2) 00 00", "HID (SN1) 01 00"
    plan = AutoPlan(4)
    plan.assign([C, other], {}, {C: "1-1", other: "1-2"})
    assert restarted(plan).assign([other, moved], {}, {other: "1-1", moved: "1-4"}).readers == {0: moved, 1: other}


def test_copies_of_one_serial_number_are_told_apart_by_socket_and_not_guessed_when_both_move() -> None:
    plan = AutoPlan(6)
    first, second = INTERFACE_0, INTERFACE_1
    assert plan.assign([first, second], {}, {first: "1-1", second: "1-2"}).readers == {0: first, 1: second}
    one_moved = restarted(plan).assign([first, second], {}, {first: "1-5", second: "1-1"})
    assert one_moved.readers == {0: second, 1: first}
    both_moved = restarted(plan).assign([first, second], {}, {first: "1-5", second: "1-6"})
    assert both_moved.readers == {2: first, 3: second}


def test_reader_whose_place_is_not_known_is_not_guessed_among_others() -> None:
    plan = AutoPlan(4)
    plan.assign([A, B], {}, {A: "1-1", B: "1-2"})
    found = restarted(plan).assign([A, B], {}, {B: "1-1"})
    assert found.readers == {0: B}
    assert events(found) == ["readers_indistinguishable"]


def test_file_without_places_learns_them_of_a_reader_that_is_alone() -> None:
    plan = AutoPlan(4, {2: KnownReader("ACS ACR33 ?? 00")})
    current = plan.assign([A], {}, {A: "1-1"}).readers
    assert current == {2: A}
    assert plan.assign([A, B], current, {A: "1-1", B: "1-2"}).readers == {2: A, 0: B}
