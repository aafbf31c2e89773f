# SPDX-License-Identifier: Apache-2.0
"""What a test may leave behind: tasks, threads, sockets and child processes, counted before and after it."""

import asyncio
import os
import threading
from dataclasses import dataclass
from pathlib import Path

#: A thread or process that was told to end may need this long to be gone.
GRACE_S = 2.0

#: A cancelled task, or one whose last callback is due, is given this many turns of the loop to end.
_TURNS = 10


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The threads, sockets (by inode) and child processes of this process at one moment."""

    threads: frozenset[threading.Thread]
    sockets: frozenset[str]
    children: frozenset[int]


def _sockets() -> frozenset[str]:
    # Before and after each test: os does this in a third of the time that pathlib takes.
    found: set[str] = set()
    for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
        except FileNotFoundError:  # the descriptor of this very scan
            continue
        if target.startswith("socket:"):
            found.add(target)
    return frozenset(found)


def _children() -> frozenset[int]:
    # A child belongs to the thread that started it.
    found: set[int] = set()
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208
        try:
            with open(f"/proc/self/task/{thread}/children", "rb") as children:  # noqa: PTH123
                found.update(map(int, children.read().split()))
        except FileNotFoundError:  # the thread ended meanwhile
            continue
    return frozenset(found)


def snapshot() -> Snapshot:
    """What there is now."""
    return Snapshot(frozenset(threading.enumerate()), _sockets(), _children())


def since(before: Snapshot) -> list[str]:
    """Describe what is there now and was not ``before``; threads get ``GRACE_S`` to end."""
    left: list[str] = []
    for thread in set(threading.enumerate()) - before.threads:
        thread.join(GRACE_S)
        if thread.is_alive():
            left.append(f"thread {thread.name}")
    left.extend(sorted(_sockets() - before.sockets))
    for pid in sorted(_children() - before.children):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        left.append(f"process {pid} ({command.strip() or 'ended, not waited for'})")
    return left


def tasks() -> frozenset[asyncio.Task[object]]:
    """The tasks of the running loop."""
    return frozenset(asyncio.all_tasks())


async def unfinished_tasks(before: frozenset[asyncio.Task[object]]) -> list[str]:
    """Describe the tasks of the running loop, but for the calling one, that were not there ``before``."""
    left: set[asyncio.Task[object]] = set()
    for _ in range(_TURNS):
        left = set(asyncio.all_tasks()) - before - {asyncio.current_task()}
        if not left:
            break
        await asyncio.sleep(0)
    return sorted(f"{task.get_name()} ({task.get_coro()})" for task in left)
