# SPDX-License-Identifier: Apache-2.0
"""Requests that are done once, as they stand in the database. Knows no connection's life.

A row is written in the transaction of the change that was asked for. So, whenever the server is killed, either both
are there or neither is, and who asks again is not served twice.
"""

from typing import Final

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from remsim.server.core.actions import (
    DONE,
    Decision,
    Entry,
    KeyedRequest,
    StoredRequest,
    StoreLease,
    StoreWebhook,
)
from remsim.server.core.kept_answers import KEPT_S, MAX_KEPT
from remsim.server.store.schema import REQUESTS

_DROP: Final = delete(REQUESTS).where(REQUESTS.c.id <= bindparam("last"))


def request_of(entry: Entry | None) -> KeyedRequest | None:
    """The request that was done, if it has a key and ``entry`` does not tell of a refusal."""
    return entry.actor.request if entry is not None and entry.outcome == DONE else None


async def read_requests(connection: AsyncConnection, wall: float) -> tuple[StoredRequest, ...]:
    """Those whose keys still mean something at ``wall``, oldest first."""
    query = select(REQUESTS).where(REQUESTS.c.done_at >= wall - KEPT_S).order_by(REQUESTS.c.id)
    return tuple(
        StoredRequest(
            row.id,
            KeyedRequest((row.token_id, row.path, row.key), bytes.fromhex(row.digest), row.answer),
            row.done_at,
            row.made,
        )
        for row in await connection.execute(query)
    )


async def read_last_number(connection: AsyncConnection) -> int:
    """The highest number of all of them, 0 if there is none."""
    return await connection.scalar(select(REQUESTS.c.id).order_by(REQUESTS.c.id.desc()).limit(1)) or 0


async def write_request(connection: AsyncConnection, done: StoredRequest) -> None:
    """Keep what was done in the same transaction, and forget the oldest. Raises SQLAlchemyError."""
    token_id, path, key = done.request.name
    await connection.execute(
        insert(REQUESTS).values(
            id=done.number,
            token_id=token_id,
            path=path,
            key=key,
            digest=done.request.digest.hex(),
            done_at=done.done_at,
            made=done.made,
            answer=done.request.answer,
        )
    )
    await connection.execute(_DROP, {"last": done.number - MAX_KEPT})


async def forget_requests(connection: AsyncConnection, wall: float) -> None:
    """Drop those whose keys mean nothing any more. Raises SQLAlchemyError."""
    await connection.execute(delete(REQUESTS).where(REQUESTS.c.done_at < wall - KEPT_S))


def made_by(decision: Decision | None) -> int | None:
    """The number of the lease or webhook that a decision makes."""
    match decision:
        case StoreLease(order, _):
            return order.id
        case StoreWebhook(hook):
            return hook.number
        case _:
            return None
