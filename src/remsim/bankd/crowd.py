# SPDX-License-Identifier: Apache-2.0
"""Who is connected to a bank and has no card, by source and age, and who must make room for others. No I/O."""

from collections.abc import Hashable
from typing import Final

from remsim.bankd.session import Session
from remsim.limits import LimitName
from remsim.wire.actions import source_of

#: Connections that have no card: not introduced yet, not mapped, or contending. A bank has at most 1023 slots, so this
#: leaves room for several times as many rightful clients that wait.
MAX_UNSERVED: Final = 4096
#: Half of that for one source, so that a stranger makes room for himself among his own first.
MAX_UNSERVED_PER_SOURCE: Final = 2048


class Crowd:
    """The connections without a card of one bank."""

    def __init__(self) -> None:
        # Insertion order is age.
        self._all: dict[Session, None] = {}
        self._by_source: dict[Hashable, dict[Session, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, session: Session) -> tuple[Session, LimitName] | None:
        """A newcomer; return who must leave for it, and the limit that says so.

        That is the oldest one of its own source if that has too many, else the oldest of all.
        """
        own = self._by_source.setdefault(source_of(session.peer.host), {})
        self._all[session] = own[session] = None
        if len(own) > MAX_UNSERVED_PER_SOURCE:
            return next(iter(own)), LimitName.UNSERVED_PER_SOURCE
        if len(self._all) > MAX_UNSERVED:
            return next(iter(self._all)), LimitName.UNSERVED
        return None

    def discard(self, session: Session) -> None:
        """It has a card now, or is gone, or never was here."""
        if session not in self._all:
            return
        del self._all[session]
        source = source_of(session.peer.host)
        del self._by_source[source][session]
        if not self._by_source[source]:
            del self._by_source[source]
