# SPDX-License-Identifier: Apache-2.0
"""What is still to be told of stored changes, as it stands in the database. Knows no connection's life.

A row is written with its change, and goes with the commit that keeps the deliveries made of it. So what a server finds
at its start was told to nobody.
"""

import json
from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from remsim.server.core.actions import StoredAnnouncement
from remsim.server.core.event_feed import EventDraft
from remsim.server.store.schema import ANNOUNCEMENTS

_DROP: Final = delete(ANNOUNCEMENTS).where(ANNOUNCEMENTS.c.id == bindparam("of"))


async def read_announcements(connection: AsyncConnection) -> tuple[StoredAnnouncement, ...]:
    """All of them, in the order of their changes."""
    rows = await connection.execute(select(ANNOUNCEMENTS).order_by(ANNOUNCEMENTS.c.id))
    return tuple(StoredAnnouncement(row.id, tuple(_draft(*each) for each in json.loads(row.events))) for row in rows)


async def write_announcements(connection: AsyncConnection, announcements: Sequence[StoredAnnouncement]) -> None:
    """Keep what is to be told of changes of the same transaction. Raises SQLAlchemyError."""
    rows = [
        {"id": each.number, "events": json.dumps([[it.kind, it.text, it.banks, it.clients] for it in each.events])}
        for each in announcements
    ]
    if rows:
        await connection.execute(insert(ANNOUNCEMENTS), rows)


async def drop_announcements(connection: AsyncConnection, numbers: Sequence[int]) -> None:
    """Deliveries are made of these. Raises SQLAlchemyError."""
    if numbers:
        await connection.execute(_DROP, [{"of": number} for number in numbers])


def _draft(kind: str, text: str, banks: list[int], clients: list[int]) -> EventDraft:
    return EventDraft(kind, text, tuple(banks), tuple(clients))
