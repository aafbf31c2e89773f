# SPDX-License-Identifier: Apache-2.0
"""Which of many lines about one source are said."""

from remsim.net import repeats
from remsim.net.repeats import LINE_INTERVAL_S, LINES_AT_ONCE, Repeats


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
