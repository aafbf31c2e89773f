# SPDX-License-Identifier: Apache-2.0
"""How changes stand in the audit log."""

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.change_entry import change_entry
from remsim.server.core.actions import Actor

BY = Actor("token 1 one", "-")
OLD, NEW = (BankSlot(1, 0), ClientSlot(7, 0)), (BankSlot(1, 1), ClientSlot(7, 0))
CARD = "8900101234567890018"


@pytest.mark.parametrize(
    ("change", "target", "detail"),
    [
        (([], [NEW], {}, {}), "B1:1 C7:0", "+B1:1 C7:0"),
        (([OLD], [NEW], {}, {}), "B1:1 C7:0", "-B1:0 C7:0, +B1:1 C7:0"),
        (([OLD], [], {}, {}), "1 deleted, 0 created, 0 labelled", "-B1:0 C7:0"),
        (
            ([], [NEW], {"B1:1": ("a", "b"), f"iccid:{CARD}": ()}, {}),
            "0 deleted, 1 created, 2 labelled",
            "+B1:1 C7:0, B1:1: a b, iccid:890010…0018: no labels",
        ),
        (
            ([], [NEW], {}, {ClientSlot(8, 0): CARD, ClientSlot(9, 0): None}),
            "0 deleted, 1 created, 0 labelled, 2 following",
            "+B1:1 C7:0, C8:0 follows the card 890010…0018, C9:0 follows its slot",
        ),
    ],
)
def test_change_is_one_entry(
    change: tuple[
        list[tuple[BankSlot, ClientSlot]],
        list[tuple[BankSlot, ClientSlot]],
        dict[str, tuple[str, ...]],
        dict[ClientSlot, str | None],
    ],
    target: str,
    detail: str,
) -> None:
    entry = change_entry(BY, *change)
    assert (entry.action, entry.target, entry.detail, entry.actor) == ("mapping.change", target, detail, BY)
