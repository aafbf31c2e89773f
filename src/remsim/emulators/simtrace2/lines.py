# SPDX-License-Identifier: Apache-2.0
"""What the modem does with VCC, CLK and RST, and whether that was a cold or a warm reset.

For the log: the bankd decides by itself what it does to the card.

A usual power-up passes through "VCC and RST asserted", so the message before the card runs looks like a warm reset;
only whether VCC was away since the card last ran tells (simtrace2.md, 7.5). Knows no commands and no USB.
"""

from typing import Final

from remsim.card.pps import Speed
from remsim.card.reset import ResetKind
from remsim.emulators.base import Lines
from remsim.emulators.simtrace2.messages import LineFlag, Status

_LINES: Final = LineFlag.VCC | LineFlag.CLK | LineFlag.RESET
_RUNNING: Final = LineFlag.VCC | LineFlag.CLK

#: 372 × 2: D indices from 10 upwards are taken as fractions by the firmware (simtrace2.md, 4.5).
_FRACTIONS: Final = {10: 2, 11: 4, 12: 8, 13: 16, 14: 32, 15: 64}
_MAX_DIVIDER: Final = 2047


def is_applied(speed: Speed) -> bool:
    """Whether the firmware's 11-bit divider can follow the speed that it has granted."""
    if speed.fi is None:
        return False
    factor = _FRACTIONS.get(speed.d_index)
    if factor is not None:
        return speed.fi * factor <= _MAX_DIVIDER
    return speed.di is not None and speed.fi // speed.di <= _MAX_DIVIDER


def runs(status: Status) -> bool:
    """Whether the modem lets the card work: VCC and CLK there, RST released."""
    return status.flags & _LINES == _RUNNING


def lines_of(status: Status) -> Lines:
    """The lines as other parts speak of them. Whether a card is shown to the modem is not among them."""
    flags = status.flags
    return Lines(
        reset_active=bool(flags & LineFlag.RESET),
        vcc_present=bool(flags & LineFlag.VCC),
        clk_active=bool(flags & LineFlag.CLK),
    )


class LineTracker:
    """The lines as last heard."""

    def __init__(self) -> None:
        self.status: Status | None = None
        #: Cold: VCC was off, or never seen, since the card was last running.
        self._had_no_power = True

    @property
    def is_running(self) -> bool:
        """Whether the card was running when last heard of."""
        return self.status is not None and runs(self.status)

    def update(self, status: Status) -> tuple[bool, ResetKind | None]:
        """Take a new status. Return whether a line changed, and how the card was reset if it has just begun to run."""
        was_running, before = self.is_running, self.status
        self.status = status
        has_changed = before is None or (before.flags ^ status.flags) & _LINES != 0
        if not status.flags & LineFlag.VCC:
            self._had_no_power = True
        if was_running or not self.is_running:
            return has_changed, None
        kind = ResetKind.COLD if self._had_no_power else ResetKind.WARM
        self._had_no_power = False
        return has_changed, kind

    def forget(self) -> None:
        """The device is gone: nothing is known any more."""
        self.status = None
        self._had_no_power = True
