# SPDX-License-Identifier: Apache-2.0
"""What the bank's coordinator asks for besides actions on links: work for a card position, traces, log events.

Each of CARD_ACTIONS is answered by exactly one call of the coordinator's ``on_card_…`` methods, and no second one is
asked of the same slot before that. Commands are no actions: they go to the card by a call (``session.CardPort``).
"""

from collections.abc import Callable
from dataclasses import field
from enum import Enum
from typing import Final, NamedTuple, get_args

from remsim.ahead.library import Pair
from remsim.card.reset import ResetKind
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.log_event import LogEvent
from remsim.core.values import dataclass
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


@dataclass(frozen=True, slots=True)
class CardFault:
    """Why an operation of a card failed, for log and server."""

    kind: FaultKind
    text: str


class Origin(Enum):
    """Who asked for a command."""

    MODEM = "modem"
    #: Nobody yet: the modem will probably send it.
    GUESS = "guess"
    #: It selects again what the modem believes to be selected, after wrong guesses.
    RESTORE = "restore"
    #: The bankd, to know the card: before any client gets it, which then finds it reset.
    INVENTORY = "inventory"


#: Tag, command, origin, now. The response if it is there at once; else None, and a Send may follow later.
SubmitCommand = Callable[[int, bytes, Origin, float], bytes | None]


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
class CloseCard:
    """Power the card off; ``on_card_closed`` follows."""

    slot_nr: int


@dataclass(frozen=True, slots=True)
class ReadNumber:
    """Power the card up, read its ICCID, power it off; ``on_card_number`` follows, whatever goes wrong.

    ``reads_all``: what else it says without a PIN, too. Origin of these commands is ``Origin.INVENTORY``.
    """

    slot_nr: int
    reads_all: bool = False


@dataclass(frozen=True, slots=True)
class CardAttached:
    """This client commands this card from now on, until CardDetached or the end of the link."""

    link: LinkId
    client: ClientSlot
    bank_slot: BankSlot
    #: ``CardSession.submit``, for commands that the link recognises itself. Take what it adds to the actions, too.
    submit: SubmitCommand = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CardDetached:
    """The link lives on without its card."""

    link: LinkId


class SendResponse(NamedTuple):
    """Send the response to a command, for which CardAttached has prepared the link.

    The same as Send with a TpduCardToModem, at half the cost: there is one for each command of most cards.
    """

    link: LinkId
    tag: int
    client: ClientSlot
    bank_slot: BankSlot
    response: bytes


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
    #: None: the card failed.
    response: bytes | None
    origin: Origin = Origin.MODEM
    #: False: the card was not asked, or not now.
    was_run: bool = True
    #: What joins it with what the client says of it: the session's label, the operation tag, the place behind it.
    session: bytes = b""
    tag: int | None = None
    index: int = 0


@dataclass(frozen=True, slots=True)
class TimeCard:
    """Note what the card of this slot takes for each command, or do not any more: somebody watches."""

    slot_nr: int
    is_on: bool


@dataclass(frozen=True, slots=True)
class StoreCertified:
    """More clients are proven to have a certificate: store ``CertifiedClients.proven``."""


@dataclass(frozen=True, slots=True)
class RunAhead:
    """Call the coordinator's ``on_ahead_turn`` for this slot in a turn of the loop to come, ``delay_s`` from now."""

    slot_nr: int
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StoreLearnt:
    """More is known of what this modem sends to this card: store it."""

    pair: Pair


CardAction = OpenCard | ResetCard | CloseCard | ReadNumber
CARD_ACTIONS: Final[tuple[type, ...]] = get_args(CardAction)
Trace = TraceAtr | TraceTpdu | TimeCard
BankdAction = (
    LinkAction
    | StoreRevocations
    | StoreCertified
    | CardAction
    | CardAttached
    | CardDetached
    | SendResponse
    | RunAhead
    | StoreLearnt
    | Trace
    | LogEvent
)
