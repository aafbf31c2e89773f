# SPDX-License-Identifier: Apache-2.0
"""Once when it begins, once when it ends; and a row of events that nobody ends."""

from remsim.core.episode import MAX_SUBJECTS, QUIET_S, RECURRENCES, LineVerdict, OncePerEpisode, RecurringEvents


def test_first_time_begins_and_repeats_are_counted() -> None:
    episodes = OncePerEpisode[str]()
    assert episodes.begins("B1:3", "no card")
    assert not episodes.begins("B1:3", "no card")
    assert not episodes.begins("B1:3", "no card")
    assert episodes.is_on("B1:3")
    assert episodes.ends("B1:3") == 2
    assert not episodes.is_on("B1:3")


def test_another_cause_is_another_episode() -> None:
    episodes = OncePerEpisode[str]()
    assert episodes.begins("B1:3", "no card")
    assert episodes.begins("B1:3", "mute")
    assert episodes.ends("B1:3") == 0


def test_keys_do_not_share_episodes() -> None:
    episodes = OncePerEpisode[int]()
    assert episodes.begins(1)
    assert episodes.begins(2)


def test_end_without_a_beginning_says_nothing() -> None:
    assert OncePerEpisode[int]().ends(1) is None


def test_memory_is_bounded_where_keys_come_from_outside() -> None:
    episodes = OncePerEpisode[str](most_keys=2)
    assert [episodes.begins(key) for key in ("a", "b", "a", "c")] == [True, True, False, True]
    assert not episodes.is_on("a")
    assert episodes.is_on("b")


def test_row_begins_and_ends_once() -> None:
    rows = RecurringEvents()
    said = [rows.on_event("C1:0", event, float(turn)) for turn in range(6) for event in ("mapped", "gone")]
    assert said == [LineVerdict.PASS] * 6 + [LineVerdict.FIRST_HELD_BACK] + [LineVerdict.HELD_BACK] * 5
    assert rows.ended(5.0 + QUIET_S) == []
    due = rows.next_deadline()
    assert due is not None
    (row,) = rows.ended(due)
    assert (row.subject, row.events, row.held_back, row.last - row.began) == ("C1:0", {"mapped": 6, "gone": 6}, 6, 5.0)
    assert rows.ended(due) == []
    assert rows.next_deadline() is None


def test_what_happens_now_and_then_is_always_told() -> None:
    rows = RecurringEvents()
    for turn in range(50):
        assert rows.on_event("C1:0", "gone", turn * (QUIET_S + 1)) is LineVerdict.PASS
        assert rows.next_deadline() is None


def test_row_that_ended_unnoticed_is_told_before_the_next_one() -> None:
    rows = RecurringEvents()
    for turn in range(RECURRENCES + 1):
        rows.on_event("C1:0", "gone", float(turn))
    assert rows.on_event("C1:0", "gone", 2 * QUIET_S) is LineVerdict.PASS
    assert rows.next_deadline() is not None
    assert [row.held_back for row in rows.ended(2 * QUIET_S)] == [1]


def test_forgotten_rows_are_told_of_as_ended() -> None:
    rows = RecurringEvents()
    for _ in range(RECURRENCES + 1):
        rows.on_event("first", "gone", 0.0)
    for number in range(MAX_SUBJECTS):
        rows.on_event(number, "gone", 1.0)
    assert [row.subject for row in rows.ended(1.0)] == ["first"]
    assert rows.next_deadline() is None
