# SPDX-License-Identifier: Apache-2.0
"""How webhooks and their deliveries stand in the database. Knows no connection's life."""

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from remsim.server.core.actions import StoredDelivery, StoreDeliveries, StoredWebhook
from remsim.server.store.announcements import drop_announcements
from remsim.server.store.schema import DELIVERIES, WEBHOOKS


async def read_webhooks(connection: AsyncConnection) -> tuple[StoredWebhook, ...]:
    """All webhooks, oldest first."""
    rows = await connection.execute(select(WEBHOOKS).order_by(WEBHOOKS.c.id))
    return tuple(_webhook(row) for row in rows)


async def read_deliveries(connection: AsyncConnection) -> tuple[StoredDelivery, ...]:
    """All deliveries that wait, and those that ended of late, oldest first."""
    rows = await connection.execute(select(DELIVERIES).order_by(DELIVERIES.c.id))
    return tuple(
        StoredDelivery(
            row.id,
            row.webhook_id,
            row.kind,
            row.body,
            row.created_at,
            row.attempts,
            row.tried_at,
            row.ended_at,
            row.is_delivered,
            row.outcome,
        )
        for row in rows
    )


def _webhook(row: Row[tuple[object, ...]]) -> StoredWebhook:
    kinds = None if row.kinds is None else frozenset(row.kinds.split(","))
    return StoredWebhook(
        row.id,
        row.url,
        row.secret,
        kinds,
        _split(row.banks),
        _split(row.clients),
        row.who,
        row.created_at,
        row.paused_at,
    )


async def write_webhook(connection: AsyncConnection, hook: StoredWebhook) -> None:
    """A new one, or one that was paused or goes on. Raises SQLAlchemyError."""
    changed = update(WEBHOOKS).where(WEBHOOKS.c.id == hook.number).values(paused_at=hook.paused_at)
    if (await connection.execute(changed)).rowcount:
        return
    await connection.execute(
        insert(WEBHOOKS).values(
            id=hook.number,
            url=hook.url,
            secret=hook.secret,
            kinds=None if hook.kinds is None else ",".join(sorted(hook.kinds)),
            banks=_join(hook.banks),
            clients=_join(hook.clients),
            who=hook.who[:128],
            created_at=hook.created_at,
            paused_at=hook.paused_at,
        )
    )


async def delete_webhook(connection: AsyncConnection, number: int) -> None:
    """One of them, with all its deliveries. Raises SQLAlchemyError."""
    await connection.execute(delete(DELIVERIES).where(DELIVERIES.c.webhook_id == number))
    await connection.execute(delete(WEBHOOKS).where(WEBHOOKS.c.id == number))


async def write_deliveries(connection: AsyncConnection, changed: StoreDeliveries) -> None:
    """What is to be sent, or was tried, as it is now. Raises SQLAlchemyError."""
    await drop_announcements(connection, changed.told)
    gone = [each.number for each in changed.deliveries] + list(changed.forgotten)
    if gone:
        await connection.execute(delete(DELIVERIES).where(DELIVERIES.c.id.in_(gone)))
    known = set(await connection.scalars(select(WEBHOOKS.c.id)))
    rows = [
        {
            "id": each.number,
            "webhook_id": each.webhook,
            "kind": each.kind,
            "body": each.body,
            "created_at": each.created_at,
            "attempts": each.attempts,
            "tried_at": each.tried_at,
            "ended_at": each.ended_at,
            "is_delivered": each.is_delivered,
            "outcome": each.outcome,
        }
        for each in changed.deliveries
        # One that was deleted meanwhile has no deliveries.
        if each.webhook in known and each.number not in changed.forgotten
    ]
    if rows:
        await connection.execute(insert(DELIVERIES), rows)


def _join(numbers: frozenset[int] | None) -> str | None:
    return None if numbers is None else ",".join(str(number) for number in sorted(numbers))


def _split(text: str | None) -> frozenset[int] | None:
    return None if text is None else frozenset(int(number) for number in text.split(",") if number)
