# SPDX-License-Identifier: Apache-2.0
"""Cold and warm resets from the sequences that the firmware reports, and speeds that it can follow."""

import pytest

from remsim.card.pps import Speed
from remsim.card.reset import ResetKind
from remsim.emulators.base import Lines
from remsim.emulators.simtrace2.lines import LineTracker, is_applied, lines_of
from remsim.emulators.simtrace2.messages import LineFlag, Status

COLD, WARM = ResetKind.COLD, ResetKind.WARM


def status(flags: int) -> Status:
    return Status(LineFlag(flags), 0, 1, 1, 10, 9600)


@pytest.mark.parametrize(
    ("flags", "kinds"),
    [
        ([0x11, 0x13, 0x03], [COLD]),
        ([0x03], [COLD]),
        ([0x03, 0x13, 0x03], [COLD, WARM]),
        # A usual power cycle passes through VCC and RESET just before it runs.
        ([0x03, 0x13, 0x12, 0x10, 0x11, 0x13, 0x03], [COLD, COLD]),
        # RST already high when VCC rises.
        ([0x03, 0x02, 0x00, 0x01, 0x03], [COLD, COLD]),
        # Local SIM and back.
        ([0x03, 0x02, 0x00, 0x01, 0x03, 0x13, 0x03], [COLD, COLD, WARM]),
        ([0x03, 0x03], [COLD]),
    ],
)
def test_reset_is_told_from_what_was_lost(flags: list[int], kinds: list[ResetKind]) -> None:
    tracker = LineTracker()
    assert [kind for kind in (tracker.update(status(f))[1] for f in flags) if kind is not None] == kinds


def test_change_is_a_change_of_a_line() -> None:
    tracker = LineTracker()
    assert tracker.update(status(0x10))[0]
    assert not tracker.update(Status(LineFlag.RESET, 3000, 9, 4, 10, 9600))[0]
    assert not tracker.update(status(0x18))[0]
    assert tracker.update(status(0x13))[0]
    assert not tracker.is_running
    tracker.forget()
    assert tracker.status is None
    assert tracker.update(status(0x03)) == (True, COLD)


def test_lines_are_those_that_the_board_reports() -> None:
    assert lines_of(status(0x13)) == Lines(reset_active=True, vcc_present=True, clk_active=True)
    assert lines_of(status(0x00)) == Lines(reset_active=False, vcc_present=False, clk_active=False)


@pytest.mark.parametrize(
    ("pps1", "applied"),
    [
        (0x11, True),
        (0x94, True),
        (0x18, True),
        (0x61, True),
        (0x1A, True),
        (0xD1, False),
        (0x71, False),
        (0x00, False),
        (0x9F, False),
    ],
)
def test_divider_of_eleven_bits_follows_or_does_not(pps1: int, applied: bool) -> None:
    assert is_applied(Speed.from_byte(pps1)) is applied
