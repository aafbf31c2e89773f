# SPDX-License-Identifier: Apache-2.0
"""How many connections may be open, and of those how many whose peer has not said, or not proven, who it is.

A peer that was accepted, or whose certificate was proven, does not count any more, so a flood of strangers neither
fills the table of descriptors nor keeps known peers out: what the strangers take is bounded, in all and for each
source.
"""

import resource
from collections import Counter
from collections.abc import Hashable
from enum import Enum
from typing import Final

from remsim.config.models import Limits
from remsim.limits import LimitName
from remsim.wire.actions import PeerAddress, source_of

__all__ = [
    "MAX_UNIDENTIFIED",
    "MAX_UNIDENTIFIED_PER_SOURCE",
    "RESERVED_DESCRIPTORS",
    "Admission",
    "Limit",
    "most_connections",
    "source_of",
]

#: The numbers that hold unless they are configured; their reasons stand there.
MAX_UNIDENTIFIED: Final = Limits().unidentified
MAX_UNIDENTIFIED_PER_SOURCE: Final = Limits().unidentified_per_source
#: Descriptors that are kept for database, REST, readers and the log: a quarter of what the system allows, or so many.
RESERVED_DESCRIPTORS: Final = 1024
#: Where the system sets no limit.
MOST_DESCRIPTORS: Final = 1 << 20


class Limit(Enum):
    """Which limit was reached; also the label in metrics."""

    UNIDENTIFIED = "unidentified connections"
    UNIDENTIFIED_PER_SOURCE = "unidentified connections of one source"
    CONNECTIONS = "connections"

    @property
    def name_of_count(self) -> LimitName:
        """Under which name it is counted."""
        return LimitName(self.name.lower())


def most_connections() -> int:
    """As many connections as the system allows descriptors to this process, without those that are reserved."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        descriptors = MOST_DESCRIPTORS
    return descriptors - min(RESERVED_DESCRIPTORS, descriptors // 4)


class Admission:
    """Counts connections of unidentified peers. Each ``admit`` that returned None has one ``release``."""

    def __init__(
        self,
        *,
        most: int = MAX_UNIDENTIFIED,
        most_per_source: int = MAX_UNIDENTIFIED_PER_SOURCE,
        most_connections: int | None = None,
    ) -> None:
        """``most_connections`` is for all connections, identified or not; None: not limited here."""
        self._most_connections = most_connections
        self._most = most
        self._most_per_source = most_per_source
        self._open: Counter[Hashable] = Counter()
        self._total = 0
        self._is_reported: set[Limit] = set()
        #: How often each limit was reached.
        self.refused: Counter[Limit] = Counter()

    def __len__(self) -> int:
        return self._total

    def admit(self, peer: PeerAddress, *, connections: int = 0) -> Limit | None:
        """Count a new connection, or say which limit it would break; then it is to be closed at once.

        ``connections`` is the number of all that are open, this one included.
        """
        source = source_of(peer.host)
        limit = None
        if self._most_connections is not None and connections > self._most_connections:
            limit = Limit.CONNECTIONS
        elif self._total >= self._most:
            limit = Limit.UNIDENTIFIED
        elif self._open[source] >= self._most_per_source:
            limit = Limit.UNIDENTIFIED_PER_SOURCE
        if limit is not None:
            self.refused[limit] += 1
            return limit
        self._open[source] += 1
        self._total += 1
        return None

    def release(self, peer: PeerAddress) -> None:
        """The peer is known now, or gone."""
        source = source_of(peer.host)
        self._total -= 1
        self._open[source] -= 1
        if self._open[source] <= 0:
            del self._open[source]
        if self._total < self._most // 2:
            self._is_reported.clear()

    def is_news(self, limit: Limit) -> bool:
        """Whether reaching ``limit`` is worth a line in the log: once, until the flood has ebbed away."""
        if limit in self._is_reported:
            return False
        self._is_reported.add(limit)
        return True
