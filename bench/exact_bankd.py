# SPDX-License-Identifier: Apache-2.0
"""``remsim`` whose software cards answer when their time is over: ``python -m bench.exact_bankd bankd …``.

The timers of an event loop count in whole milliseconds and anew each time that the loop wakes up, so a card at 3 ms
takes up to 4 where other sessions wake the loop. Cards in readers do not. Here a thread keeps the time.
"""

import asyncio
import heapq
import sys
import threading
from collections.abc import Callable
from functools import cache
from itertools import count
from time import perf_counter

from remsim.cli import main
from remsim.readers.base import Done
from remsim.readers.sim.source import SimReader


class ExactClock:
    """Answers of cards that are due; its thread ends with the process."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._numbers = count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="card-clock", daemon=True).start()

    def later(self, delay_s: float, done: Done, response: bytes) -> asyncio.Handle:
        """Call ``done`` in the loop after this time, unless what is returned is cancelled."""
        handle = asyncio.Handle(done, (response,), self._loop)

        def end() -> None:
            if not handle.cancelled():
                done(response)

        with self._changed:
            heapq.heappush(self._due, (perf_counter() + delay_s, next(self._numbers), end))
            self._changed.notify()
        return handle

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due or (left_s := self._due[0][0] - perf_counter()) > 0:
                    self._changed.wait(left_s if self._due else None)
                *_, end = heapq.heappop(self._due)
            self._loop.call_soon_threadsafe(end)


@cache
def _clock() -> ExactClock:
    """Of the loop that runs; there is one."""
    return ExactClock(asyncio.get_running_loop())


def _later(delay_s: float, done: Done, response: bytes) -> asyncio.Handle:
    return _clock().later(delay_s, done, response)


def install() -> None:
    """Let all software cards of this process answer exactly when their time is over."""
    SimReader.later = staticmethod(_later)  # type: ignore[method-assign] # no setting does this


def main_exact() -> int:
    """Return the exit status of ``remsim``."""
    install()
    return main.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main_exact())
