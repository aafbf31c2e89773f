# SPDX-License-Identifier: Apache-2.0
"""Lets costly work of unknown peers through one piece in each round of the loop: known peers are served between.

A TLS handshake takes most of a millisecond of the processor. When many unknown peers greet at once, the data of all
others would otherwise wait for them. Sources take turns, so one that has opened a thousand connections keeps its own
waiting, and nobody else's: a piece waits for one piece of each other source at most.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable


class HandshakeQueue:
    """Does pieces of work in the loop that it was made in: those of one source in their order, sources in turn."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # The source whose turn is next comes first; none is without work.
        self._waiting: OrderedDict[Hashable, deque[Callable[[], None]]] = OrderedDict()
        self._count = 0
        self._is_due = False

    def __len__(self) -> int:
        return self._count

    def enter(self, work: Callable[[], None], source: Hashable = None) -> None:
        """Do ``work`` for ``source`` when its turn comes, which is never at once."""
        self._waiting.setdefault(source, deque()).append(work)
        self._count += 1
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        source, works = next(iter(self._waiting.items()))
        work = works.popleft()
        self._count -= 1
        if works:
            self._waiting.move_to_end(source)
        else:
            del self._waiting[source]
        try:
            work()
        finally:
            self._is_due = False
            self._go_on()
