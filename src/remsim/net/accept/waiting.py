# SPDX-License-Identifier: Apache-2.0
"""Connections whose peer has not proven anything, by source, and which of them makes room for a newcomer.

The oldest connection of the source that has most is closed: a flood displaces its own connections, and all others have
time to prove something. Pure counting. Each step takes constant time, however many sources there are.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

W = TypeVar("W")


class Waiting(Generic[W]):
    """Who waits, oldest first within each source."""

    def __init__(self) -> None:
        self._by_source: dict[Hashable, OrderedDict[W, None]] = {}
        self._source_of: dict[W, Hashable] = {}
        # Sources by how many connections they have; of equals, the one that has had so many for longest comes first.
        self._by_count: dict[int, OrderedDict[Hashable, None]] = {}
        self._most = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._source_of)

    def __contains__(self, who: W) -> bool:
        """Whether ``who`` waits."""
        return who in self._source_of

    def count(self, source: Hashable) -> int:
        """How many wait from this source."""
        return len(self._by_source.get(source, ()))

    def add(self, source: Hashable, who: W) -> None:
        """A newcomer."""
        members = self._by_source.setdefault(source, OrderedDict())
        members[who] = None
        self._source_of[who] = source
        self._move(source, len(members) - 1, len(members))

    def remove(self, who: W) -> bool:
        """``who`` waits no longer; False: it did not."""
        source = self._source_of.pop(who, None)
        if source is None:
            return False
        members = self._by_source[source]
        del members[who]
        self._move(source, len(members) + 1, len(members))
        if not members:
            del self._by_source[source]
        return True

    def oldest(self, source: Hashable | None = None) -> W | None:
        """Who has waited longest: from this source, or from the one that has most."""
        if source is None:
            source = self.busiest()
        return next(iter(self._by_source.get(source, ())), None)

    def busiest(self) -> Hashable | None:
        """The source that has most; None: nobody waits."""
        return next(iter(self._by_count[self._most])) if self._most else None

    def _move(self, source: Hashable, before: int, after: int) -> None:
        if before:
            group = self._by_count[before]
            del group[source]
            if not group:
                del self._by_count[before]
        if after:
            self._by_count.setdefault(after, OrderedDict())[source] = None
        if after > self._most or self._most not in self._by_count:
            self._most = after
