# SPDX-License-Identifier: Apache-2.0
"""Labels, and how a request names a card."""

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.actions import StoreLabels
from remsim.server.core.card_choice import CardChoice, CardChoiceError, ambiguity
from remsim.server.core.inventory import CardContents, Inventory
from remsim.server.core.labels import LabelError, Labels, check_label, parse_subject, shown_subject, slots_of

ICCID = "8900101234567890018"
OTHER = "8900101234567890026"


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("B1:3", "B1:3"),
        ("B01:3", "B1:3"),
        ("C7:0", "C7:0"),
        (f"iccid:{ICCID}",) * 2,
        ("iccid:89a", "iccid:89A"),
    ],
)
def test_subjects_have_one_form(text: str, subject: str) -> None:
    assert parse_subject(text) == subject


@pytest.mark.parametrize(
    "text", ["", "X1:3", "B1", "B1024:0", "C1:1024", "iccid:", "iccid:x", "iccid:" + "1" * 21, "label:a"]
)
def test_what_has_no_labels(text: str) -> None:
    with pytest.raises(LabelError) as caught:
        parse_subject(text)
    assert caught.value.hint


@pytest.mark.parametrize("label", ["", " a", "a ", "a\nb", "x" * 65, "\x1b[31m"])
def test_what_is_no_label(label: str) -> None:
    with pytest.raises(LabelError):
        check_label(label)


def test_subject_of_a_card_is_shown_shortened() -> None:
    assert shown_subject(f"iccid:{ICCID}") == "iccid:890010…0018"
    assert shown_subject("B1:3") == "B1:3"
    assert slots_of("C7:1") == (None, ClientSlot(7, 1))


def test_labels_are_replaced_as_a_whole() -> None:
    labels = Labels({})
    labels.on_stored(labels.plan("B1:3", ["b", "a", "b"]))
    assert labels.of("B1:3") == ("a", "b")
    labels.on_stored(labels.plan("B1:3", ["c"]))
    assert labels.all() == {"B1:3": ("c",)}
    assert labels.plan("B1:3", []) == StoreLabels("B1:3", ())
    labels.on_stored(labels.plan("B1:3", []))
    assert labels.all() == {}
    with pytest.raises(LabelError):
        labels.plan("B1:3", [str(nr) for nr in range(9)])


@pytest.mark.parametrize(
    "text", ["", "1", "C7:0", "iccid:", "iccid:zz", "imsi:00101", "imsi:x", "label:", "label: a", "B1024:0", "slot:1"]
)
def test_what_names_no_card(text: str) -> None:
    with pytest.raises(CardChoiceError) as caught:
        CardChoice.parse(text)
    assert caught.value.hint


def test_cards_are_found_by_slot_number_and_label() -> None:
    inventory = Inventory({BankSlot(2, 0): ICCID, BankSlot(1, 1): OTHER})
    labels = Labels({f"iccid:{ICCID}": ("pool",), "B1:7": ("pool",), "C7:0": ("pool",), "B1:2": ("other",)})

    def found(text: str) -> list[str]:
        return [str(slot) for slot in CardChoice.parse(text).slots(inventory, labels)]

    assert found("B5:5") == ["B5:5"]
    assert found(f"iccid:{ICCID}") == ["B2:0"]
    assert found("iccid:1") == []
    assert found("imsi:001010123456789") == []
    assert found("label:pool") == ["B1:7", "B2:0"]
    assert str(CardChoice.parse(f"iccid:{ICCID}")) == "iccid:890010…0018"
    assert str(CardChoice.parse("label:pool")) == "label:pool"


def test_cards_are_found_by_imsi_where_it_is_kept() -> None:
    contents = {BankSlot(2, 0): CardContents("001010123456789"), BankSlot(1, 1): CardContents("001010123456788")}
    choice = CardChoice.parse("imsi:001010123456789")
    for keeps, expected in ((True, [BankSlot(2, 0)]), (False, [])):
        inventory = Inventory({BankSlot(2, 0): ICCID, BankSlot(1, 1): OTHER}, contents, keeps_imsi=keeps)
        assert choice.slots(inventory, Labels({})) == expected
    assert str(choice) == "imsi:00101…89"
    assert (choice.is_one_card, CardChoice.parse("label:pool").is_one_card) == (True, False)


def test_a_number_of_several_cards_is_said_to_be_that() -> None:
    choice = CardChoice.parse("imsi:001010123456789")
    found = [BankSlot(1, nr) for nr in range(5)]
    assert ambiguity(choice, found) == "imsi:00101…89 is the number of 5 cards, in B1:0, B1:1, B1:2, B1:3"
