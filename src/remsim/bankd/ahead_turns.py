# SPDX-License-Identifier: Apache-2.0
"""When commands ahead are run: one in each round of the loop, whatever number of slots has some.

Between two of them the loop looks at its sockets, so a command of any modem waits for one of them at most.
"""

import asyncio
from collections import deque
from collections.abc import Callable


class AheadTurns:
    """``run`` is called with the number of a slot whose turn it is. To be made in the running loop."""

    def __init__(self, run: Callable[[int], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._run = run
        self._waiting: deque[int] = deque()
        self._is_due = False

    def want(self, slot_nr: int, delay_s: float = 0.0) -> None:
        """This slot has something to run, now or after a while."""
        if delay_s > 0:
            self._loop.call_later(delay_s, self.want, slot_nr)
            return
        self._waiting.append(slot_nr)
        self._arm()

    def _arm(self) -> None:
        if self._waiting and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._let_sockets_go_first)

    def _let_sockets_go_first(self) -> None:
        # What is called from here is in the next round of the loop, and this one looks at the sockets before it.
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._is_due = False
        slot_nr = self._waiting.popleft()
        self._arm()
        self._run(slot_nr)
