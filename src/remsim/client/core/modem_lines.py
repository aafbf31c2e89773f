# SPDX-License-Identifier: Apache-2.0
"""The lines of a modem's slot as a bankd is shown them."""

from typing import Final

from remsim.card.reset import ResetKind
from remsim.wire.messages.rspro import SlotPhysStatus

#: The card may run, and nothing has happened.
IDLE_LINES: Final = SlotPhysStatus(reset_active=False, vcc_present=True, clk_active=True)
_NO_POWER: Final = SlotPhysStatus(reset_active=True, vcc_present=False, clk_active=False)
_IN_RESET: Final = SlotPhysStatus(reset_active=True, vcc_present=True, clk_active=True)


def cycle_of(reset: ResetKind | None, lines: SlotPhysStatus) -> list[SlotPhysStatus]:
    """How lines are shown that have changed while nobody looked: with an edge for the reset, and as they are now."""
    if reset is None:
        return [lines]
    return [IDLE_LINES, _NO_POWER if reset is ResetKind.COLD else _IN_RESET, lines]
