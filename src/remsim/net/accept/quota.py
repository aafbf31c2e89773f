# SPDX-License-Identifier: Apache-2.0
"""How many connections may be open, and of those how many whose peer has not said, or not proven, who it is.

A peer that was accepted, or whose certificate or token was proven, does not count any more, so a flood of unknown peers
does not fill the table of descriptors: what they take is bounded, in all and for each source. Nor does it keep known
peers out: at a limit, the unknown peer that has waited longest makes room for the newcomer.
"""

import resource
from collections import Counter
from collections.abc import Hashable
from enum import Enum
from typing import Final, Protocol

from remsim.config.models import Limits
from remsim.core.limits import LimitName
from remsim.net.accept.waiting import Waiting
from remsim.wire.link.actions import PeerAddress, source_of

__all__ = [
    "MAX_UNIDENTIFIED",
    "MAX_UNIDENTIFIED_PER_SOURCE",
    "RESERVED_DESCRIPTORS",
    "ConnectionQuota",
    "QuotaKind",
    "Yielding",
    "descriptors_allowed",
    "descriptors_reserved",
    "most_connections",
    "source_of",
]

#: The numbers that hold unless they are configured; their reasons stand there.
MAX_UNIDENTIFIED: Final = Limits.defaults().unidentified
MAX_UNIDENTIFIED_PER_SOURCE: Final = Limits.defaults().unidentified_per_source
#: Descriptors that are kept for database, REST, readers and the log: a quarter of what the system allows, or so many.
RESERVED_DESCRIPTORS: Final = 1024
#: Where the system sets no limit.
MOST_DESCRIPTORS: Final = 1 << 20


class QuotaKind(Enum):
    """Which limit was reached; also the label in metrics."""

    UNIDENTIFIED = "unidentified connections"
    UNIDENTIFIED_PER_SOURCE = "unidentified connections of one source"
    CONNECTIONS = "connections"
    PENDING = "connections that wait for their turn"

    @property
    def name_of_count(self) -> LimitName:
        """Under which name it is counted."""
        return LimitName(self.name.lower())


def descriptors_allowed() -> int:
    """How many descriptors the system allows to this process."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_DESCRIPTORS if descriptors == resource.RLIM_INFINITY else descriptors


def descriptors_reserved(allowed: int) -> int:
    """How many of them are not for links."""
    return min(RESERVED_DESCRIPTORS, allowed // 4)


def most_connections() -> int:
    """As many connections as the system allows descriptors to this process, without those that are reserved."""
    allowed = descriptors_allowed()
    return allowed - descriptors_reserved(allowed)


class Yielding(Protocol):
    """A connection whose peer is not known."""

    def give_way(self) -> None:
        """Close at once: the place is a newcomer's."""
        ...


class ConnectionQuota:
    """Counts connections of unidentified peers. Each ``admit`` that let one in has one ``release``, or many."""

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
        self._waiting: Waiting[Yielding] = Waiting()
        # Limits that were told, and how many waited then.
        self._reported: dict[QuotaKind, int] = {}
        #: How often each limit was reached.
        self.refused: Counter[QuotaKind] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def admit(self, peer: PeerAddress, who: Yielding, *, connections: int = 0) -> tuple[bool, QuotaKind | None]:
        """Count a new connection: whether it may stay, and the limit that was reached.

        At a limit, the connection that has waited longest is closed in its place: of the same source at the limit for
        a source, else of the source that has most. Only where nobody waits is the newcomer itself to be closed.
        ``connections`` is the number of all that are open, this one included.
        """
        source = source_of(peer.host)
        limit, within = None, None
        if self._most_connections is not None and connections > self._most_connections:
            limit = QuotaKind.CONNECTIONS
        elif len(self._waiting) >= self._most:
            limit = QuotaKind.UNIDENTIFIED
        elif self._waiting.count(source) >= self._most_per_source:
            limit, within = QuotaKind.UNIDENTIFIED_PER_SOURCE, source
        if limit is not None:
            self.refused[limit] += 1
            if not self.make_room(within):
                return False, limit
        self._waiting.add(source, who)
        return True, limit

    def make_room(self, source: Hashable | None = None) -> bool:
        """Close the connection that has waited longest, of ``source`` or of the one that has most; False: none does."""
        oldest = self._waiting.oldest(source)
        if oldest is None:
            return False
        self.release(oldest)
        oldest.give_way()
        return True

    def release(self, who: Yielding) -> None:
        """The peer is known now, or gone, or had to give way before."""
        if self._waiting.remove(who):
            ebbed = [limit for limit, count in self._reported.items() if len(self._waiting) < count // 2]
            for limit in ebbed:
                del self._reported[limit]

    def is_first_report(self, limit: QuotaKind) -> bool:
        """Whether reaching ``limit`` is worth a line in the log: once, until the flood has ebbed away."""
        if limit in self._reported:
            return False
        self._reported[limit] = len(self._waiting)
        return True
