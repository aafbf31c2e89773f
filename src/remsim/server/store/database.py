# SPDX-License-Identifier: Apache-2.0
"""Opening the server's database: SQLite by default, PostgreSQL by URL; brought to the newest shape at start.

An empty database gets the tables as they are now; alembic, which takes long to import, only changes older ones. Knows
no table and no mapping. Every failure is a StartError, one line with a hint.
"""

import asyncio
import contextlib
import os
import shlex
import sqlite3
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, NullPool, create_engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from remsim.core.errors import NO_SERVERS_STATE, StartError, reason_of
from remsim.core.installation import install_command
from remsim.pki.files import sync_directory
from remsim.server.store import postgresql
from remsim.server.store.schema import METADATA, use_dialect

#: Another program may hold the file's lock for a moment: a change waits so long for it ...
_BUSY_TIMEOUT_MS: Final = 2000
#: ... and who only looks, so long: nothing but an exclusive lock holds it up.
_READ_TIMEOUT_S: Final = 0.5
#: All that is to be done at a database server before a server can start, changes of large tables included.
_OPEN_DEADLINE_S: Final = 60.0
_SQLITE: Final = "sqlite+aiosqlite"
#: By this table alembic knows which form a database has; each database of ours has it from the beginning.
_VERSION_TABLE: Final = "alembic_version"
_IN_MEMORY: Final = ":memory:"


def open_engine(url: str) -> AsyncEngine:
    """An engine for ``url``. Raises StartError if it is no URL of a database that can be used from here."""
    try:
        found = make_url(url)
        if found.drivername in (postgresql.SHORT, postgresql.DRIVER):
            found = postgresql.for_driver(found)
        # Errors name the statement, and never the values that it was to store.
        if found.drivername == postgresql.DRIVER:
            engine = create_async_engine(
                found, hide_parameters=True, poolclass=NullPool, connect_args=postgresql.connect_args(found)
            )
        elif found.drivername == _SQLITE:
            engine = create_async_engine(found, hide_parameters=True, connect_args={"timeout": _READ_TIMEOUT_S})
        else:
            raise _no_database()
    except ModuleNotFoundError as error:
        extra = "postgresql" if error.name == "asyncpg" else "server"
        raise StartError(
            f"the database needs the Python package {error.name}, which is not installed",
            hint=f"install it: {install_command(extra)}",
        ) from error
    except (ArgumentError, SQLAlchemyError, ValueError) as error:
        raise _no_database() from error
    use_dialect(engine.dialect.name)
    return engine


def _no_database() -> StartError:
    # The URL may hold a password, so it is not repeated.
    return StartError(
        "the database setting is no URL of a known database",
        hint=f"write for example {_SQLITE}:////var/lib/remsim/server.sqlite or {postgresql.DRIVER}://USER@HOST/NAME",
    )


def files_of(engine: AsyncEngine) -> tuple[Path, ...]:
    """The file in which a database of SQLite is; () for any other."""
    path = engine.url.database
    return (Path(path),) if engine.dialect.name == "sqlite" and path and path != _IN_MEMORY else ()


async def connect(
    engine: AsyncEngine,
    *,
    may_create: bool = True,
    claim: Callable[[AsyncConnection], Awaitable[None]] | None = None,
) -> AsyncConnection:
    """The one connection for all work, with the newest tables. Raises StartError.

    Without ``may_create`` there must be a server's database already. ``claim`` is called before tables are changed,
    and where nothing else keeps a second server out.
    """
    name = _shown(engine)
    try:
        if engine.dialect.name == "sqlite":
            _try_file(engine.url.database or _IN_MEMORY, may_create=may_create)
        connection = await engine.connect()
    except (DBAPIError, sqlite3.Error, OSError) as error:
        raise unusable(engine, error) from error
    try:
        if engine.dialect.name == "sqlite":
            await _prepare_sqlite(connection)
            # Python's driver begins no transaction for a change of tables: a start that dies there must leave nothing.
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            await connection.run_sync(_migrate, name)
            await connection.commit()
        else:
            until = asyncio.get_running_loop().time() + _OPEN_DEADLINE_S
            with postgresql.ended_at(await postgresql.driver_of(connection), until):
                await _prepare_server(connection, name, may_create=may_create, claim=claim)
    except (SQLAlchemyError, OSError) as error:
        await connection.close()
        raise unusable(engine, error) from error
    except StartError:
        await connection.close()
        raise
    return connection


async def _prepare_server(
    connection: AsyncConnection,
    name: str,
    *,
    may_create: bool,
    claim: Callable[[AsyncConnection], Awaitable[None]] | None,
) -> None:
    await postgresql.check(connection, name)
    if claim is not None:
        await claim(connection)
    await postgresql.lock_tables(connection)
    tables = set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
    if tables and _VERSION_TABLE not in tables:
        raise StartError(
            f"{name} belongs to another program: it has tables, but none of a server",
            hint="name a database of its own for the server; an empty one gets its tables at the first start",
        )
    if not tables and not may_create:
        raise StartError(
            f"{name} is empty: there is no server's database",
            hint="is the URL right? a new server's is made by: remsim server init",
        )
    await connection.run_sync(_migrate, name)
    await connection.commit()


def _try_file(path: str, *, may_create: bool) -> None:
    """Open the file once by hand: aiosqlite leaves a thread behind that complains later if it cannot open it.

    A new one is for this user only, and SQLite gives its journals the same mode. It gets its name when its tables are
    in it: a start that dies before leaves nothing that the next one would refuse. One that exists must be a server's:
    else mappings and tokens would be gone without a word, or another program's file would get our tables.
    """
    is_new = path == _IN_MEMORY or not Path(path).exists()
    if is_new and not may_create:
        raise StartError(
            f"there is no server's database at {Path(path).absolute()}",
            hint=NO_SERVERS_STATE,
        )
    if is_new and path != _IN_MEMORY:
        try:
            _make_file(Path(os.path.realpath(path)))
        except OSError as error:
            raise sqlite3.OperationalError(f"unable to open database file ({error.strerror})") from error
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if path != _IN_MEMORY and _VERSION_TABLE not in tables:
        what = "belongs to another program" if tables else "is empty"
        raise StartError(
            f"the database {path} {what}: there are no mappings and no tokens in it",
            hint="restore the server's database from a backup; to begin with a new one, "
            f"{_way_to_begin(Path(path), is_empty=not tables)}",
        )


def _way_to_begin(path: Path, *, is_empty: bool) -> str:
    if is_empty and path.stat().st_size == 0:
        return f"remove this file, which has no content: rm {shlex.quote(str(path))}"
    return f"move this file away: mv {shlex.quote(str(path))} {shlex.quote(f'{path}.old')}"


def _make_file(path: Path) -> None:
    """Make an empty database with all tables at ``path``, as a whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    for left in (draft, draft.with_name(f"{draft.name}-journal")):
        left.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    engine = create_engine(f"sqlite:///{draft}", poolclass=NullPool)
    with engine.begin() as connection:
        # Python's driver begins with the first INSERT only: each table would be committed, and synced, by itself.
        connection.exec_driver_sql("BEGIN")
        _create(connection)
    draft.rename(path)
    sync_directory(path.parent)


async def _prepare_sqlite(connection: AsyncConnection) -> None:
    # With a write-ahead log readers do not block us; FULL: a commit is on the disk before it is acknowledged.
    for pragma in (f"busy_timeout={_BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        await connection.exec_driver_sql(f"PRAGMA {pragma}")
    await connection.commit()


def _migrate(connection: Connection, name: str) -> None:
    names = set(inspect(connection).get_table_names())
    if not names:
        _create(connection)
        return
    known = revisions()
    current = None
    if _VERSION_TABLE in names:
        current = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608
    if current is not None and current not in known:
        raise StartError(
            f"{name} was written by a newer version of remsim (its form is {current})",
            hint="start that version, or restore the copy that was made before it ran",
        )
    if current != known[-1]:
        _upgrade(connection)


def revisions() -> list[str]:
    """The forms that the database had and has, in their order: ``versions/0001_first.py`` brings it to ``0001``."""
    folder = resources.files("remsim.server.store") / "migrations" / "versions"
    return sorted(file.name.partition("_")[0] for file in folder.iterdir() if file.name[:1].isdigit())


def _create(connection: Connection) -> None:
    METADATA.create_all(connection, checkfirst=False)
    # As alembic makes it.
    connection.execute(
        text(
            f"CREATE TABLE {_VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, "
            f"CONSTRAINT {_VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(
        text(f"INSERT INTO {_VERSION_TABLE} (version_num) VALUES (:now)"),  # noqa: S608
        {"now": revisions()[-1]},
    )


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    with resources.as_file(resources.files("remsim.server.store") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _shown(engine: AsyncEngine) -> str:
    url = engine.url
    return f"the database {url.database}" if engine.dialect.name == "sqlite" else postgresql.place_of(url)


def words_of(error: Exception) -> str:
    """What the database or the system says, in one line."""
    said = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    # Of the driver for PostgreSQL, SQLAlchemy's text names the class of its error first.
    cause = said.__cause__ if said is not error and isinstance(said.__cause__, Exception) else said
    if isinstance(cause, TimeoutError) and not str(cause):
        return "it does not answer"
    return reason_of(cause).partition("\n")[0]


def unusable(engine: AsyncEngine, error: Exception) -> StartError:
    """What a program says that cannot start because of ``error``."""
    name, said = _shown(engine), words_of(error)
    return StartError(
        said if said.startswith(name) else f"{name} cannot be used: {said}",
        hint="check that it is there, that this user may write to it and its folder, and that it is a remsim database",
    )
