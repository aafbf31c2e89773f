# SPDX-License-Identifier: Apache-2.0
"""The client slot above an emulator: notes what it is told, and answers commands by a function."""

import asyncio
from collections.abc import Callable

from remsim.emulators.base import CardEmulator, EmulatorEvents, Lines, PpsResult


class SlotAbove(EmulatorEvents):
    """Answers with ``card``, None for later."""

    def __init__(self, card: Callable[[bytes], bytes | None]) -> None:
        self.card = card
        self.emulator: CardEmulator | None = None
        self.tpdus: list[bytes] = []
        self.lines: list[Lines] = []
        self.speeds: list[PpsResult] = []
        #: Of the newest command.
        self.number = 0
        self.changed = asyncio.Event()

    def on_tpdu(self, number: int, tpdu: bytes) -> None:
        assert self.emulator is not None
        self.number = number
        self.tpdus.append(tpdu)
        response = self.card(tpdu)
        if response is not None:
            self.emulator.respond(number, response)
        self.changed.set()

    def respond(self, response: bytes) -> None:
        """Answer the newest command."""
        assert self.emulator is not None
        self.emulator.respond(self.number, response)

    def abort(self, reason: str) -> None:
        """The newest command gets no answer."""
        assert self.emulator is not None
        self.emulator.abort(self.number, reason)

    def on_lines(self, lines: Lines) -> None:
        self.lines.append(lines)
        self.changed.set()

    def on_pps(self, result: PpsResult) -> None:
        self.speeds.append(result)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that is told."""
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()
