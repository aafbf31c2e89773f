# SPDX-License-Identifier: Apache-2.0
"""A logger whose events a test can wait for."""

import asyncio
import logging
from typing import Any

from remsim.logs import Event, Logger


class NotedLog:
    """Hands out the events of ``logger`` by name, in their order."""

    level = logging.DEBUG

    def __init__(self) -> None:
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.logger = Logger({}, self)

    def emit(self, method: str, event: Event) -> None:
        """Keep one event of ``logger``."""
        self._events.put_nowait({**event, "level": method})

    async def next(self, name: str) -> dict[str, Any]:
        """The next event of this name; others are passed over."""
        while True:
            event = await self._events.get()
            if event["event"] == name:
                return event

    async def any(self) -> dict[str, Any]:
        """The next event, whatever it is called."""
        return await self._events.get()

    def is_empty(self) -> bool:
        """Whether nothing was logged that nobody asked for."""
        return self._events.empty()
