# SPDX-License-Identifier: Apache-2.0
"""How long a session is held."""

from remsim.session.hold import Hold, HoldTimes


def test_shorter_of_both_ends_counts() -> None:
    assert HoldTimes(60, 30).shorter(HoldTimes(90, 20)) == HoldTimes(60, 20)


def test_idle_session_is_held_for_longer_than_a_busy_one() -> None:
    assert Hold(HoldTimes(60, 30), since=100.0).deadline == 160.0
    assert Hold(HoldTimes(60, 30), since=100.0, busy_since=90.0).deadline == 130.0


def test_command_that_was_under_way_at_the_loss_shortens_the_time_for_good() -> None:
    hold = Hold(HoldTimes(60, 30), since=100.0, busy_since=90.0)
    # The modem was reset, or has got an error: the other end does not know.
    hold.busy_since = None
    assert hold.deadline == 130.0
    hold.busy_since = 125.0
    assert hold.deadline == 130.0
    assert Hold(HoldTimes(60, 30), since=100.0, was_busy=True).deadline == 130.0


def test_command_that_comes_meanwhile_shortens_the_time_while_it_waits() -> None:
    hold = Hold(HoldTimes(60, 30), since=100.0)
    hold.busy_since = 110.0
    assert hold.deadline == 140.0
    hold.busy_since = 150.0
    assert hold.deadline == 160.0
    hold.busy_since = None
    assert hold.deadline == 160.0


def test_age_is_counted_from_the_loss() -> None:
    assert Hold(HoldTimes(), since=100.0).age(101.8) == 101.8 - 100.0
