# SPDX-License-Identifier: Apache-2.0
"""Figures of the recent past in little memory: the last durations, and how often something happened within an hour."""

from array import array
from collections import deque
from math import ceil
from typing import Final

from remsim.core.values import dataclass

#: Durations that are kept: enough for a 99th percentile that one odd command does not make.
MAX_DURATIONS: Final = 256
#: What is counted as recent, and the grain with which it is forgotten.
RECENT_S: Final = 3600.0
GRAIN_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Durations:
    """Of so many samples, half took no longer than ``p50_s``, and 99 of 100 no longer than ``p99_s``."""

    samples: int
    p50_s: float
    p99_s: float


class RecentDurations:
    """The last durations of one thing. Observing costs little enough for every command."""

    __slots__ = ("_ring", "count")

    def __init__(self) -> None:
        self._ring = array("d", bytes(8 * MAX_DURATIONS))
        #: How many were observed, those included that are not kept any more.
        self.count = 0

    def observe(self, seconds: float) -> None:
        """It took so long."""
        self._ring[self.count % MAX_DURATIONS] = seconds
        self.count += 1

    def clear(self) -> None:
        """What was so far is of no interest any more."""
        self.count = 0

    def durations(self) -> Durations | None:
        """Their quantiles (nearest rank); None if there are none."""
        samples = min(self.count, MAX_DURATIONS)
        if not samples:
            return None
        ordered = sorted(self._ring[:samples])
        return Durations(samples, _rank(ordered, 0.5), _rank(ordered, 0.99))


class RecentCount:
    """How often something happened within the last 55 to 60 minutes. ``now`` never goes backwards."""

    __slots__ = ("_grains",)

    def __init__(self) -> None:
        # The beginning of each grain that has any, and how many; the oldest first.
        self._grains: deque[tuple[float, int]] = deque()

    def add(self, now: float) -> None:
        """It happened."""
        self._drop(now)
        if self._grains and now - self._grains[-1][0] < GRAIN_S:
            began, count = self._grains.pop()
            self._grains.append((began, count + 1))
        else:
            self._grains.append((now, 1))

    def count(self, now: float) -> int:
        """How often within the last hour."""
        self._drop(now)
        return sum(count for _, count in self._grains)

    def _drop(self, now: float) -> None:
        while self._grains and now - self._grains[0][0] >= RECENT_S:
            self._grains.popleft()


def _rank(ordered: list[float], part: float) -> float:
    return ordered[ceil(part * len(ordered)) - 1]
