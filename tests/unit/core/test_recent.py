# SPDX-License-Identifier: Apache-2.0
"""Figures of the recent past."""

from remsim.core.recent import GRAIN_S, MAX_DURATIONS, RECENT_S, Durations, RecentCount, RecentDurations


def test_there_is_nothing_to_say_of_no_durations() -> None:
    assert RecentDurations().durations() is None


def test_quantiles_are_those_of_the_last_durations() -> None:
    recent = RecentDurations()
    recent.observe(9.0)
    assert recent.durations() == Durations(1, 9.0, 9.0)
    for number in range(1, MAX_DURATIONS + 1):
        recent.observe(number / 1000)
    # The first one is forgotten. Nearest rank: the 128th and the 254th of 256.
    assert recent.durations() == Durations(MAX_DURATIONS, 0.128, 0.254)
    assert recent.count == MAX_DURATIONS + 1


def test_one_odd_command_makes_no_99th_percentile() -> None:
    recent = RecentDurations()
    for _ in range(199):
        recent.observe(0.02)
    recent.observe(30.0)
    assert recent.durations() == Durations(200, 0.02, 0.02)


def test_cleared_durations_are_forgotten() -> None:
    recent = RecentDurations()
    recent.observe(1.0)
    recent.clear()
    assert recent.durations() is None
    recent.observe(2.0)
    assert recent.durations() == Durations(1, 2.0, 2.0)


def test_what_happened_is_forgotten_within_the_hour() -> None:
    count = RecentCount()
    for at in (0.0, GRAIN_S - 1, GRAIN_S, 2000.0):
        count.add(at)
    assert count.count(2000.0) == 4
    assert count.count(RECENT_S - 0.1) == 4
    assert count.count(RECENT_S) == 2
    assert count.count(GRAIN_S + RECENT_S) == 1
    assert count.count(2000.0 + RECENT_S) == 0


def test_a_flood_takes_no_memory() -> None:
    count = RecentCount()
    for number in range(100_000):
        count.add(number * 0.1)
    assert count.count(10_000.0) <= 36_000
    assert len(count._grains) <= RECENT_S / GRAIN_S + 1
