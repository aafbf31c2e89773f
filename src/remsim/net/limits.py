# SPDX-License-Identifier: Apache-2.0
"""How many connections may be open that have not said, or not proven, who they are. Pure counting.

A peer that was accepted, or whose certificate was proven, does not count any more, so a flood of strangers neither
fills the table of descriptors nor keeps known peers out: what the strangers take is bounded, in all and for each
source.
"""

from collections import Counter
from collections.abc import Hashable
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

from remsim.wire.actions import PeerAddress

#: A storm of a thousand clients after a power cut must fit several times.
MAX_UNIDENTIFIED: Final = 4096
#: Half of that: one source, which may be a whole site behind address translation, never takes it all.
MAX_UNIDENTIFIED_PER_SOURCE: Final = 2048
#: An IPv6 host has a network of this length to itself (RFC 6177).
_IPV6_PREFIX: Final = 64


class Limit(Enum):
    """Which limit was reached; also the label in metrics."""

    UNIDENTIFIED = "unidentified connections"
    UNIDENTIFIED_PER_SOURCE = "unidentified connections of one source"


def source_of(address: IPv4Address | IPv6Address) -> Hashable:
    """What counts as one source: an IPv4 address, or an IPv6 network of 64 bits."""
    if isinstance(address, IPv6Address):
        return IPv6Network((address, _IPV6_PREFIX), strict=False)
    return address


class Admission:
    """Counts connections of unidentified peers. Each ``admit`` that returned None has one ``release``."""

    def __init__(self, *, most: int = MAX_UNIDENTIFIED, most_per_source: int = MAX_UNIDENTIFIED_PER_SOURCE) -> None:
        self._most = most
        self._most_per_source = most_per_source
        self._open: Counter[Hashable] = Counter()
        self._total = 0
        self._is_reported: set[Limit] = set()
        #: How often each limit was reached.
        self.refused: Counter[Limit] = Counter()

    def __len__(self) -> int:
        return self._total

    def admit(self, peer: PeerAddress) -> Limit | None:
        """Count a new connection, or say which limit it would break; then it is to be closed at once."""
        source = source_of(peer.host)
        limit = None
        if self._total >= self._most:
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
