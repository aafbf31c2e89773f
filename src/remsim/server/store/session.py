# SPDX-License-Identifier: Apache-2.0
"""The connections of the store: one for all that is written, others to read. Knows no table.

An SQLite file is opened once and stays. The connection to a database server may be lost at any moment: it is made
again when it is needed, nothing waits longer than a deadline, and a commit whose answer was lost is looked up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from remsim.core.errors import StartError
from remsim.logs import Logger
from remsim.server.store import database, postgresql

#: All that is to be done in one transaction, a new connection included.
WRITE_DEADLINE_S: Final = 2.0
#: What is to be read, without a new connection.
READ_DEADLINE_S: Final = 0.5
#: So much longer for a commit whose answer was lost.
_DOUBT_S: Final = 1.0
#: After a failure, reading fails at once for so long: callers must not wait one behind the other.
_BLIND_S: Final = 1.0
#: A server that has just ended may have the lock for so long: the database notices a moment later.
_ENDING_S: Final = 1.0
#: Between two questions whether a transaction has ended, or the lock is free.
_ASK_AGAIN_S: Final = 0.05

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]


class DatabaseAwayError(SQLAlchemyError):
    """The database server does not answer, or lets nobody in. Nothing was stored."""


class DoubtfulCommitError(DatabaseAwayError):
    """The connection was lost during the commit ``number``, so it is not known yet whether that took place."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class TakenOverError(StartError):
    """Another server has written to the database meanwhile: what is in this one's memory is out of date."""


class WriterSession(Protocol):
    """The one connection on which everything is written."""

    async def open(self) -> None:
        """Open the database, and bring its tables to the newest form. Raises StartError."""
        ...

    async def run(self, work: Work[T], *, deadline_s: float | None = None) -> T:
        """Do ``work`` in a transaction; twice if the connection turns out to be lost before the commit.

        It may take ``deadline_s``, by default WRITE_DEADLINE_S. Raises SQLAlchemyError, and TakenOverError.
        """
        ...

    async def is_committed(self, number: int) -> bool:
        """Whether a commit that was in doubt took place. Raises DatabaseAwayError while nobody knows."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class ReaderSession(Protocol):
    """Reads beside the writer."""

    async def run(self, work: Work[T], *, deadline_s: float | None = None) -> T:
        """Do ``work``, which changes nothing, within ``deadline_s``, by default READ_DEADLINE_S.

        Raises SQLAlchemyError.
        """
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


def sessions(engine: AsyncEngine, is_ours: Work[bool], *, log: Logger) -> tuple[WriterSession, ReaderSession]:
    """Those for this database; the writer is to be opened.

    ``is_ours`` says, after a connection was lost, whether nobody else has used the database meanwhile.
    """
    if engine.dialect.name == "sqlite":
        return FileWriter(engine), FileReader(engine)
    return ServerWriter(engine, is_ours, log=log), ServerReader(engine)


def is_of_one(error: SQLAlchemyError) -> bool:
    """Whether this is about what was to be stored, and not about the database as a whole."""
    if isinstance(error, DatabaseAwayError | OperationalError):
        return False
    if not isinstance(error, DBAPIError) or isinstance(error, IntegrityError):
        return True
    # Of PostgreSQL: class 22, data that do not fit (a text that is too long). Its driver has no codes for its own ones.
    code = getattr(error.orig, "sqlstate", None)
    own = error.orig.__cause__ if error.orig is not None else None
    if code is None:
        return not error.connection_invalidated and (own is None or isinstance(own, ValueError))
    return str(code).startswith("22")


class FileWriter:
    """A WriterSession for SQLite."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: AsyncConnection | None = None

    async def open(self) -> None:
        """See WriterSession."""
        self._connection = await database.connect(self._engine)

    async def run(self, work: Work[T], *, deadline_s: float | None = None) -> T:
        """See WriterSession. How long it waits for others is a setting of the connection."""
        assert self._connection is not None
        async with self._connection.begin():
            return await work(self._connection)

    async def is_committed(self, number: int) -> bool:
        """See WriterSession. No commit of a file is in doubt."""
        raise AssertionError(number)

    async def close(self) -> None:
        """See WriterSession."""
        if self._connection is not None:
            await self._connection.close()


class FileReader:
    """A ReaderSession for SQLite."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def run(self, work: Work[T], *, deadline_s: float | None = None) -> T:
        """See ReaderSession. Nothing but an exclusive lock holds it up, and not for long."""
        async with self._engine.connect() as connection:
            return await work(connection)

    async def close(self) -> None:
        """See ReaderSession. The engine has the connections."""


class _ServerConnection:
    """A connection to a database server, made when it is needed."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.name = postgresql.place_of(engine.url)
        self._connection: AsyncConnection | None = None
        self._driver: postgresql.DriverConnection | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is one, as far as we know."""
        return self._connection is not None

    async def take(self, connection: AsyncConnection) -> None:
        """Use this one."""
        self._connection, self._driver = connection, await postgresql.driver_of(connection)

    async def get(self, until: float) -> AsyncConnection:
        """The connection; a new one if there is none. Raises DatabaseAwayError."""
        if self._connection is None:
            try:
                async with asyncio.timeout_at(until):
                    await self.take(await self._engine.connect())
            except (SQLAlchemyError, OSError) as error:
                raise DatabaseAwayError(f"{self.name} cannot be reached: {database.words_of(error)}") from error
        assert self._connection is not None
        return self._connection

    def ended_at(self, until: float) -> AbstractContextManager[None]:
        """Break the connection then."""
        assert self._driver is not None
        return postgresql.ended_at(self._driver, until)

    async def drop_if_lost(self) -> bool:
        """Whether the connection is closed, and so let go of."""
        if self._driver is not None and not self._driver.is_closed():
            return False
        await self.close()
        return True

    async def close(self) -> None:
        """Close it, without waiting for the other end."""
        connection, self._connection = self._connection, None
        driver, self._driver = self._driver, None
        if connection is None or driver is None:
            return
        driver.terminate()
        await connection.close()


class ServerWriter:
    """A WriterSession for PostgreSQL."""

    def __init__(self, engine: AsyncEngine, is_ours: Work[bool], *, log: Logger) -> None:
        """See ``sessions``."""
        self._engine = engine
        self._is_ours = is_ours
        self._log = log
        self._link = _ServerConnection(engine)
        self._backend: postgresql.Backend | None = None

    async def open(self) -> None:
        """See WriterSession."""
        await self._link.take(await database.connect(self._engine, claim=self._claim_first))

    async def _claim_first(self, connection: AsyncConnection) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _ENDING_S
        while (backend := await postgresql.claim(connection)) is None:
            if loop.time() >= until:
                raise StartError(
                    f"{self._link.name} is in use by another server",
                    hint="one server uses a database: stop the other one, or name another database",
                )
            await asyncio.sleep(_ASK_AGAIN_S)
        self._backend = backend

    async def run(self, work: Work[T], *, deadline_s: float | None = None) -> T:
        """See WriterSession."""
        loop = asyncio.get_running_loop()
        until = loop.time() + (WRITE_DEADLINE_S if deadline_s is None else deadline_s)
        is_tried_again = False
        while True:
            try:
                return await self._attempt(work, until)
            except DatabaseAwayError:
                raise
            except (SQLAlchemyError, OSError) as error:
                if not await self._link.drop_if_lost():
                    raise
                reason = database.words_of(error)
                if is_tried_again:
                    raise DatabaseAwayError(f"{self._link.name} was lost: {reason}") from error
                if loop.time() >= until:
                    raise DatabaseAwayError(f"{self._link.name} does not answer") from error
            # The database may have been started again, and nothing was committed.
            self._log.warning("database_lost", database=self._link.name, error=reason)
            is_tried_again = True

    async def _attempt(self, work: Work[T], until: float) -> T:
        """Raises SQLAlchemyError, OSError; of these DatabaseAwayError if it is of no use to try again."""
        connection = await self._usable(until)
        number, results = 0, list[T]()
        try:
            with self._link.ended_at(until):
                async with connection.begin():
                    results.append(await work(connection))
                    number = await postgresql.current_transaction(connection)
            return results[0]
        except (SQLAlchemyError, OSError) as error:
            # With the number, the commit was under way.
            if not number or not await self._link.drop_if_lost():
                raise
            doubt = DoubtfulCommitError(f"{self._link.name} was lost during a commit", number)
            doubt.__cause__ = error
        try:
            is_committed = await self.is_committed(number)
        except DatabaseAwayError:
            raise doubt from None
        if not is_committed:
            raise DatabaseAwayError(f"{self._link.name} was lost before the commit") from doubt
        return results[0]

    async def _usable(self, until: float) -> AsyncConnection:
        """A connection with the lock of the one server. Raises SQLAlchemyError, OSError, TakenOverError."""
        is_new = not self._link.is_there
        connection = await self._link.get(until)
        if is_new:
            try:
                with self._link.ended_at(until):
                    await self._claim_again(connection, until)
            except BaseException:
                await self._link.close()
                raise
            self._log.info("database_back", database=self._link.name)
        return connection

    async def _claim_again(self, connection: AsyncConnection, until: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with connection.begin():
                backend = await postgresql.claim(connection, self._backend)
                if backend is not None:
                    if not await self._is_ours(connection):
                        raise TakenOverError(
                            f"another server has used {self._link.name} while this one had lost it",
                            hint="one server uses a database: see which other one names it",
                        )
                    break
            if loop.time() + _ASK_AGAIN_S >= until:
                raise DatabaseAwayError(f"{self._link.name} is in use by another server")
            await asyncio.sleep(_ASK_AGAIN_S)
        self._backend = backend

    async def is_committed(self, number: int) -> bool:
        """See WriterSession."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _DOUBT_S
        try:
            while loop.time() < until:
                connection = await self._usable(until)
                with self._link.ended_at(until):
                    async with connection.begin():
                        is_committed = await postgresql.is_committed(connection, number)
                if is_committed is not None:
                    return is_committed
                await asyncio.sleep(_ASK_AGAIN_S)
        except (SQLAlchemyError, OSError) as error:
            await self._link.drop_if_lost()
            if isinstance(error, DatabaseAwayError):
                raise
            raise DatabaseAwayError(f"{self._link.name} was lost: {database.words_of(error)}") from error
        raise DatabaseAwayError(f"{self._link.name} is still busy with a commit")

    async def close(self) -> None:
        """See WriterSession."""
        await self._link.close()


class ServerReader:
    """A ReaderSession for PostgreSQL: one connection, used by one after the other."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._link = _ServerConnection(engine)
        self._turn = asyncio.Lock()
        self._blind_until = 0.0

    async def run(self, work: Work[T], *, deadline_s: float | None = None) -> T:
        """See ReaderSession."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            if loop.time() < self._blind_until:
                raise DatabaseAwayError(f"{self._link.name} did not answer a moment ago")
            is_kept = self._link.is_there
            with_connect_s = deadline_s or postgresql.CONNECT_TIMEOUT_S
            until = loop.time() + (deadline_s or READ_DEADLINE_S if is_kept else with_connect_s)
            try:
                try:
                    return await self._attempt(work, until)
                except (SQLAlchemyError, OSError):
                    # A kept connection may have ended with a database that has started again meanwhile.
                    if not is_kept or not await self._link.drop_if_lost() or loop.time() >= until:
                        raise
                    return await self._attempt(work, loop.time() + with_connect_s)
            except (SQLAlchemyError, OSError) as error:
                if not await self._link.drop_if_lost():
                    raise
                self._blind_until = loop.time() + _BLIND_S
                if isinstance(error, DatabaseAwayError):
                    raise
                raise DatabaseAwayError(f"{self._link.name} does not answer") from error

    async def _attempt(self, work: Work[T], until: float) -> T:
        connection = await self._link.get(until)
        try:
            with self._link.ended_at(until):
                async with connection.begin():
                    return await work(connection)
        except asyncio.CancelledError:
            # SQLAlchemy has closed it, and would put another one in its place, which no deadline would end.
            await self._link.close()
            raise

    async def close(self) -> None:
        """See ReaderSession."""
        await self._link.close()
