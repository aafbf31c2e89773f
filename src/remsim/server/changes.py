# SPDX-License-Identifier: Apache-2.0
"""Wakes those who wait until something has come about: they look again after each change, and decide themselves."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Changes:
    """Lets any number of requests wait until something is different. Costs nothing while nobody waits."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()
        self._is_closed = False
        #: Counts orders about what no event tells of: who gets in, and who is told.
        self.orders = 0
        #: Counts what came of webhooks' deliveries.
        self.deliveries = 0

    def happened(self) -> None:
        """Something may be different now."""
        for event in self._waiting:
            event.set()

    def ordered(self) -> None:
        """Somebody was let in or kept out, or a webhook made, changed or deleted.

        Those who wait look in a later turn of the loop, so the caller may still change what they look at.
        """
        self.orders += 1
        self.happened()

    def delivered(self) -> None:
        """A webhook has taken a delivery, or has not."""
        self.deliveries += 1
        self.happened()

    def close(self) -> None:
        """The server stops: nobody waits any more."""
        self._is_closed = True
        self.happened()

    @property
    def is_closed(self) -> bool:
        """Whether the server stops."""
        return self._is_closed

    async def until(self, look: Callable[[], T | None], timeout_s: float) -> T | None:
        """Return what ``look`` finds, now or after some change; None if that takes longer than ``timeout_s``."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            async with asyncio.timeout(timeout_s):
                while (found := look()) is None and not self._is_closed:
                    await event.wait()
                    event.clear()
                return found
        except TimeoutError:
            return look()
        finally:
            self._waiting.discard(event)
