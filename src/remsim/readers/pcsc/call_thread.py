# SPDX-License-Identifier: Apache-2.0
"""A thread for blocking calls, one at a time; results come back into the event loop.

A call that hangs cannot be ended. Its caller gives it up by ``end``; the thread is stuck until the call returns, and
hurts nobody else.

Both directions wake the other side through an eventfd (Linux): that costs half of what a queue and
``call_soon_threadsafe`` cost, and it is paid for every command.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable

from remsim.readers.base import Done, Outcome, as_reader_error
from remsim.readers.errors import ReaderError

Call = Callable[[], bytes]


class CallThread:
    """Make, use and end it in the event loop."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[tuple[int, Call] | None] = deque()
        self._outcomes: deque[tuple[int, Outcome]] = deque()
        self._go = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        self._back = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK | os.EFD_SEMAPHORE)
        # Calls that were handed over, and calls that have returned.
        self._started = self._finished = 0
        # The call that ``_done`` waits for; later ones have taken its place if it hung.
        self._serial = 0
        self._done: Done | None = None
        self._has_ended = False
        self._loop.add_reader(self._back, self._on_back)
        # A stuck call must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread still runs; after ``end`` that means it is stuck."""
        return self._thread.is_alive()

    @property
    def is_busy(self) -> bool:
        """Whether a call is in progress, even one that nobody waits for any more."""
        return self._finished != self._started

    def submit(self, call: Call, done: Done) -> None:
        """Run ``call`` in the thread; ``done`` gets its result or error in the loop, once."""
        self._serial += 1
        self._started += 1
        self._done = done
        self._jobs.append((self._serial, call))
        os.eventfd_write(self._go, 1)

    async def run(self, call: Call) -> bytes:
        """Run ``call`` and return its result. Raises ReaderError."""
        future: asyncio.Future[Outcome] = self._loop.create_future()

        def done(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        self.submit(call, done)
        outcome = await future
        if isinstance(outcome, ReaderError):
            raise outcome
        return outcome

    def end(self, last: Call | None = None) -> None:
        """Let the thread end after the call in progress and ``last``; results are no longer delivered. Once only."""
        self._has_ended = True
        self._done = None
        self._loop.remove_reader(self._back)
        jobs: list[tuple[int, Call] | None] = [None] if last is None else [(0, last), None]
        self._jobs.extend(jobs)
        os.eventfd_write(self._go, len(jobs))

    def _on_back(self) -> None:
        os.eventfd_read(self._back)
        serial, outcome = self._outcomes.popleft()
        self._finished += 1
        done = self._done
        if serial == self._serial and done is not None:
            self._done = None
            done(outcome)

    # In the thread

    def _run(self) -> None:
        while True:
            os.eventfd_read(self._go)
            job = self._jobs.popleft()
            if job is None:
                break
            serial, call = job
            outcome: Outcome
            try:
                outcome = call()
            except Exception as error:  # noqa: BLE001  # the top of a thread
                outcome = as_reader_error(error)
            if not self._has_ended:
                self._outcomes.append((serial, outcome))
                os.eventfd_write(self._back, 1)
        os.close(self._go)
        os.close(self._back)
