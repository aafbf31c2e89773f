# SPDX-License-Identifier: Apache-2.0
"""How many lines of the log peers may cause: a flood of them must not fill the disk. All are counted elsewhere.

Most events follow from what a peer does, and nobody but the network decides how often that is. So each event has a
budget, and those about peers that are not accepted, or that send what they should not, have a small one. What is beyond
it is told at debug level only, and that it is so once.
"""

from collections.abc import Callable, Set
from typing import Final

from remsim.config import LogLevel
from remsim.limits import Budget, LimitCounts, LimitName
from remsim.logs import Logger

#: Of each event about strangers: a dozen of programs that are set up wrongly are seen, each again and again.
STRANGER_LINES: Final = 200
STRANGER_INTERVAL_S: Final = 10.0
#: Of each other event: ten thousand clients may return after a power cut.
EVENT_LINES: Final = 20_000
EVENT_INTERVAL_S: Final = 1.0


class LineBudget:
    """The budgets of one program. ``now`` gives seconds of a clock that does not go back."""

    def __init__(self, log: Logger, limits: LimitCounts, *, strangers: Set[str], now: Callable[[], float]) -> None:
        """``strangers`` are the names of events about strangers."""
        self._log = log
        self._limits = limits
        self._strangers = strangers
        self._now = now
        self._small = Budget(burst=STRANGER_LINES, interval_s=STRANGER_INTERVAL_S)
        self._large = Budget(burst=EVENT_LINES, interval_s=EVENT_INTERVAL_S)
        # Events whose budget is used up, which has been said.
        self._told: set[str] = set()

    def level(self, event: str, wanted: LogLevel) -> LogLevel:
        """The level at which to log an event: as wanted, or debug when its budget is used up."""
        if wanted == "debug":
            return wanted
        budget, now = self._small if event in self._strangers else self._large, self._now()
        if budget.has_ebbed(event, now):
            self._told.discard(event)
        if budget.take(event, now):
            return wanted
        self._limits.reached(LimitName.LOG_LINES)
        if event not in self._told:
            self._told.add(event)
            self._log.warning("limit_reached", limit=LimitName.LOG_LINES.value, about=event)
        return "debug"
