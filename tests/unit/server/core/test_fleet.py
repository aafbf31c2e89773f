# SPDX-License-Identifier: Apache-2.0
"""From a desired state to the changes that lead there."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.card_choice import CardChoice, CardChoiceKind
from remsim.server.core.fleet import FleetError, FleetPlan, plan_fleet

#: Labels, and the slots of their cards.
POOLS = {"pool": ("B1:0", "B1:1"), "other": ("B1:1", "B1:2"), "none": ()}
#: The number of two cards.
TWINS = "iccid:8900101234567890018"
POOLS[TWINS.removeprefix("iccid:")] = ("B1:4", "B1:5")


def candidates(choice: CardChoice) -> list[BankSlot]:
    names = (choice.value,) if choice.kind is CardChoiceKind.SLOT else POOLS[choice.value]
    return [BankSlot.parse(name) for name in names]


def plan(wanted: Mapping[str, str], current: Mapping[str, str], occupied: tuple[str, ...] = ()) -> FleetPlan:
    return plan_fleet(
        {ClientSlot.parse(client): CardChoice.parse(card) for client, card in wanted.items()},
        {ClientSlot.parse(client): BankSlot.parse(bank) for client, bank in current.items()},
        candidates,
        {BankSlot.parse(bank) for bank in occupied},
        # The card in B1:1 cannot be used now.
        lambda _client, banks: sorted(banks, key=lambda bank: (bank == BankSlot.parse("B1:1"), bank)),
    )


def text(found: FleetPlan) -> list[str]:
    return [f"-{client}" for client in found.ended] + [f"+{client} {bank}" for bank, client in found.created]


@pytest.mark.parametrize(
    ("wanted", "current", "changes"),
    [
        ({}, {}, []),
        ({}, {"C7:0": "B1:0"}, ["-C7:0"]),
        ({"C7:0": "B1:0"}, {"C7:0": "B1:0"}, []),
        ({"C7:0": "B1:1"}, {"C7:0": "B1:0"}, ["-C7:0", "+C7:0 B1:1"]),
        # Two exchange their cards.
        (
            {"C7:0": "B1:1", "C8:0": "B1:0"},
            {"C7:0": "B1:0", "C8:0": "B1:1"},
            ["-C7:0", "-C8:0", "+C7:0 B1:1", "+C8:0 B1:0"],
        ),
        # A client that has a card of the pool keeps it, in whatever order they come.
        ({"C7:0": "label:pool", "C8:0": "label:pool"}, {"C8:0": "B1:0"}, ["+C7:0 B1:1"]),
        # Of those that are free, it gets the best.
        ({"C7:0": "label:other"}, {}, ["+C7:0 B1:2"]),
        # A number that two cards have is that of the card that it has.
        ({"C7:0": TWINS}, {"C7:0": "B1:5"}, []),
        # Unless another names it.
        ({"C7:0": "label:pool", "C8:0": "B1:0"}, {"C7:0": "B1:0"}, ["-C7:0", "+C7:0 B1:1", "+C8:0 B1:0"]),
    ],
)
def test_changes_lead_to_what_is_wanted(wanted: dict[str, str], current: dict[str, str], changes: list[str]) -> None:
    assert text(plan(wanted, current)) == changes


@pytest.mark.parametrize(
    ("wanted", "occupied", "part"),
    [
        ({"C7:0": "B1:0", "C8:0": "B1:0"}, (), "C7:0 and C8:0 both want B1:0"),
        ({"C7:0": "B1:0"}, ("B1:0",), "B1:0 is in use"),
        ({"C7:0": "label:pool"}, ("B1:0", "B1:1"), "none of the 2 cards of label:pool is free"),
        ({"C7:0": "label:none"}, (), "no bank has a card of label:none"),
        ({"C7:0": TWINS}, (), "C7:0: iccid:890010…0018 is the number of 2 cards, in B1:4, B1:5"),
    ],
)
def test_what_cannot_be_reached_is_said(wanted: dict[str, str], occupied: tuple[str, ...], part: str) -> None:
    with pytest.raises(FleetError, match=part) as caught:
        plan(wanted, {}, occupied)
    assert caught.value.hint


_clients = st.sampled_from([f"C7:{nr}" for nr in range(4)])
_banks = st.sampled_from([f"B1:{nr}" for nr in range(4)])
_cards = _banks | st.sampled_from(["label:pool", "label:other"])


@given(
    st.dictionaries(_clients, _cards),
    st.lists(st.tuples(_clients, _banks), unique_by=(lambda pair: pair[0], lambda pair: pair[1])),
)
def test_the_outcome_is_what_was_wanted_and_needs_no_further_change(
    wanted: dict[str, str], pairs: list[tuple[str, str]]
) -> None:
    current = dict(pairs)
    try:
        found = plan(wanted, current)
    except FleetError:
        return
    after = {client: bank for client, bank in current.items() if ClientSlot.parse(client) not in found.ended}
    for bank, client in found.created:
        assert str(client) not in after
        after[str(client)] = str(bank)
    assert len(set(after.values())) == len(after)
    assert after.keys() == wanted.keys()
    for client_text, card in wanted.items():
        assert BankSlot.parse(after[client_text]) in candidates(CardChoice.parse(card))
    assert plan(wanted, after) == FleetPlan((), ())
