# SPDX-License-Identifier: Apache-2.0
"""The client side's plug-in interface: something that plays a card to a modem, or to a program in its place.

Events go up through ``EmulatorEvents``, calls come down on ``CardEmulator``. Emulators speak of cards: they know
neither links nor messages. Built in are ``simtrace2``, ``vpcd``, and ``shell`` and ``script`` (one class, in
``driven``). A new one is a ``CardEmulator`` and a line in ``registry``; docs/development.md lists all that it needs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

from remsim.card.apdu_case import CommandRules
from remsim.core.limits import LimitName
from remsim.core.values import dataclass


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a card slot as the modem drives them. None: the hardware does not tell."""

    reset_active: bool
    vcc_present: bool | None = None
    clk_active: bool | None = None
    card_present: bool | None = None


@dataclass(frozen=True, slots=True)
class PpsResult:
    """The modem and the emulator agreed on a transmission speed (ISO/IEC 7816-3, clause 9)."""

    f_index: int
    d_index: int


@dataclass(frozen=True, slots=True)
class Hardware:
    """Whether the hardware that plays the card is there, and what it is, in words for people."""

    is_present: bool
    description: str = ""
    #: The name of the board, where it is known.
    board: str = ""


class EmulatorEvents(Protocol):
    """What an emulator reports. Called in the event loop, never from within a call on the emulator."""

    def on_tpdu(self, number: int, tpdu: bytes) -> None:
        """The modem sent a whole command TPDU. Exactly one ``respond`` or ``abort`` follows, unless it is reset.

        ``number`` goes with the answer. The emulator never gives the same one twice.
        """
        ...

    def on_lines(self, lines: Lines) -> None:
        """The modem changed VCC, RST or CLK. With VCC gone or RST active, commands in progress get no answer."""
        ...

    def on_pps(self, result: PpsResult) -> None:
        """The transmission speed changed."""
        ...

    def on_hardware(self, hardware: Hardware) -> None:
        """The hardware was found, or is away. An emulator without hardware never tells."""
        return

    def on_firmware(self, version: str) -> None:
        """The hardware that is there runs this version of its firmware."""
        return

    def on_unknown_command(self, *, is_refused: bool) -> None:
        """The modem sent a command whose direction is not known. Refused: it goes no further."""
        return

    def on_limit(self, limit: LimitName) -> None:
        """What drives the emulator has reached this limit, which is to be counted."""
        return


class CardEmulator(ABC):
    """One client slot's card, as its modem sees it. Used from the event loop only; no method but start/stop waits."""

    #: It can keep its modem waiting for an answer for any time, as NULL procedure bytes do (ISO/IEC 7816-3, 10.3.3).
    #: A command of one that cannot fails after a few seconds while the link to the card is lost.
    stalls: ClassVar[bool] = False
    #: What kind of emulator it is, in a word for people; empty: nothing is told of it.
    kind: ClassVar[str] = ""

    @abstractmethod
    async def start(self, events: EmulatorEvents) -> None:
        """Take possession of the hardware and report to ``events`` from now on. Raises StartError."""

    @abstractmethod
    async def stop(self) -> None:
        """Show the modem that there is no card and let go of the hardware. Never raises; idempotent."""

    @abstractmethod
    def set_atr(self, atr: bytes) -> None:
        """The answer to reset, from the next reset on. Called before ``insert_card``, and whenever it changes."""

    @abstractmethod
    def insert_card(self) -> None:
        """Show the modem that a card is there."""

    @abstractmethod
    def remove_card(self) -> None:
        """Show the modem that there is no card."""

    def give_up_card(self) -> None:
        """No card will come as things are. A modem needs no word of it; a program that waits for a card does."""
        return

    @abstractmethod
    def respond(self, number: int, response: bytes) -> None:
        """Answer the command of that number: data, SW1, SW2 (2..258 bytes). Nothing if the modem waits no more."""

    @abstractmethod
    def abort(self, number: int, reason: str) -> None:
        """The command of that number gets no answer from the card; tell the modem as best as possible."""

    def set_command_rules(self, rules: CommandRules) -> None:
        """What the operator says about the direction of commands, before ``start``.

        For emulators that must decide it from five bytes; those that get whole commands have no use for it.
        """
        return

    def select_sim(self, *, remote: bool) -> None:
        """Connect the modem to this emulator, or to the card in its own socket. Without a switch: nothing."""
        return

    def reset_modem(self) -> None:
        """Pulse the modem's own reset line. Without one: nothing."""
        return

    def environment(self) -> Mapping[str, str]:
        """Variables that tell an event script which hardware it is, such as REMSIM_USB_PATH. Empty without any."""
        return {}


#: Makes an emulator from the settings of its client slot. Raises ConfigError.
EmulatorFactory = Callable[[Mapping[str, object]], CardEmulator]
