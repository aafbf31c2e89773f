# SPDX-License-Identifier: Apache-2.0
"""The authority's revocation list on its way over control links: cut into parts, and put together again.

Knows nothing of what is in the list; whoever has it whole must check its signature.
"""

from dataclasses import dataclass

from remsim.wire.additions import MAX_LIST, MAX_LIST_PART, RevocationListInd


@dataclass(frozen=True, slots=True)
class StoreRevocations:
    """An action: a server pushed this list (DER); check it, keep it, and use it."""

    octets: bytes


def cut_list(octets: bytes) -> list[RevocationListInd]:
    """The messages that carry a list (DER); none for one that is too long to be sent."""
    total = len(octets)
    if total > MAX_LIST:
        return []
    return [
        RevocationListInd(total, offset, octets[offset : offset + MAX_LIST_PART])
        for offset in range(0, total, MAX_LIST_PART)
    ]


class ListParts:
    """The parts of one list, as they come. One for each control link."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._total = 0

    def add(self, part: RevocationListInd) -> bytes | None:
        """Take a part; return the list when it is complete. A part out of order is dropped with those before."""
        if part.offset == 0:
            self._octets.clear()
            self._total = part.total
        if part.offset != len(self._octets) or part.total != self._total or part.offset + len(part.octets) > part.total:
            self._octets.clear()
            self._total = 0
            return None
        self._octets += part.octets
        if len(self._octets) < self._total:
            return None
        whole = bytes(self._octets)
        self._octets.clear()
        self._total = 0
        return whole
