# SPDX-License-Identifier: Apache-2.0
"""Messages of our own (alternatives from 40 on), each only for peers that named its ability. See ``rspro``."""

from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.wire.messages.open_enum import OpenEnum

#: Bytes of a revocation list, more than ten thousand entries, which a link takes at once; and of a part of it, which
#: fits into a frame.
MAX_LIST, MAX_LIST_PART = 1 << 19, 1 << 14
#: Characters of an audit entry's action and detail, as the server keeps them.
MAX_ACTION, MAX_DETAIL = 64, 255
#: Identities in one part of the list of those with a certificate: some 20 kilobytes.
MAX_CERTIFIED_PART: Final = 1024
MAX_IDENTITY: Final = 64
#: Answers sent ahead behind one command.
MAX_AHEAD: Final = 2**31 - 1
#: Digits of an ICCID (ITU-T E.118: at most 19; 20 are in use).
MAX_ICCID: Final = 20
#: A trace ends by itself so long after it was asked for, at most.
MAX_TRACE_MS: Final = 60_000
#: Records in one message: with the longest commands and answers they fit into a frame.
MAX_TRACE_RECORDS: Final = 50
#: Bytes that tell sessions apart; and characters of a record's words.
SESSION_LABEL: Final = 6
MAX_WORDS: Final = 200
#: A bit for each byte of a command or answer, at most 260.
MAX_HIDDEN: Final = 33
#: Ages and durations in microseconds: 35 minutes.
MAX_MICROSECONDS: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class RevocationListInd:
    """A part of the authority's signed revocation list, ``bytes`` at ``offset`` of ``total``: ability ``revoke.1``."""

    total: int
    offset: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class AuditInd:
    """Something that belongs into the server's audit log: ability ``audit.1``. Never holds bytes of a card's data."""

    #: For example ``command.block``.
    action: str
    is_refused: bool
    bank_slot: BankSlot | None = None
    client_slot: ClientSlot | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class CertifiedInd:
    """A part of the list of clients that have, or had, a certificate: ability ``certified.1``.

    The list is complete with its last part. A bankd adds it to what it knows, and forgets nobody.
    """

    is_first: bool
    is_last: bool
    #: As in certificates: ``client/23``, ``client/23/0``.
    clients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CardInd:
    """The number of the card in a slot, None if there is none or it cannot be read: ability ``cards.1``."""

    bank_slot: BankSlot
    iccid: str | None = None


@dataclass(frozen=True, slots=True)
class AheadInd:
    """The answer to a command that the modem has not sent yet, from bankd to client: ability ``ahead.1``."""

    #: The command that the bankd answered last by itself, by its operation tag; and its place behind that, from 1.
    base: int
    index: int
    #: As in tpduModemToCard and tpduCardToModem.
    command: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class AheadUsedInd:
    """So many of the answers sent ahead were used, from client to bankd: ability ``ahead.1``."""

    base: int
    count: int


class TraceKind(OpenEnum):
    """What a record of a trace tells of."""

    COMMAND = 0
    #: The card, or at the client the modem, was reset.
    COLD_RESET = 1
    WARM_RESET = 2
    #: ``response`` is the ATR that the card gave, or that the modem was shown.
    ATR = 3


class TraceOrigin(OpenEnum):
    """Who asked for a command."""

    MODEM = 0
    #: The bankd, because the modem will probably send it.
    GUESS = 1
    #: The bankd, to bring back what the modem believes to be selected.
    RESTORE = 2
    #: The bankd, to learn what card it has.
    INVENTORY = 3


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One thing that happened at a slot, redacted. Optional parts are left out where they are not known."""

    kind: TraceKind
    origin: TraceOrigin
    #: Microseconds from then to the sending of the message.
    age_us: int
    #: With ``tag`` and ``index`` what joins the records of both ends: of the session, if it outlives its link; the
    #: operation tag; and the place behind it, of what was answered ahead.
    session: bytes | None = None
    tag: int | None = None
    index: int | None = None
    command: bytes | None = None
    #: None: it got no answer.
    response: bytes | None = None
    #: A bit for each byte of command and response, the highest bit first: 1 is hidden.
    hidden_command: bytes | None = None
    hidden_response: bytes | None = None
    #: What it is, for people.
    words: str | None = None
    #: At the bankd what the card took, at the client what the modem waited, in microseconds.
    spent_us: int | None = None


@dataclass(frozen=True, slots=True)
class TraceReq:
    """The server wants to hear of a slot for so long, 0: no more. One of the slots is there. Ability ``trace.1``."""

    for_ms: int
    bank_slot: BankSlot | None = None
    client_slot: ClientSlot | None = None


@dataclass(frozen=True, slots=True)
class TraceInd:
    """What happened at a slot, oldest first, from a bankd or client to the server: ability ``trace.1``.

    A bankd names its slot, and the client that has it; a client its own, and the bank slot that it uses.
    """

    #: Records that were not told since the trace began, because they were too many.
    left_out: int
    records: tuple[TraceRecord, ...]
    bank_slot: BankSlot | None = None
    client_slot: ClientSlot | None = None
