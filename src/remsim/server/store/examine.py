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

from sqlalchemy.exc import SQLAlchemyError

from remsim.core.errors import RemsimError
from remsim.core.values import dataclass
from remsim.net.runtime.tasks import in_thread
from remsim.server.store.database import open_engine

#: Another program may hold the file's lock for a moment.
_SQLITE_WAIT_S: Final = 2.0
#: A database server has so long for all questions.
_SERVER_DEADLINE_S: Final = 5.0

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
    name = f"the database at {engine.url.host}"
    try:
        async with asyncio.timeout(_SERVER_DEADLINE_S), engine.connect() as connection:
            revision = (await connection.exec_driver_sql(_VERSION_QUERY)).scalar()
            tokens = (await connection.exec_driver_sql(_TOKEN_QUERY.format(now=now))).scalar()
    except TimeoutError:
        return DatabaseFacts(name, Trouble.SERVER, f"{name} does not answer")
    except (SQLAlchemyError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        return DatabaseFacts(name, Trouble.SERVER, f"{name} cannot be used: {reason}")
    finally:
        await engine.dispose()
    return DatabaseFacts(name, revision=str(revision), tokens=int(tokens or 0))


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
