# SPDX-License-Identifier: Apache-2.0
"""One deadline at a time: the alarm clock of an object that says when it wants to be woken."""

import asyncio
from collections.abc import Callable


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
