# SPDX-License-Identifier: Apache-2.0
"""Lines that come again and again are told from those that say something new."""

from remsim.core.recurring import MAX_SUBJECTS, QUIET_S, RECURRENCES, Recurring, Said


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
    for number in range(MAX_SUBJECTS):
        rows.on_line(number, "gone", 1.0)
    assert [row.subject for row in rows.ended(1.0)] == ["first"]
    assert rows.next_deadline() is None
