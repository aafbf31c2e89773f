# SPDX-License-Identifier: Apache-2.0
"""How locks of bank slots stand in the database. Knows no connection's life."""

from typing import Final

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from remsim.core.ids import BankSlot
from remsim.server.core.actions import StoredLock, StoreLock
from remsim.server.store.schema import SLOT_LOCKS

_MAX_WHO: Final = 128


async def read_locks(connection: AsyncConnection) -> tuple[StoredLock, ...]:
    """All of them."""
    rows = await connection.execute(select(SLOT_LOCKS))
    return tuple(StoredLock(BankSlot(row.bank_id, row.slot_nr), row.reason, row.who, row.locked_at) for row in rows)


async def write_lock(connection: AsyncConnection, decision: StoreLock, wall: float) -> None:
    """Lock or unlock a slot. Raises SQLAlchemyError."""
    slot = decision.bank
    await connection.execute(
        delete(SLOT_LOCKS).where(SLOT_LOCKS.c.bank_id == slot.bank_id, SLOT_LOCKS.c.slot_nr == slot.slot_nr)
    )
    if decision.reason is not None:
        values = {"reason": decision.reason, "who": decision.who[:_MAX_WHO], "locked_at": wall}
        await connection.execute(insert(SLOT_LOCKS).values(bank_id=slot.bank_id, slot_nr=slot.slot_nr, **values))
