# SPDX-License-Identifier: Apache-2.0
"""Which changes of the lines reset the card."""

import pytest

from remsim.card.reset import ResetKind
from remsim.session.lines import ResetEdges
from remsim.wire.messages.rspro import SlotPhysStatus

COLD, WARM = ResetKind.COLD, ResetKind.WARM


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        # As hardware tells of each line: a cold reset, then a warm one.
        ([(False, False), (True, False), (True, True), (False, True)], [COLD, None, None, None]),
        ([(True, True), (False, True), (True, True)], [WARM, None, WARM]),
        ([(True, None), (True, None)], [WARM, None]),
        ([(True, False), (True, False)], [COLD, None]),
        ([(False, False), (False, None), (False, False)], [COLD, None, None]),
    ],
)
def test_edges_reset_the_card(shown: list[tuple[bool, bool | None]], expected: list[ResetKind | None]) -> None:
    edges = ResetEdges()
    assert [edges.on_status(SlotPhysStatus(rst, vcc)) for rst, vcc in shown] == expected
