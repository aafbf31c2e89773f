# SPDX-License-Identifier: Apache-2.0
"""When a pcscd that was lost is tried again."""

from itertools import pairwise

from remsim.readers.pcscd.retry import ABSENT_S, STEADY_S, PcscdRetry

#: systemd's DefaultStartLimitBurst and DefaultStartLimitIntervalSec: the sixth start within the time is refused.
STARTS, WITHIN_S = 5, 10.0


def test_pcscd_that_served_for_long_is_tried_again_at_once_each_time() -> None:
    retry, now = PcscdRetry(), 0.0
    for _ in range(5):
        retry.on_served(now)
        retry.on_served(now + 1)
        now += STEADY_S
        assert retry.on_lost(now, was_reached=True) == 0.0


def test_pcscd_that_dies_at_each_start_is_not_started_so_often_that_systemd_gives_up() -> None:
    retry, now = PcscdRetry(), 0.0
    starts = [now]
    for served in (False, True, False, False, True, True, False, False, False):
        if served:
            retry.on_served(now)
        now += retry.on_lost(now, was_reached=True)
        starts.append(now)
    assert starts[:3] == [0.0, 0.0, 1.0]
    assert max(later - sooner for sooner, later in pairwise(starts)) == 4.0
    # One start is left for another program that connects meanwhile.
    assert all(sum(start <= other < start + WITHIN_S for other in starts) < STARTS + 1 for start in starts)


def test_nobody_that_listens_is_looked_for_at_a_steady_rate() -> None:
    retry = PcscdRetry()
    retry.on_served(0.0)
    assert retry.on_lost(1.0, was_reached=True) == 0.0
    assert [retry.on_lost(now, was_reached=False) for now in (1.0, 1.5, 2.0)] == [ABSENT_S] * 3
    # It was started by somebody else, and is lost again.
    retry.on_served(3.0)
    assert retry.on_lost(4.0, was_reached=True) == 0.0
