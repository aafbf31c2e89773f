# SPDX-License-Identifier: Apache-2.0
"""How long the commands of each slot took of late: the newest figures that peers have told, for a chart. Without I/O.

Peers report totals and quantiles; a point is what changed between two reports. Ten minutes are kept of each slot, as
numbers in arrays: a point takes 56 bytes. The slot that was heard of longest ago makes room for a new one.
"""

from array import array
from collections import OrderedDict
from dataclasses import field
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.values import dataclass
from remsim.wire.messages.health import Latency, NetworkTime, Quantiles

#: Points of one slot. Peers report at most every 2 s, so these are ten minutes at least.
MAX_POINTS: Final = 300
#: Older ones are not shown.
KEPT_S: Final = 600.0
#: Slots of which points are kept: one of the largest banks with its clients. Some 17 kB each.
MAX_TIMED: Final = 2048

_FIELDS: Final = 7
#: Stands for what is not told.
_UNTOLD: Final = -1.0


@dataclass(frozen=True, slots=True)
class LatencyPoint:
    """One report. ``at`` is in the time that coordinators are given."""

    at: float
    #: Of the last commands: half of them took no longer than the first, 99 in 100 no longer than the second.
    p50_us: int
    p99_us: int
    #: Commands, and time for which the session was held, since the report before.
    commands: int
    hold_ms: int
    #: The median of what the network took, in microseconds, and whether that is of PINGs; None: it is not told.
    network_us: int | None = None
    is_of_pings: bool = False


@dataclass(slots=True)
class _Course:
    """The points of one slot, the oldest first, and what its last report said."""

    points: "array[float]" = field(default_factory=lambda: array("d"))
    commands: int = 0
    hold_ms: int = 0


class LatencyHistory:
    """The newest figures of each slot. ``limits`` counts slots that had to make room."""

    def __init__(self, limits: LimitCounts) -> None:
        self._limits = limits
        self._courses: OrderedDict[BankSlot | ClientSlot, _Course] = OrderedDict()

    def note(
        self,
        slot: BankSlot | ClientSlot,
        times: Quantiles | None,
        latency: Latency | None,
        now: float,
        network: NetworkTime | None = None,
    ) -> None:
        """A peer has told of a slot. Without commands since its last report, there is nothing to draw."""
        if times is None or latency is None:
            return
        course = self._courses.get(slot)
        if course is None:
            course = self._begin(slot)
        elif latency.commands == course.commands and latency.hold_ms == course.hold_ms:
            return
        # Less than before: the program was started anew.
        is_same = latency.commands >= course.commands and latency.hold_ms >= course.hold_ms
        commands = latency.commands - course.commands if is_same else latency.commands
        hold_ms = latency.hold_ms - course.hold_ms if is_same else latency.hold_ms
        course.commands, course.hold_ms = latency.commands, latency.hold_ms
        network_us = _UNTOLD if network is None else network.times.p50_us
        is_of_pings = network is not None and network.is_of_pings
        course.points.extend((now, times.p50_us, times.p99_us, commands, hold_ms, network_us, is_of_pings))
        del course.points[: -MAX_POINTS * _FIELDS]
        self._courses.move_to_end(slot)

    def of(self, slot: BankSlot | ClientSlot, now: float) -> list[LatencyPoint]:
        """The points of a slot that are not too old, the oldest first."""
        course = self._courses.get(slot)
        if course is None:
            return []
        values = course.points
        return [_point(*values[i : i + _FIELDS]) for i in range(0, len(values), _FIELDS) if now - values[i] <= KEPT_S]

    def _begin(self, slot: BankSlot | ClientSlot) -> _Course:
        if len(self._courses) >= MAX_TIMED:
            self._limits.reached(LimitName.LATENCY_SLOTS)
            self._courses.popitem(last=False)
        course = self._courses[slot] = _Course()
        return course


def _point(
    at: float, p50_us: float, p99_us: float, commands: float, hold_ms: float, network_us: float, is_of_pings: float
) -> LatencyPoint:
    return LatencyPoint(
        at,
        int(p50_us),
        int(p99_us),
        int(commands),
        int(hold_ms),
        None if network_us == _UNTOLD else int(network_us),
        bool(is_of_pings),
    )
