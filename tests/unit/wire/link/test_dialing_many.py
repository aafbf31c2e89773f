# SPDX-License-Identifier: Apache-2.0
"""A thousand clients that lose their bankd together: how often they dial, and when the last of them is served."""

import heapq
import random
from collections import Counter
from itertools import count

import pytest

from remsim.client.runner import WHILE_HELD
from remsim.session.hold import HoldTimes
from remsim.wire.link.dialing import Dial, DialAction, DialSchedule, DialState, HangUp

_CLIENTS = 1000
#: A refused connection is known so soon.
_ROUND_TRIP_S = 0.02


class _Client:
    """One dialler. Attempts of the past are told apart by their number."""

    def __init__(self, seed: int) -> None:
        self.schedule = DialSchedule(random=random.Random(seed).random, backoff=WHILE_HELD)
        self.attempt = 0
        self.served_at: float | None = None


class _Storm:
    """Clients in service until 0 s. A bankd that is away until ``away_s`` refuses; then it serves one at a time.

    Each of them takes ``service_s`` of its processor, like a TLS handshake.
    """

    def __init__(self, *, away_s: float, service_s: float) -> None:
        self.away_s = away_s
        self.service_s = service_s
        self.clients = [_Client(seed) for seed in range(_CLIENTS)]
        self.dials: list[float] = []
        self._free_at = 0.0
        self._order = count()
        self._due: list[tuple[float, int, _Client, int, str]] = []

    def run(self) -> None:
        """Until all are served."""
        for client in self.clients:
            client.schedule.want("bank.example", 9999, -60.0)
            client.schedule.on_tcp_up(-60.0)
            client.schedule.on_accepted(-60.0)
            self._do(client, client.schedule.on_failed(0.0), 0.0)
        while self._due:
            now, _, client, attempt, what = heapq.heappop(self._due)
            if attempt != client.attempt:
                continue
            if what == "timer":
                self._do(client, client.schedule.handle_timer(now), now)
            elif what == "refused":
                self._do(client, client.schedule.on_failed(now), now)
            else:
                client.attempt += 1
                client.schedule.on_tcp_up(now)
                client.schedule.on_accepted(now)
                client.served_at = now

    def _do(self, client: _Client, actions: list[DialAction], now: float) -> None:
        # Whatever was due for an earlier attempt or state is not due any more.
        client.attempt += 1
        for action in actions:
            if isinstance(action, Dial):
                self._on_dial(client, now)
            else:
                # It has waited in the queue for its turn, and costs nothing there any more.
                assert isinstance(action, HangUp)
                self._free_at -= self.service_s
        due = client.schedule.next_deadline()
        assert due is not None
        self._later(due, client, "timer")

    def _on_dial(self, client: _Client, now: float) -> None:
        self.dials.append(now)
        if now < self.away_s:
            self._later(now + _ROUND_TRIP_S, client, "refused")
            return
        self._free_at = max(self._free_at, now) + self.service_s
        self._later(self._free_at + _ROUND_TRIP_S, client, "served")

    def _later(self, at: float, client: _Client, what: str) -> None:
        heapq.heappush(self._due, (at, next(self._order), client, client.attempt, what))

    def last_served(self) -> float:
        """When the last of them was served; all were."""
        served = [client.served_at for client in self.clients if client.served_at is not None]
        assert len(served) == _CLIENTS
        assert {client.schedule.state for client in self.clients} == {DialState.CONNECTED}
        return max(served)


def test_after_a_cut_each_dials_once_and_at_once() -> None:
    storm = _Storm(away_s=0.0, service_s=0.002)
    storm.run()
    assert storm.dials == [0.0] * _CLIENTS
    assert storm.last_served() == pytest.approx(_CLIENTS * 0.002 + _ROUND_TRIP_S)


def test_dials_to_a_bankd_that_is_away_spread_out() -> None:
    storm = _Storm(away_s=25.0, service_s=0.002)
    storm.run()
    per_second = Counter(int(at) for at in storm.dials)
    # At once, and soon again; the longer it lasts, the fewer.
    assert per_second[0] <= 4 * _CLIENTS
    assert per_second[1] <= 2 * _CLIENTS
    # From here on, each dials every 2 s to 4 s.
    settled = [per_second[second] for second in range(12, 25)]
    assert max(settled) <= _CLIENTS / 2
    # They do not dial in step, either: a tenth of a second has no more than its share of those.
    per_tenth = Counter(int(at * 10) for at in storm.dials if 12.0 <= at < 25.0)
    assert max(per_tenth.values()) <= 2 * _CLIENTS / 30
    assert min(settled) >= _CLIENTS / 5


def test_bankd_that_is_back_is_found_by_all_within_the_hold_time() -> None:
    away_s = 20.0
    storm = _Storm(away_s=away_s, service_s=0.002)
    storm.run()
    assert storm.last_served() <= away_s + WHILE_HELD.most_s + _CLIENTS * storm.service_s < HoldTimes().busy_s


def test_slow_bankd_serves_all_before_they_give_up() -> None:
    """9 ms each is a TLS handshake on a small computer; all together just fit into the time of one attempt."""
    storm = _Storm(away_s=0.0, service_s=0.009)
    storm.run()
    assert len(storm.dials) == _CLIENTS
    assert storm.last_served() < HoldTimes().busy_s


def test_bankd_that_is_too_slow_for_one_round_serves_the_rest_in_the_next() -> None:
    storm = _Storm(away_s=0.0, service_s=0.015)
    storm.run()
    assert len(storm.dials) < 2 * _CLIENTS
    assert storm.last_served() < HoldTimes().busy_s
