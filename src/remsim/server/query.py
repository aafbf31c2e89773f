# SPDX-License-Identifier: Apache-2.0
"""What the server knows, for those who show it: REST, and whatever else people look at. Nothing here changes anything.

``ServerQuery`` is the entry point. It gives *infos*: small read-only objects that look at the coordinator's state when
they are asked, so that a list of thousands costs nothing until it is written out.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.coordinator import Coordinator
from remsim.server.core.peers import Peer, SessionReport
from remsim.server.core.slotmap import Mapping, MappingState
from remsim.server.core.tokens import StoredToken
from remsim.server.store.audit import StoredEntry
from remsim.wire.link.abilities import CARDS
from remsim.wire.link.actions import LinkId, PeerAddress
from remsim.wire.messages.rspro import (
    ComponentIdentity,
    ConfigClientBankReq,
    ErrorInd,
    IpPort,
    ReaderHealthInd,
    ResultCode,
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

    async def read_audit(self, *, after: int, limit: int) -> Iterable[StoredEntry]:
        """The entries of the audit log behind the one with this number. Raises StoreError."""
        ...


@dataclass(slots=True)
class RuntimeStatus:
    """What the runtime knows besides its coordinator. It alone changes it."""

    restart_counter: int = 0
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
    def is_bank_connected(self) -> bool:
        """Whether its bankd is connected."""
        return self._bank_peer is not None

    @property
    def is_client_connected(self) -> bool:
        """Whether its client is connected."""
        return self._client_peer is not None

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

    @property
    def mapping_count(self) -> int:
        """How many live mappings it has."""
        return len(self._coordinator.slotmap.live_of_bank(self.bank_id))

    @property
    def removal_count(self) -> int:
        """How many mappings it has still to remove."""
        return len(self._coordinator.slotmap.removals_of_bank(self.bank_id))

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
        cards, status, readers = self.cards, self._peer.slot_status, self._peer.readers
        live = self._coordinator.slotmap.live_of_bank(self.bank_id)
        mappings = {mapping.bank.slot_nr: MappingInfo(mapping, self._coordinator, self._status) for mapping in live}
        slot_nrs = sorted({*range(self.number_of_slots), *mappings})
        return [SlotInfo(nr, status.get(nr), cards.get(nr), mappings.get(nr), readers.get(nr)) for nr in slot_nrs]


class ServerQuery:
    """Everything that may be asked about one server."""

    def __init__(self, coordinator: Coordinator, store: StoredRecords, status: RuntimeStatus) -> None:
        self._coordinator = coordinator
        self._store = store
        self._status = status

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

    async def audit(self, *, after: int, limit: int) -> Iterable[StoredEntry]:
        """The entries of the audit log behind the one with this number. Raises StoreError."""
        return await self._store.read_audit(after=after, limit=limit)


def problem_of(mapping: Mapping, bank: Peer | None, client: Peer | None) -> str:
    """What stands between a client and its card; ``bank`` and ``client`` are those that are connected."""
    if mapping.state is MappingState.REFUSED and mapping.result is not None:
        if mapping.result == ResultCode.ILLEGAL_SLOT_ID:
            return f"bank {mapping.bank.bank_id} has no slot {mapping.bank.slot_nr}"
        return f"bank {mapping.bank.bank_id} refused the mapping"
    if bank is None:
        return f"bank {mapping.bank.bank_id} is not connected"
    if mapping.is_acknowledged and client is not None and client.address_problem:
        return client.address_problem
    status = bank.slot_status.get(mapping.bank.slot_nr)
    if status is not None and status.card_present is False:
        return "there is no card in the slot, or no reader"
    if mapping.bank.slot_nr in bank.readers:
        return "the reader has failed several times; it is tried again by itself"
    return ""
