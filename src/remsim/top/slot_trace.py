# SPDX-License-Identifier: Apache-2.0
"""Follows the trace of one slot, over all its streams, as lines for a screen."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from remsim.core.text import counted
from remsim.rest import AsyncRest, RestApiError
from remsim.rest.trace_lines import Tone, ends_text, line_of, tone_of
from remsim.rest.traces import TraceEndsModel, TraceItem, TraceMissedModel

#: Between two attempts to reach the server.
RETRY_S: Final = 2.0
#: Problems that asking again does not mend.
_FINAL: Final = frozenset({400, 401, 403, 404})


class SlotTrace:
    """Follows one slot until it is cancelled or the server refuses. ``show`` gets each line, and how it is to look."""

    def __init__(self, slot: str, connect: Callable[[], AsyncRest], show: Callable[[str, Tone], None]) -> None:
        self.slot = slot
        self._connect = connect
        self._show = show
        self._last: str | None = None
        self._said = ""

    async def run(self) -> None:
        """Follow."""
        while True:
            try:
                async with self._connect() as rest, aclosing(rest.trace(self.slot, self._last)) as items:
                    async for item in items:
                        self._on_item(item)
                self._say("the server has ended the trace; trying again")
            except RestApiError as error:
                if error.status in _FINAL:
                    self._say(str(error))
                    return
                self._say(f"{error}; trying again")
            await asyncio.sleep(RETRY_S)

    def _on_item(self, item: TraceItem) -> None:
        if isinstance(item, TraceEndsModel):
            self._say(ends_text(item))
        elif isinstance(item, TraceMissedModel):
            missed = "records" if item.records is None else counted(item.records, "record")
            self._show(f"{missed} missed", Tone.MARKED)
        else:
            self._last = item.id
            self._show(line_of(item), tone_of(item))

    def _say(self, text: str) -> None:
        """Once, however often it is so."""
        if text != self._said:
            self._said = text
            self._show(text, Tone.MARKED)
