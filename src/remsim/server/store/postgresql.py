# SPDX-License-Identifier: Apache-2.0
"""What is particular to PostgreSQL: how it is reached, what a database must be, and that one server writes to it.

A session is what PostgreSQL calls one connection. Knows no table of ours.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Protocol, cast

from sqlalchemy import BigInteger, bindparam, text

from remsim.core.errors import StartError
from remsim.core.text import escape
from remsim.core.values import dataclass

if TYPE_CHECKING:
    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncConnection

DRIVER: Final = "postgresql+asyncpg"
#: How people write it who do not know of drivers.
SHORT: Final = "postgresql"
#: What may stand behind the name of the database in a URL. The driver would take any other for a mistake of ours.
_PARAMETERS: Final = frozenset(
    {
        *("host", "port", "user", "password", "passfile", "ssl", "service", "servicefile"),
        *("target_session_attrs", "krbsrvname", "gsslib"),
    }
)
#: One attempt to connect may take so long, also where the host is there and the database server stands still.
CONNECT_TIMEOUT_S: Final = 2.0
#: Another program may hold a table or row for a moment: a change waits so long for it.
_LOCK_TIMEOUT_MS: Final = 2000
#: The oldest one that its makers looked after when this was written.
_OLDEST: Final = 14
#: Every server takes this lock of its database, and keeps it with its session ("remsim" in ASCII).
_SERVERS_LOCK: Final = 0x72656D73696D
#: Held while tables are made or changed: by a server, or by a command beside it.
_TABLES_LOCK: Final = _SERVERS_LOCK + 1
#: As settings of each session. The last three let the database notice after half a minute that our host is gone, so
#: that a server on another host gets the lock.
_SETTINGS: Final = {
    "application_name": "remsim",
    "lock_timeout": str(_LOCK_TIMEOUT_MS),
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

_FACTS: Final = text(
    "SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding, "
    "pg_is_in_recovery() AS is_standby"
)
_LOCK: Final = text("SELECT pg_try_advisory_lock(:key)").bindparams(key=_SERVERS_LOCK)
_LOCK_TABLES: Final = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=_TABLES_LOCK)
#: A role may have been set up to be faster than safe: what we acknowledge must survive a crash.
_BE_SAFE: Final = text(
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_WHO: Final = text("SELECT pid, backend_start::text AS since FROM pg_stat_activity WHERE pid = pg_backend_pid()")
_END: Final = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid AND backend_start::text = :since"
)
_CURRENT: Final = text("SELECT txid_current()")
#: For a number that was never given here, txid_status fails: the transaction was lost with a primary, whose place a
#: standby has taken before it had heard of it.
_STATUS: Final = text(
    "SELECT CASE WHEN :number > txid_current() THEN 'aborted' ELSE txid_status(:number) END"
).bindparams(bindparam("number", type_=BigInteger))


@dataclass(frozen=True, slots=True)
class Backend:
    """The process that serves one session at the database server."""

    pid: int
    #: When it began, in the words of the database: a number may be used again.
    since: str


class DriverConnection(Protocol):
    """What is used of asyncpg's connection."""

    def terminate(self) -> None: ...

    def is_closed(self) -> bool: ...


def for_driver(url: "URL") -> "URL":
    """The URL with the driver's own name for what programs of PostgreSQL call sslmode. Raises StartError."""
    query = {"ssl" if name == "sslmode" else name: value for name, value in url.query.items()}
    if unknown := sorted(query.keys() - _PARAMETERS):
        raise StartError(
            f"the URL of the database has a parameter that is not known here: {escape(unknown[0])}",
            hint=f"leave it out; known are {', '.join(sorted(_PARAMETERS))}",
        )
    return url.set(drivername=DRIVER, query=query)


def connect_args(url: "URL") -> dict[str, object]:
    """What the driver gets beside what the URL says."""
    given: dict[str, object] = {"timeout": CONNECT_TIMEOUT_S, "server_settings": dict(_SETTINGS)}
    if not (_is_of_this_host(url) or "ssl" in url.query or os.environ.get("PGSSLMODE")):
        # The driver's own choice would speak in clear with any host that answers.
        given["ssl"] = "verify-full"
    return given


def _is_of_this_host(url: "URL") -> bool:
    hosts = [url.host] if url.host else [host.partition(":")[0] for host in _as_tuple(url.query.get("host"))]
    return all(_is_local(host) for host in hosts or _as_tuple(os.environ.get("PGHOST")))


def _as_tuple(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else value


def _is_local(host: str) -> bool:
    if host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def place_of(url: "URL") -> str:
    """Database and host in words, without user and password."""
    hosts = url.host or ",".join(_as_tuple(url.query.get("host"))) or os.environ.get("PGHOST") or "this host"
    return f"the database {url.database or os.environ.get('PGDATABASE') or 'of this user'} at {hosts}"


async def driver_of(connection: "AsyncConnection") -> DriverConnection:
    """The driver's own connection below this one."""
    return cast("DriverConnection", (await connection.get_raw_connection()).driver_connection)


@contextmanager
def ended_at(driver: DriverConnection, deadline: float) -> Iterator[None]:
    """Break the connection at ``deadline`` (the loop's time): what waits for it then fails at once.

    Cancelling instead would have the driver ask the database, which may stand still, to end the statement.
    """
    timer = asyncio.get_running_loop().call_at(deadline, driver.terminate)
    try:
        yield
    finally:
        timer.cancel()


async def check(connection: "AsyncConnection", name: str) -> None:
    """Refuse what cannot serve. Raises StartError, SQLAlchemyError."""
    facts = (await connection.execute(_FACTS)).one()
    if facts.version < _OLDEST * 10000:
        raise StartError(
            f"{name} is PostgreSQL {facts.version // 10000}, which is too old",
            hint=f"PostgreSQL {_OLDEST} or newer is needed",
        )
    if facts.encoding != "UTF8":
        raise StartError(
            f"{name} has the encoding {facts.encoding}, which lacks characters that are to be stored",
            hint="make it with: createdb --encoding UTF8 --template template0 --owner ROLE NAME",
        )
    if facts.is_standby:
        raise StartError(f"{name} is a standby, which takes no changes", hint="name the primary in the URL")


async def lock_tables(connection: "AsyncConnection") -> None:
    """Keep others from making or changing tables until this transaction ends. Raises SQLAlchemyError."""
    await connection.execute(_LOCK_TABLES)


async def claim(connection: "AsyncConnection", before: Backend | None = None) -> Backend | None:
    """Become the one server of this database, for as long as this session lasts; None: another one is.

    ``before`` served the session that we have lost. It may not know that yet, so it is ended. Raises SQLAlchemyError.
    """
    await connection.execute(_BE_SAFE)
    if before is not None:
        await connection.execute(_END, {"pid": before.pid, "since": before.since})
    if not await connection.scalar(_LOCK):
        return None
    row = (await connection.execute(_WHO)).one()
    return Backend(row.pid, row.since)


async def current_transaction(connection: "AsyncConnection") -> int:
    """The number of the transaction under way. Raises SQLAlchemyError."""
    return int(await connection.scalar(_CURRENT) or 0)


async def is_committed(connection: "AsyncConnection", number: int) -> bool | None:
    """Whether a transaction took place; None: it is still under way. Raises SQLAlchemyError."""
    status = await connection.scalar(_STATUS, {"number": number})
    return None if status == "in progress" else status == "committed"
