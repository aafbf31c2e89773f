# SPDX-License-Identifier: Apache-2.0
"""Figures of latency as the element of a message."""

from remsim.ahead.as_message import as_message
from remsim.ahead.figures import AheadFigures, LatencyFigures
from remsim.wire.messages.health import MAX_COUNT, Latency


def test_a_slot_that_was_not_used_has_nothing_to_tell() -> None:
    assert as_message(LatencyFigures(card_s=0.0)) is None


def test_seconds_become_milliseconds() -> None:
    ahead = AheadFigures(guesses=9, hits=5, misses=2, undone=1, restores=3, saved_s=-0.25)
    figures = LatencyFigures(10, 5, waited_s=1.2344, card_s=None, hold_s=0.5, round_trip_s=0.07, ahead=ahead)
    assert as_message(figures) == Latency(10, 5, 500, 9, 5, 2, 1, 3, -250, 1234, None, 70)


def test_values_end_at_the_limits_of_the_message() -> None:
    told = as_message(LatencyFigures(2**40, card_s=1e12, ahead=AheadFigures(saved_s=-1e12)))
    assert told is not None
    assert (told.commands, told.card_ms, told.saved_ms) == (MAX_COUNT, MAX_COUNT, -MAX_COUNT)
