# SPDX-License-Identifier: Apache-2.0
"""What a server's database says of itself, without changing it: for those who examine a host, beside a running server.

Nothing is created and no table is brought to a newer form, unlike with ``remsim.server.store.database.connect``.
"""

import asyncio
import contextlib
import os
import sqlite3
import stat
from enum import Enum, auto
from pathlib import Path
from typing import Final

from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from remsim.core.errors import RemsimError
from remsim.core.values import dataclass
from remsim.net.runtime.tasks import in_thread
from remsim.server.store import postgresql
from remsim.server.store.database import open_engine, words_of

#: Another program may hold the file's lock for a moment.
_SQLITE_WAIT_S: Final = 2.0
#: A database server has so long for all questions.
_SERVER_DEADLINE_S: Final = 5.0

_NAME_IT: Final = "name the server's database in the URL; an empty one gets its tables at the first start"
_VERSION_QUERY: Final = "SELECT version_num FROM alembic_version"
_TOKEN_QUERY: Final = (
    "SELECT COUNT(*) FROM tokens WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > {now!r})"
)


class Trouble(Enum):
    """Why a database could not be read."""

    ABSENT = auto()
    #: It belongs to another user.
    NO_RIGHTS = auto()
    #: It belongs to this user, who cannot write to it.
    READ_ONLY = auto()
    #: It is no database, or is damaged.
    BROKEN = auto()
    #: A database server that does not answer or does not let us in.
    SERVER = auto()
    #: The setting is of no use.
    SETTING = auto()


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What the database says."""

    name: str
    trouble: Trouble | None = None
    #: The trouble in words.
    reason: str = ""
    hint: str = ""
    #: Whether there are any tables.
    has_tables: bool = True
    #: Its form; None: it is no database of ours.
    revision: str | None = None
    #: How many tokens are valid; None: it does not know tokens yet.
    tokens: int | None = None
    #: Permissions of the file; 0 if there is none on this host.
    mode: int = 0


async def look_at_database(url: str, now: float) -> DatabaseFacts:
    """Ask the database at ``url``. Never raises; the URL may hold a password and is not repeated."""
    try:
        engine = open_engine(url)
    except RemsimError as error:
        return DatabaseFacts("", Trouble.SETTING, str(error), error.hint)
    if engine.dialect.name == "sqlite":
        await engine.dispose()
        return await in_thread(read_sqlite, Path(engine.url.database or ""), now)
    try:
        return await _look_at_server(engine, now)
    finally:
        await engine.dispose()


async def _look_at_server(engine: AsyncEngine, now: float) -> DatabaseFacts:
    name = postgresql.place_of(engine.url)
    try:
        connection = await engine.connect()
        try:
            until = asyncio.get_running_loop().time() + _SERVER_DEADLINE_S
            with postgresql.ended_at(await postgresql.driver_of(connection), until):
                tables = set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
                revision = tokens = None
                if "alembic_version" in tables:
                    revision = (await connection.exec_driver_sql(_VERSION_QUERY)).scalar()
                if "tokens" in tables:
                    tokens = (await connection.exec_driver_sql(_TOKEN_QUERY.format(now=now))).scalar()
        finally:
            await connection.close()
    except (SQLAlchemyError, OSError) as error:
        return DatabaseFacts(name, Trouble.SERVER, f"{name} cannot be used: {words_of(error)}")
    return DatabaseFacts(
        name,
        has_tables=bool(tables),
        revision=None if revision is None else str(revision),
        tokens=None if tokens is None else int(tokens),
        hint="" if revision is not None else _NAME_IT,
    )


def read_sqlite(path: Path, now: float) -> DatabaseFacts:
    """Look into a file. Never raises."""
    name = str(path)
    try:
        found = path.stat()
    except FileNotFoundError:
        return DatabaseFacts(name, Trouble.ABSENT, f"there is no database {name}")
    except OSError as error:
        return DatabaseFacts(name, Trouble.NO_RIGHTS, f"cannot look at {name}: {error.strerror}")
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK):
        # Of one's own files, that is a fault; those of another user are not for this one.
        trouble = Trouble.READ_ONLY if found.st_uid == os.geteuid() else Trouble.NO_RIGHTS
        return DatabaseFacts(name, trouble, f"this user may not write to {name} and its folder")
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_SQLITE_WAIT_S)
        ) as connection:
            tables = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            revision = connection.execute(_VERSION_QUERY).fetchone() if "alembic_version" in tables else None
            tokens = connection.execute(_TOKEN_QUERY.format(now=now)).fetchone() if "tokens" in tables else None
    except sqlite3.Error as error:
        return DatabaseFacts(name, Trouble.BROKEN, f"the database {name} cannot be used: {error}")
    return DatabaseFacts(
        name,
        has_tables=bool(tables),
        revision=None if revision is None else str(revision[0]),
        tokens=None if tokens is None else int(tokens[0]),
        mode=stat.S_IMODE(found.st_mode),
    )
