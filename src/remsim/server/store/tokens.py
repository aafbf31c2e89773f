# SPDX-License-Identifier: Apache-2.0
"""Tokens in the database, for the command line: made, listed, revoked, each change with its audit entry.

Works on the database itself, next to a running server: a change holds for the server's next request. The text of a
token is returned once and stored nowhere.
"""

import asyncio
import getpass
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from remsim.config import ServerConfig
from remsim.core.errors import RemsimError, StartError
from remsim.pki import files
from remsim.server.core.tokens import (
    EVERYTHING,
    ID_BYTES,
    SECRET_BYTES,
    Scope,
    StoredToken,
    TokenRole,
    make_token,
)
from remsim.server.store import audit, database
from remsim.server.store.schema import TOKENS

T = TypeVar("T")


class UnknownTokenError(RemsimError):
    """There is no such token that could be revoked."""


def create_token(
    config: ServerConfig,
    *,
    name: str,
    role: TokenRole,
    scope: Scope = EVERYTHING,
    lifetime_s: float | None = None,
    may_create: bool = True,
) -> tuple[str, StoredToken]:
    """Make and store a token; returns its text and its record. Raises TokenError, StartError, KeyFileError.

    Without ``may_create`` there must be a server's database already: no server would know a token in a new one.
    """
    text, record = _draw(name, role, scope, lifetime_s)

    async def store(connection: AsyncConnection) -> None:
        await _insert(connection, record)

    _on_database(config, store, may_create=may_create)
    return text, record


def create_first_token(
    config: ServerConfig, *, name: str, keep: Callable[[str], object] | None = None
) -> tuple[str, StoredToken] | None:
    """Make a token for an admin, if none was ever made; None if there was one. Raises like ``create_token``.

    ``keep`` gets the text of a new one. If it raises, no token is made: it would be one that nobody has.
    """
    text, record = _draw(name, TokenRole.ADMIN, EVERYTHING, None)

    async def store(connection: AsyncConnection) -> bool:
        if await has_tokens(connection):
            return False
        await _insert(connection, record)
        if keep is not None:
            keep(text)
        return True

    return (text, record) if _on_database(config, store, may_create=True) else None


def _draw(name: str, role: TokenRole, scope: Scope, lifetime_s: float | None) -> tuple[str, StoredToken]:
    return make_token(
        secrets.token_bytes(ID_BYTES),
        secrets.token_bytes(SECRET_BYTES),
        name=name,
        role=role,
        now=time.time(),
        scope=scope,
        lifetime_s=lifetime_s,
    )


async def _insert(connection: AsyncConnection, record: StoredToken) -> None:
    await connection.execute(insert(TOKENS).values(**_values(record)))
    entry = audit.Entry(local_actor(), "token.create", f"{record.token_id} {record.name}", detail=record.role.text)
    await audit.write_entries(connection, [entry], record.created_at)


def list_tokens(config: ServerConfig) -> list[StoredToken]:
    """All tokens, oldest first. Raises StartError."""

    return _on_database(config, read_tokens, may_create=False)


async def read_tokens(connection: AsyncConnection) -> list[StoredToken]:
    """All tokens, oldest first. Raises SQLAlchemyError."""
    rows = await connection.execute(select(TOKENS).order_by(TOKENS.c.created_at, TOKENS.c.token_id))
    return [_record(row) for row in rows]


def revoke_token(config: ServerConfig, which: str, *, keeps_leases: bool = False) -> StoredToken:
    """Revoke the token with this ID. Raises UnknownTokenError, StartError.

    ``keeps_leases``: those that it has taken go on.
    """

    async def revoke(connection: AsyncConnection) -> StoredToken | None:
        record = await find_token(connection, which)
        if record is None or record.revoked_at is not None:
            return None
        now = time.time()
        values = {"revoked_at": now, "keeps_leases": keeps_leases}
        await connection.execute(update(TOKENS).where(TOKENS.c.token_id == which).values(values))
        detail = "its leases go on" if keeps_leases else ""
        entry = audit.Entry(local_actor(), "token.revoke", f"{record.token_id} {record.name}", detail=detail)
        await audit.write_entries(connection, [entry], now)
        return record

    record = _on_database(config, revoke, may_create=False)
    if record is None:
        raise UnknownTokenError(f"there is no valid token {which!r}", hint="see remsim token list")
    return record


async def find_token(connection: AsyncConnection, token_id: str) -> StoredToken | None:
    """The record of an ID. Raises SQLAlchemyError."""
    row = (await connection.execute(select(TOKENS).where(TOKENS.c.token_id == token_id))).one_or_none()
    return None if row is None else _record(row)


async def has_tokens(connection: AsyncConnection) -> bool:
    """Whether any token was ever made. Raises SQLAlchemyError."""
    return (await connection.execute(select(TOKENS.c.token_id).limit(1))).first() is not None


def local_actor() -> audit.Actor:
    """The user of this host who runs the command."""
    return audit.Actor(f"user {local_user()}", "local")


def local_user() -> str:
    """The name of the user of this host who runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _on_database(config: ServerConfig, work: Callable[[AsyncConnection], Awaitable[T]], *, may_create: bool) -> T:
    if config.database is None and may_create:
        _make_folder(config.state_dir)
    elif config.database is None:
        files.check_owner(config.state_dir)

    async def run() -> T:
        engine = database.open_engine(config.database_url)
        try:
            connection = await database.connect(engine, may_create=may_create)
            try:
                async with connection.begin():
                    return await work(connection)
            finally:
                await connection.close()
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except SQLAlchemyError as error:
        raise StartError(
            f"the database did not take it: {error.args[0] if error.args else error}", hint="is it a server's?"
        ) from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StartError(
            f"cannot write to the state directory {folder}: {error.strerror}",
            hint="give --state DIR of the server, as the user that runs it",
        ) from error
    files.check_owner(folder)


def _values(record: StoredToken) -> dict[str, object]:
    return {
        "token_id": record.token_id,
        "name": record.name,
        "role": int(record.role),
        "digest": record.digest.hex(),
        "banks": _join(record.scope.banks),
        "clients": _join(record.scope.clients),
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "revoked_at": record.revoked_at,
        "keeps_leases": record.keeps_leases,
    }


def _record(row: Row[tuple[object, ...]]) -> StoredToken:
    return StoredToken(
        row.token_id,
        row.name,
        TokenRole(row.role),
        bytes.fromhex(row.digest),
        row.created_at,
        Scope(_split(row.banks), _split(row.clients)),
        row.expires_at,
        row.revoked_at,
        bool(row.keeps_leases),
    )


def _join(numbers: frozenset[int] | None) -> str | None:
    return None if numbers is None else ",".join(str(number) for number in sorted(numbers))


def _split(text: str | None) -> frozenset[int] | None:
    return None if text is None else frozenset(int(number) for number in text.split(",") if number)
