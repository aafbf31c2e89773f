# SPDX-License-Identifier: Apache-2.0
"""The server's decisions: events of links and orders of operators in, actions out. No socket, clock or database.

It says what an event means and hands it to the part that knows: ``admission`` (who is let in), ``reconciler`` (what
bankds are told), ``client_config`` (what clients are told). Orders of operators come in two steps: ``plan_x`` checks
and reserves, and gives a decision to be stored; once that is committed, ``on_stored`` carries it out.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from remsim.core.deadlines import Deadlines
from remsim.core.identity import Identity, Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitCounts
from remsim.core.log_event import LogEvent
from remsim.core.values import dataclass
from remsim.server.core.actions import (
    Action,
    Decision,
    LeaseEnd,
    ParkedMapping,
    StoreChange,
    StoreClientId,
    StoreDeletion,
    StoreDeliveries,
    StoredState,
    StoreFollow,
    StoreGrant,
    StoreLabels,
    StoreLease,
    StoreLeaseEnd,
    StoreLock,
    StoreMapping,
    StoreRenewal,
    StoreSent,
    StoreWebhook,
    StoreWebhookEnd,
)
from remsim.server.core.addresses import bankd_addresses, of_any_kind
from remsim.server.core.admission import Admission
from remsim.server.core.bank_hosts import on_host_conditions
from remsim.server.core.certificate_lists import CertificateLists, Revocations
from remsim.server.core.change_events import ChangeEvents
from remsim.server.core.client_config import ClientConfigurator, PendingUnmap
from remsim.server.core.client_ids import ClientIds
from remsim.server.core.following import Following, freed_by, parked_from
from remsim.server.core.health_board import HealthBoard
from remsim.server.core.health_reports import HealthReports
from remsim.server.core.inventory import CardContents, Inventory
from remsim.server.core.known import KnownPeers
from remsim.server.core.labels import Labels
from remsim.server.core.legal_messages import CONNECT_REQUESTS, LEGAL_IN, on_undecodable, on_unsupported_version
from remsim.server.core.lending import Lending
from remsim.server.core.log_events import (
    ignored,
    note_of,
    peer_event,
    places_of,
    program_event,
)
from remsim.server.core.peer_reports import (
    BankAudit,
    forget_absence,
    on_dial_refused,
    on_error,
    on_reader_health,
    on_session_state,
    on_slot_status,
)
from remsim.server.core.peers import Peer, PeerState, PeerTable
from remsim.server.core.reconciler import Reconciler
from remsim.server.core.slot_locks import SlotLocks
from remsim.server.core.slotmap import ConflictError, Mapping, SlotMap
from remsim.server.core.tracing import Traces
from remsim.server.core.warning_rules import WarningRules, arrival_name
from remsim.server.core.warnings import Warnings
from remsim.wire.link.abilities import ADVERTISE
from remsim.wire.link.actions import AskIdentity, LinkId, PeerAddress, Send
from remsim.wire.link.engine import (
    Event,
    IdentityReceived,
    ProbeAnswered,
    Received,
    ReceivedUnknown,
    Undecodable,
    UnsupportedVersion,
)
from remsim.wire.messages import extensions, health, rspro
from remsim.wire.messages.rspro import REQUEST_OF, ComponentIdentity, IpPort


class UnknownBankError(Exception):
    """An order for a bank that is not connected."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What an operator can choose. ``identity`` is our own; ``overrides``: where clients reach a bank, by its id."""

    identity: ComponentIdentity
    overrides: dict[int, tuple[IpPort, ...]]
    client_id_pool: tuple[int, ...] | None
    takes_ipv6: Callable[[int], bool]
    takeover_s: float = 3.0
    #: Whether a certificate was ever issued that speaks for this bank or client: it is refused without one.
    is_certified: Callable[[Identity], bool] = lambda _identity: False
    #: Whether IMSIs that bankds tell are kept.
    keeps_imsi: bool = False


class Coordinator:
    """Takes all decisions of the server. ``memory`` is what earlier runs have stored."""

    def __init__(
        self, settings: ServerSettings, memory: StoredState, *, limits: LimitCounts | None = None, now: float = 0.0
    ) -> None:
        """``limits`` counts the limits that are reached."""
        self._settings = settings
        self.limits = LimitCounts() if limits is None else limits
        self.slotmap = SlotMap(SlotLocks(memory.locks))
        self.peers = PeerTable()
        self.revocations = Revocations(self.peers, self.limits)
        self.certified = CertificateLists(self.peers)
        self._certified: frozenset[Identity] | None = None
        self.bank_audit = BankAudit(self.limits)
        contents = {slot: CardContents(*told) for slot, told in memory.contents.items()}
        self.inventory = Inventory(memory.cards, contents, keeps_imsi=settings.keeps_imsi)
        self.labels = Labels(memory.labels)
        self.known = KnownPeers(memory.banks, memory.clients, limits=self.limits)
        self.health = HealthBoard(self.peers, self.slotmap, self.known, self.limits)
        self._reports = HealthReports(self.limits)
        self._bank_timers: Deadlines[int] = Deadlines()
        self._link_timers: Deadlines[LinkId] = Deadlines()
        self.configurator = ClientConfigurator(
            self.slotmap,
            self.peers,
            bank_addresses=dict(memory.bank_addresses)
            | {bank_id: of_any_kind(override) for bank_id, override in settings.overrides.items()},
            takes_ipv6=settings.takes_ipv6,
        )
        self.traces = Traces(self.peers, self.slotmap, self.limits)
        self._reconciler = Reconciler(self.slotmap, self.configurator, self._bank_timers)
        self._admission = Admission(
            self.peers,
            ClientIds(settings.client_id_pool, memory.client_ids),
            self._link_timers,
            identity=settings.identity,
            takeover_s=settings.takeover_s,
            is_certified=settings.is_certified,
            limits=self.limits,
            host=self,
        )
        self.warnings = Warnings(self.limits)
        self.warning_rules = WarningRules(self.slotmap, self.peers, self.inventory, self.known)
        for stored in memory.mappings:
            self.slotmap.restore(stored)
        for parked in memory.parked:
            self.slotmap.park(parked)
        for mapping_id, client, bank in memory.releases:
            self.configurator.restore_unmap(client, PendingUnmap(mapping_id, bank))
        self.lending = Lending(
            memory,
            slotmap=self.slotmap,
            peers=self.peers,
            inventory=self.inventory,
            labels=self.labels,
            limits=self.limits,
            plan_deletion=self.plan_deletion,
            now=now,
        )
        self.following = self._following()
        self.change_events = ChangeEvents(self.slotmap, self.lending.table)

    def _following(self) -> Following:
        return Following(
            self.slotmap,
            self.inventory,
            self.peers,
            may_use=lambda bank, client: self.lending.may_use(bank, client),  # noqa: PLW0108  # it is replaced
            plan_change=self.plan_change,
        )

    @property
    def contest_refusals(self) -> int:
        """How many peers were refused because another program with their certificate is alive."""
        return self._admission.claims.contest_refusals

    # Links

    def on_link_up(
        self,
        link: LinkId,
        address: PeerAddress,
        now: float,
        *,
        dialled_port: int | None = None,
        proof: Proof | None = None,
    ) -> list[Action]:
        """A link was accepted, or dialled: ``dialled_port`` is the bankd's port then (its state: see states.md).

        ``proof`` is what the peer's certificate says; None on a link without TLS.
        """
        self.peers.add(Peer(link, address, since=now, dialled_port=dialled_port, proof=proof))
        # A bankd of ours says who it is; a classic one would not survive what follows, and ignores the question.
        return [] if dialled_port is None else [AskIdentity(link)]

    def on_event(self, link: LinkId, event: Event, now: float) -> list[Action]:
        """Something arrived on a link."""
        peer = self.peers.by_link(link)
        if peer is None:
            return []
        match event:
            case Received():
                return self._on_received(peer, event, now)
            case ProbeAnswered():
                return self._admission.on_probe_answered(peer, now)
            case Undecodable():
                return on_undecodable(peer, event, self._settings.identity)
            case UnsupportedVersion():
                return on_unsupported_version(peer, event)
            case ReceivedUnknown():
                return [ignored(peer, "unknown_message", number=event.number)]
            case IdentityReceived() if peer.dialled_port is not None and peer.identity is None:
                return [Send(link, rspro.ConnectClientReq(self._settings.identity, None))]
            case _:
                return []

    def on_link_lost(self, link: LinkId, reason: str, now: float) -> list[Action]:
        """A link is gone, whichever side ended it."""
        peer = self.peers.by_link(link)
        if peer is None:
            return []
        actions: list[Action] = []
        if peer.state is PeerState.CONNECTED_BANKD:
            self.lending.stir(now)
            actions = self._reconciler.on_bankd_lost(peer.bank, now)
        actions += note_of(peer)
        level: Final = "debug" if peer.state in (PeerState.ESTABLISHED, PeerState.REJECTED) else "info"
        self.health.forget(peer)
        self.peers.remove(peer)
        actions.append(peer_event(level, "peer_lost", peer, reason=reason))
        actions += self._admission.on_lost(peer, now)
        return actions if peer.bank_id is None else [*actions, *self.following.on_bank_lost(peer.bank_id, now)]

    def on_certified(self, holders: frozenset[Identity]) -> list[Action]:
        """To whom the authority has issued certificates; who holds such a number without one has to leave."""
        if holders is self._certified:
            return []
        self._certified = holders
        return [*self.certified.push(holders), *self._admission.end_plain()]

    # Time

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due."""
        timers = (self._link_timers.next(), self._bank_timers.next(), self.lending.next_deadline())
        due = (*timers, self.health.next_deadline(), self.traces.next_deadline())
        return min((at for at in due if at is not None), default=None)

    def handle_timer(self, now: float) -> list[Action]:
        """Do all that is due."""
        actions: list[Action] = []
        while (link := self._link_timers.pop_due(now)) is not None:
            actions += self._admission.on_timer(link)
        while (bank_id := self._bank_timers.pop_due(now)) is not None:
            actions += self._reconciler.on_timer(bank_id, now)
        actions += self.lending.handle_timer(now) + self.health.handle_timer(now)
        return actions + self.traces.handle_timer(now)

    # Orders of operators

    def plan_creation(self, bank: BankSlot, client: ClientSlot) -> StoreMapping:
        """Map two slots. They are reserved until it is stored or has failed. Raises ConflictError."""
        self.slotmap.reserve(bank, client)
        is_sent = self._reconciler.is_connected(bank.bank_id)
        return StoreMapping(bank, client, is_sent, self.inventory.number(bank))

    def plan_change(
        self,
        ended: Iterable[Mapping],
        created: Sequence[tuple[BankSlot, ClientSlot]],
        labels: dict[str, tuple[str, ...]] | None = None,
        follows: dict[BankSlot, str] | None = None,
        parked: Iterable[Mapping] = (),
        unparked: Iterable[ParkedMapping] = (),
        follow_changes: Sequence[StoreFollow] = (),
    ) -> StoreChange | None:
        """Delete live mappings, create others, and change labels at once. None if nothing is left to do.

        ``follows`` are the numbers of the cards that new mappings follow; ``parked`` those of the deleted that wait
        for theirs, ``unparked`` those that do no more. All slots are reserved until it is stored or has failed, or none
        is. Raises ConflictError and LabelError.
        """
        chosen, gone = list(ended), tuple(each.id for each in unparked)
        labelled = tuple(self.labels.plan(subject, names) for subject, names in (labels or {}).items())
        if any(mapping.is_ending for mapping in chosen):
            raise ConflictError("one of the mappings is just being deleted by another request", hint="try again")
        leaving = frozenset(mapping.id for mapping in chosen) | frozenset(gone)
        reserved: list[tuple[BankSlot, ClientSlot]] = []
        self.slotmap.hold_parked(gone)
        try:
            for bank, client in created:
                self.slotmap.reserve(bank, client, leaving=leaving)
                reserved.append((bank, client))
        except ConflictError:
            for bank, client in reserved:
                self.slotmap.unreserve(bank, client)
            self.slotmap.release_parked(gone)
            raise
        deletion = self.plan_deletion(chosen)
        if deletion is None and not (created or labelled or gone or follow_changes):
            return None
        # A new mapping goes out behind the removals of its bank; the reconciler asks the database again then.
        cards = follows or {}
        creations = tuple(
            StoreMapping(b, c, is_sent=False, iccid=self.inventory.number(b), follows=cards.get(b)) for b, c in created
        )
        kept = tuple(parked_from(each) for each in parked)
        return StoreChange(deletion, creations, labelled, kept, gone, follow_changes=tuple(follow_changes))

    def plan_follow(self, mapping: Mapping, follows: str | None) -> StoreFollow:
        """Let a mapping follow this card, or stay with its slot. Raises ConflictError."""
        if mapping.is_ending:
            raise ConflictError(f"the mapping of {mapping.client} is just being deleted", hint="look again")
        return StoreFollow(mapping.id, follows)

    def check_follow(self, client: ClientSlot, iccid: str, leaving: Collection[ClientSlot] = ()) -> None:
        """One mapping follows a card at a time, and a card on loan is followed by none. Raises ConflictError."""
        self.following.check(self.lending.table, client, iccid, leaving)

    def plan_labels(self, subject: str, labels: Iterable[str]) -> StoreLabels:
        """Give a slot, client slot or card these labels. Raises LabelError."""
        return self.labels.plan(subject, labels)

    def plan_deletion(
        self, mappings: Iterable[Mapping], lease_end: LeaseEnd = LeaseEnd.UNMAPPED
    ) -> StoreDeletion | None:
        """Delete live mappings; those whose deletion waits already are left out. None if nothing is left."""
        chosen = [mapping for mapping in mappings if not mapping.is_ending]
        for mapping in chosen:
            mapping.is_ending = True
        if not chosen:
            return None
        return StoreDeletion(
            tuple(m.id for m in chosen),
            tuple(m.id for m in chosen if m.is_sent),
            tuple(m.id for m in chosen if m.is_acknowledged),
            lease_end,
        )

    def reset_bank(self, bank_id: int) -> list[Action]:
        """Order a bankd to drop all mappings; those that are desired are created again. Raises UnknownBankError."""
        peer = self.peers.by_bank(bank_id)
        if peer is None:
            raise UnknownBankError
        return [
            Send(peer.link, rspro.ResetStateReq()),
            LogEvent("warning", "bankd_reset_ordered", fields={"bank": bank_id}),
        ]

    # The database

    def on_stored(
        self, decision: Decision, now: float, *, mapping_ids: tuple[int, ...] = (), created_at: float = 0.0
    ) -> list[Action]:
        """A decision is committed. ``created_at`` is when, in seconds since 1970-01-01 UTC; new mappings have ids."""
        freed, told = freed_by(decision, self.slotmap), self.change_events.of(decision, created_at)
        actions = [*told, *self._carry_out(decision, now, mapping_ids, created_at)]
        if isinstance(decision, StoreSent | StoreDeliveries):
            return actions
        return [*actions, *self.following.on_stored(freed), *self.lending.serve(now)]

    def _carry_out(
        self, decision: Decision, now: float, mapping_ids: tuple[int, ...], created_at: float
    ) -> list[Action]:
        match decision:
            case StoreMapping():
                return self._create(mapping_ids[0], decision, created_at, now)
            case StoreDeletion(numbers):
                return [act for number in numbers for act in self._delete(number, decision.lease_end, now, created_at)]
            case StoreChange(deletion, creations, labelled, follow_changes=changes):
                actions = [] if deletion is None else self._carry_out(deletion, now, (), created_at)
                self.following.on_parked(decision, created_at)
                for number, creation in zip(mapping_ids, creations, strict=True):
                    actions += self._create(number, creation, created_at, now)
                rest: tuple[Decision, ...] = (*labelled, *changes)
                return actions + [act for each in rest for act in self._carry_out(each, now, (), created_at)]
            case StoreFollow(mapping_id, follows):
                if (mapping := self.slotmap.get(mapping_id)) is not None:
                    self.slotmap.follow(mapping, follows)
            case StoreLease() | StoreGrant():
                return self._on_lent(decision, now, mapping_ids, created_at)
            case StoreRenewal():
                self.lending.on_renewal_stored(decision, created_at, now)
            case StoreLeaseEnd():
                self.lending.on_end_stored(decision, created_at)
            case StoreLabels():
                self.labels.on_stored(decision)
            case StoreLock():
                self.slotmap.locks.on_stored(decision, created_at)
            case StoreSent():
                return self._reconciler.on_sent_stored(decision, now)
            case StoreClientId():
                return self._admission.on_id_stored(decision)
        return []

    def _on_lent(
        self, decision: StoreLease | StoreGrant, now: float, mapping_ids: tuple[int, ...], created_at: float
    ) -> list[Action]:
        creation = decision.creation
        made = [] if creation is None else self._create(mapping_ids[0], creation, created_at, now)
        if isinstance(decision, StoreGrant):
            self.lending.on_grant_stored(decision, mapping_ids[0], created_at, now)
        else:
            self.lending.on_lease_stored(decision, mapping_ids[0] if mapping_ids else None, created_at, now)
        return made

    def on_store_failed(self, decision: Decision, now: float) -> list[Action]:
        """A decision could not be committed: everything is as it was before."""
        match decision:
            case StoreMapping():
                self.slotmap.unreserve(decision.bank, decision.client)
                return []
            case StoreDeletion():
                kept = [mapping for mapping in map(self.slotmap.get, decision.mappings) if mapping is not None]
                for mapping in kept:
                    mapping.is_ending = False
                return [it for mapping in kept for it in self._reconciler.on_mapping_kept(mapping, now)]
            case StoreChange(deletion, creations, unparked=gone):
                self.slotmap.release_parked(gone)
                made: list[Decision] = [*creations] if deletion is None else [deletion, *creations]
                return [it for each in made for it in self.on_store_failed(each, now)] + self.following.on_failed(
                    decision
                )
            case StoreLabels() | StoreFollow() | StoreLock() | StoreWebhook() | StoreWebhookEnd() | StoreDeliveries():
                return []
            case StoreLease():
                self.lending.on_lease_failed(decision)
                return []
            case StoreGrant():
                self.lending.on_grant_failed(decision)
                return []
            case StoreRenewal() | StoreLeaseEnd():
                self.lending.on_change_failed(decision)
                return []
            case StoreSent():
                return self._reconciler.on_sent_failed(decision, now)
            case _:
                return self._admission.on_id_failed(decision)

    def _create(self, mapping_id: int, decision: StoreMapping, created_at: float, now: float) -> list[Action]:
        mapping = Mapping(
            mapping_id,
            decision.bank,
            decision.client,
            created_at,
            is_sent=decision.is_sent,
            changed_at=now,
            follows=decision.follows,
        )
        self.slotmap.add(mapping)
        return self._reconciler.on_mapping_stored(mapping, now)

    def _delete(self, mapping_id: int, lease_end: LeaseEnd, now: float, wall: float) -> list[Action]:
        mapping = self.slotmap.get(mapping_id)
        if mapping is None:
            return []
        self.lending.on_mapping_deleted(mapping_id, lease_end, wall)
        self.slotmap.delete(mapping, wall)
        actions = self._reconciler.on_mapping_deleted(mapping, now)
        if mapping.is_acknowledged:
            # The client leaves at once, bankd or not (known-limits 30, 31), and before anything that comes later for
            # the same client (known-limits 29).
            actions += self.configurator.release(mapping)
        else:
            actions += self.configurator.refresh(mapping.client)
        return actions

    # Messages

    def _on_received(self, peer: Peer, event: Received, now: float) -> list[Action]:
        kind, tag = type(event.message), event.tag
        if kind in REQUEST_OF and event.request is None:
            # Matched by request: whatever a confused peer answers unasked moves nothing (known-limits 3, 27).
            return [ignored(peer, "unasked_answer", message=kind.__name__)]
        if kind in CONNECT_REQUESTS and peer.identity is not None:
            return [ignored(peer, "repeated_connect_request")]
        is_legal = peer.state in LEGAL_IN.get(kind, frozenset())
        match event.message if is_legal else None, event.request:
            case rspro.ConnectClientReq() as message, _:
                return self._admission.on_connect_client(peer, message, tag, now)
            case rspro.ConnectBankReq() as message, _:
                return self._admission.on_connect_bank(peer, message, tag, now)
            case rspro.ConnectClientRes() as message, _:
                return on_dial_refused(peer, message)
            case rspro.ConfigClientIdRes() as message, rspro.ConfigClientIdReq(slot):
                return self._admission.on_config_id_res(peer, slot, message, now)
            case rspro.CreateMappingRes() as message, rspro.CreateMappingReq() as request:
                forget_absence(peer, request.bank)
                return self._reconciler.on_create_res(peer.bank, request, message, now)
            case rspro.RemoveMappingRes() as message, rspro.RemoveMappingReq() as request:
                return self._reconciler.on_remove_res(peer.bank, request, message)
            case rspro.ResetStateRes() as message, _:
                return self._reconciler.on_reset_res(peer.bank, message, now)
            case rspro.ConfigClientBankRes() as message, request:
                return self.configurator.on_config_res(peer, message, request, now)
            case rspro.BankSlotStatusInd() as message, _:
                return [
                    *on_slot_status(peer, message, now),
                    *self.health.on_report(peer, message.from_bank_slot, now),
                ]
            case rspro.ReaderHealthInd() as message, _:
                self.lending.stir(now)
                return [*on_reader_health(peer, message, now), *self.health.on_report(peer, message.bank_slot, now)]
            case rspro.SessionStateInd() as message, _:
                return [*on_session_state(peer, message, now), *self.health.on_report(peer, message.bank_slot, now)]
            case (health.SlotHealthInd() | health.ClientHealthInd()) as message, _:
                return self.health.on_told(peer, message, self._reports, now)
            case extensions.CardInd() as message, _:
                self.lending.stir(now)
                before = self.inventory.number(message.bank_slot)
                told = self.inventory.on_card(peer, message, now)
                return [*told, *self.following.on_card(message.bank_slot, before)]
            case extensions.TraceInd() as message, _:
                return self.traces.on_told(peer, message, now)
            case health.HostConditionsInd() as message, _:
                return on_host_conditions(peer, message)
            case health.InventoryInd() as message, _:
                return self.inventory.on_contents(peer, message, now)
            case rspro.AddressesInd() as message, _:
                return self._on_addresses(peer, message)
            case rspro.ErrorInd() as message, _:
                return on_error(peer, message)
            case extensions.AuditInd() as message, _:
                return self.bank_audit.on_audit(peer, message, now)
        return [ignored(peer, "unexpected_message", message=kind.__name__, state=peer.state.value)]

    # Accepted peers

    def on_client_accepted(self, peer: Peer, slot: ClientSlot, now: float) -> list[Action]:
        """Admission let a client in."""
        self.warning_rules.arrivals.note(arrival_name(peer, slot), now)
        return [
            program_event("info", "client_connected", peer),
            *note_of(peer),
            *self.revocations.tell(peer),
            *self.configurator.welcome(slot),
            *self.traces.on_accepted(peer),
        ]

    def on_bankd_accepted(self, peer: Peer, request: rspro.ConnectBankReq, now: float) -> list[Action]:
        """Admission let a bankd in."""
        bank_id = request.bank_id
        self.lending.stir(now)
        self.warning_rules.arrivals.note(arrival_name(peer), now)
        peer.number_of_slots = request.number_of_slots
        known = self.configurator.bank_addresses.get(bank_id, ())
        if known and ADVERTISE in (request.identity.abilities or ()):
            # It says so next, and before it answers anything about a mapping. Until then clients go where they went.
            peer.addresses = known
        else:
            self._set_addresses(peer, ())
        places = places_of(peer)
        event = program_event("info", "bankd_connected", peer, slots=peer.number_of_slots, clients_go_to=places)
        told = [*self.revocations.tell(peer), *self.certified.tell(peer), *self.inventory.on_bankd(peer)]
        return [
            event,
            *note_of(peer),
            *told,
            *self._reconciler.on_bankd_connected(peer, bank_id, now),
            *self.traces.on_accepted(peer),
        ]

    def _on_addresses(self, peer: Peer, message: rspro.AddressesInd) -> list[Action]:
        """A bankd says where clients reach it."""
        before = peer.addresses
        self._set_addresses(peer, message.addresses)
        if peer.addresses == before:
            return []
        told = [action for mapping in self.slotmap.live_of_bank(peer.bank) for action in self._retell(mapping)]
        return [
            peer_event("info", "bankd_address", peer, clients_go_to=places_of(peer)),
            *note_of(peer, has_moved=True),
            *told,
        ]

    def _retell(self, mapping: Mapping) -> list[Action]:
        """Its client may have been told another address; one that heard of no bankd need not hear that again."""
        return self.configurator.refresh(mapping.client) if mapping.is_acknowledged else []

    def _set_addresses(self, peer: Peer, advertise: tuple[rspro.AdvertisedAddress, ...]) -> None:
        peer.addresses = self.configurator.bank_addresses[peer.bank] = bankd_addresses(
            override=self._settings.overrides.get(peer.bank, ()),
            advertise=advertise,
            peer=peer.address,
            dialled_port=peer.dialled_port,
            kind=peer.kind,
        )
