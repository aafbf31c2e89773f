# SPDX-License-Identifier: Apache-2.0
"""What the server knows, for those who show it: REST, and whatever else people look at. Nothing here changes anything.

``ServerQuery`` is the entry point. It gives *infos*: small read-only objects that look at the coordinator's state when
they are asked, so that a list of thousands costs nothing until it is written out.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Protocol

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.server.core.actions import NoteBank, StoredLock
from remsim.server.core.card_choice import CardChoice
from remsim.server.core.coordinator import Coordinator
from remsim.server.core.event_feed import EventFeed
from remsim.server.core.inventory import CardContents
from remsim.server.core.known import Seen
from remsim.server.core.peers import Peer, SessionReport
from remsim.server.core.slotmap import Freed, Mapping, MappingState
from remsim.server.core.tokens import StoredToken
from remsim.server.health_query import HealthQuery
from remsim.server.mapping_lacks import MappingLacks, Usability, problem_of
from remsim.server.store.audit import StoredEntry
from remsim.server.waiting_query import WaitingQuery
from remsim.wire.link.abilities import CARDS
from remsim.wire.link.actions import LinkId, PeerAddress
from remsim.wire.messages.rspro import (
    ComponentIdentity,
    ConfigClientBankReq,
    ErrorInd,
    IpPort,
    ReaderHealthInd,
    SlotPhysStatus,
)


class StoredRecords(Protocol):
    """What can be read from the database."""

    @property
    def is_healthy(self) -> bool:
        """Whether the last attempt to write succeeded."""
        ...

    async def find_token(self, token_id: str) -> StoredToken | None:
        """The token with this ID. Raises StoreError."""
        ...

    async def read_tokens(self) -> Iterable[StoredToken]:
        """All tokens, oldest first. Raises StoreError."""
        ...

    async def read_audit(self, *, after: int, limit: int) -> Iterable[StoredEntry]:
        """The entries of the audit log behind the one with this number. Raises StoreError."""
        ...


@dataclass(slots=True)
class RuntimeStatus:
    """What the runtime knows besides its coordinator. It alone changes it."""

    restart_counter: int = 0
    #: When this run began, in seconds since 1970-01-01 UTC.
    started_at: float = 0.0
    #: The service listens on all its ports.
    is_open: bool = False
    #: When links came up, by the wall clock of that moment, which may be set later.
    connected_at: dict[LinkId, float] = field(default_factory=dict)
    #: The time that the coordinator is given.
    now: Callable[[], float] = lambda: 0.0


class MappingInfo:
    """A live mapping, and what is known around it."""

    __slots__ = ("_coordinator", "_mapping", "_status")

    def __init__(self, mapping: Mapping, coordinator: Coordinator, status: RuntimeStatus) -> None:
        self._mapping = mapping
        self._coordinator = coordinator
        self._status = status

    @property
    def bank(self) -> BankSlot:
        """Its bank slot."""
        return self._mapping.bank

    @property
    def client(self) -> ClientSlot:
        """Its client slot."""
        return self._mapping.client

    @property
    def state(self) -> MappingState:
        """How far the bankd has followed."""
        return self._mapping.state

    @property
    def result(self) -> int | None:
        """With which result the bankd refused it."""
        return self._mapping.result

    @property
    def created_at(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return self._mapping.created_at

    @property
    def follows(self) -> str | None:
        """The number of the card that it follows into other slots; None: it stays with its slot."""
        return self._mapping.follows

    @property
    def is_bank_connected(self) -> bool:
        """Whether its bankd is connected."""
        return self._bank_peer is not None

    @property
    def is_client_connected(self) -> bool:
        """Whether its client is connected."""
        return self._client_peer is not None

    @property
    def id(self) -> int:
        """Given by the database, never used again: another mapping of the same slots has another."""
        return self._mapping.id

    @property
    def changed_at(self) -> float | None:
        """Since when it is in its state, in the server's own time; None: since an earlier run."""
        return self._mapping.changed_at

    @property
    def missing(self) -> list[str]:
        """In words, all that its modem lacks to use the card, as far as the server knows; empty: nothing."""
        return [lack.text for lack in self._lacks.all()]

    @property
    def usability(self) -> Usability:
        """Whether its modem can use the card, since when that is so, and who says it."""
        return self._lacks.usability()

    @property
    def _lacks(self) -> MappingLacks:
        now, started_at = self._status.now(), self._status.started_at
        return MappingLacks(self._mapping, self._coordinator, now=now, wall=time.time(), started_at=started_at)

    @property
    def problem(self) -> str:
        """Why its client has no card, as far as the server knows; empty if nothing is wrong."""
        return problem_of(self._mapping, self._bank_peer, self._client_peer)

    @property
    def session(self) -> SessionReport | None:
        """What its bankd says of its card session; None if there is none, or the bankd does not tell."""
        bank = self._bank_peer
        found = None if bank is None else bank.sessions.get(self.bank.slot_nr)
        return found if found is not None and found.client == self.client else None

    @property
    def session_age_s(self) -> float:
        """For how long the session has been in its state."""
        session = self.session
        return 0.0 if session is None else max(0.0, self._status.now() - session.since)

    @property
    def _bank_peer(self) -> Peer | None:
        return self._coordinator.peers.by_bank(self.bank.bank_id)

    @property
    def _client_peer(self) -> Peer | None:
        return self._coordinator.peers.connected_client(self.client)


class PeerInfo:
    """A connected peer."""

    __slots__ = ("_coordinator", "_peer", "_status")

    def __init__(self, peer: Peer, coordinator: Coordinator, status: RuntimeStatus) -> None:
        self._peer = peer
        self._coordinator = coordinator
        self._status = status

    @property
    def name(self) -> str:
        """``C7:0``, ``B1``, or the address of a peer that is neither."""
        return self._peer.name

    @property
    def state(self) -> str:
        """Where the connection stands."""
        return self._peer.state.value

    @property
    def identity(self) -> ComponentIdentity | None:
        """What it says that it is."""
        return self._peer.identity

    @property
    def address(self) -> PeerAddress:
        """Where it calls from."""
        return self._peer.address

    @property
    def connected_at(self) -> float:
        """When it connected, in seconds since 1970-01-01 UTC."""
        return self._status.connected_at.get(self._peer.link, 0.0)

    @property
    def up_since(self) -> float:
        """When its link came up, in the server's own time."""
        return self._peer.since

    @property
    def contested_by(self) -> str:
        """Where another program with its certificate was; empty: there was none."""
        return self._peer.contested_by

    @property
    def error_count(self) -> int:
        """How many errors it has reported."""
        return self._peer.error_count

    @property
    def last_error(self) -> ErrorInd | None:
        """The last one of them."""
        return self._peer.last_error


class ClientInfo(PeerInfo):
    """A connected client."""

    __slots__ = ()

    @property
    def slot(self) -> ClientSlot | None:
        """Its client slot."""
        return self._peer.client

    @property
    def mapping(self) -> MappingInfo | None:
        """Its mapping, if it has one."""
        slot = self._peer.client
        mapping = None if slot is None else self._coordinator.slotmap.by_client_slot(slot)
        return None if mapping is None else MappingInfo(mapping, self._coordinator, self._status)

    @property
    def told(self) -> ConfigClientBankReq | None:
        """What it was told last about its bankd."""
        return self._peer.announced

    @property
    def told_result(self) -> int | None:
        """What it answered to that."""
        return self._peer.announced_result


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """One slot of a bank: what its bankd has said about it, and its mapping."""

    slot_nr: int
    status: SlotPhysStatus | None = None
    iccid: str | None = None
    mapping: MappingInfo | None = None
    #: None: it works, as far as the bankd tells.
    reader: ReaderHealthInd | None = None
    #: Whether there is a card; None: its bankd does not tell.
    is_present: bool | None = None
    #: Since when, in the server's own time.
    present_since: float | None = None
    #: What its reader is called on the bank's host, as far as the bankd tells.
    reader_name: str | None = None


@dataclass(frozen=True, slots=True)
class CardInfo:
    """A card whose number is known, in the slot where it was heard of last."""

    iccid: str
    bank: BankSlot
    #: It was not reported gone, and its bankd is one that tells.
    is_there: bool
    #: Since when that is known, in the server's own time; None: since an earlier run.
    heard_at: float | None
    labels: tuple[str, ...]
    mapping: MappingInfo | None


class BankInfo(PeerInfo):
    """A connected bankd."""

    __slots__ = ()

    @property
    def bank_id(self) -> int:
        """The bank's id."""
        return self._peer.bank

    @property
    def number_of_slots(self) -> int:
        """How many slots it has."""
        return self._peer.number_of_slots

    @property
    def addresses(self) -> tuple[IpPort, ...]:
        """Where clients reach it."""
        return tuple(dict.fromkeys(place.address for place in self._peer.addresses))

    def mapping_count(self, counted: Callable[[BankSlot, ClientSlot], bool]) -> int:
        """How many live mappings it has, of those that are ``counted``."""
        return sum(counted(each.bank, each.client) for each in self._coordinator.slotmap.live_of_bank(self.bank_id))

    def removal_count(self, counted: Callable[[BankSlot, ClientSlot], bool]) -> int:
        """How many mappings it has still to remove, of those that are ``counted``."""
        return sum(counted(each.bank, each.client) for each in self._coordinator.slotmap.removals_of_bank(self.bank_id))

    @property
    def tells_cards(self) -> bool:
        """Whether it says which cards it has."""
        return self.identity is not None and CARDS in (self.identity.abilities or ())

    @property
    def cards(self) -> dict[int, str]:
        """The ICCIDs of its cards that are known, by slot number."""
        return self._coordinator.inventory.numbers_of_bank(self.bank_id)

    @property
    def slots(self) -> list[SlotInfo]:
        """Its slots, and those beyond that are mapped."""
        peer = self._peer
        cards, status, readers = self.cards, peer.slot_status, peer.readers
        names = {nr: told.report.reader for nr, told in peer.slot_health.items()}
        live = self._coordinator.slotmap.live_of_bank(self.bank_id)
        mappings = {mapping.bank.slot_nr: MappingInfo(mapping, self._coordinator, self._status) for mapping in live}
        slot_nrs = sorted({*range(self.number_of_slots), *mappings})
        return [
            SlotInfo(
                nr, status.get(nr), cards.get(nr), mappings.get(nr), readers.get(nr), *self._presence(nr), names.get(nr)
            )
            for nr in slot_nrs
        ]

    def _presence(self, slot_nr: int) -> tuple[bool | None, float | None]:
        """Whether there is a card in a slot, and since when that is known."""
        is_present, since = self._peer.presence(slot_nr)
        if is_present is None and slot_nr in self.cards:
            # It was read, so it is there.
            return True, self._coordinator.inventory.heard_at(BankSlot(self.bank_id, slot_nr))
        return is_present, since


class ServerQuery:
    """Everything that may be asked about one server."""

    def __init__(self, coordinator: Coordinator, store: StoredRecords, status: RuntimeStatus, feed: EventFeed) -> None:
        self._coordinator = coordinator
        self._store = store
        self._status = status
        #: What happened last.
        self.feed = feed
        #: How slots stand.
        self.health = HealthQuery(coordinator, status.now)
        #: Mappings that wait for the card that they follow.
        self.waiting = WaitingQuery(coordinator)

    # Mappings

    def mappings(self, shown: Callable[[BankSlot, ClientSlot], bool]) -> list[MappingInfo]:
        """The live mappings that are to be ``shown``, in the order of their creation."""
        slotmap = self._coordinator.slotmap
        return [MappingInfo(item, self._coordinator, self._status) for item in slotmap if shown(item.bank, item.client)]

    def mapping(self, slot: BankSlot) -> MappingInfo | None:
        """The live mapping of a bank slot."""
        mapping = self._coordinator.slotmap.by_bank_slot(slot)
        return None if mapping is None else MappingInfo(mapping, self._coordinator, self._status)

    # Clients

    def clients(self, shown: Callable[[ClientSlot], bool]) -> list[ClientInfo]:
        """The connected clients that are to be ``shown``, in the order in which they came."""
        peers = self._coordinator.peers.clients()
        return [self._client(peer) for peer in peers if peer.client is not None and shown(peer.client)]

    def client(self, slot: ClientSlot) -> ClientInfo | None:
        """The connected client of a slot."""
        peer = self._coordinator.peers.connected_client(slot)
        return None if peer is None else self._client(peer)

    def lowest_slot_of_client(self, client_id: int) -> ClientInfo | None:
        """The connected client with this id and the lowest slot number."""
        peer = self._coordinator.peers.lowest_slot(client_id)
        return None if peer is None else self._client(peer)

    def _client(self, peer: Peer) -> ClientInfo:
        return ClientInfo(peer, self._coordinator, self._status)

    # Banks

    def banks(self, shown: Callable[[int], bool]) -> list[BankInfo]:
        """The connected bankds that are to be ``shown``, in the order in which they came."""
        peers = self._coordinator.peers.banks()
        return [BankInfo(peer, self._coordinator, self._status) for peer in peers if shown(peer.bank)]

    def bank(self, bank_id: int) -> BankInfo | None:
        """The connected bankd of a bank."""
        peer = self._coordinator.peers.by_bank(bank_id)
        return None if peer is None else BankInfo(peer, self._coordinator, self._status)

    # Banks and clients that were here, connected or not

    def known_banks(self) -> list[int]:
        """The ids of all banks that are or were connected, and of those that are mapped, in order."""
        mapped = {mapping.bank.bank_id for mapping in self._coordinator.slotmap}
        connected = {peer.bank for peer in self._coordinator.peers.banks()}
        return sorted({*self._coordinator.known.banks(), *mapped, *connected})

    def known_clients(self) -> list[ClientSlot]:
        """All client slots that are or were connected, and those that are mapped, in order."""
        mapped = {mapping.client for mapping in self._coordinator.slotmap}
        connected = {peer.client for peer in self._coordinator.peers.clients() if peer.client is not None}
        return sorted({*self._coordinator.known.clients(), *mapped, *connected})

    def is_known(self, slot: BankSlot | ClientSlot) -> bool:
        """Whether a slot is one of a bank or client that is or was connected, or is mapped."""
        slotmap, known, peers = self._coordinator.slotmap, self._coordinator.known, self._coordinator.peers
        if isinstance(slot, ClientSlot):
            is_mapped = slotmap.by_client_slot(slot) is not None or slotmap.parked_of_client(slot) is not None
            return is_mapped or known.client(slot) is not None or peers.connected_client(slot) is not None
        return slot.slot_nr < self._size_of_bank(slot.bank_id) or slotmap.by_bank_slot(slot) is not None

    def _size_of_bank(self, bank_id: int) -> int:
        peer, seen = self._coordinator.peers.by_bank(bank_id), self.seen_bank(bank_id)
        if peer is not None:
            return peer.number_of_slots
        return seen.note.number_of_slots if seen is not None and isinstance(seen.note, NoteBank) else 0

    def seen_bank(self, bank_id: int) -> Seen | None:
        """What is remembered of a bank."""
        return self._coordinator.known.bank(bank_id)

    def seen_client(self, slot: ClientSlot) -> Seen | None:
        """What is remembered of a client slot."""
        return self._coordinator.known.client(slot)

    def slots_of_bank(self, bank_id: int) -> list[SlotInfo]:
        """The slots of a bank, connected or not, as far as they are known."""
        bank = self.bank(bank_id)
        if bank is not None:
            return bank.slots
        size = self._size_of_bank(bank_id)
        mapped = {mapping.bank.slot_nr for mapping in self._coordinator.slotmap.live_of_bank(bank_id)}
        return [SlotInfo(nr, mapping=self.mapping(BankSlot(bank_id, nr))) for nr in sorted({*range(size), *mapped})]

    def mapping_by_id(self, number: int) -> MappingInfo | None:
        """The live mapping with this id."""
        mapping = self._coordinator.slotmap.get(number)
        return None if mapping is None else MappingInfo(mapping, self._coordinator, self._status)

    def mapping_of_client(self, slot: ClientSlot) -> MappingInfo | None:
        """The live mapping of a client slot."""
        mapping = self._coordinator.slotmap.by_client_slot(slot)
        return None if mapping is None else MappingInfo(mapping, self._coordinator, self._status)

    # Cards and labels

    def cards(self, shown: Callable[[BankSlot], bool]) -> list[CardInfo]:
        """The cards whose numbers are known, in the order of their slots."""
        found = self._coordinator.inventory.all_numbers()
        return [self._card(slot, iccid) for slot, iccid in found.items() if shown(slot)]

    def card(self, iccid: str, shown: Callable[[BankSlot], bool]) -> CardInfo | None:
        """The card with this number: where it is, else where it was heard of last."""
        found = [card for card in self.cards(shown) if card.iccid == iccid]
        return max(found, key=lambda card: (card.is_there, card.heard_at or 0.0), default=None)

    def _card(self, slot: BankSlot, iccid: str) -> CardInfo:
        inventory = self._coordinator.inventory
        is_there = inventory.number(slot) is not None and self._coordinator.peers.by_bank(slot.bank_id) is not None
        labels = self._coordinator.labels.of_card(iccid)
        return CardInfo(iccid, slot, is_there, inventory.heard_at(slot), labels, self.mapping(slot))

    def slots_of(self, choice: CardChoice) -> list[BankSlot]:
        """The slots of the card, or cards, that are meant."""
        return choice.slots(self._coordinator.inventory, self._coordinator.labels)

    def lock(self, slot: BankSlot) -> StoredLock | None:
        """What keeps a slot from new mappings."""
        return self._coordinator.slotmap.locks.of(slot)

    def locks(self) -> list[StoredLock]:
        """All of these, in the order of their slots."""
        return self._coordinator.slotmap.locks.all()

    def labels(self, subject: str) -> tuple[str, ...]:
        """The labels of a slot, client slot or card."""
        return self._coordinator.labels.of(subject)

    def all_labels(self) -> dict[str, tuple[str, ...]]:
        """Every subject that has labels."""
        return self._coordinator.labels.all()

    def slots_of_card(self, iccid: str) -> list[BankSlot]:
        """Where a card with this number was heard of."""
        return [slot for slot, number in self._coordinator.inventory.all_numbers().items() if number == iccid]

    def number(self, slot: BankSlot) -> str | None:
        """The number of the card that is in a slot, as far as is known."""
        return self._coordinator.inventory.number(slot)

    def last_number(self, slot: BankSlot) -> str | None:
        """The number of the card that was heard of last in a slot."""
        return self._coordinator.inventory.last_number(slot)

    @property
    def keeps_imsi(self) -> bool:
        """Whether IMSIs that bankds tell are kept."""
        return self._coordinator.inventory.keeps_imsi

    def imsi(self, slot: BankSlot) -> str | None:
        """The IMSI of the card that was heard of last in a slot, where it is known."""
        return self._coordinator.inventory.imsi(slot)

    def card_heard_at(self, slot: BankSlot) -> float | None:
        """Since when that is known, in the server's own time; None: since an earlier run."""
        return self._coordinator.inventory.heard_at(slot)

    def card_contents(self, slot: BankSlot) -> tuple[CardContents, float | None] | None:
        """What the card that was heard of last in a slot says without a PIN, and since when that is known."""
        return self._coordinator.inventory.contents(slot)

    def freed(self, slot: BankSlot | ClientSlot) -> Freed | None:
        """When the last mapping of a slot ended that has none; None: not in this run of the server."""
        return self._coordinator.slotmap.freed(slot)

    # Time

    def moment(self, heard_at: float) -> float:
        """Seconds since 1970-01-01 UTC, of a moment in the server's own time, by the wall clock of now."""
        return time.time() - self.age_s(heard_at)

    def age_s(self, heard_at: float) -> float:
        """How long ago a moment in the server's own time was."""
        return max(0.0, self._status.now() - heard_at)

    @property
    def started_at(self) -> float:
        """When this run began, in seconds since 1970-01-01 UTC."""
        return self._status.started_at

    # The server itself, and what it has stored

    @property
    def restart_counter(self) -> int:
        """How often the server was started with its database."""
        return self._status.restart_counter

    @property
    def is_open(self) -> bool:
        """Whether the server listens on all its ports."""
        return self._status.is_open

    @property
    def is_store_healthy(self) -> bool:
        """Whether the database took what was written last."""
        return self._store.is_healthy

    async def find_token(self, token_id: str) -> StoredToken | None:
        """The token with this ID. Raises StoreError."""
        return await self._store.find_token(token_id)

    async def tokens(self) -> Iterable[StoredToken]:
        """All tokens, oldest first. Raises StoreError."""
        return await self._store.read_tokens()

    async def audit(self, *, after: int, limit: int) -> Iterable[StoredEntry]:
        """The entries of the audit log behind the one with this number. Raises StoreError."""
        return await self._store.read_audit(after=after, limit=limit)
