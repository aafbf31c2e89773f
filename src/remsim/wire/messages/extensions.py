# SPDX-License-Identifier: Apache-2.0
"""Messages of our own (alternatives from 40 on), each only for peers that named its ability. See ``rspro``."""

from dataclasses import dataclass
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot

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
