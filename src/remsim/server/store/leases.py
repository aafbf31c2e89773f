# SPDX-License-Identifier: Apache-2.0
"""How leases stand in the database. Knows no connection's life, and nothing of mappings but their numbers."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Row, bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.actions import LeaseEnd, LeaseOrder, StoredLease, StoreLeaseEnd, StoreRenewal
from remsim.server.store.schema import LEASES, MAPPINGS

_END_WITH_MAPPING: Final = (
    update(LEASES)
    .where(LEASES.c.mapping_id == bindparam("of"))
    .values(ended_at=bindparam("at"), ended_by=bindparam("by"))
)
_MAX_WHO: Final = 128


async def read_leases(connection: AsyncConnection) -> tuple[StoredLease, ...]:
    """Those that have not ended, in the order of their requests."""
    rows = await connection.execute(select(LEASES).where(LEASES.c.ended_at.is_(None)).order_by(LEASES.c.id))
    return tuple(_lease(row) for row in rows)


async def read_last_id(connection: AsyncConnection) -> int:
    """The highest number that a lease ever had."""
    return await connection.scalar(select(func.max(LEASES.c.id))) or 0


async def read_lent_at(connection: AsyncConnection) -> dict[BankSlot, float]:
    """When each card was lent last."""
    slot = (MAPPINGS.c.bank_id, MAPPINGS.c.bank_slot_nr)
    found = select(*slot, func.max(LEASES.c.granted_at)).join(LEASES, LEASES.c.mapping_id == MAPPINGS.c.id)
    return {BankSlot(bank, nr): at for bank, nr, at in await connection.execute(found.group_by(*slot))}


def _lease(row: Row[tuple[object, ...]]) -> StoredLease:
    order = LeaseOrder(
        row.id,
        row.pool,
        ClientSlot(row.client_id, row.client_slot_nr),
        None if row.banks is None else frozenset(int(part) for part in row.banks.split(",") if part),
        row.who,
        row.priority,
        row.duration_s,
        row.wait_s,
        row.token_id or "",
    )
    return StoredLease(order, row.requested_at, row.mapping_id, row.granted_at, row.expires_at)


async def write_lease(connection: AsyncConnection, order: LeaseOrder, mapping_id: int | None, wall: float) -> None:
    """A new lease, with the mapping that it has already, or None. Raises SQLAlchemyError."""
    granted: dict[str, object] = {}
    if mapping_id is not None:
        granted = {"mapping_id": mapping_id, "granted_at": wall, "expires_at": wall + order.duration_s}
    await connection.execute(
        insert(LEASES).values(
            id=order.id,
            pool=order.pool,
            client_id=order.client.client_id,
            client_slot_nr=order.client.slot_nr,
            banks=None if order.banks is None else ",".join(str(bank) for bank in sorted(order.banks)),
            who=order.who[:_MAX_WHO],
            priority=order.priority,
            duration_s=order.duration_s,
            wait_s=order.wait_s,
            token_id=order.token_id or None,
            requested_at=wall,
            **granted,
        )
    )


async def write_grant(connection: AsyncConnection, lease_id: int, mapping_id: int, wall: float) -> None:
    """A lease that waited has this mapping. Raises SQLAlchemyError."""
    await connection.execute(
        update(LEASES)
        .where(LEASES.c.id == lease_id)
        .values(mapping_id=mapping_id, granted_at=wall, expires_at=wall + LEASES.c.duration_s)
    )


async def write_renewal(connection: AsyncConnection, renewal: StoreRenewal, wall: float) -> None:
    """It lasts so long from now on. Raises SQLAlchemyError."""
    await connection.execute(
        update(LEASES)
        .where(LEASES.c.id == renewal.lease_id)
        .values(duration_s=renewal.duration_s, expires_at=wall + renewal.duration_s)
    )


async def write_end(connection: AsyncConnection, end: StoreLeaseEnd, wall: float) -> None:
    """One that waited has ended. Raises SQLAlchemyError."""
    done = update(LEASES).where(LEASES.c.id == end.lease_id).values(ended_at=wall, ended_by=end.end.value)
    await connection.execute(done)


async def end_with_mappings(connection: AsyncConnection, mappings: Sequence[int], end: LeaseEnd, wall: float) -> None:
    """These mappings are deleted, and their leases end with them. Raises SQLAlchemyError."""
    rows = [{"of": number, "at": wall, "by": end.value} for number in mappings]
    await connection.execute(_END_WITH_MAPPING, rows)


async def forget_leases(connection: AsyncConnection, before: float) -> None:
    """Drop what ended before, but the one with the highest number. Raises SQLAlchemyError."""
    last = await read_last_id(connection)
    await connection.execute(delete(LEASES).where(LEASES.c.ended_at < before, LEASES.c.id < last))
