# SPDX-License-Identifier: Apache-2.0
"""The server's coordinator with everything around it played: links, bankds' answers, a database, a clock.

What the coordinator sends is noted per link; what it closes is lost at once; what it stores lands in rows that a
restart brings back. The database may be made slow (``commit`` lets it go on) or fail.
"""

from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TypeVar

from remsim.core.identity import Identity, Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.log_event import LogEvent
from remsim.server.core import change_events
from remsim.server.core.actions import (
    Action,
    AskPolicy,
    Audited,
    Decision,
    Entry,
    Note,
    NoteBank,
    NoteCard,
    NoteClient,
    NoteOutcome,
    NoteReleased,
    NoteRemoved,
    ParkedMapping,
    StoreChange,
    StoreClientId,
    StoreDeletion,
    StoredLease,
    StoredMapping,
    StoredState,
    StoreFollow,
    StoreGrant,
    StoreLabels,
    StoreLease,
    StoreLeaseEnd,
    StoreMapping,
    StoreRenewal,
    StoreSent,
)
from remsim.server.core.coordinator import Coordinator, ServerSettings
from remsim.server.core.slotmap import Mapping, MappingState
from remsim.wire.link.actions import Accepted, AskIdentity, Close, LinkId, PeerAddress, Probe, Send
from remsim.wire.link.engine import ABILITIES, ADVERTISE, Event, ProbeAnswered, Received
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import (
    RESPONSE_TO,
    AdvertisedAddress,
    ComponentIdentity,
    ComponentType,
    Message,
    Request,
    ResultCode,
)

SERVER = ComponentIdentity(ComponentType.REMSIM_SERVER, "server", "remsim-server", "1")
CLIENT = ComponentIdentity(ComponentType.REMSIM_CLIENT, "client", "remsim-client", "1")
BANKD = ComponentIdentity(ComponentType.REMSIM_BANKD, "bankd", "remsim-bankd", "1")

M = TypeVar("M", bound=Message)


class Rows:
    """The database: what is committed."""

    def __init__(self) -> None:
        self.mappings: dict[int, StoredMapping] = {}
        self.removals: set[int] = set()
        self.parked: dict[int, ParkedMapping] = {}
        self.releases: set[int] = set()
        self.addresses: dict[int, tuple[AdvertisedAddress, ...]] = {}
        self.numbers: dict[tuple[str, str], int] = {}
        self.clients: dict[ClientSlot, NoteClient] = {}
        self.cards: dict[BankSlot, str] = {}
        self.contents: dict[BankSlot, tuple[str | None, str | None, str | None]] = {}
        self.labels: dict[str, tuple[str, ...]] = {}
        self.last_id = 0
        #: Those that have not ended, with their mappings.
        self.leases: dict[int, StoredLease] = {}
        self.last_lease = 0
        self.lent_at: dict[BankSlot, float] = {}
        #: Seconds since 1970.
        self.wall = 1e9

    def grant(self, lease_id: int, creation: StoreMapping) -> tuple[int, ...]:
        """Commit a mapping with its lease."""
        (number,) = self.decide(creation)
        lease = self.leases[lease_id]
        until = self.wall + lease.order.duration_s
        self.leases[lease_id] = replace(lease, mapping_id=number, granted_at=self.wall, expires_at=until)
        self.lent_at[creation.bank] = self.wall
        return (number,)

    def decide(self, decision: Decision) -> tuple[int, ...]:
        """Commit; return the ids of new mappings."""
        match decision:
            case StoreMapping():
                for row in self.mappings.values():
                    assert not row.is_live or (row.bank != decision.bank and row.client != decision.client)
                if decision.iccid is not None:
                    self.cards[decision.bank] = decision.iccid
                self.last_id += 1
                self.mappings[self.last_id] = StoredMapping(
                    id=self.last_id,
                    bank=decision.bank,
                    client=decision.client,
                    created_at=self.wall,
                    is_live=True,
                    is_sent=decision.is_sent,
                    is_acknowledged=False,
                    result=None,
                    follows=decision.follows,
                )
                return (self.last_id,)
            case StoreDeletion():
                for number in decision.mappings:
                    self.mappings[number] = replace(self.mappings[number], is_live=False)
                self.removals |= set(decision.removals)
                self.releases |= set(decision.releases)
                ended = [number for number, each in self.leases.items() if each.mapping_id in decision.mappings]
                for number in ended:
                    del self.leases[number]
            case StoreLease(order, creation):
                assert order.client not in {each.order.client for each in self.leases.values()}
                assert order.id > self.last_lease
                self.last_lease = order.id
                self.leases[order.id] = StoredLease(order, self.wall)
                return () if creation is None else self.grant(order.id, creation)
            case StoreGrant(lease_id, creation):
                return self.grant(lease_id, creation)
            case StoreRenewal(lease_id, duration_s):
                if lease_id in self.leases:
                    kept = self.leases[lease_id]
                    order = replace(kept.order, duration_s=duration_s)
                    self.leases[lease_id] = replace(kept, order=order, expires_at=self.wall + duration_s)
            case StoreLeaseEnd(lease_id):
                del self.leases[lease_id]
            case StoreSent():
                for number in decision.mappings:
                    self.mappings[number] = replace(self.mappings[number], is_sent=True)
            case StoreFollow(mapping_id, follows):
                self.mappings[mapping_id] = replace(self.mappings[mapping_id], follows=follows)
            case StoreClientId():
                assert decision.client_id not in self.numbers.values()
                self.numbers[decision.key] = decision.client_id
            case StoreChange(deletion, creations, labelled, parked, unparked):
                if deletion is not None:
                    self.decide(deletion)
                for number in unparked:
                    self.parked.pop(number, None)
                for waiting in parked:
                    assert not self.mappings[waiting.id].is_live
                    assert waiting.client not in {each.client for each in self.parked.values()}
                    self.parked[waiting.id] = replace(waiting, since=self.wall)
                for each in labelled:
                    self.decide(each)
                return tuple(number for creation in creations for number in self.decide(creation))
            case StoreLabels(subject, labels):
                self.labels[subject] = labels
        return ()

    def note(self, note: Note) -> None:
        """Write a note."""
        match note:
            case NoteOutcome(number, result):
                row = self.mappings[number]
                self.mappings[number] = replace(row, is_acknowledged=result is None, result=result)
            case NoteRemoved(number):
                self.removals.discard(number)
            case NoteReleased(number):
                self.releases.discard(number)
            case NoteBank():
                self.addresses[note.bank_id] = note.addresses
            case NoteCard(bank, None):
                del self.cards[bank]
                self.contents.pop(bank, None)
            case NoteCard(bank, str(iccid)):
                self.cards[bank] = iccid
                self.contents[bank] = (note.imsi, note.service_provider, note.eid)
            case NoteClient():
                self.clients[note.client] = note

    def memory(self) -> StoredState:
        """What a server that starts now finds."""
        rows = sorted(self.mappings.values(), key=lambda row: row.id)
        live = [row for row in rows if row.is_live]
        removals = [row for row in rows if row.id in self.removals]
        releases = tuple((row.id, row.client, row.bank) for row in rows if row.id in self.releases)
        memory = StoredState((*live, *removals), releases, dict(self.addresses), dict(self.numbers), 1)
        labels = {subject: labels for subject, labels in self.labels.items() if labels}
        leases = tuple(self.leases[number] for number in sorted(self.leases))
        memory = replace(memory, parked=tuple(self.parked.values()))
        memory = replace(memory, leases=leases, last_lease=self.last_lease, lent_at=dict(self.lent_at))
        return replace(memory, cards=dict(self.cards), contents=dict(self.contents), labels=labels, read_at=self.wall)


@dataclass(slots=True)
class _Sent:
    message: Message
    reply_to: int | None
    is_answered: bool = False


class ServerWorld:
    """See the module. Times are seconds; the clock starts at 1 000."""

    def __init__(
        self,
        *,
        pool: tuple[int, ...] | None = None,
        ipv6_clients: frozenset[int] = frozenset(),
        keeps_imsi: bool = False,
    ) -> None:
        #: To whom certificates were issued, as the authority's ledger has it.
        self.holders: frozenset[Identity] = frozenset()
        self.settings = ServerSettings(
            SERVER,
            {},
            pool,
            lambda client_id: client_id in ipv6_clients,
            is_certified=self._is_certified,
            keeps_imsi=keeps_imsi,
        )
        self.rows = Rows()
        self.now = 1000.0
        self.is_store_slow = False
        self.is_store_broken = False
        self._is_committing = False
        self._last_link = 0
        self.start()

    def _is_certified(self, identity: Identity) -> bool:
        return any(holder.covers(identity) or identity.covers(holder) for holder in self.holders)

    # The server

    def certify(self, *holders: str, is_seen: bool = True) -> None:
        """Certificates are issued; the server has seen it, or not yet told anybody."""
        self.holders |= {Identity.parse(text) for text in holders}
        if is_seen:
            self.run(self.coordinator.on_certified(self.holders))

    def start(self) -> None:
        """A server that has just been started with what the database holds; all links of the old one are gone."""
        self.waiting: list[Decision] = []
        self.sent: dict[LinkId, list[_Sent]] = {}
        self.open: set[LinkId] = set()
        self.closed: dict[LinkId, str] = {}
        self.accepted: set[LinkId] = set()
        self.probed: set[LinkId] = set()
        self.asked_identity: set[LinkId] = set()
        self.log: list[LogEvent] = []
        self.entries: list[Entry] = []
        self.asked_policy: list[BankSlot] = []
        self.coordinator = Coordinator(self.settings, self.rows.memory(), now=self.now)

    def run(self, actions: list[Action]) -> None:
        """Carry out what the coordinator asks for."""
        for action in actions:
            match action:
                case Send(link, message, reply_to):
                    if link in self.open:
                        self.sent[link].append(_Sent(message, reply_to))
                case Close(link, reason):
                    self.closed[link] = reason
                    self.lose(link, reason)
                case Accepted(link):
                    self.accepted.add(link)
                case Probe(link):
                    self.probed.add(link)
                case AskIdentity(link):
                    self.asked_identity.add(link)
                case AskPolicy(bank):
                    self.asked_policy.append(bank)
                case LogEvent():
                    self.log.append(action)
                case Entry():
                    self.entries.append(action)
                case Audited(decision, entry):
                    self.entries.append(entry)
                    self.decide(decision)
                case NoteOutcome() | NoteRemoved() | NoteReleased() | NoteBank() | NoteCard() | NoteClient():
                    self.rows.note(action)
                case _:
                    self.decide(action)

    def decide(self, decision: Decision) -> None:
        """A decision goes to the database."""
        self.waiting.append(decision)
        if not self.is_store_slow and not self._is_committing:
            self.commit()

    def commit(self) -> None:
        """The database commits what waits, or refuses it."""
        self._is_committing = True
        while self.waiting:
            batch, self.waiting = self.waiting, []
            told = self.coordinator.change_events.of_batch([(decision, self.rows.wall) for decision in batch])
            for decision, events in zip(batch, told, strict=True):
                if self.is_store_broken:
                    self.run(self.coordinator.on_store_failed(decision, self.now))
                else:
                    self._on_committed(decision, events)
        self._is_committing = False

    def _on_committed(self, decision: Decision, announced: list[LogEvent]) -> None:
        wall, numbers = self.rows.wall, self.rows.decide(decision)
        actions = self.coordinator.on_stored(decision, self.now, mapping_ids=numbers, created_at=wall)
        # What is kept with the change before its commit is what is told behind it.
        told = [each for each in actions if isinstance(each, LogEvent) and each.name in change_events.KINDS]
        assert told == announced
        self.run(actions)

    def advance(self, seconds: float) -> None:
        """Let time pass; everything that comes due is done at its time."""
        until = self.now + seconds
        while (due := self.coordinator.next_deadline()) is not None and due <= until:
            self._set_now(max(self.now, due))
            self.run(self.coordinator.handle_timer(self.now))
        self._set_now(until)

    def _set_now(self, now: float) -> None:
        self.rows.wall += now - self.now
        self.now = now

    # Operators

    def post(self, bank: str, client: str) -> None:
        """Map two slots. Raises ConflictError."""
        self.run([self.coordinator.plan_creation(BankSlot.parse(bank), ClientSlot.parse(client))])

    def delete(self, *banks: str) -> None:
        """Delete the mappings of bank slots."""
        decision = self.coordinator.plan_deletion([self.mapping(bank) for bank in banks])
        assert decision is not None
        self.run([decision])

    def mapping(self, bank: str) -> Mapping:
        """The live mapping of a bank slot."""
        mapping = self.coordinator.slotmap.by_bank_slot(BankSlot.parse(bank))
        assert mapping is not None
        return mapping

    def state(self, bank: str) -> MappingState:
        """Its state."""
        return self.mapping(bank).state

    # Links

    def up(self, host: str = "192.0.2.1", *, dialled_port: int | None = None, proof: Proof | None = None) -> LinkId:
        """A new TCP connection, over TLS if the peer has proven who it is."""
        self._last_link += 1
        link = LinkId(self._last_link)
        self.sent[link] = []
        self.open.add(link)
        address = PeerAddress(ip_address(host), 40000 + self._last_link % 20000)
        self.run(self.coordinator.on_link_up(link, address, self.now, dialled_port=dialled_port, proof=proof))
        return link

    def lose(self, link: LinkId, reason: str = "closed by the peer") -> None:
        """The connection is gone."""
        if link in self.open:
            self.open.discard(link)
            self.run(self.coordinator.on_link_lost(link, reason, self.now))

    def event(self, link: LinkId, event: Event) -> None:
        """Something happens on a link."""
        self.run(self.coordinator.on_event(link, event, self.now))

    def receive(self, link: LinkId, message: Message, *, tag: int = 7, request: Request | None = None) -> None:
        """A message arrives; an answer says which ``request`` of ours it answers."""
        self.event(link, Received(message, tag, request))

    def pong(self, link: LinkId) -> None:
        """The peer answers a probe."""
        self.probed.discard(link)
        self.event(link, ProbeAnswered())

    def client(self, slot: str, host: str = "192.0.2.1", *, is_own: bool = False, proof: Proof | None = None) -> LinkId:
        """A client connects and introduces itself."""
        link = self.up(host, proof=proof)
        identity = CLIENT.with_abilities(ABILITIES if is_own else None)
        self.receive(link, rspro.ConnectClientReq(identity, ClientSlot.parse(slot)))
        return link

    def bank(
        self,
        bank_id: int,
        host: str = "192.0.2.9",
        *,
        slots: int = 8,
        advertise: tuple[rspro.AdvertisedAddress, ...] | None = None,
        link: LinkId | None = None,
        is_own: bool = False,
        proof: Proof | None = None,
    ) -> LinkId:
        """A bankd connects (or speaks up on ``link``) and introduces itself."""
        link = self.up(host, proof=proof) if link is None else link
        abilities = ABILITIES if is_own else (ADVERTISE,) if advertise is not None else None
        self.receive(link, rspro.ConnectBankReq(BANKD.with_abilities(abilities), bank_id, slots))
        if advertise is not None or is_own:
            self.receive(link, rspro.AddressesInd(advertise or ()))
        return link

    def answer(self, link: LinkId, kind: type[Request], result: ResultCode = ResultCode.OK) -> None:
        """The peer answers the oldest request of this kind that it has not answered."""
        waiting = next(s for s in self.sent[link] if isinstance(s.message, kind) and not s.is_answered)
        waiting.is_answered = True
        response = RESPONSE_TO[kind]
        assert response not in (rspro.ConnectBankRes, rspro.ConnectClientRes, rspro.TpduCardToModem)
        message = response(result)  # type: ignore[call-arg,arg-type]  # the others have a result only
        self.receive(link, message, request=waiting.message)  # type: ignore[arg-type]  # kind is a Request

    def unanswered(self, link: LinkId, kind: type[Request]) -> int:
        """How many requests of this kind the peer owes an answer."""
        return sum(1 for s in self.sent[link] if isinstance(s.message, kind) and not s.is_answered)

    # What was sent

    def messages(self, link: LinkId) -> list[Message]:
        """All messages sent on a link."""
        return [sent.message for sent in self.sent[link]]

    def kinds(self, link: LinkId) -> list[str]:
        """Their names."""
        return [type(message).__name__ for message in self.messages(link)]

    def last(self, link: LinkId, kind: type[M]) -> M:
        """The last message of a kind."""
        return next(m for m in reversed(self.messages(link)) if isinstance(m, kind))

    def told(self, link: LinkId) -> list[str]:
        """All bank configurations that a client got: ``B1:0 192.0.2.9:9999``, or ``B1:0 none``."""
        texts: list[str] = []
        for message in self.messages(link):
            if isinstance(message, rspro.ConfigClientBankReq):
                to = message.bankd
                texts.append(f"{message.bank_slot} {to.ip}:{to.port}" if to.port else f"{message.bank_slot} none")
        return texts

    def asked(self, link: LinkId) -> list[str]:
        """All mapping requests that a bankd got: ``+B1:0 C1:0``, ``-B1:0 C1:0``."""
        texts: list[str] = []
        for message in self.messages(link):
            if isinstance(message, rspro.CreateMappingReq):
                texts.append(f"+{message.bank} {message.client}")
            elif isinstance(message, rspro.RemoveMappingReq):
                texts.append(f"-{message.bank} {message.client}")
        return texts

    def reported(self) -> list[str]:
        """Names of all events in the log."""
        return [event.name for event in self.log]
