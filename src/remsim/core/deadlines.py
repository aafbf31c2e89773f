# SPDX-License-Identifier: Apache-2.0
"""Deadlines of a coordinator: many, set and cancelled all the time, of which the next must be found at once."""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """Deadlines by key, one for each, of which the next is found at once."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        # Entries that do not agree with _due are obsolete and dropped when they come to the top.
        self._heap: list[tuple[float, int, K]] = []
        self._counter = 0

    def set(self, key: K, due: float) -> None:
        """Set or move the deadline of ``key``."""
        self._due[key] = due
        self._counter += 1
        heapq.heappush(self._heap, (due, self._counter, key))

    def cancel(self, key: K) -> None:
        """Drop the deadline of ``key``, if it has one."""
        self._due.pop(key, None)

    def next(self) -> float | None:
        """The earliest deadline."""
        while self._heap:
            due, _, key = self._heap[0]
            if self._due.get(key) == due:
                return due
            heapq.heappop(self._heap)
        return None

    def pop_due(self, now: float) -> K | None:
        """Take one key whose deadline has come, the earliest first; None if there is none (left)."""
        due = self.next()
        if due is None or due > now:
            return None
        _, _, key = heapq.heappop(self._heap)
        del self._due[key]
        return key
