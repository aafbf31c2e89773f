# SPDX-License-Identifier: Apache-2.0
"""The newest times of commands, kept for a chart: points, restarts of programs, and bounds."""

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitCounts, LimitName
from remsim.server.core import latency_history
from remsim.server.core.latency_history import KEPT_S, MAX_POINTS, LatencyHistory, LatencyPoint
from remsim.wire.messages.health import Latency, NetworkTime, Quantiles
from tests.doubles.reaching import reaches

SLOT = BankSlot(1, 3)
TIMES = Quantiles(100, 20_000, 80_000)


def told(commands: int, hold_ms: int = 0) -> Latency:
    return Latency(commands=commands, hold_ms=hold_ms)


def test_point_is_what_changed_between_two_reports() -> None:
    history = LatencyHistory(LimitCounts())
    history.note(SLOT, TIMES, told(10), 0.0)
    history.note(SLOT, TIMES, told(25, 1500), 2.0)
    # Nothing happened: no point.
    history.note(SLOT, TIMES, told(25, 1500), 4.0)
    assert history.of(SLOT, 4.0) == [
        LatencyPoint(0.0, 20_000, 80_000, 10, 0),
        LatencyPoint(2.0, 20_000, 80_000, 15, 1500),
    ]
    assert history.of(ClientSlot(1, 3), 4.0) == []


def test_point_has_what_the_network_took_and_by_what_that_is_known() -> None:
    history = LatencyHistory(LimitCounts())
    for commands, network in enumerate(
        (
            None,
            NetworkTime(Quantiles(3, 0, 9), is_of_pings=True),
            NetworkTime(Quantiles(9, 15_000, 16_000), is_of_pings=False),
        ),
        1,
    ):
        history.note(SLOT, TIMES, told(commands), float(commands), network)
    assert [(point.network_us, point.is_of_pings) for point in history.of(SLOT, 3.0)] == [
        (None, False),
        (0, True),
        (15_000, False),
    ]


def test_program_that_was_started_anew_counts_from_nothing() -> None:
    history = LatencyHistory(LimitCounts())
    history.note(SLOT, TIMES, told(1000, 5000), 0.0)
    history.note(SLOT, TIMES, told(3), 9.0)
    assert [(point.commands, point.hold_ms) for point in history.of(SLOT, 9.0)] == [(1000, 5000), (3, 0)]


def test_peer_that_tells_no_times_has_no_points() -> None:
    history = LatencyHistory(LimitCounts())
    history.note(SLOT, None, told(5), 0.0)
    history.note(SLOT, TIMES, None, 1.0)
    assert history.of(SLOT, 1.0) == []


def test_old_points_are_not_shown_and_not_more_than_the_newest_are_kept() -> None:
    history = LatencyHistory(LimitCounts())
    for number in range(MAX_POINTS + 10):
        history.note(SLOT, TIMES, told(number + 1), float(number))
    points = history.of(SLOT, float(MAX_POINTS + 9))
    assert len(points) == MAX_POINTS
    assert points[0].at == 10.0
    assert [point.at for point in history.of(SLOT, KEPT_S + 300.0)] == [float(n) for n in range(300, MAX_POINTS + 10)]


@reaches(LimitName.LATENCY_SLOTS)
def test_slot_that_was_heard_of_longest_ago_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency_history, "MAX_TIMED", 2)
    limits = LimitCounts()
    history = LatencyHistory(limits)
    one, two, three = SLOT, BankSlot(1, 4), ClientSlot(7, 0)
    history.note(one, TIMES, told(1), 0.0)
    history.note(two, TIMES, told(1), 1.0)
    history.note(one, TIMES, told(2), 2.0)
    history.note(three, TIMES, told(1), 3.0)
    assert limits[LimitName.LATENCY_SLOTS] == 1
    assert history.of(two, 3.0) == []
    assert len(history.of(one, 3.0)) == 2
    assert len(history.of(three, 3.0)) == 1
