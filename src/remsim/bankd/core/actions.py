# SPDX-License-Identifier: Apache-2.0
"""What the bank's coordinator asks for besides actions on links: work for a card position, traces, news.

Each of CARD_ACTIONS is answered by exactly one call of the coordinator's ``on_card_…`` methods, and no second one is
asked of the same slot before that.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal, get_args

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.link.actions import LinkAction, LinkId
from remsim.wire.messages.revocation import StoreRevocations
from remsim.wire.messages.rspro import ResultCode


class FaultKind(Enum):
    """Why a card position cannot do its work."""

    NO_READER = "no reader"  # none configured, unplugged, or its service is gone
    BUSY = "reader busy"  # another program holds the reader or its card
    NO_CARD = "no card"
    MUTE = "card mute"  # no ATR, or no answer in time
    PROTOCOL = "protocol"  # card or reader cannot exchange T=0 TPDUs
    TRANSMISSION = "transmission"  # a command failed with unknown outcome


#: What an own client is told in ``connectClientRes``; a classic one always hears cardNotPresent, as ever.
RESULT_OF_FAULT: dict[FaultKind, ResultCode] = {
    FaultKind.NO_READER: ResultCode.CARD_NOT_PRESENT,
    FaultKind.BUSY: ResultCode.CARD_UNRESPONSIVE,
    FaultKind.NO_CARD: ResultCode.CARD_NOT_PRESENT,
    FaultKind.MUTE: ResultCode.CARD_UNRESPONSIVE,
    FaultKind.PROTOCOL: ResultCode.CARD_TRANSMISSION_ERROR,
    FaultKind.TRANSMISSION: ResultCode.CARD_TRANSMISSION_ERROR,
}


class ResetKind(Enum):
    """How a card is reset."""

    COLD = "cold"  # VCC taken away
    WARM = "warm"  # RST only


@dataclass(frozen=True, slots=True)
class OpenCard:
    """Power the card of this slot up; ``on_card_opened`` or ``on_card_failed`` follows."""

    slot_nr: int


@dataclass(frozen=True, slots=True)
class ResetCard:
    """Reset the card; ``on_card_reset`` or ``on_card_failed`` follows."""

    slot_nr: int
    kind: ResetKind


@dataclass(frozen=True, slots=True)
class Transmit:
    """Exchange one command TPDU; ``on_card_response`` or ``on_card_failed`` follows."""

    slot_nr: int
    tpdu: bytes


@dataclass(frozen=True, slots=True)
class CloseCard:
    """Power the card off; ``on_card_closed`` follows."""

    slot_nr: int


@dataclass(frozen=True, slots=True)
class ReadNumber:
    """Power the card up, read its number, power it off; ``on_card_number`` follows, whatever goes wrong."""

    slot_nr: int


@dataclass(frozen=True, slots=True)
class CardAttached:
    """This client commands this card from now on, until CardDetached or the end of the link."""

    link: LinkId
    client: ClientSlot
    bank_slot: BankSlot


@dataclass(frozen=True, slots=True)
class CardDetached:
    """The link lives on without its card."""

    link: LinkId


@dataclass(frozen=True, slots=True)
class TraceAtr:
    """A client was given this ATR. Asked for only where traces are wanted."""

    slot_nr: int
    atr: bytes


@dataclass(frozen=True, slots=True)
class TraceTpdu:
    """A card answered a command. Asked for only where traces are wanted."""

    slot_nr: int
    tpdu: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class StoreCertified:
    """More clients are proven to have a certificate: store ``CertifiedClients.proven``."""


Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that an operator may want to read: one log line."""

    level: Level
    event: str
    bank_slot: BankSlot | None = None
    client_slot: ClientSlot | None = None
    fields: dict[str, object] = field(default_factory=dict)


CardAction = OpenCard | ResetCard | Transmit | CloseCard | ReadNumber
CARD_ACTIONS: Final[tuple[type, ...]] = get_args(CardAction)
Trace = TraceAtr | TraceTpdu
BankdAction = LinkAction | StoreRevocations | StoreCertified | CardAction | CardAttached | CardDetached | Trace | Notice
