# SPDX-License-Identifier: Apache-2.0
"""What the client's coordinator asks of the I/O around it, besides the link actions of ``wire.actions``."""

from dataclasses import dataclass

from remsim.client.core.notices import Notice
from remsim.wire.link.actions import LinkAction
from remsim.wire.messages.revocation import StoreRevocations
from remsim.wire.messages.rspro import IpPort


@dataclass(frozen=True, slots=True)
class DialBankd:
    """Connect to the bankd at ``address`` for ever; a link to another one, or to the same, is closed first."""

    address: IpPort


@dataclass(frozen=True, slots=True)
class HangUpBankd:
    """Close the link to the bankd and do not dial it again."""


@dataclass(frozen=True, slots=True)
class SelectSim:
    """Connect the modem to the emulated card, or back to the card in its own socket."""

    remote: bool


@dataclass(frozen=True, slots=True)
class SetAtr:
    """The card's answer to reset, from now on."""

    atr: bytes


@dataclass(frozen=True, slots=True)
class InsertCard:
    """Show the modem that a card is there."""


@dataclass(frozen=True, slots=True)
class RemoveCard:
    """Show the modem that there is no card."""


@dataclass(frozen=True, slots=True)
class ResetModem:
    """Pulse the modem's own reset line where there is one."""


@dataclass(frozen=True, slots=True)
class Respond:
    """The answer to the oldest command that the modem waits for: data, SW1, SW2."""

    response: bytes


@dataclass(frozen=True, slots=True)
class Abort:
    """The oldest command that the modem waits for gets no answer; whether the card executed it is unknown."""

    reason: str


#: What is asked of the emulator.
EmulatorAction = SelectSim | SetAtr | InsertCard | RemoveCard | ResetModem | Respond | Abort
Action = LinkAction | StoreRevocations | DialBankd | HangUpBankd | EmulatorAction | Notice
