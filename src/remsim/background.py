# SPDX-License-Identifier: Apache-2.0
"""Work that may be slow and that no card must wait for: a bounded queue, and one thread that empties it.

Who puts something in is never held up. What does not fit is dropped and counted.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Hands what was put in to ``work``, in order, in lists of up to ``batch`` items. ``work`` must not raise.

    ``gather_s`` is how long the thread waits for more before it begins; with nothing to do it sleeps.
    """

    def __init__(self, name: str, work: Callable[[list[T]], None], *, most: int, batch: int, gather_s: float) -> None:
        self._work = work
        self._most = most
        self._batch = batch
        self._gather_s = gather_s
        self._items: deque[T] = deque()
        self._has_items = threading.Event()
        self._is_stopping = threading.Event()
        #: Items for which there was no room, or no time at the end.
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> bool:
        """Have ``item`` worked on; False: it is dropped. For one thread, that of the event loop."""
        items = self._items
        if self._is_stopping.is_set() or len(items) >= self._most:
            self.dropped += 1
            return False
        items.append(item)
        if len(items) == 1:
            # Each wake-up costs a system call, so only the first item of a list causes one.
            self._has_items.set()
        return True

    def stop(self, within_s: float) -> None:
        """Work on what is left, for so long at most, and end. Idempotent."""
        self._is_stopping.set()
        self._has_items.set()
        self._thread.join(within_s)
        self.dropped += len(self._items)
        self._items.clear()

    def _run(self) -> None:
        items, has_items, is_stopping = self._items, self._has_items, self._is_stopping
        while True:
            has_items.wait()
            is_stopping.wait(self._gather_s)
            # Before the queue is looked at: what is put in from now on sets it again, at worst for nothing.
            has_items.clear()
            while items:
                taken: list[T] = []
                while items and len(taken) < self._batch:
                    taken.append(items.popleft())
                self._work(taken)
            if is_stopping.is_set():
                return
