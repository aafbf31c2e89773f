# SPDX-License-Identifier: Apache-2.0
"""Databases for a server, of each kind that it can use, and a look into them beside the server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import inspect, text

from remsim.server.store.database import open_engine
from tests.doubles.postgres import shared_postgres

KINDS: Final = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class DatabasePlace:
    """Where a server's database is, or will be."""

    kind: str
    #: For the setting ``database``.
    url: str

    async def rows(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement; what it returns."""
        engine = open_engine(self.url)
        try:
            async with engine.begin() as connection:
                done = await connection.execute(text(statement))
                return [tuple(row) for row in done] if done.returns_rows else []
        finally:
            await engine.dispose()

    async def tables(self) -> set[str]:
        """The names of all tables that are there."""
        engine = open_engine(self.url)
        try:
            async with engine.connect() as connection:
                return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
        finally:
            await engine.dispose()


def sqlite_at(folder: Path) -> DatabasePlace:
    """The file that a server has by default."""
    return DatabasePlace("sqlite", f"sqlite+aiosqlite:///{folder / 'server.sqlite'}")


@contextmanager
def new_database(kind: str, folder: Path) -> Iterator[DatabasePlace]:
    """An empty one of this kind; a file is in ``folder``, and is not made yet."""
    if kind == "sqlite":
        yield sqlite_at(folder)
        return
    server = shared_postgres()
    with server.database() as name:
        yield DatabasePlace(kind, server.url(name))
