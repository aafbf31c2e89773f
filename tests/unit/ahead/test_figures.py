# SPDX-License-Identifier: Apache-2.0
"""Figures of several sessions are added, and taken apart again."""

from remsim.ahead.figures import AheadFigures

ONE = AheadFigures(5, 4, 1, 1, 2, 1.5)
OTHER = AheadFigures(2, 2, 0, 0, 0, -0.25)


def test_sums_and_differences_are_those_of_each_number() -> None:
    assert AheadFigures(7, 6, 1, 1, 2, 1.25) == ONE + OTHER
    assert ONE + OTHER - OTHER == ONE


def test_log_shows_milliseconds() -> None:
    assert AheadFigures(hits=1, saved_s=0.12345).shown() == {
        "guesses": 0,
        "hits": 1,
        "misses": 0,
        "undone": 0,
        "restores": 0,
        "saved_s": 0.123,
    }
