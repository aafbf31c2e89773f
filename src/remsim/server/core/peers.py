# SPDX-License-Identifier: Apache-2.0
"""The server's view of its peers: who is connected in which state, found by link, client slot and bank.

Knows no mapping and sends nothing.
"""

from collections.abc import Iterator
from dataclasses import field
from typing import Final, Generic, TypeVar

from remsim.core.errors import RemsimError
from remsim.core.identity import Proof
from remsim.core.ids import ClientSlot
from remsim.core.state_machine import Event, State, Stateful, Transitions
from remsim.core.values import dataclass
from remsim.wire.link.actions import LinkId, PeerAddress
from remsim.wire.messages.health import ClientHealthInd, HostCondition, SlotHealthInd
from remsim.wire.messages.rspro import (
    AddressKind,
    AdvertisedAddress,
    ComponentIdentity,
    ConfigClientBankReq,
    ConnectBankReq,
    ConnectClientReq,
    ErrorInd,
    ReaderHealthInd,
    SlotPhysStatus,
)

R = TypeVar("R")


class PeerState(State):
    """Where a connection stands."""

    ESTABLISHED = "ESTABLISHED"  # TCP is up; not accepted yet
    CONNECTED_CLIENT = "CONNECTED_CLIENT"  # an accepted client
    CONNECTED_BANKD = "CONNECTED_BANKD"  # an accepted bankd
    REJECTED = "REJECTED"  # got a result other than ok; is about to be closed
    GONE = "gone"  # the link is lost


class PeerEvent(Event):
    """What moves a peer."""

    CLIENT_ACCEPTED = "connectClientRes ok"
    BANKD_ACCEPTED = "connectBankRes ok"
    REFUSED = "connect response, other result"
    LOST = "link lost"


PEER_TRANSITIONS: Final[Transitions[PeerState, PeerEvent]] = Transitions(
    "peer",
    {
        (PeerState.ESTABLISHED, PeerEvent.CLIENT_ACCEPTED): PeerState.CONNECTED_CLIENT,
        (PeerState.ESTABLISHED, PeerEvent.BANKD_ACCEPTED): PeerState.CONNECTED_BANKD,
        (PeerState.ESTABLISHED, PeerEvent.REFUSED): PeerState.REJECTED,
        (PeerState.ESTABLISHED, PeerEvent.LOST): PeerState.GONE,
        (PeerState.CONNECTED_CLIENT, PeerEvent.LOST): PeerState.GONE,
        (PeerState.CONNECTED_BANKD, PeerEvent.LOST): PeerState.GONE,
        (PeerState.REJECTED, PeerEvent.LOST): PeerState.GONE,
    },
)


@dataclass(frozen=True, slots=True)
class BankClaim:
    """Somebody says that it is the bankd of a bank."""

    request: ConnectBankReq
    tag: int


@dataclass(frozen=True, slots=True)
class ClientClaim:
    """Somebody says that it is the client of a slot, or that it ``needs_id`` and is to be this one."""

    request: ConnectClientReq
    tag: int
    slot: ClientSlot
    needs_id: bool


#: A sound connect request with its operation tag.
Claim = BankClaim | ClientClaim


class NotABankdError(RemsimError):
    """A peer was asked for its bank and is no bankd: always a bug of ours."""


@dataclass(frozen=True, slots=True)
class SessionReport:
    """What a bankd says of one card session."""

    client: ClientSlot
    #: ATTACHED, RESUMABLE, DETACHED, or what a later version says.
    state: str
    #: Since when it has been in this state, in the time that coordinators are given.
    since: float
    #: How often its link was lost while it was held.
    cuts: int


@dataclass(frozen=True, slots=True)
class Heard(Generic[R]):
    """What a peer has told, and when, in the time that coordinators are given."""

    report: R
    at: float


@dataclass(slots=True, eq=False)
class Peer(Stateful[PeerState, PeerEvent]):
    """One connection. Created when TCP is up, forgotten when it is down."""

    TRANSITIONS = PEER_TRANSITIONS

    link: LinkId
    address: PeerAddress
    #: When TCP came up, in the time that coordinators are given.
    since: float
    #: The port at which the server dialled it (the bankd's state for it: see states.md), None if it dialled the server.
    dialled_port: int | None = None
    #: What its certificate says; None on a link without TLS.
    proof: Proof | None = None
    #: From its connect request; None until that has come.
    identity: ComponentIdentity | None = None
    #: What it is, or is about to be: at most one of the two is set.
    client: ClientSlot | None = None
    bank_id: int | None = None
    #: Where another program was that has the same certificate and was refused; empty: there was none on this link.
    contested_by: str = ""

    # Of bankds
    number_of_slots: int = 0
    addresses: tuple[AdvertisedAddress, ...] = ()
    slot_status: dict[int, SlotPhysStatus] = field(default_factory=dict)
    #: Since when each says what it says of a card, in the time that coordinators are given.
    slot_heard_at: dict[int, float] = field(default_factory=dict)
    #: Readers that do not work, by slot number.
    readers: dict[int, ReaderHealthInd] = field(default_factory=dict)
    #: When each stopped or began to work again, in the time that coordinators are given.
    reader_heard_at: dict[int, float] = field(default_factory=dict)
    #: By slot number; where there is no session, nothing.
    sessions: dict[int, SessionReport] = field(default_factory=dict)
    #: What is wrong with its host, if it tells.
    conditions: tuple[HostCondition, ...] = ()
    #: How its slots stand, by slot number, if it tells.
    slot_health: dict[int, Heard[SlotHealthInd]] = field(default_factory=dict)

    # Of clients
    #: What it was told last on this connection.
    announced: ConfigClientBankReq | None = None
    #: Whether it has answered that, and how.
    announced_result: int | None = None
    #: When it has, in the time that coordinators are given.
    answered_at: float | None = None
    #: Why it cannot be sent to the bankd of its mapping; empty if it can, or has none.
    address_problem: str = ""
    #: How its slot stands, if it tells.
    client_health: Heard[ClientHealthInd] | None = None

    error_count: int = 0
    last_error: ErrorInd | None = None
    #: Kinds of oddities that were logged already for this link.
    reported: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        Stateful.__init__(self, PeerState.ESTABLISHED)

    def presence(self, slot_nr: int) -> tuple[bool | None, float | None]:
        """Whether a bankd reports a card in a slot (None: it does not tell), and since when.

        It says so in two messages, of which the newer one counts: one comes at once, and one tells since when.
        """
        status, at, heard = (
            self.slot_status.get(slot_nr),
            self.slot_heard_at.get(slot_nr),
            self.slot_health.get(slot_nr),
        )
        if heard is not None and (status is None or at is None or heard.at > at):
            return heard.report.is_present, heard.at - heard.report.presence_age_ms / 1000
        return None if status is None else status.card_present, at

    @property
    def bank(self) -> int:
        """The bank of a connected bankd. Raises NotABankdError for anything else."""
        if self.bank_id is None:
            raise NotABankdError(f"peer {self.name} is no bankd")
        return self.bank_id

    @property
    def kind(self) -> AddressKind:
        """What is spoken on its link."""
        return AddressKind.PLAINTEXT if self.proof is None else AddressKind.TLS

    @property
    def is_classic(self) -> bool:
        """It named no abilities: a program of the C suite, or one like it."""
        return self.identity is None or self.identity.abilities is None

    @property
    def name(self) -> str:
        """For logs and REST: ``C7:0``, ``B1``, or the address of a peer that is neither (yet)."""
        if self.client is not None:
            return str(self.client)
        return str(self.address) if self.bank_id is None else f"B{self.bank_id}"


class PeerTable:
    """All peers. A client slot or bank that is claimed is in its index from the claim on, accepted or not."""

    def __init__(self) -> None:
        self._by_link: dict[LinkId, Peer] = {}
        self._by_client: dict[ClientSlot, Peer] = {}
        self._slots_of_client: dict[int, dict[int, Peer]] = {}
        self._by_bank: dict[int, Peer] = {}
        self._unidentified = 0

    def __len__(self) -> int:
        """Return the number of connections, identified or not."""
        return len(self._by_link)

    @property
    def unidentified(self) -> int:
        """How many connections without TLS have not been accepted."""
        return self._unidentified

    def add(self, peer: Peer) -> None:
        """Enter a new connection."""
        self._by_link[peer.link] = peer
        if peer.proof is None:
            self._unidentified += 1

    def by_link(self, link: LinkId) -> Peer | None:
        """The peer on this link."""
        return self._by_link.get(link)

    def by_client(self, slot: ClientSlot) -> Peer | None:
        """Who holds this client slot, accepted or still getting its id."""
        return self._by_client.get(slot)

    def by_bank(self, bank_id: int) -> Peer | None:
        """The connected bankd of this bank."""
        return self._by_bank.get(bank_id)

    def connected_client(self, slot: ClientSlot) -> Peer | None:
        """The accepted client of this slot."""
        peer = self._by_client.get(slot)
        return peer if peer is not None and peer.state is PeerState.CONNECTED_CLIENT else None

    def lowest_slot(self, client_id: int) -> Peer | None:
        """The accepted client with this id and the lowest slot number."""
        slots = self._slots_of_client.get(client_id, {})
        accepted = [nr for nr, peer in slots.items() if peer.state is PeerState.CONNECTED_CLIENT]
        return slots[min(accepted)] if accepted else None

    def clients(self) -> Iterator[Peer]:
        """All accepted clients, in the order in which they came."""
        return (peer for peer in self._by_client.values() if peer.state is PeerState.CONNECTED_CLIENT)

    def holders(self) -> list[Peer]:
        """Everybody who holds a client slot or a bank, accepted or still getting its id."""
        return [*self._by_client.values(), *self._by_bank.values()]

    def banks(self) -> Iterator[Peer]:
        """All accepted bankds, in the order in which they came."""
        return iter(self._by_bank.values())

    def counts(self) -> tuple[int, int]:
        """How many client slots and banks are held."""
        return len(self._by_client), len(self._by_bank)

    def hold_client(self, peer: Peer, slot: ClientSlot) -> None:
        """From now on ``peer`` is, or is about to be, the client of this slot, which must be free."""
        peer.client = slot
        self._by_client[slot] = peer
        self._slots_of_client.setdefault(slot.client_id, {})[slot.slot_nr] = peer

    def hold_bank(self, peer: Peer, bank_id: int) -> None:
        """From now on ``peer`` is the bankd of this bank, which must be free."""
        peer.bank_id = bank_id
        self._by_bank[bank_id] = peer

    def accept(self, peer: Peer, event: PeerEvent) -> None:
        """It was accepted, or refused: it no longer counts as unidentified. Raises IllegalTransitionError."""
        peer.step(event)
        self._identified(peer)

    def remove(self, peer: Peer) -> None:
        """The link is lost: forget the peer and free what it held."""
        if peer.state is PeerState.ESTABLISHED:
            self._identified(peer)
        peer.step(PeerEvent.LOST)
        del self._by_link[peer.link]
        if peer.client is not None and self._by_client.get(peer.client) is peer:
            del self._by_client[peer.client]
            slots = self._slots_of_client[peer.client.client_id]
            del slots[peer.client.slot_nr]
            if not slots:
                del self._slots_of_client[peer.client.client_id]
        if peer.bank_id is not None and self._by_bank.get(peer.bank_id) is peer:
            del self._by_bank[peer.bank_id]

    def _identified(self, peer: Peer) -> None:
        if peer.proof is None:
            self._unidentified -= 1
