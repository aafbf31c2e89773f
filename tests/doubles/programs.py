# SPDX-License-Identifier: Apache-2.0
"""Programs under test as processes of their own: output drained and searchable, every wait with a deadline.

Nothing outlives the test: a context manager ends the program, and where the test runner itself is killed, the kernel
ends it (``setpriv --pdeathsig``; the program must be started from the main thread for that).
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Self

from tests.doubles.quick_start import QuickStart, running_for
from tests.reference import ROOT

#: How long a program may take to say or do what a test waits for; a loaded machine is slow.
PATIENCE_S: Final = 20.0

#: Ends the program when the thread that started it dies; does not change the process id.
TIED_TO_US: Final = ("setpriv", "--pdeathsig", "KILL", "--")


class ProgramError(AssertionError):
    """A program did not say or do what was waited for; the text carries its last lines."""


#: Names the folder with stand-ins of the installed scripts, where there is one (tests/doubles/quick_start.py).
STAND_INS: Final = "STAND_INS_OF_TESTS"
#: Where the scripts are installed.
INSTALLED: Final = Path(sys.executable).parent


def stand_ins() -> Path | None:
    """The folder with stand-ins of the installed scripts; None where there are none."""
    folder = os.environ.get(STAND_INS)
    return None if folder is None else Path(folder)


@contextmanager
def quick_programs() -> Iterator[Path]:
    """Within it ``remsim`` and the other scripts have stand-ins, in this folder."""
    # Not below pytest's folders: the address of a socket is short.
    with tempfile.TemporaryDirectory() as folder, QuickStart(Path(folder), installed=INSTALLED):
        os.environ[STAND_INS] = folder
        try:
            yield Path(folder)
        finally:
            del os.environ[STAND_INS]


def remsim(*arguments: str) -> list[str]:
    """The command line of ``remsim`` with this interpreter, whatever is on PATH; it starts quickly where it can."""
    return [str((stand_ins() or INSTALLED) / "remsim"), *arguments]


def installed_remsim(*arguments: str) -> list[str]:
    """Like ``remsim``, for what is about the start itself."""
    return [str(INSTALLED / "remsim"), *arguments]


class Output:
    """The lines of one or more streams, in order of arrival. Threads fill it, the test waits on it."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._open_streams = 0
        self._changed = threading.Condition()

    def drain(self, stream: IO[str]) -> threading.Thread:
        """Start a thread that reads ``stream`` to its end; the caller joins it."""
        with self._changed:
            self._open_streams += 1
        thread = threading.Thread(target=self._drain, args=(stream,), name=f"drain {stream.name}")
        thread.start()
        return thread

    def _drain(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    self._lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._open_streams -= 1
            self._changed.notify_all()

    @property
    def lines(self) -> list[str]:
        """What has arrived so far."""
        with self._changed:
            return list(self._lines)

    def wait_for(self, pattern: str, *, after: int, timeout_s: float) -> re.Match[str] | None:
        """The first match in a line from index ``after`` on; None at the deadline or when all streams have ended."""
        deadline = time.monotonic() + timeout_s
        wanted = re.compile(pattern)
        with self._changed:
            while True:
                for line in self._lines[after:]:
                    if match := wanted.search(line):
                        return match
                after = max(after, len(self._lines))
                left_s = deadline - time.monotonic()
                if left_s <= 0 or self._open_streams == 0:
                    return None
                self._changed.wait(left_s)


def _stands_still(pid: int) -> bool:
    """Whether no thread of a process runs: each is stopped, or the process is gone."""
    try:
        stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return True
    # proc(5): the state is the third field, behind the name in brackets.
    return all(stat.rpartition(")")[2].split()[0] in {"T", "t", "Z", "X"} for stat in stats)


class Program:
    """One running program. ``stdout`` and ``stderr`` collect its lines; ``with`` ends it."""

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        """Start ``argv`` in the repository's root with ``env`` added to our environment."""
        self.argv = list(argv)
        self.stdout, self.stderr = Output(), Output()
        self._process = subprocess.Popen(
            [*TIED_TO_US, *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            bufsize=1,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._drains = [self.stdout.drain(self._process.stdout), self.stderr.drain(self._process.stderr)]

    @property
    def pid(self) -> int:
        """The program's process id. One that starts quickly has another until it runs, so wait for a line before."""
        folder = stand_ins()
        return (
            self._process.pid if folder is None or self.status is not None else running_for(folder, self._process.pid)
        )

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def mark(self) -> int:
        """The number of lines on stderr so far: hand it to ``wait_for`` to see only what comes later."""
        return len(self.stderr.lines)

    def wait_for(self, pattern: str, *, after: int = 0, timeout_s: float = PATIENCE_S) -> re.Match[str]:
        """The first match of ``pattern`` in a line on stderr. Raises ProgramError at the deadline or at its end."""
        return self._found(self.stderr, pattern, after, timeout_s)

    def wait_for_stdout(self, pattern: str, *, after: int = 0, timeout_s: float = PATIENCE_S) -> re.Match[str]:
        """Like ``wait_for``, on stdout."""
        return self._found(self.stdout, pattern, after, timeout_s)

    def _found(self, output: Output, pattern: str, after: int, timeout_s: float) -> re.Match[str]:
        match = output.wait_for(pattern, after=after, timeout_s=timeout_s)
        if match is None:
            raise ProgramError(f"no line matches {pattern!r}\n{self.describe()}")
        return match

    def send_line(self, text: str) -> None:
        """Write one line to its input."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def close_input(self) -> None:
        """Let it see the end of its input."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:  # it ended before it read everything
            pass

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if it has ended. After SIGSTOP all its threads stand still on return."""
        if self.status is not None:
            return
        try:
            os.kill(pid := self.pid, number)
        except ProcessLookupError:  # it has just ended
            return
        while number is signal.SIGSTOP and not _stands_still(pid):
            os.sched_yield()

    def kill(self) -> None:
        """End it without warning (SIGKILL) and wait until it is gone."""
        self.send_signal(signal.SIGKILL)
        self.wait()

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for its end and return the exit status. Raises ProgramError at the deadline."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ProgramError(f"still running after {timeout_s:g} s\n{self.describe()}") from None
        for drain in self._drains:
            drain.join(PATIENCE_S)
        return status

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        """End it politely (SIGTERM), by force at the deadline, and return the exit status."""
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self.close_input()
        return self.wait()

    def describe(self) -> str:
        """The command line, the state and the last lines of both streams."""
        state = "running" if self.status is None else f"ended with {self.status}"
        last = [f"  {line}" for line in (*self.stdout.lines[-20:], "-- stderr:", *self.stderr.lines[-20:])]
        return "\n".join([f"{' '.join(self.argv)}: {state}", *last])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
