# SPDX-License-Identifier: Apache-2.0
"""The programs under attack: a server, its bankd with software cards, and a bankd that no server controls.

Watches them from outside: whether they run, what they hold open, how much memory they have, what their logs say.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.doubles.programs import PATIENCE_S, TIED_TO_US, remsim
from tests.fuzz import cast
from tests.reference import ROOT

#: What must not occur in a log, whatever peers send: our own mistakes.
FAULT: Final = re.compile(
    rb"Traceback|internal_error|task_crashed|bad_message_withheld|Exception in callback|\berror  |\bcritical\b"
)
_POLL_S: Final = 0.02
#: Three programs start at the same time, on a machine that may have other work.
_START_S: Final = 3 * PATIENCE_S
#: A log is cut when it was looked through; the last bytes stay for the report.
_LOG_TAIL: Final = 4000

#: Deadlines are short, so that what waits for one comes to it within the run.
_TIMERS: Final = """
[timers]
identify_s = 2.0
takeover_s = 0.3
[keepalive]
interval_s = 2.0
timeout_s = 2.0
"""


class ProgramError(AssertionError):
    """A program died, or showed a fault."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a program holds at one moment."""

    descriptors: int
    threads: int
    memory_kb: int


class Tenant:
    """One program. Its log goes to a file, which is looked through from time to time."""

    def __init__(self, name: str, arguments: list[str], folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        config = folder / "timers.toml"
        config.write_text(_TIMERS, encoding="utf-8")
        argv = remsim(*arguments, "--plaintext", "--config", str(config), "--state", str(folder / name))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([*TIED_TO_US, *argv], stdin=subprocess.DEVNULL, stderr=log, cwd=ROOT)
        self._tail = b""

    def wait_for(self, pattern: str) -> Mapping[str, str]:
        """The named groups of the first match in its log. Raises ProgramError."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if match := re.search(pattern, self._log.read_text(encoding="utf-8", errors="replace")):
                return match.groupdict()
            time.sleep(_POLL_S)
        raise ProgramError(
            f"{self.name} did not say {pattern!r}:\n{self._log.read_text(errors='replace')[-_LOG_TAIL:]}"
        )

    def check_log(self) -> None:
        """Raises ProgramError if its log shows a fault. Empties the log."""
        if self._log.stat().st_size:
            text = self._tail + self._log.read_bytes()
            if fault := FAULT.search(text):
                around = text[max(0, fault.start() - 200) : fault.start() + 2 * _LOG_TAIL]
                raise ProgramError(f"{self.name} logged a fault:\n{around.decode(errors='replace')}")
            # A line that is written just now may be lost with this; so may a fault in it, which is seldom alone.
            os.truncate(self._log, 0)
            self._tail = text[-_LOG_TAIL:]

    def check(self) -> None:
        """Raises ProgramError if it died or its log shows a fault."""
        self.check_log()
        if self._process.poll() is not None:
            last = self._tail.decode(errors="replace")
            raise ProgramError(f"{self.name} ended with {self._process.returncode}:\n{last}")

    def holdings(self) -> Holdings:
        """What it holds now. Raises ProgramError if it is not there any more."""
        self.check()
        proc = Path(f"/proc/{self._process.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text(encoding="ascii").splitlines())
        return Holdings(
            descriptors=len(os.listdir(proc / "fd")),  # noqa: PTH208  # only the number is wanted, and often
            threads=int(status["Threads"]),
            memory_kb=int(status["VmRSS"].split()[0]),
        )

    def stop(self) -> int:
        """End it politely, by force if it hangs; the exit status."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Programs:
    """All programs, for the time of a ``with`` block."""

    def __init__(self, folder: Path, *, log_level: str) -> None:
        self._folder = folder
        self._level = ["--log-level", log_level]
        self.tenants: list[Tenant] = []
        #: How they ended.
        self.statuses: dict[str, int] = {}

    def __enter__(self) -> Self:
        try:
            self._move_in()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _move_in(self) -> None:
        pool = ["--client-id-pool", "900-931"]  # soon used up, so both a given and a refused number occur
        server = self._add(
            "server", ["server", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0", "--rest-open", *pool]
        )
        # Port 9 is nobody's here: this one is to be found without a server.
        lonely = self._add_bankd("lonely-bankd", cast.LONELY_BANK, 9)
        ports = server.wait_for(r"rspro=127\.0\.0\.1:(?P<rspro>\d+) rest=127\.0\.0\.1:(?P<rest>\d+)")
        self.rspro, self.rest = int(ports["rspro"]), int(ports["rest"])
        self.lonely_bankd = _port(lonely)
        self.bankd = _port(self._add_bankd("bankd", cast.BANK, self.rspro))

    def _add_bankd(self, name: str, bank: int, server: int) -> Tenant:
        arguments = f"--server 127.0.0.1:{server} --bank-id {bank} --slots {cast.SLOTS} --listen 127.0.0.1:0"
        return self._add(name, ["bankd", *arguments.split(), "--reader", "sim"])

    def _add(self, name: str, arguments: list[str]) -> Tenant:
        tenant = Tenant(name, [*arguments, *self._level], self._folder)
        self.tenants.append(tenant)
        return tenant

    def check(self) -> None:
        """Raises ProgramError."""
        for tenant in self.tenants:
            tenant.check()

    def check_logs(self) -> None:
        """What they said at the end. Raises ProgramError."""
        for tenant in self.tenants:
            tenant.check_log()

    def __exit__(self, *_: object) -> None:
        self.statuses = {tenant.name: tenant.stop() for tenant in reversed(self.tenants)}


def _port(bankd: Tenant) -> int:
    return int(bankd.wait_for(r"listening.* address=127\.0\.0\.1:(?P<port>\d+)")["port"])
