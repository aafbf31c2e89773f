# SPDX-License-Identifier: Apache-2.0
"""What is above a driven emulator in tests: instead of a client slot, a function that plays the card."""

from collections.abc import Callable

from remsim.emulators.base import EmulatorEvents, Lines, PpsResult
from remsim.emulators.driven import DrivenEmulator

ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")


class CardAbove(EmulatorEvents):
    """Answers each TPDU with ``card(tpdu)``; None: the answer comes later, by hand."""

    def __init__(self, emulator: DrivenEmulator, card: Callable[[bytes], bytes | None]) -> None:
        self.emulator = emulator
        self.card = card
        self.tpdus: list[bytes] = []
        self.lines: list[Lines] = []
        #: Of the newest command.
        self.number = 0

    def on_tpdu(self, number: int, tpdu: bytes) -> None:
        self.number = number
        self.tpdus.append(tpdu)
        response = self.card(tpdu)
        if response is not None:
            self.emulator.respond(number, response)

    def respond(self, response: bytes) -> None:
        """Answer the newest command."""
        self.emulator.respond(self.number, response)

    def abort(self, reason: str) -> None:
        """The newest command gets no answer."""
        self.emulator.abort(self.number, reason)

    def on_lines(self, lines: Lines) -> None:
        self.lines.append(lines)

    def on_pps(self, result: PpsResult) -> None:
        raise AssertionError(result)

    def insert(self, atr: bytes = ATR) -> None:
        self.emulator.set_atr(atr)
        self.emulator.insert_card()


async def with_card(card: Callable[[bytes], bytes | None]) -> tuple[DrivenEmulator, CardAbove]:
    """An emulator that was started and has a card inserted."""
    emulator = DrivenEmulator()
    above = CardAbove(emulator, card)
    await emulator.start(above)
    above.insert()
    return emulator, above
