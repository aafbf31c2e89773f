# SPDX-License-Identifier: Apache-2.0
"""The shell without a terminal: reads and writes the lines of the classic shell client, so that its scripts work.

Input: one command TPDU in hex per line, or ``RESET`` in any case. Output: ``R-APDU: xx xx `` for each answer and
``SET_ATR: xx xx `` for each ATR, with a blank after every byte as the classic client writes it. What is wrong goes to
the error stream with its line number, and the next line is read.

A command is for the card that is there. Only lines before the first card wait for it; later ones are refused while
there is none, and a change of card makes every line void that was there before: a PIN must not reach another card.
"""

import os
import re
from collections.abc import Callable
from typing import Final, TextIO

from remsim.emulators.driven import CardChange, DrivenEmulator, ExchangeError, NoCardError
from remsim.emulators.shell.input_lines import InputLine, InputLines

_SPACING: Final = re.compile(r"[\s:,.-]+")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+", re.ASCII)


def parse_hex_line(text: str) -> bytes | None:
    """Bytes in hex, in any case, with blanks, colons or ``0x`` between them; None if it is something else."""
    digits = "".join(part.removeprefix("0x").removeprefix("0X") for part in _SPACING.split(text.strip()))
    return bytes.fromhex(digits) if _HEX.fullmatch(digits) else None


class PlainShell:
    """Plays the lines of ``descriptor``, each one when the one before is answered."""

    def __init__(
        self,
        emulator: DrivenEmulator,
        descriptor: int,
        output: TextIO,
        errors: TextIO,
        *,
        card_wait_s: float,
        why_no_card: Callable[[], str] = str,
    ) -> None:
        """``why_no_card`` says what a person should look at; empty where nobody knows."""
        self._emulator = emulator
        self._lines = InputLines(descriptor)
        self._is_typed = os.isatty(descriptor)
        self._output = output
        self._errors = errors
        self._card_wait_s = card_wait_s
        self._why_no_card = why_no_card
        self._has_failed = False
        self._had_card = False
        emulator.on_card = self._on_card

    async def run(self) -> int:
        """Play all lines. Return 0, or 1 if a line was no command or got no answer.

        Raises NoCardError if the first card does not come in time; at a terminal that is only told.
        """
        async for line in self._lines:
            if line.text.strip():
                await self._play(line)
        return int(self._has_failed)

    async def _play(self, line: InputLine) -> None:
        is_reset = line.text.strip().upper() == "RESET"
        tpdu = None if line.is_cut else parse_hex_line(line.text)
        if line.is_stale:
            self._fail(line, "not sent: the card has changed")
        elif tpdu is None and not is_reset:
            self._fail(line, "neither a command in hex nor RESET")
        elif await self._has_card(line):
            await self._send(line, tpdu)

    async def _has_card(self, line: InputLine) -> bool:
        if not self._had_card:
            try:
                await self._emulator.wait_card(self._card_wait_s)
            except NoCardError as error:
                if not self._is_typed:
                    raise
                self._fail_without_card(line, str(error))
                return False
        if self._emulator.atr is None:
            self._fail_without_card(line, "no card")
            return False
        return True

    def _fail_without_card(self, line: InputLine, reason: str) -> None:
        why = self._why_no_card()
        self._fail(line, f"{reason}{': ' if why else ''}{why}")

    async def _send(self, line: InputLine, tpdu: bytes | None) -> None:
        """A command, or a reset."""
        if tpdu is None:
            await self._emulator.cold_reset()
            return
        try:
            response = await self._emulator.exchange(tpdu)
        except ExchangeError as error:
            self._fail(line, str(error))
        else:
            self._write("R-APDU", response)

    def _on_card(self, change: CardChange) -> None:
        if self._had_card:
            self._lines.make_stale()
        self._had_card |= change.atr is not None
        if change.atr is not None:
            self._write("SET_ATR", change.atr)

    def _write(self, name: str, raw: bytes) -> None:
        self._output.write(f"{name}: {raw.hex(' ')} \n")
        self._output.flush()

    def _fail(self, line: InputLine, reason: str) -> None:
        self._has_failed = True
        self._errors.write(f"line {line.number}: {reason}\n")
        self._errors.flush()
