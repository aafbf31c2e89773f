# SPDX-License-Identifier: Apache-2.0
"""Locked bank slots get no new mapping; what they have goes on."""

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.server.core import slot_locks
from remsim.server.core.actions import StoredLock, StoredMapping, StoreLock
from remsim.server.core.slot_locks import LockError, SlotLocks
from remsim.server.core.slotmap import ConflictError, SlotMap

SLOT, OTHER = BankSlot(1, 3), BankSlot(1, 4)
CLIENT = ClientSlot(7, 0)
LOCK = StoredLock(SLOT, "contact trouble", "token 1 alice", 1000.0)


def test_lock_has_a_reason_and_ends_with_unlocking() -> None:
    locks = SlotLocks()
    decision = locks.plan(SLOT, "  contact trouble ", "token 1 alice")
    assert locks.of(SLOT) is None
    locks.on_stored(decision, 1000.0)
    assert locks.all() == [LOCK]
    again = locks.plan(SLOT, "cleaned", "token 2 bob")
    locks.on_stored(again, 2000.0)
    assert locks.of(SLOT) == StoredLock(SLOT, "cleaned", "token 2 bob", 2000.0)
    locks.on_stored(StoreLock(SLOT, None, "token 1 alice"), 3000.0)
    assert locks.all() == []


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "two\nlines", "\x1b[31m"])
def test_reason_is_one_line_of_text(reason: str) -> None:
    with pytest.raises(LockError, match="a reason has"):
        SlotLocks().plan(SLOT, reason, "x")


def test_no_more_than_the_limit_are_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_locks, "MAX_LOCKS", 1)
    locks = SlotLocks([LOCK])
    with pytest.raises(LockError) as refused:
        locks.plan(OTHER, "x", "x")
    assert refused.value.limit is LimitName.SLOT_LOCKS
    # One that is locked may get another reason.
    assert locks.plan(SLOT, "y", "x").reason == "y"


def test_locked_slot_is_free_for_nobody_and_its_mapping_goes_on() -> None:
    slotmap = SlotMap(SlotLocks([LOCK]))
    assert not slotmap.is_bank_free(SLOT)
    assert slotmap.is_bank_free(OTHER)
    with pytest.raises(ConflictError, match="B1:3 is locked: contact trouble"):
        slotmap.reserve(SLOT, CLIENT)
    slotmap.reserve(OTHER, CLIENT)
    # What an earlier run has stored is there, locked or not.
    slotmap = SlotMap(SlotLocks([LOCK]))
    slotmap.restore(StoredMapping(1, SLOT, CLIENT, 0.0, is_live=True, is_sent=True, is_acknowledged=True, result=None))
    mapping = slotmap.by_bank_slot(SLOT)
    assert mapping is not None
    with pytest.raises(ConflictError, match="locked"):
        slotmap.reserve(SLOT, ClientSlot(8, 0), leaving=frozenset({1}))
    # Its own client may have it anew.
    slotmap.reserve(SLOT, CLIENT, leaving=frozenset({1}))
