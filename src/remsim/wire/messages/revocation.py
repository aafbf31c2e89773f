# SPDX-License-Identifier: Apache-2.0
"""The authority's revocation list on its way over control links: cut into parts, and put together again.

Knows nothing of what is in the list; the receiver of the whole list must check its signature.
"""

from remsim.core.values import dataclass
from remsim.wire.messages.extensions import MAX_LIST, MAX_LIST_PART, RevocationListInd


@dataclass(frozen=True, slots=True)
class StoreRevocations:
    """An action: a server pushed this list (DER); check it, keep it, and use it."""

    raw: bytes


def cut_list(raw: bytes) -> list[RevocationListInd]:
    """The messages that carry a list (DER); none for one that is too long to be sent."""
    total = len(raw)
    if total > MAX_LIST:
        return []
    return [
        RevocationListInd(total, offset, raw[offset : offset + MAX_LIST_PART])
        for offset in range(0, total, MAX_LIST_PART)
    ]


class ListParts:
    """The parts of one list, as they come. One for each control link."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._total = 0

    def add(self, part: RevocationListInd) -> bytes | None:
        """Take a part; return the list when it is complete. A part out of order is dropped with those before."""
        if part.offset == 0:
            self._bytes.clear()
            self._total = part.total
        if part.offset != len(self._bytes) or part.total != self._total or part.offset + len(part.raw) > part.total:
            self._bytes.clear()
            self._total = 0
            return None
        self._bytes += part.raw
        if len(self._bytes) < self._total:
            return None
        whole = bytes(self._bytes)
        self._bytes.clear()
        self._total = 0
        return whole
