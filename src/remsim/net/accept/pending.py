# SPDX-License-Identifier: Apache-2.0
"""Connections that were accepted and that nobody has looked at yet: by source, each source in its turn.

The kernel keeps few of them, in one queue for everybody, and lets nobody in once it is full. So a listener empties that
queue as fast as it can, and lets them wait here, where a source that opens many keeps only its own waiting. Pure
counting: each step takes constant time.
"""

from collections import OrderedDict
from collections.abc import Hashable
from itertools import islice
from typing import Generic, TypeVar

from remsim.net.accept.waiting import Waiting

N = TypeVar("N")


class Pending(Generic[N]):
    """Newcomers, at most so many: beyond that the oldest of the source that has most is to be closed."""

    def __init__(self, most: int) -> None:
        """``most``: how many wait at a time."""
        self._most = most
        self._waiting: Waiting[N] = Waiting()
        # The source whose turn is next comes first; none is without a newcomer.
        self._turns: OrderedDict[Hashable, None] = OrderedDict()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def add(self, source: Hashable, who: N) -> N | None:
        """A newcomer; returns the one that is to be closed in its place, if there is no room."""
        self._waiting.add(source, who)
        self._turns.setdefault(source)
        return self.drop() if len(self._waiting) > self._most else None

    def some(self, most: int, *, most_per_source: int) -> list[N]:
        """Take those whose turn it is, of each source its oldest."""
        found: list[N] = []
        for source in list(islice(self._turns, most)):
            if len(found) == most:
                # It keeps its place: it is first in the next round.
                break
            self._turns.move_to_end(source)
            for _ in range(min(most_per_source, most - len(found), self._waiting.count(source))):
                who = self._take(source)
                assert who is not None
                found.append(who)
        return found

    def drop(self) -> N | None:
        """Take the oldest of the source that has most: it is to be closed. None: nobody waits."""
        return self._take(self._waiting.busiest())

    def _take(self, source: Hashable) -> N | None:
        who = self._waiting.oldest(source)
        if who is not None:
            self._waiting.remove(who)
            if not self._waiting.count(source):
                del self._turns[source]
        return who
