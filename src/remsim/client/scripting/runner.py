# SPDX-License-Identifier: Apache-2.0
"""Runs a slot's event script: one call after the other, each with a time limit, and nobody waits for it.

The classic client starts all calls at once, so that "remove the card" may overtake "insert the card" (known-limits.md,
79). Here they queue. What the script prints goes to standard error; what it leaves in the background lives on.
"""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from remsim.client.scripting.causes import ScriptCause
from remsim.core.values import dataclass
from remsim.logs import Logger

#: Variables of our own environment that the classic client hands on, besides those that begin with LC_.
INHERITED: Final = frozenset(
    {
        *("USER", "LOGNAME", "HOME", "LANG", "PATH", "PWD", "SHELL", "TERM", "TMPDIR"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "POSIXLY_CORRECT", "HOSTALIASES", "TZ", "TZDIR"),
        *("TERMCAP", "COLUMNS", "LINES"),
    }
)

#: More calls than this wait only if the script hangs. Then events are left out, and requests that a later one of the
#: same kind makes obsolete: what the newest of each kind ask for, in their order, is what is to be in the end.
MAX_WAITING: Final = 64
#: A script that is told to end by SIGTERM has so long until SIGKILL.
_TERM_GRACE_S: Final = 1.0
_STDERR: Final = 2


class CallResult(Enum):
    """What became of a call, for the log and the metrics."""

    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    LEFT_OUT = "left_out"


@dataclass(frozen=True, slots=True)
class _Call:
    cause: ScriptCause
    environment: Mapping[str, str]


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of our environment that a script gets."""
    return {key: value for key, value in environ.items() if key in INHERITED or key.startswith("LC_")}


class EventScript:
    """The queue of one slot. ``run`` is a task; ``call`` may be used at any time, in the event loop."""

    def __init__(
        self, command: str, *, timeout_s: float, log: Logger, on_result: Callable[[CallResult], None] = lambda _: None
    ) -> None:
        """``command`` is for ``sh``, which gets the cause as its last word. ``on_result`` counts."""
        self._on_result = on_result
        self._command = command
        self._timeout_s = timeout_s
        self._log = log
        self._waiting: deque[_Call] = deque()
        self._has_calls = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def call(self, cause: ScriptCause, environment: Mapping[str, str]) -> None:
        """Queue a call with the slot's state of this moment."""
        if len(self._waiting) >= MAX_WAITING:
            dropped = self._dispensable(cause)
            if dropped is not None:
                self._waiting.remove(dropped)
                self._count(CallResult.LEFT_OUT, dropped.cause)
            elif not cause.is_request:
                self._count(CallResult.LEFT_OUT, cause)
                return
        self._waiting.append(_Call(cause, environment))
        self._is_idle.clear()
        self._has_calls.set()

    def _dispensable(self, cause: ScriptCause) -> _Call | None:
        """The call that makes room for one with this cause: the oldest event, else an older request of its kind."""
        events = (known for known in self._waiting if not known.cause.is_request)
        return next(events, None) or next((known for known in self._waiting if known.cause is cause), None)

    async def run(self) -> None:
        """Make the calls in their order, for ever."""
        while True:
            while self._waiting:
                await self._make(self._waiting.popleft())
            self._is_idle.set()
            self._has_calls.clear()
            await self._has_calls.wait()

    async def drain(self, grace_s: float) -> None:
        """Wait until all calls are made, for ``grace_s`` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._is_idle.wait()

    async def _make(self, call: _Call) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", f"{self._command} {call.cause.value}"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=_STDERR,
                env={**inherited(os.environ), **call.environment},
                start_new_session=True,
            )
        except OSError as error:
            self._count(CallResult.FAILED, call.cause, reason=error.strerror or str(error))
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                status = await process.wait()
        except TimeoutError:
            await _end(process)
            self._count(CallResult.TIMED_OUT, call.cause, after_s=self._timeout_s)
        except asyncio.CancelledError:
            _signal(process, signal.SIGKILL)
            await process.wait()
            raise
        else:
            self._count(CallResult.FAILED if status else CallResult.OK, call.cause, status=status)

    def _count(self, result: CallResult, cause: ScriptCause, **details: object) -> None:
        self._on_result(result)
        say = self._log.debug if result is CallResult.OK else self._log.warning
        say("event_script", cause=cause.value, result=result.value, **details)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the script with all that it started: politely, then by force."""
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(_TERM_GRACE_S):
            await process.wait()
    except TimeoutError:
        _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # It leads a session, and so a process group, of its own.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
