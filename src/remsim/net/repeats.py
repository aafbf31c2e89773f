# SPDX-License-Identifier: Apache-2.0
"""Which of many lines about one source are worth saying: a flood of strangers must not fill the log. Pure counting."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

#: So many lines about one source are said at once, ...
LINES_AT_ONCE: Final = 10
#: ... and one more after each of these times: a program with an old certificate is noticed.
LINE_INTERVAL_S: Final = 6.0
#: Sources that are remembered; beyond it the one that was heard of longest ago is forgotten.
MAX_SOURCES: Final = 1024


class Repeats:
    """One for each kind of line. ``now`` never goes backwards."""

    def __init__(self) -> None:
        # By source: when all its lines may be said again, and how many were not said since the last one.
        self._sources: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def unsaid(self, source: Hashable, now: float) -> int | None:
        """How many lines about ``source`` were held back before this one, which may be said; None: it may not."""
        free_at, held_back = self._sources.pop(source, (now, 0))
        free_at = max(free_at, now)
        may_be_said = free_at - now <= (LINES_AT_ONCE - 1) * LINE_INTERVAL_S
        if may_be_said:
            self._sources[source] = (free_at + LINE_INTERVAL_S, 0)
        else:
            self._sources[source] = (free_at, held_back + 1)
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        return held_back if may_be_said else None
