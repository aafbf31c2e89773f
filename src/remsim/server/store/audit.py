# SPDX-License-Identifier: Apache-2.0
"""The audit log: who changed or tried what, when, from where. How entries stand in the database.

Entries are added in the transaction of the change that they tell of, so there is no change without its entry. Nothing
in the program changes one. Knows no connection's life and no HTTP.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from sqlalchemy import BigInteger, delete, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from remsim.core.text import escape
from remsim.core.values import dataclass
from remsim.redaction import mask_tokens
from remsim.server.core.actions import DONE, REFUSED, SERVER, Actor, Entry
from remsim.server.store.schema import AUDIT

#: Text from outside is cut to what its column holds.
_MAX_WHO: Final = 128
_MAX_SOURCE: Final = 64
_MAX_TARGET: Final = 128
_MAX_DETAIL: Final = 500

#: Refused attempts that are stored of one token, and of all callers without one together: so many at once, then one
#: in so many seconds, which is some fifty megabytes in all the time for which entries are kept. All are counted and
#: logged.
STORED_REFUSALS: Final = 100
REFUSAL_INTERVAL_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One line as it was read back; ``at`` is in seconds since 1970."""

    number: int
    at: float
    entry: Entry


async def write_entries(connection: AsyncConnection, entries: Sequence[Entry], at: float) -> None:
    """Add entries. Raises SQLAlchemyError."""
    if entries:
        await connection.execute(insert(AUDIT), [_values(entry, at) for entry in entries])


async def read_entries(connection: AsyncConnection, *, after: int, limit: int) -> Iterable[StoredEntry]:
    """The next entries behind number ``after``, oldest first. Raises SQLAlchemyError."""
    # Whatever was asked for: PostgreSQL would refuse a number that its column cannot hold.
    behind = AUDIT.c.id > literal(after, BigInteger)
    rows = await connection.execute(select(AUDIT).where(behind).order_by(AUDIT.c.id).limit(limit))
    return [
        StoredEntry(row.id, row.at, Entry(Actor(row.who, row.source), row.action, row.target, row.outcome, row.detail))
        for row in rows
    ]


async def read_targets(connection: AsyncConnection, actions: Collection[str]) -> set[tuple[str, str]]:
    """Action and target of all entries with one of these actions. Raises SQLAlchemyError."""
    rows = await connection.execute(select(AUDIT.c.action, AUDIT.c.target).where(AUDIT.c.action.in_(actions)))
    return {(row.action, row.target) for row in rows}


async def forget_entries(connection: AsyncConnection, before: float) -> None:
    """Drop what is older than ``before``. Raises SQLAlchemyError."""
    await connection.execute(delete(AUDIT).where(AUDIT.c.at < before))


def _values(entry: Entry, at: float) -> dict[str, object]:
    return {
        "at": at,
        # Some of it is what others said. What reads the log shows it in lines, at terminals.
        "who": escape(entry.actor.who)[:_MAX_WHO],
        "source": escape(entry.actor.source)[:_MAX_SOURCE],
        "action": escape(entry.action),
        # A path that somebody asked for may hold a token.
        "target": escape(mask_tokens(entry.target))[:_MAX_TARGET],
        "outcome": entry.outcome,
        "detail": escape(entry.detail)[:_MAX_DETAIL],
    }


__all__ = [
    "DONE",
    "REFUSED",
    "SERVER",
    "Actor",
    "Entry",
    "StoredEntry",
    "forget_entries",
    "read_entries",
    "read_targets",
    "write_entries",
]
