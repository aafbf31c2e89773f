# SPDX-License-Identifier: Apache-2.0
"""Tasks with a name and an owner, and the alarm clock of a coordinator.

The only module that starts tasks, or work in a thread of the pool; a test reads the sources and proves it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from remsim.logs import Logger, get_logger

T = TypeVar("T")
P = ParamSpec("P")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do work that blocks in a thread, and wait for its result."""
    return await asyncio.to_thread(work, *args, **kwargs)


async def all_of(*works: Coroutine[object, object, T]) -> list[T]:
    """Do several things at the same time, and wait for all results, in the order of the arguments."""
    return await asyncio.gather(*works)


#: What ``when_done`` has started: the loop itself keeps no task alive.
_started: set[asyncio.Task[object]] = set()


def when_done(
    work: Coroutine[object, object, T], done: Callable[[T | BaseException], None], *, name: str
) -> Callable[[], object]:
    """Start ``work``, which ends by itself; ``done`` is called in the loop with its result or with what it raised.

    Returns what cancels it.
    """

    def report(task: asyncio.Task[T]) -> None:
        _started.discard(task)
        if task.cancelled():
            done(asyncio.CancelledError())
            return
        error = task.exception()
        done(task.result() if error is None else error)

    task = asyncio.get_running_loop().create_task(work, name=name)
    _started.add(task)
    task.add_done_callback(report)
    return task.cancel


class TaskOwner:
    """Owns tasks for the time of an ``async with`` block, which ends when all its tasks have ended.

    Call ``cancel`` to end them. May be used from the event loop's thread only.
    """

    def __init__(self, name: str, *, log: Logger | None = None, on_crash: Callable[[str], None] | None = None) -> None:
        """``on_crash`` is called with the task's name after a session task crashed, for a counter."""
        self._name = name
        self._log = log if log is not None else get_logger(name)
        self._on_crash = on_crash
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[object]] = set()
        self._is_closing = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.cancel()
        try:
            await self._group.__aexit__(kind, error, trace)
        finally:
            self._is_closing = True

    def __len__(self) -> int:
        """Return the number of tasks that still run."""
        return len(self._tasks)

    def vital(self, work: Coroutine[object, object, T], *, name: str) -> asyncio.Task[T] | None:
        """Start a task whose crash ends the owner. Returns None, and drops ``work``, if the owner is closing."""
        return self._start(work, name)

    def session(
        self, work: Coroutine[object, object, object], *, name: str, log: Logger | None = None
    ) -> asyncio.Task[None] | None:
        """Start a task whose crash is logged to ``log`` and ends nothing else.

        Returns None, and drops ``work``, if the owner is closing.
        """
        task = self._start(self._guard(work, name, log if log is not None else self._log), name)
        if task is None:
            work.close()
        else:
            # A task that is cancelled before its first step never awaits its work.
            task.add_done_callback(lambda _task: work.close())
        return task

    def cancel(self) -> None:
        """End all tasks and take no new ones."""
        self._is_closing = True
        for task in tuple(self._tasks):
            task.cancel()

    def _start(self, work: Coroutine[object, object, T], name: str) -> asyncio.Task[T] | None:
        try:
            if self._is_closing:
                raise RuntimeError("closing")
            task = self._group.create_task(work, name=f"{self._name}:{name}")
        except RuntimeError:
            # The group itself refuses when it is ending after an error; a coroutine nobody awaits must be closed.
            work.close()
            return None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guard(self, work: Coroutine[object, object, object], name: str, log: Logger) -> None:
        try:
            await work
        except Exception as error:  # the top of a task: whatever is wrong, only this session ends
            log.error("task_crashed", task=name, exc_info=error)
            if self._on_crash is not None:
                self._on_crash(name)


class Alarm:
    """Calls ``on_alarm`` in the loop at the deadline set last. ``on_alarm`` may set the next one."""

    def __init__(self, on_alarm: Callable[[], None]) -> None:
        self._on_alarm: Callable[[], None] | None = on_alarm
        self._handle: asyncio.TimerHandle | None = None
        self._due: float | None = None

    def set(self, deadline: float | None) -> None:
        """Ring at ``deadline``, in the loop's time; None stops the alarm. Setting the same again costs nothing."""
        if deadline == self._due:
            return
        self.cancel()
        if deadline is not None:
            self._due = deadline
            self._handle = asyncio.get_running_loop().call_at(deadline, self._ring)

    def cancel(self) -> None:
        """Stop the alarm."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._due = None

    def end(self) -> None:
        """Never ring again. Lets go of ``on_alarm``, and with it of the object that owns both."""
        self.cancel()
        self._on_alarm = None

    def _ring(self) -> None:
        self._handle = self._due = None
        if self._on_alarm is not None:
            self._on_alarm()
