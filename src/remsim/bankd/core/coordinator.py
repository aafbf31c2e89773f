# SPDX-License-Identifier: Apache-2.0
"""All decisions of a bank, without I/O: events in, actions out; time is an argument.

This object only knows which event concerns which part: a connection of a client ``clients``, a link to a server
``control``, a card ``cards``. It must not be called again before the actions of the call before are taken.

Commands are the one exception to "actions out": they go to a card by a call (``CardPort``), and the response comes back
as the value of a call, ``CardSession.submit`` if it is there at once, else ``on_card_response``. Carrying out an action
for each costs more than all the rest.
"""

from collections.abc import Callable, Sequence, Sized

from remsim.ahead.client_side import Used
from remsim.ahead.figures import LatencyFigures
from remsim.bankd.core.actions import BankdAction, CardFault, SendResponse
from remsim.bankd.core.ahead import AheadPolicy
from remsim.bankd.core.audit import AuditTrail
from remsim.bankd.core.cards import CardSlots
from remsim.bankd.core.certified import CertifiedClients, CertifiedMemory
from remsim.bankd.core.connections import ClientConnections
from remsim.bankd.core.continuity import HoldPolicy
from remsim.bankd.core.guarding import Guards
from remsim.bankd.core.mappings import MappingTable
from remsim.bankd.core.server_links import ServerLinks
from remsim.bankd.core.session import BankdCounts, CardPort, CardSession, CardSlot, Connection, Due
from remsim.bankd.core.states import CardState, ConnectionState
from remsim.card.identity import CardIdentity
from remsim.core.deadlines import Deadlines
from remsim.core.identity import Proof, Role
from remsim.core.limits import LimitCounts
from remsim.policy.guard import GuardPolicy
from remsim.trace.tap import SlotTap
from remsim.wire.link.actions import LinkId, PeerAddress
from remsim.wire.link.events import (
    Event,
    ProbeAnswered,
    Received,
    ReceivedUnknown,
    Undecodable,
    UnsupportedVersion,
)
from remsim.wire.messages import extensions, rspro
from remsim.wire.messages.extensions import AuditInd
from remsim.wire.messages.health import HostCondition
from remsim.wire.messages.rspro import AdvertisedAddress, ComponentIdentity, ComponentType


class BankdCoordinator:
    """One bank: its card positions, their clients, and its active server. ``cards`` are those of slots 0, 1 and so on.

    ``policy`` are the guard's rules. ``takeover_s`` is the time that an older connection has to prove that it lives,
    when a newer one claims its identity. ``traced_slots`` are those for which TraceAtr and TraceTpdu are wanted.
    ``needs_proof``: we have a certificate, so a server must show one, too. ``memory`` is what earlier runs have stored
    of clients' certificates. ``reads_numbers``: servers that want the numbers of cards get them. ``limits`` counts
    those that are reached. ``hold``: which sessions outlive their link; None: none. ``ahead``: what is known of modems
    whose commands may be run before they send them; None: nothing is answered ahead.
    """

    #: Clients can connect.
    is_listening = False

    def __init__(
        self,
        *,
        bank_id: int,
        cards: Sequence[CardPort],
        identity: ComponentIdentity,
        takeover_s: float = 3.0,
        advertise: tuple[AdvertisedAddress, ...] | None = None,
        traced_slots: frozenset[int] = frozenset(),
        needs_proof: bool = False,
        memory: CertifiedMemory | None = None,
        reads_numbers: bool = True,
        limits: LimitCounts | None = None,
        policy: GuardPolicy = GuardPolicy(()),  # noqa: B008  # immutable
        hold: HoldPolicy | None = None,
        ahead: AheadPolicy | None = None,
    ) -> None:
        self._out: list[BankdAction] = []
        #: What is to be taken; empty between calls, but for those of ``CardSession.submit`` and ``on_card_response``.
        self.actions: Sized = self._out
        self.counts, self.mappings = BankdCounts(limits=limits or LimitCounts()), MappingTable(bank_id, len(cards))
        self.certified = CertifiedClients(memory or CertifiedMemory(), self._out)
        self.control = ServerLinks(
            identity=identity,
            mappings=self.mappings,
            out=self._out,
            counts=self.counts,
            takeover_s=takeover_s,
            advertise=advertise,
            certified=self.certified,
        )
        self._deadlines, self._needs_proof = Deadlines[Due](), needs_proof
        self.audit = AuditTrail(self.control, self._out, self.counts)
        self.guards = Guards(policy, counts=self.counts, out=self._out, audit=self.audit)
        self.cards = CardSlots(
            cards=cards,
            mappings=self.mappings,
            server=self.control,
            guards=self.guards,
            out=self._out,
            counts=self.counts,
            traced_slots=traced_slots,
            reads_numbers=reads_numbers,
            deadlines=self._deadlines,
            hold=hold,
            ahead=ahead,
        )
        self.clients = ClientConnections(
            identity=identity,
            mappings=self.mappings,
            cards=self.cards,
            out=self._out,
            counts=self.counts,
            takeover_s=takeover_s,
            certified=self.certified,
            deadlines=self._deadlines,
        )
        self.traces = self.control.traces = self.cards.traces
        self.cards.owner = self.certified.sessions = self.control.listener = self.clients
        self.control.presences = self.cards

    def take(self) -> list[BankdAction]:
        """What is to be done, in order."""
        taken = self._out.copy()
        self._out.clear()
        return taken

    # Links

    def on_link_up(
        self, link: LinkId, peer: PeerAddress, now: float, *, is_dialled: bool = False, proof: Proof | None = None
    ) -> list[BankdAction]:
        """A connection was accepted, or (``is_dialled``) our server can be talked to.

        ``proof`` is what the peer's certificate says; None on a link without TLS.
        """
        if is_dialled:
            self.control.on_dialled(link, peer, now, proof=proof)
        else:
            self.clients.on_link_up(link, peer, now, proof=proof)
        return self.take()

    def on_event(self, link: LinkId, event: Event, now: float) -> list[BankdAction]:
        """A peer sent something. Events of links that are closed already are of no interest."""
        connection = self.clients.connections.get(link)
        if connection is not None:
            if type(event) is Received and type(event.message) is rspro.TpduModemToCard:
                self.clients.on_tpdu(connection, event.message, event.tag, now)
            else:
                self._on_client_event(connection, event, now)
        elif (server := self.control.links.get(link)) is not None:
            if isinstance(event, ProbeAnswered):
                self.control.on_probe_answered(server, now)
            else:
                self.control.on_event(server, event, now)
                self.audit.flush(now)
        return self.take()

    def on_link_lost(self, link: LinkId, reason: str, now: float) -> list[BankdAction]:
        """A link is gone, ended by either end."""
        connection = self.clients.connections.get(link)
        if connection is not None:
            self.clients.on_link_lost(connection, reason, now)
        elif (server := self.control.links.get(link)) is not None:
            self.control.on_link_lost(server, reason, now)
        return self.take()

    def _on_client_event(self, connection: Connection, event: Event, now: float) -> None:
        clients = self.clients
        match event:
            case Received(rspro.ClientSlotStatusInd() as status, tag):
                clients.on_status(connection, status.slot_phys_status, tag, now)
            case Received(rspro.ConnectClientReq() as request, tag):
                if self._is_server(connection, request):
                    clients.take_away(connection)
                    self.control.on_introduced(
                        connection.link, connection.peer, request, tag, now, proof=connection.proof
                    )
                else:
                    clients.on_connect_request(connection, request, tag, now)
            case Received(extensions.AheadUsedInd() as used):
                clients.on_used(connection, Used(used.base, used.count), now)
            case Received(rspro.SetAtrRes()):
                clients.on_atr_taken(connection)
            case Received(rspro.ResumeInd() as request):
                clients.on_return(connection, request, now)
            case Received(rspro.SessionEndInd()):
                clients.on_leaving(connection)
            case ProbeAnswered():
                clients.on_probe_answered(connection, now)
            case Received(message):
                clients.refuse(connection, f"{type(message).__name__} does not belong here", now)
            case Undecodable(error):
                clients.refuse(connection, f"not RSPRO: {error}", now)
            case ReceivedUnknown(number):
                clients.refuse(connection, f"unknown message [{number}]", now)
            case UnsupportedVersion(version):
                clients.refuse(connection, f"protocol version {version}", now)

    def _is_server(self, connection: Connection, request: rspro.ConnectClientReq) -> bool:
        """Our own servers only: a C server never dials, and everybody else must name a client slot."""
        identity, proof = request.identity, connection.proof
        # Where certificates are used, nobody commands cards without one.
        may_command = not self._needs_proof if proof is None else proof.identity.role is Role.SERVER
        return (
            may_command
            and request.client_slot is None
            and identity.type is ComponentType.REMSIM_SERVER
            and identity.abilities is not None
            and connection.state is ConnectionState.CONNECTED_WAIT_ID
            and not self.clients.claims.is_waiting(connection)
        )

    # Cards

    def on_card_opened(self, slot_nr: int, atr: bytes, now: float) -> list[BankdAction]:
        """OpenCard is done."""
        self.cards.on_card_opened(slot_nr, atr, now)
        return self.take()

    def on_card_response(self, slot_nr: int, response: bytes, now: float) -> SendResponse | None:
        """A command that was not answered at once is done.

        Returns the response to send, if there is one. Take what is in ``actions`` behind it.
        """
        return self.cards.on_card_response(slot_nr, response, now)

    def on_card_reset(self, slot_nr: int, atr: bytes, now: float) -> list[BankdAction]:
        """ResetCard is done."""
        self.cards.on_card_reset(slot_nr, atr, now)
        return self.take()

    def on_card_closed(self, slot_nr: int, now: float) -> list[BankdAction]:
        """CloseCard is done."""
        self.cards.on_card_closed(slot_nr, now)
        return self.take()

    def on_card_failed(self, slot_nr: int, fault: CardFault, now: float) -> list[BankdAction]:
        """OpenCard, ResetCard or a command failed."""
        self.cards.on_card_failed(slot_nr, fault, now)
        return self.take()

    def on_card_number(
        self,
        slot_nr: int,
        iccid: str | None,
        reason: str,
        now: float,
        identity: CardIdentity | None = None,
        *,
        is_busy: bool = False,
    ) -> list[BankdAction]:
        """ReadNumber is done; ``reason`` says why there is no number. ``identity``: where all was to be read.

        ``is_busy``: there is no number because another program has the reader.
        """
        self.cards.on_card_number(slot_nr, iccid, reason, now, identity, is_busy=is_busy)
        return self.take()

    def on_presence(
        self, slot_nr: int, *, is_present: bool, reader: str, cause: str = "", now: float
    ) -> list[BankdAction]:
        """There is now a card in the slot's reader, or none, or no reader any more (``cause`` says which)."""
        self.cards.on_presence(slot_nr, is_present=is_present, reader=reader, cause=cause, now=now)
        return self.take()

    def on_audit(self, entry: AuditInd, now: float) -> list[BankdAction]:
        """Something happened that belongs into the server's audit log."""
        self.audit.add(entry, now)
        return self.take()

    def on_revoked(self, is_revoked: Callable[[int], bool], now: float) -> list[BankdAction]:
        """Certificates were revoked, by their serial numbers; links of their holders are closed next."""
        self.clients.on_revoked(is_revoked, now)
        return self.take()

    def on_guard_policy(self, policy: GuardPolicy) -> list[BankdAction]:
        """The guard's rules have changed."""
        self.guards.change(policy, self.cards.in_service())
        return self.take()

    def on_ahead_policy(self, policy: AheadPolicy) -> None:
        """Sessions that begin from now on may be answered ahead."""
        self.cards.ahead = policy

    def on_ahead_turn(self, slot_nr: int, now: float) -> list[BankdAction]:
        """RunAhead was asked for, and it is the next turn of the loop."""
        self.cards.on_ahead_turn(slot_nr, now)
        return self.take()

    def on_host_conditions(self, found: Sequence[HostCondition]) -> list[BankdAction]:
        """All that is wrong with the host now."""
        self.control.on_host_conditions(found)
        return self.take()

    def latency(self, slot_nr: int) -> LatencyFigures:
        """Where the time of a slot's commands went, since the start."""
        return self.cards.latency(slot_nr)

    # Time and the end

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` must be called; None if nothing is due."""
        due = (self._deadlines.next(), self.cards.reports.due)
        return min((at for at in due if at is not None), default=None)

    def handle_timer(self, now: float) -> list[BankdAction]:
        """Do what is due."""
        while (due := self._deadlines.pop_due(now)) is not None:
            if isinstance(due, CardSlot):
                self.cards.retry(due)
            elif isinstance(due, CardSession):
                self.cards.holds.on_hold_over(due, now)
            elif isinstance(due, SlotTap):
                self.traces.on_due(due, now)
            else:
                self.clients.give_up_waiting(due)
        reports = self.cards.reports
        if reports.due is not None and reports.due <= now:
            reports.on_due(now)
        return self.take()

    def stop(self, now: float) -> list[BankdAction]:
        """End every session once its command in progress is answered, then power the cards off."""
        self.is_listening = False
        self.cards.numbers.stop()
        self.clients.stop(now)
        return self.take()

    @property
    def is_at_rest(self) -> bool:
        """No client is connected and every card is powered off."""
        return not self.clients.connections and all(
            position.state is CardState.OFF for position in self.cards.positions
        )

    def state_counts(self) -> dict[ConnectionState, int]:
        """How many connections are in each state; slots without one count as ACCEPTING (INIT: not listening)."""
        counts = self.clients.state_counts()
        counts[ConnectionState.CONNECTED_SERVER] = sum(not server.is_dialled for server in self.control.links.values())
        free = sum(position.session is None for position in self.cards.positions)
        counts[ConnectionState.ACCEPTING if self.is_listening else ConnectionState.INIT] = free
        return counts
