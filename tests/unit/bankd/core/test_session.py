# SPDX-License-Identifier: Apache-2.0
"""Reset edges: every pair of what is remembered and what arrives."""

import pytest

from remsim.bankd.core.actions import ResetKind
from remsim.bankd.core.session import ResetEdges
from remsim.wire.messages.rspro import SlotPhysStatus

COLD, WARM = ResetKind.COLD, ResetKind.WARM


@pytest.mark.parametrize(
    ("vcc", "rst", "new_vcc", "new_rst", "kind", "vcc_after"),
    [
        (True, False, False, False, COLD, False),
        (True, False, False, True, COLD, False),
        (True, True, False, True, COLD, False),
        (False, False, False, True, None, False),
        (False, True, False, False, None, False),
        (True, False, True, True, WARM, True),
        (True, True, True, True, None, True),
        (True, False, None, True, WARM, True),
        (False, False, None, True, WARM, False),
        (False, False, True, True, WARM, True),
        (False, True, True, True, None, True),
        (True, False, True, False, None, True),
        (True, False, None, False, None, True),
    ],
)
def test_edges(
    vcc: bool, rst: bool, new_vcc: bool | None, new_rst: bool, kind: ResetKind | None, vcc_after: bool
) -> None:
    edges = ResetEdges(vcc, rst)
    status = SlotPhysStatus(reset_active=new_rst, vcc_present=new_vcc, clk_active=True, card_present=False)
    assert edges.on_status(status) is kind
    assert (edges.vcc, edges.rst) == (vcc_after, new_rst)
