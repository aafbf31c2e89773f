# SPDX-License-Identifier: Apache-2.0
"""Bank slots and client slots: in range when built, told apart, read and written."""

import pytest

from remsim.core.errors import IdRangeError
from remsim.core.ids import MAX_ID, BankSlot, ClientSlot, check_id

SLOTS = [(BankSlot, "B"), (ClientSlot, "C")]


@pytest.mark.parametrize(("kind", "letter"), SLOTS)
def test_slot_goes_to_text_and_back(kind: type[BankSlot | ClientSlot], letter: str) -> None:
    slot = kind(7, 1023)
    assert str(slot) == f"{letter}7:1023"
    assert kind.parse(str(slot)) == slot
    assert kind.parse(" 7:1023 ") == slot


@pytest.mark.parametrize(("kind", "letter"), SLOTS)
@pytest.mark.parametrize("text", ["", "7", "7:", ":0", "7:0:1", "D7:0", "7;0", "-1:0", "7:0x1", "٧:0", "b7:0"])
def test_other_text_is_refused_with_an_example(kind: type[BankSlot | ClientSlot], letter: str, text: str) -> None:
    with pytest.raises(IdRangeError, match="is no ") as caught:
        kind.parse(text)
    assert f"{letter}1:0" in caught.value.hint


def test_slot_of_the_other_kind_is_refused() -> None:
    with pytest.raises(IdRangeError, match="'C7:0' is no bank slot"):
        BankSlot.parse("C7:0")
    with pytest.raises(IdRangeError, match="'B7:0' is no client slot"):
        ClientSlot.parse("B7:0")


@pytest.mark.parametrize(("kind", "letter"), SLOTS)
@pytest.mark.parametrize("numbers", [(-1, 0), (0, -1), (MAX_ID + 1, 0), (0, MAX_ID + 1)])
def test_slot_out_of_range_cannot_be_built(
    kind: type[BankSlot | ClientSlot], letter: str, numbers: tuple[int, int]
) -> None:
    with pytest.raises(IdRangeError, match=r"is outside 0\.\.1023"):
        kind(*numbers)
    assert letter


def test_number_in_range_is_returned() -> None:
    assert [check_id(number, "bank id") for number in (0, MAX_ID)] == [0, MAX_ID]
    with pytest.raises(IdRangeError, match=r"bank id 1024 is outside 0\.\.1023"):
        check_id(MAX_ID + 1, "bank id")


def test_slots_are_ordered_and_zero_is_a_number_like_any_other() -> None:
    assert sorted([BankSlot(1, 0), BankSlot(0, 5), BankSlot(0, 0)]) == [BankSlot(0, 0), BankSlot(0, 5), BankSlot(1, 0)]
    assert hash(ClientSlot(0, 0)) == hash(ClientSlot(0, 0))
