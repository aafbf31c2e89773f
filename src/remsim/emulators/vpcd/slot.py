# SPDX-License-Identifier: Apache-2.0
"""The card that vpcd sees, without I/O: what each of its messages means for the slot, and what it is told.

Presence and ATR are answered here, because pcscd asks for them twice a second; only commands, power and reset go on
to the card. To programs it is a reader at TPDU level: 61xx and 6Cxx are theirs to follow, unless ``auto_get_response``
follows them here. vpcd sends nothing while it waits for an answer.
"""

from collections.abc import Generator
from typing import Final

from remsim.card.errors import TpduError
from remsim.card.status import SW_TECHNICAL_PROBLEM, SW_WRONG_LENGTH
from remsim.card.t0_exchange import exchange_apdu, first_tpdu
from remsim.core.values import dataclass
from remsim.emulators.base import Lines
from remsim.emulators.driven import POWERED_OFF, RST_ACTIVE, RUNNING
from remsim.vpcd import MAX_BODY, Control


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this to vpcd."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Forward:
    """A command for the card; ``on_response`` or ``on_lost`` follows."""

    tpdu: bytes


@dataclass(frozen=True, slots=True)
class ShowContacts:
    """What the reader does to the card's contacts."""

    lines: Lines


@dataclass(frozen=True, slots=True)
class Odd:
    """A message that vpcd does not send. Worth one line in the log, without its bytes, which may be a PIN."""

    reason: str
    size: int


@dataclass(frozen=True, slots=True)
class CloseReader:
    """Close the connection: the card leaves the reader."""


Step = Reply | Forward | ShowContacts | Odd | CloseReader

_POWER: Final = frozenset({Control.POWER_OFF, Control.POWER_ON, Control.RESET})


class VpcdSlot:
    """One virtual reader's card. All methods return what is to be done, in order."""

    def __init__(self, *, auto_get_response: bool = False) -> None:
        #: The card's answer to reset, whenever it is asked for.
        self.atr = b""
        #: A command waits for its answer.
        self.is_busy = False
        #: The card is about to be pulled.
        self.is_leaving = False
        self._has_power = False
        self._auto_get_response = auto_get_response
        self._exchange: Generator[bytes, bytes, bytes] | None = None

    def on_message(self, body: bytes) -> list[Step]:
        """A message of vpcd."""
        if self.is_leaving:
            return self._on_message_after_all(body)
        if len(body) == 1 and body[0] in _POWER:
            return self._on_power(body[0])
        if self.is_busy:
            return [Odd("message while a command is in progress", len(body)), CloseReader()]
        if body == bytes((Control.GET_ATR,)):
            return [Reply(self.atr)]
        if not body:
            return [Odd("empty message", 0)]
        try:
            tpdu = self._first(body)
        except TpduError as error:
            return [Odd(str(error), len(body)), Reply(SW_WRONG_LENGTH.to_bytes(2))]
        self.is_busy = True
        return [Forward(tpdu)]

    def _first(self, apdu: bytes) -> bytes:
        if not self._auto_get_response:
            return first_tpdu(apdu)
        self._exchange = exchange_apdu(apdu)
        return next(self._exchange)

    def _on_power(self, control: int) -> list[Step]:
        had_power, self._has_power = self._has_power, control != Control.POWER_OFF
        if control == Control.POWER_ON and had_power:
            return []
        self._forget_command()
        match control:
            case Control.POWER_ON:
                return [ShowContacts(RUNNING)]
            case Control.RESET:
                return [ShowContacts(RST_ACTIVE), ShowContacts(RUNNING)]
        return [ShowContacts(POWERED_OFF)] if had_power else []

    def on_response(self, response: bytes) -> list[Step]:
        """The card's answer to the command in progress."""
        if not self.is_busy:
            return []
        if self._exchange is not None:
            try:
                return [Forward(self._exchange.send(response))]
            except StopIteration as end:
                response = end.value
        self._forget_command()
        if len(response) > MAX_BODY:
            # Asked for all that there is (Le = 0000), a card may bring 65536 bytes, which its message cannot hold.
            return [Odd("answer too long for vpcd", len(response)), Reply(SW_TECHNICAL_PROBLEM.to_bytes(2))]
        return [Reply(response)]

    def leave(self) -> list[Step]:
        """The card goes: answer the command in progress, and every other one until pcscd asks for the ATR again.

        vpcd knows no answer that means "no answer": it reports a connection that ended to the program as a success
        without a single byte. Only when pcscd looks whether there is a card, the end is understood as a removal.
        """
        self.is_leaving = True
        if not self.is_busy:
            return []
        self._forget_command()
        return [Reply(SW_TECHNICAL_PROBLEM.to_bytes(2))]

    def _on_message_after_all(self, body: bytes) -> list[Step]:
        """vpcd does not know yet that the card goes."""
        if body == bytes((Control.GET_ATR,)):
            return [CloseReader()]
        return [Reply(SW_TECHNICAL_PROBLEM.to_bytes(2))] if len(body) > 1 else []

    def on_lost(self) -> list[Step]:
        """The connection to vpcd is gone: the card is out of the reader."""
        must_reset = self._has_power or self.is_busy
        self._has_power = self.is_leaving = False
        self._forget_command()
        return [ShowContacts(POWERED_OFF)] if must_reset else []

    def _forget_command(self) -> None:
        self.is_busy = False
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None
