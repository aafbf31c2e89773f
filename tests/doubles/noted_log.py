# SPDX-License-Identifier: Apache-2.0
"""A logger whose events a test can wait for."""

import asyncio
from typing import NoReturn, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

from remsim.logs import Logger


class NotedLog:
    """Hands out the events of ``logger`` by name, in their order."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[EventDict] = asyncio.Queue()
        self.logger: Logger = cast(
            Logger,
            structlog.wrap_logger(
                None,
                processors=[self._note],
                wrapper_class=structlog.make_filtering_bound_logger(0),
                cache_logger_on_first_use=False,
            ),
        )

    def _note(self, _logger: WrappedLogger, method: str, event: EventDict) -> NoReturn:
        self._events.put_nowait({**event, "level": method})
        raise structlog.DropEvent

    async def next(self, name: str) -> EventDict:
        """The next event of this name; others are passed over."""
        while True:
            event = await self._events.get()
            if event["event"] == name:
                return event

    async def any(self) -> EventDict:
        """The next event, whatever it is called."""
        return await self._events.get()

    def is_empty(self) -> bool:
        """Whether nothing was logged that nobody asked for."""
        return self._events.empty()
