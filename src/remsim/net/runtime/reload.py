# SPDX-License-Identifier: Apache-2.0
"""SIGHUP in a running program: what its files say now comes into use, one reload after the other, none forgotten.

Knows nothing of what is loaded. A step whose file cannot be used reports it by itself, and keeps what it had.
"""

import asyncio
from collections.abc import Awaitable, Callable

from remsim.logs import Logger

#: Loads one thing anew; one that blocks or waits is a coroutine function.
Step = Callable[[], Awaitable[None] | None]


class Reload:
    """``request`` may be called at any time, also before ``run``; requests that wait together are one."""

    def __init__(self, *, log: Logger) -> None:
        self._log = log
        self._wanted = asyncio.Event()

    def request(self) -> None:
        """Ask for a reload."""
        self._wanted.set()

    async def run(self, *steps: Step) -> None:
        """Carry out the steps, in their order, whenever it is asked for. For ever; a task of its own."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            for step in steps:
                work = step()
                if work is not None:
                    await work
            self._log.info("reloaded")
