# SPDX-License-Identifier: Apache-2.0
"""What the server's coordinator asks of the I/O around it, besides what concerns links: storing and reporting."""

from dataclasses import field
from enum import StrEnum
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.log_event import LogEvent
from remsim.core.values import dataclass
from remsim.server.core.event_feed import EventDraft
from remsim.wire.link.actions import LinkAction
from remsim.wire.messages.rspro import AdvertisedAddress


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request that is done once, because it has an Idempotency-Key."""

    #: The ID of the caller's token, the path, and the key.
    name: tuple[str, str, str]
    #: That of what is asked for: query and body.
    digest: bytes
    #: The JSON that is answered, where that is known before it is done and cannot be found later; else empty.
    answer: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: ``who`` names a token, a user, a bankd or the server itself; ``source`` is an address."""

    who: str
    source: str
    #: Of the token that it has; empty: it has none.
    token_id: str = field(default="", compare=False)
    #: What it asks for, if that is to be done once. It is stored with the entry that tells that it was done.
    request: KeyedRequest | None = field(default=None, compare=False)


#: What the server does by itself, following its rules.
SERVER: Final = Actor("server", "-")

DONE: Final = "done"
REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log, before it has a number and a time."""

    actor: Actor
    #: For example ``mapping.create``; at most 32 characters.
    action: str
    target: str = ""
    outcome: str = DONE
    detail: str = ""


#: What tells a client without an id from others: what kind of name ("serial", "name"), and it.
ClientKey = tuple[str, str]


class LeaseEnd(StrEnum):
    """How a lease ended."""

    EXPIRED = "expired"  # its time is over
    RELEASED = "released"  # it was given back, or its request was withdrawn
    UNMAPPED = "unmapped"  # its mapping was deleted, by an operator or by the rules
    TIMED_OUT = "timed_out"  # no card was free for as long as it was to wait
    REVOKED = "revoked"  # its token is not good any more, or not for it


@dataclass(frozen=True, slots=True)
class LeaseOrder:
    """What is asked for: any free card of ``pool`` for a client slot, for ``duration_s`` from when it is granted.

    ``pool`` is a text that ``CardChoice`` reads; ``banks`` limits it to the banks of a token. The one with the higher
    priority gets a card first, among equals the one with the lower id.
    """

    id: int
    pool: str
    client: ClientSlot
    banks: frozenset[int] | None
    who: str
    priority: int
    duration_s: float
    wait_s: float
    #: Of the token by which it was asked for; empty: there was none.
    token_id: str = ""


# Decisions


@dataclass(frozen=True, slots=True)
class StoreMapping:
    """Store a new mapping. ``is_sent``: its bankd is connected and will be told at once.

    ``iccid``: the number of the card, where known. It is stored with the mapping, or a start after a crash might know
    the mapping without the number for which it is allowed.
    """

    bank: BankSlot
    client: ClientSlot
    is_sent: bool
    iccid: str | None = None
    #: The number of the card that it follows into other slots.
    follows: str | None = None


@dataclass(frozen=True, slots=True)
class StoreDeletion:
    """Store the deletion of live mappings, in one transaction.

    ``removals`` are those of them that a bankd may know of and must be told to remove; ``releases`` are those whose
    clients may have been sent to the bankd and must be told to leave it. The leases of these mappings end with them,
    as ``lease_end`` says.
    """

    mappings: tuple[int, ...]
    removals: tuple[int, ...]
    releases: tuple[int, ...]
    lease_end: LeaseEnd = LeaseEnd.UNMAPPED


@dataclass(frozen=True, slots=True)
class StoreSent:
    """Note that the bankd is about to be told of these mappings, which it was not before."""

    bank_id: int
    mappings: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StoreFollow:
    """A mapping follows this card from now on, or none: its slot."""

    mapping_id: int
    follows: str | None


@dataclass(frozen=True, slots=True)
class StoreClientId:
    """Keep the id of a client that has none of its own."""

    key: ClientKey
    client_id: int


@dataclass(frozen=True, slots=True)
class StoreLabels:
    """Keep these labels of a slot, client slot or card, and no others; () takes all of them away."""

    subject: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ParkedMapping:
    """A mapping that follows a card and has no slot now: it waits until the card is in a slot that it can have.

    ``id`` is that of the mapping that it was, in ``bank``. Times are seconds since 1970-01-01 UTC.
    """

    id: int
    bank: BankSlot
    client: ClientSlot
    iccid: str
    created_at: float
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class CardMove:
    """A mapping goes to ``slot``, where its card was recognised, from ``left``."""

    iccid: str
    left: BankSlot
    slot: BankSlot
    client: ClientSlot


@dataclass(frozen=True, slots=True)
class StoreChange:
    """Delete mappings, create others, and change labels, in one transaction: everything is stored, or nothing.

    ``parked`` are those of the deleted ones that wait for their cards from now on; ``unparked`` the ids of those that
    waited and do not any more. ``followed`` says for which of it a card is the reason; ``follow_changes`` are those of
    mappings that stay.
    """

    deletion: StoreDeletion | None
    creations: tuple[StoreMapping, ...]
    labels: tuple[StoreLabels, ...] = ()
    parked: tuple[ParkedMapping, ...] = ()
    unparked: tuple[int, ...] = ()
    followed: tuple[CardMove, ...] = ()
    follow_changes: tuple[StoreFollow, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreLease:
    """Store a new lease: granted, with its mapping, or waiting for a card."""

    order: LeaseOrder
    creation: StoreMapping | None


@dataclass(frozen=True, slots=True)
class StoreGrant:
    """Give a card to a lease that waited, in one transaction with its mapping."""

    lease_id: int
    creation: StoreMapping


@dataclass(frozen=True, slots=True)
class StoreRenewal:
    """A granted lease lasts so long from now on."""

    lease_id: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class StoreLeaseEnd:
    """End a lease that waits."""

    lease_id: int
    end: LeaseEnd


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """To whom events are sent: those of ``kinds`` (None: all) that a token for these banks and clients may see."""

    number: int
    url: str
    secret: str = field(repr=False)
    kinds: frozenset[str] | None
    banks: frozenset[int] | None
    clients: frozenset[int] | None
    who: str
    created_at: float
    #: Since when nothing is sent to it; None: it is not paused.
    paused_at: float | None = None


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """One event for one webhook. Times are seconds since 1970-01-01 UTC; ``ended_at`` None: it waits."""

    number: int
    webhook: int
    kind: str
    #: The JSON that is sent.
    body: str
    created_at: float
    attempts: int = 0
    tried_at: float | None = None
    ended_at: float | None = None
    is_delivered: bool = False
    #: What came of the last attempt.
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class StoredLock:
    """A bank slot that gets no new mapping. ``locked_at`` is in seconds since 1970-01-01 UTC."""

    bank: BankSlot
    reason: str
    who: str
    locked_at: float


@dataclass(frozen=True, slots=True)
class StoreLock:
    """Lock a bank slot; without a reason, unlock it."""

    bank: BankSlot
    reason: str | None
    who: str


@dataclass(frozen=True, slots=True)
class StoreWebhook:
    """Keep a webhook, new or as it is now."""

    hook: StoredWebhook


@dataclass(frozen=True, slots=True)
class StoreWebhookEnd:
    """Forget a webhook, with all its deliveries."""

    number: int


@dataclass(frozen=True, slots=True)
class StoredAnnouncement:
    """What is to be told of one stored change. It is kept until there are deliveries for all that are to hear of it."""

    number: int
    events: tuple[EventDraft, ...]


@dataclass(frozen=True, slots=True)
class StoreDeliveries:
    """Keep deliveries as they are now, and forget others. ``told`` are the announcements that they were made of."""

    deliveries: tuple[StoredDelivery, ...]
    forgotten: tuple[int, ...]
    told: tuple[int, ...] = ()


Decision = (
    StoreMapping
    | StoreDeletion
    | StoreSent
    | StoreFollow
    | StoreClientId
    | StoreChange
    | StoreLabels
    | StoreLock
    | StoreLease
    | StoreGrant
    | StoreRenewal
    | StoreLeaseEnd
    | StoreWebhook
    | StoreWebhookEnd
    | StoreDeliveries
)


@dataclass(frozen=True, slots=True)
class Audited:
    """A decision of the server's own, and the entry that is stored with it."""

    decision: Decision
    entry: Entry


# Notes


@dataclass(frozen=True, slots=True)
class NoteOutcome:
    """What the bankd said to a creation: ``result`` is None for ok."""

    mapping_id: int
    result: int | None


@dataclass(frozen=True, slots=True)
class NoteRemoved:
    """The bankd has answered a removal."""

    mapping_id: int


@dataclass(frozen=True, slots=True)
class NoteReleased:
    """The client has been told that this mapping is deleted."""

    mapping_id: int


@dataclass(frozen=True, slots=True)
class NoteBank:
    """A bankd connected or left; ``addresses`` is where clients reach it."""

    bank_id: int
    name: str
    software: str
    sw_version: str
    number_of_slots: int
    addresses: tuple[AdvertisedAddress, ...]
    #: The addresses are new. After a restart, clients that were sent to the old ones would lose their sessions.
    has_moved: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class NoteClient:
    """A client connected or left."""

    client: ClientSlot
    name: str
    software: str
    sw_version: str
    hw_serial_nr: str | None
    address: str


@dataclass(frozen=True, slots=True)
class NoteCard:
    """The number of the card in a slot, and what it says besides; None: the slot is no more."""

    bank: BankSlot
    iccid: str | None
    imsi: str | None = field(default=None, repr=False)
    service_provider: str | None = None
    eid: str | None = field(default=None, repr=False)


Note = NoteOutcome | NoteRemoved | NoteReleased | NoteBank | NoteClient | NoteCard


@dataclass(frozen=True, slots=True)
class AskPolicy:
    """There is another card in this slot: whether its mapping, if it has one, is allowed must be judged anew."""

    bank: BankSlot


#: An entry is for the audit log.
Action = LinkAction | LogEvent | Decision | Audited | Note | Entry | AskPolicy


# What was stored, and is there again after a restart


@dataclass(frozen=True, slots=True)
class StoredMapping:
    """A live mapping, or one whose removal is pending (``is_live`` False)."""

    id: int
    bank: BankSlot
    client: ClientSlot
    created_at: float
    is_live: bool
    is_sent: bool
    is_acknowledged: bool
    result: int | None
    follows: str | None = None


@dataclass(frozen=True, slots=True)
class StoredLease:
    """A lease that has not ended. Times are seconds since 1970-01-01 UTC; None: it waits."""

    order: LeaseOrder
    requested_at: float
    mapping_id: int | None = None
    granted_at: float | None = None
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request that was done by an earlier run. ``done_at`` is in seconds since 1970-01-01 UTC."""

    number: int
    request: KeyedRequest
    done_at: float
    #: The number of the lease or webhook that it made; None: it made neither.
    made: int | None = None


@dataclass(frozen=True, slots=True)
class StoredState:
    """All that the coordinator knows from earlier runs."""

    mappings: tuple[StoredMapping, ...] = ()
    #: Deleted mappings whose clients have not been told yet: mapping id, client, bank slot.
    releases: tuple[tuple[int, ClientSlot, BankSlot], ...] = ()
    #: Where clients reached each bankd last.
    bank_addresses: dict[int, tuple[AdvertisedAddress, ...]] = field(default_factory=dict)
    client_ids: dict[ClientKey, int] = field(default_factory=dict)
    restart_counter: int = 0
    #: The last number that was heard of in each slot.
    cards: dict[BankSlot, str] = field(default_factory=dict)
    #: What these cards said besides: IMSI, service provider, EID.
    contents: dict[BankSlot, tuple[str | None, str | None, str | None]] = field(default_factory=dict, repr=False)
    #: Banks and clients that were here, each with the time at which it was noted (seconds since 1970-01-01 UTC).
    banks: tuple[tuple[NoteBank, float], ...] = ()
    clients: tuple[tuple[NoteClient, float], ...] = ()
    #: By subject: ``B1:3``, ``C7:0``, ``iccid:8949…``.
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: Those that wait, or have a card.
    leases: tuple[StoredLease, ...] = ()
    #: The highest number that a lease ever had.
    last_lease: int = 0
    #: When each card was lent last, in seconds since 1970-01-01 UTC.
    lent_at: dict[BankSlot, float] = field(default_factory=dict)
    #: When this was read, in seconds since 1970-01-01 UTC.
    read_at: float = field(default=0.0, compare=False)
    webhooks: tuple[StoredWebhook, ...] = ()
    locks: tuple[StoredLock, ...] = ()
    #: Those that wait, and those that ended of late.
    deliveries: tuple[StoredDelivery, ...] = ()
    #: What is still to be told of stored changes.
    announcements: tuple[StoredAnnouncement, ...] = ()
    #: Mappings that wait for their cards.
    parked: tuple[ParkedMapping, ...] = ()
    #: What was done under keys of late, oldest first.
    requests: tuple[StoredRequest, ...] = ()
