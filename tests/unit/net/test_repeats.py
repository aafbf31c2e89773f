# SPDX-License-Identifier: Apache-2.0
"""Which of many lines about one source are said."""

from remsim.net import repeats
from remsim.net.repeats import (
    LINE_INTERVAL_S,
    LINES_AT_ONCE,
    MAX_SOURCES,
    QUIET_S,
    RECURRENCES,
    Recurring,
    Repeats,
    Said,
)


def test_first_lines_of_a_source_are_said_and_then_one_in_each_interval() -> None:
    lines = Repeats()
    assert [lines.unsaid("a", 0.0) for _ in range(LINES_AT_ONCE + 3)] == [0] * LINES_AT_ONCE + [None] * 3
    assert lines.unsaid("a", LINE_INTERVAL_S - 0.1) is None
    # It tells how many were held back.
    assert lines.unsaid("a", LINE_INTERVAL_S) == 4
    assert lines.unsaid("a", LINE_INTERVAL_S) is None
    assert lines.unsaid("a", 2 * LINE_INTERVAL_S) == 1


def test_source_that_was_quiet_for_long_may_say_all_again() -> None:
    lines = Repeats()
    for _ in range(LINES_AT_ONCE):
        lines.unsaid("a", 0.0)
    quiet_until = LINES_AT_ONCE * LINE_INTERVAL_S
    assert [lines.unsaid("a", quiet_until) for _ in range(LINES_AT_ONCE)] == [0] * LINES_AT_ONCE


def test_sources_do_not_take_each_others_lines() -> None:
    lines = Repeats()
    for _ in range(LINES_AT_ONCE + 1):
        lines.unsaid("a", 0.0)
    assert lines.unsaid("a", 0.0) is None
    assert lines.unsaid("b", 0.0) == 0


def test_source_that_was_heard_of_longest_ago_is_forgotten() -> None:
    lines = Repeats()
    for _ in range(LINES_AT_ONCE + 1):
        lines.unsaid("first", 0.0)
    for number in range(repeats.MAX_SOURCES - 1):
        lines.unsaid(number, 0.0)
    assert lines.unsaid("first", 0.0) is None
    for number in range(repeats.MAX_SOURCES):
        lines.unsaid(number, 0.0)
    # It may speak again, and tells how many were held back.
    assert lines.unsaid("first", 0.0) == 2


def test_row_begins_and_ends_once() -> None:
    rows = Recurring()
    said = [rows.on_line("C1:0", event, float(turn)) for turn in range(6) for event in ("mapped", "gone")]
    assert said == [Said.PLAINLY] * 6 + [Said.BEGINS] + [Said.HELD_BACK] * 5
    assert rows.ended(5.0 + QUIET_S) == []
    due = rows.next_deadline()
    assert due is not None
    (row,) = rows.ended(due)
    assert (row.subject, row.events, row.held_back, row.last - row.began) == ("C1:0", {"mapped": 6, "gone": 6}, 6, 5.0)
    assert rows.ended(due) == []
    assert rows.next_deadline() is None


def test_what_happens_now_and_then_is_always_said() -> None:
    rows = Recurring()
    for turn in range(50):
        assert rows.on_line("C1:0", "gone", turn * (QUIET_S + 1)) is Said.PLAINLY
        assert rows.next_deadline() is None


def test_row_that_ended_unnoticed_is_told_before_the_next_one() -> None:
    rows = Recurring()
    for turn in range(RECURRENCES + 1):
        rows.on_line("C1:0", "gone", float(turn))
    assert rows.on_line("C1:0", "gone", 2 * QUIET_S) is Said.PLAINLY
    assert rows.next_deadline() is not None
    assert [row.held_back for row in rows.ended(2 * QUIET_S)] == [1]


def test_forgotten_rows_are_told_of_as_ended() -> None:
    rows = Recurring()
    for _ in range(RECURRENCES + 1):
        rows.on_line("first", "gone", 0.0)
    for number in range(MAX_SOURCES):
        rows.on_line(number, "gone", 1.0)
    assert [row.subject for row in rows.ended(1.0)] == ["first"]
    assert rows.next_deadline() is None
