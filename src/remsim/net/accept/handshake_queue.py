# SPDX-License-Identifier: Apache-2.0
"""Lets costly work of unknown peers through one piece in each round of the loop: known peers are served between.

A TLS handshake takes most of a millisecond of the processor. When many unknown peers greet at once, the data of all
others would otherwise wait for them.
"""

import asyncio
from collections import deque
from collections.abc import Callable


class HandshakeQueue:
    """Does pieces of work in their order, in the loop that it was made in."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, work: Callable[[], None]) -> None:
        """Do ``work`` when its turn comes, which is never at once."""
        self._waiting.append(work)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        work = self._waiting[0]
        try:
            work()
        finally:
            self._waiting.popleft()
            if self._waiting:
                self._loop.call_soon(self._turn)
