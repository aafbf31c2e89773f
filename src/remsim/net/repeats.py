# SPDX-License-Identifier: Apache-2.0
"""Which of many lines about one source are worth saying, so that it does not take the place of others. Pure counting.

What all sources together may say is bounded by ``net.lines``: there may be more of them than are remembered here.
"""

from collections.abc import Hashable
from typing import Final

from remsim.limits import Budget

#: So many lines about one source are said at once, ...
LINES_AT_ONCE: Final = 10
#: ... and one more after each of these times: a program with an old certificate is noticed.
LINE_INTERVAL_S: Final = 6.0
#: Sources that are remembered; beyond it the one that was heard of longest ago is forgotten.
MAX_SOURCES: Final = 1024


class Repeats:
    """One for each kind of line. ``now`` never goes backwards."""

    def __init__(self) -> None:
        self._budget = Budget(burst=LINES_AT_ONCE, interval_s=LINE_INTERVAL_S, most_keys=MAX_SOURCES)
        # How many lines were not said, by source.
        self._held_back: dict[Hashable, int] = {}

    def unsaid(self, source: Hashable, now: float) -> int | None:
        """How many lines about ``source`` were held back before this one, which may be said; None: it may not."""
        held_back = self._held_back.pop(source, 0)
        if self._budget.take(source, now):
            return held_back
        self._held_back[source] = held_back + 1
        if len(self._held_back) > MAX_SOURCES:
            del self._held_back[next(iter(self._held_back))]
        return None
