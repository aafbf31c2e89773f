# SPDX-License-Identifier: Apache-2.0
"""How far and when to guess."""

import pytest

from remsim.ahead.pace import MAX_UNCONFIRMED, REPORT_INTERVAL, Pace


def _measured(round_trip: float, card_time: float) -> Pace:
    pace = Pace()
    pace.on_card_time(card_time)
    for _ in range(20):
        pace.on_wait(round_trip)
    return pace


@pytest.mark.parametrize(
    ("round_trip", "card_time", "window"),
    [
        (0.0, 0.003, REPORT_INTERVAL),
        (0.3, 0.003, 100 + REPORT_INTERVAL),
        (3.0, 0.003, MAX_UNCONFIRMED),
        (0.3, 0.0, MAX_UNCONFIRMED),
    ],
)
def test_window_is_what_fits_into_a_round_trip(round_trip: float, card_time: float, window: int) -> None:
    assert abs(_measured(round_trip, card_time).window - window) <= 1


def test_round_trip_is_the_shortest_wait_of_late() -> None:
    pace = Pace(0.5)
    assert pace.round_trip == 0.5
    for wait in (0.31, 0.30, 0.9):
        pace.on_wait(wait)
    assert pace.round_trip == 0.30
    for _ in range(16):
        pace.on_wait(0.6)
    assert pace.round_trip == 0.6


def test_far_away_a_bold_guess_pays_and_nearby_only_a_sure_one() -> None:
    far, near = _measured(0.3, 0.003), _measured(0.0005, 0.003)
    assert far.pays(0.1)
    assert not near.pays(0.9)
    assert near.pays(0.97)
    assert not far.pays(0.0)


def _pause(pace: Pace) -> int:
    """Commands until it guesses again."""
    commands = 0
    while pace.is_paused:
        pace.on_command()
        commands += 1
    return commands


def test_guessing_pauses_when_it_costs_more_than_it_saves_and_each_time_for_longer() -> None:
    pace = _measured(0.01, 0.003)
    pace.on_hit()
    pace.on_miss(0.005)
    assert _pause(pace) == 0
    pace.on_miss(0.02)
    assert _pause(pace) == 64
    pace.on_miss(0.02)
    assert _pause(pace) == 128
    assert pace.saved < 0


def test_first_guess_may_be_wrong_as_long_as_a_round_trip_pays_for_it() -> None:
    pace = _measured(0.3, 0.003)
    for _ in range(33):
        pace.on_miss(0.009)
    assert _pause(pace) == 0
    pace.on_miss(0.009)
    assert _pause(pace) == 64
