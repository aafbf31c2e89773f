# SPDX-License-Identifier: Apache-2.0
"""Bank slots that operators have locked: they get no new mapping and no lease; what they have goes on. Without I/O."""

from collections.abc import Iterable
from typing import Final

from remsim.core.errors import RemsimError
from remsim.core.ids import BankSlot
from remsim.core.limits import LimitName
from remsim.server.core.actions import StoredLock, StoreLock

#: Locked slots. One who locks more takes the bank out of service.
MAX_LOCKS: Final = 4096
MAX_REASON: Final = 200


class LockError(RemsimError, ValueError):
    """A lock that cannot be. ``limit`` is the limit that was reached, if it was one."""

    exit_status = 2

    def __init__(self, message: str, *, hint: str = "", limit: LimitName | None = None) -> None:
        super().__init__(message, hint=hint)
        self.limit = limit


class SlotLocks:
    """All locks. ``stored`` are those of earlier runs."""

    def __init__(self, stored: Iterable[StoredLock] = ()) -> None:
        self._locks = {lock.bank: lock for lock in stored}

    def of(self, slot: BankSlot) -> StoredLock | None:
        """The lock of a slot."""
        return self._locks.get(slot)

    def all(self) -> list[StoredLock]:
        """Every lock, in the order of the slots."""
        return [self._locks[slot] for slot in sorted(self._locks)]

    def plan(self, slot: BankSlot, reason: str, who: str) -> StoreLock:
        """Lock a slot, or give its lock another reason. Raises LockError."""
        text = reason.strip()
        if not 1 <= len(text) <= MAX_REASON or not text.isprintable():
            raise LockError(f"a reason has 1..{MAX_REASON} printable characters", hint="for example: contact trouble")
        if slot not in self._locks and len(self._locks) >= MAX_LOCKS:
            raise LockError(f"{MAX_LOCKS} slots are locked already", hint="unlock others", limit=LimitName.SLOT_LOCKS)
        return StoreLock(slot, text, who)

    def on_stored(self, decision: StoreLock, wall: float) -> None:
        """It is committed, at this time (seconds since 1970-01-01 UTC)."""
        if decision.reason is None:
            self._locks.pop(decision.bank, None)
        else:
            self._locks[decision.bank] = StoredLock(decision.bank, decision.reason, decision.who, wall)
