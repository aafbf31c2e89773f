# SPDX-License-Identifier: Apache-2.0
"""An emulator without hardware: a program stands in the modem's place and awaits each answer.

Shell and script use it, and so can any program: ``await emulator.exchange(tpdu)``. It has one command in flight at a
time, as a T=0 modem has; further callers wait their turn.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from remsim.core.errors import RemsimError
from remsim.core.values import dataclass
from remsim.emulators.base import CardEmulator, EmulatorEvents, Lines

#: The lines of a slot whose modem has its card powered and running.
RUNNING: Final = Lines(reset_active=False, vcc_present=True, clk_active=True, card_present=True)
#: What the classic shell sends for RESET.
POWERED_OFF: Final = Lines(reset_active=True, vcc_present=False, clk_active=False, card_present=True)
RST_ACTIVE: Final = Lines(reset_active=True, vcc_present=True, clk_active=True, card_present=True)


class ExchangeError(RemsimError):
    """A command got no answer. Whether the card executed it is unknown."""


class NotSentError(ExchangeError):
    """A command was not sent: the card that it was meant for is not there."""


class NoCardError(RemsimError):
    """No card came in time."""

    exit_status = 3


@dataclass(frozen=True, slots=True)
class CardChange:
    """``atr`` is None when the card is removed."""

    atr: bytes | None


class DrivenEmulator(CardEmulator):
    """A slot that a program drives. All methods belong to the event loop's thread."""

    kind = "program"

    def __init__(self) -> None:
        #: The card's ATR while one is inserted.
        self.atr: bytes | None = None
        #: Called with every insertion, removal and change of ATR.
        self.on_card: Callable[[CardChange], None] = _ignore
        #: Duration of the last exchange in seconds.
        self.last_duration_s = 0.0
        #: Which card is there: grows with every insertion, and with every change of the ATR.
        self.card_number = 0
        self._events: EmulatorEvents | None = None
        self._next_atr = b""
        # Set while a card is there, and when none is to be expected.
        self._settled = asyncio.Event()
        self._is_hopeless = False
        self._turn = asyncio.Lock()
        # What the caller whose turn it is waits for, and the number of its command.
        self._answer: asyncio.Future[bytes] | None = None
        self._number = 0

    # For the program

    async def wait_card(self, timeout_s: float) -> bytes:
        """Return the ATR as soon as a card is inserted.

        Raises NoCardError after ``timeout_s``, and as soon as it is known that no card will come.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        if self.atr is None:
            if self._is_hopeless:
                raise NoCardError("no card will come")
            raise NoCardError(
                f"no card within {timeout_s:g} s", hint="is this client slot mapped to a bank slot with a card?"
            )
        return self.atr

    async def exchange(self, tpdu: bytes, *, card_number: int | None = None) -> bytes:
        """Send one command TPDU and return data, SW1, SW2. Raises ExchangeError if there is no answer.

        The command is for the card that is there now, or for that with ``card_number``. It never reaches another one,
        however long it waits for its turn: a PIN would be tried on the wrong card. Raises NotSentError then.
        """
        meant = self.card_number if card_number is None else card_number
        async with self._turn:
            if self._events is None:
                raise ExchangeError("the client is stopping")
            if self.atr is None:
                raise NotSentError("no card")
            if self.card_number != meant:
                raise NotSentError("not sent: the card has changed")
            answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self._answer = answer
            self._number += 1
            started = time.perf_counter()
            try:
                self._events.on_tpdu(self._number, tpdu)
                return await answer
            finally:
                self._answer = None
                self.last_duration_s = time.perf_counter() - started

    async def cold_reset(self) -> None:
        """Take VCC away and give it back, once commands in progress are answered."""
        async with self._turn:
            # The classic shell never gave VCC back, so that only its first reset had an effect (known-limits.md, 81).
            self._show(POWERED_OFF, RUNNING)

    async def warm_reset(self) -> None:
        """Pulse RST with VCC kept, once commands in progress are answered."""
        async with self._turn:
            self._show(RST_ACTIVE, RUNNING)

    def _show(self, *sequence: Lines) -> None:
        for lines in sequence:
            if self._events is not None:
                self._events.on_lines(lines)

    # CardEmulator

    async def start(self, events: EmulatorEvents) -> None:
        """Nothing to take possession of."""
        self._events = events

    async def stop(self) -> None:
        """Fail the command in progress, if any."""
        self._events = None
        self.remove_card()
        self.abort(self._number, "the client is stopping")

    def set_atr(self, atr: bytes) -> None:
        """Remember it; tell the program if a card with another one is inserted."""
        self._next_atr = atr
        if self.atr not in (None, atr):
            self.insert_card()

    def insert_card(self) -> None:
        """The program sees the card."""
        self.atr = self._next_atr
        self.card_number += 1
        self._is_hopeless = False
        self._settled.set()
        self.on_card(CardChange(self.atr))

    def remove_card(self) -> None:
        """The program sees no card."""
        if self.atr is not None:
            self.atr = None
            self._settled.clear()
            self.on_card(CardChange(None))

    def give_up_card(self) -> None:
        """Who waits for a card waits no longer."""
        if self.atr is None:
            self._is_hopeless = True
            self._settled.set()

    def respond(self, number: int, response: bytes) -> None:
        """End the exchange in progress, if it is of that number."""
        answer = self._awaited(number)
        if answer is not None:
            answer.set_result(response)

    def abort(self, number: int, reason: str) -> None:
        """Fail the exchange in progress, if it is of that number."""
        answer = self._awaited(number)
        if answer is not None:
            answer.set_exception(ExchangeError(f"no answer: {reason}"))

    def _awaited(self, number: int) -> asyncio.Future[bytes] | None:
        answer = self._answer if number == self._number else None
        return None if answer is None or answer.done() else answer


def _ignore(_change: CardChange) -> None:
    return


def make_driven(_settings: Mapping[str, object]) -> CardEmulator:
    """The registry's factory. There are no settings."""
    return DrivenEmulator()
