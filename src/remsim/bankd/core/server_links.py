# SPDX-License-Identifier: Apache-2.0
"""The bank's links to servers without I/O: one is active, orders mappings, and hears of cards (rspro.md, 9.1).

Normally we dial the server. A server may also dial us, for banks that cannot dial out; it introduces itself with a
``connectClientReq``, gets our ``connectBankReq``, and the link is an ordinary control link from there on. In both cases
a second server is turned away while the first one lives. Mappings survive the loss of a server.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from remsim.bankd.core.actions import BankdAction
from remsim.bankd.core.certified import CertifiedClients
from remsim.bankd.core.error_reports import error_ind
from remsim.bankd.core.host_conditions import HostConditions
from remsim.bankd.core.mappings import MappingChange, MappingTable, SlotMapping
from remsim.bankd.core.session import BankdCounts
from remsim.card.identity import CardIdentity
from remsim.core.claims import (
    CONTEST_HINT,
    MAX_CHALLENGERS,
    ClaimRefusal,
    ClaimVerdict,
    IdentityClaims,
    Refused,
    contest_texts,
)
from remsim.core.episode import OncePerEpisode
from remsim.core.identity import Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.core.log_event import Level, LogEvent
from remsim.redaction import scrub
from remsim.wire.link.abilities import ADVERTISE, CARDS, CONDITIONS, INVENTORY, SESSIONS, SLOTS, SLOTS_2
from remsim.wire.link.actions import Accepted, Close, LinkId, PeerAddress, Probe, Send
from remsim.wire.link.events import Event, Received, ReceivedUnknown, Undecodable
from remsim.wire.messages import extensions, rspro
from remsim.wire.messages.health import MAX_PROVIDER, HostCondition, HostConditionsInd, InventoryInd, SlotHealthInd
from remsim.wire.messages.revocation import ListParts, StoreRevocations
from remsim.wire.messages.rspro import (
    AdvertisedAddress,
    ComponentIdentity,
    ComponentType,
    Response,
    ResultCode,
    SlotPhysStatus,
)

_REFUSED: Final = "server_refused"


class MappingListener(Protocol):
    """Who must follow when mappings change."""

    def on_mapping_created(self, mapping: SlotMapping, now: float) -> None:
        """This client may use this slot now."""
        ...

    def on_mapping_removed(self, mapping: SlotMapping, now: float) -> None:
        """This client may not use this slot any more."""
        ...


class TraceOrders(Protocol):
    """Who tells of what passes at slots that somebody watches."""

    def on_request(self, request: extensions.TraceReq, link: LinkId, now: float) -> bool:
        """The active server wants to hear of a slot. False: it is none of this bank."""
        ...

    def end_all(self) -> None:
        """Nobody watches any more."""
        ...


class Numbers(Protocol):
    """Who knows the numbers of cards."""

    def on_server_active(self, *, is_wanted: bool, wants_all: bool) -> None:
        """There is an active server; it may want to hear them, and all that cards say without a PIN."""
        ...


class Reports(Protocol):
    """Who knows how slots stand."""

    def on_server_active(self, now: float, *, is_wanted: bool) -> None:
        """There is an active server; it may want to hear of all slots."""
        ...

    def on_server_lost(self) -> None:
        """Nobody hears us."""
        ...


class Presences(Protocol):
    """Who knows where cards are."""

    @property
    def numbers(self) -> Numbers:
        """Who knows their numbers."""
        ...

    @property
    def reports(self) -> Reports:
        """Who knows how slots stand."""
        ...

    def is_card_present(self, slot_nr: int) -> bool:
        """There is a card in that slot's reader."""
        ...

    def report_readers(self) -> None:
        """There is an active server: it hears which readers do not work."""
        ...

    def report_sessions(self, now: float) -> None:
        """Tell the active server of all sessions."""
        ...


@dataclass(eq=False, slots=True)
class ServerLink:
    """A link to a server, dialled by either end."""

    link: LinkId
    peer: PeerAddress
    is_dialled: bool
    #: The tag of the ``connectClientReq`` of a server that dialled us.
    request_tag: int | None = None
    name: str = ""
    abilities: frozenset[str] | None = None
    #: What its certificate says; None on a link without TLS.
    proof: Proof | None = None
    list_parts: ListParts = field(default_factory=ListParts)


class ServerLinks:
    """All links to servers, and what they order."""

    def __init__(
        self,
        *,
        identity: ComponentIdentity,
        mappings: MappingTable,
        out: list[BankdAction],
        counts: BankdCounts,
        takeover_s: float,
        advertise: tuple[AdvertisedAddress, ...] | None,
        certified: CertifiedClients,
    ) -> None:
        self._identity = identity
        self._mappings = mappings
        self._out = out
        self._counts = counts
        self._takeover_s = takeover_s
        self._certified = certified
        self._refusals: OncePerEpisode[str] = OncePerEpisode()
        #: Which link is the active server's, by the number of our bank.
        self.claims: IdentityClaims[int, ServerLink] = IdentityClaims()
        #: Where clients reach us; servers of ours are told.
        self.advertise = advertise
        self.links: dict[LinkId, ServerLink] = {}
        #: What is wrong with the host; servers of ours are told.
        self.conditions = HostConditions(out)
        #: Set by the coordinator.
        self.listener: MappingListener
        self.presences: Presences
        self.traces: TraceOrders

    @property
    def active_server(self) -> ServerLink | None:
        """The server whose orders we follow."""
        return self.claims.holder(self._mappings.bank_id)

    # Links

    def on_dialled(self, link: LinkId, peer: PeerAddress, now: float, *, proof: Proof | None = None) -> None:
        """The server that we dial can be talked to."""
        self._on_server(ServerLink(link, peer, is_dialled=True, proof=proof), now)

    def on_introduced(
        self,
        link: LinkId,
        peer: PeerAddress,
        request: rspro.ConnectClientReq,
        tag: int,
        now: float,
        *,
        proof: Proof | None = None,
    ) -> None:
        """A server dialled us."""
        # The engine's connect deadline watches for its connectBankRes, which follows our connectBankReq at once.
        name = request.identity.name
        self._on_server(ServerLink(link, peer, is_dialled=False, request_tag=tag, name=name, proof=proof), now)

    def _on_server(self, server: ServerLink, now: float) -> None:
        self.links[server.link] = server
        active_server = self.active_server
        if active_server is None:
            # It claims the bank once it has accepted it.
            self._introduce(server)
            return
        verdict = self.claims.claim(self._mappings.bank_id, server, server.proof, server.peer.host, now)
        if verdict is ClaimVerdict.TAKES_OVER:
            # The same certificate: the server has come back, and knows better than we whether the old link is alive.
            self._out.append(Close(active_server.link, "the server has connected anew"))
        elif verdict is ClaimVerdict.PROBE:
            self._out.append(Probe(active_server.link, self._takeover_s))
        elif verdict is ClaimVerdict.TOO_MANY:
            self._counts.limits.reached(LimitName.CHALLENGERS)
            self._turn_away(server, f"more than {MAX_CHALLENGERS} servers want this bank")

    def _introduce(self, server: ServerLink) -> None:
        request = rspro.ConnectBankReq(self._identity, self._mappings.bank_id, self._mappings.slots)
        self._out.append(Send(server.link, request))

    def on_link_lost(self, server: ServerLink, reason: str, now: float) -> None:
        """The link is gone. Mappings and their clients stay; a server that waited for this takes over."""
        if self.active_server is server:
            self.traces.end_all()
            # Of a link that we dial, the dialler says so, too.
            self._note("debug" if server.is_dialled else "warning", "server_lost", server, reason=reason)
            self.presences.reports.on_server_lost()
        for challenger in self._drop(server):
            self._on_server(challenger, now)

    def _drop(self, server: ServerLink) -> tuple[ServerLink, ...]:
        """Forget a link; those that waited for it, if it was the active server's."""
        del self.links[server.link]
        return self.claims.release(server)

    def _turn_away(self, server: ServerLink, reason: str) -> None:
        """Close a link whose server cannot become the active one."""
        if server.request_tag is not None:
            answer = rspro.ConnectClientRes(self._identity, ResultCode.IDENTITY_IN_USE)
            self._out.append(Send(server.link, answer, server.request_tag))
        self._out.append(Close(server.link, reason))
        self._drop(server)

    def _reject_second(self, refused: Refused[ServerLink], active_server: ServerLink) -> None:
        server = refused.who
        self._counts.second_servers += 1
        if refused.reason is ClaimRefusal.IN_USE:
            self._note("warning", "second_server", server, active_server=active_server.peer)
        elif refused.reason is ClaimRefusal.CONTESTED:
            name = str(server.proof.identity) if server.proof is not None else ""
            text, _ = contest_texts(name, str(active_server.peer), str(server.peer))
            self._note("error", "server_contested", server, active_server=active_server.peer, hint=CONTEST_HINT)
            if active_server.abilities is not None:
                self._out.append(Send(active_server.link, error_ind(text, None, None)))
        self._turn_away(server, f"this bank takes orders from the server at {active_server.peer}")

    # Messages

    def on_event(self, server: ServerLink, event: Event, now: float) -> None:
        """Something arrived on a control link; what does not belong there is ignored, as ever."""
        match event:
            case Received(rspro.ConnectBankRes() as answer):
                self._on_accepted(server, answer, now)
            case Received(rspro.ErrorInd() as message):
                # A server says why it will refuse us before it does.
                text = scrub(message.error_string or "")
                self._note("warning", "server_reports_error", server, code=message.code.name, text=text)
            case Received(message, tag) if server is self.active_server:
                self._on_order(server, message, tag, now)
            case Undecodable(error):
                self._note("warning", "server_message_undecodable", server, error=error)
            case Received() | ReceivedUnknown():
                self._note("debug", "server_message_ignored", server)

    def on_probe_answered(self, server: ServerLink, now: float) -> None:
        """The active server lives, so others are turned away."""
        for refused in self.claims.on_alive(server, now):
            self._reject_second(refused, server)

    def _claim_if_free(self, server: ServerLink, now: float) -> Refused[ServerLink] | None:
        return self.claims.claim_if_free(self._mappings.bank_id, server, server.proof, server.peer.host, now)

    def _on_accepted(self, server: ServerLink, answer: rspro.ConnectBankRes, now: float) -> None:
        active_server = self.active_server
        if server is active_server:
            return
        if answer.identity.type is not ComponentType.REMSIM_SERVER:
            self._note("warning", "not_a_server", server, type=answer.identity.type.name)
            self._turn_away(server, "the peer is no server")
        elif answer.result is not ResultCode.OK:
            level: Level = "warning" if self._refusals.begins(_REFUSED, answer.result) else "debug"
            self._note(level, _REFUSED, server, result=answer.result.name)
            self._turn_away(server, f"the server refused: {answer.result.name}")
        elif (refused := self._claim_if_free(server, now)) is not None:
            assert active_server is not None
            self._reject_second(refused, active_server)
        else:
            self._refusals.ends(_REFUSED)
            server.name = answer.identity.name
            abilities = answer.identity.abilities
            server.abilities = None if abilities is None else frozenset(abilities)
            self._out.append(Accepted(server.link))
            self._note("info", "server_connected", server, name=server.name)
            if ADVERTISE in (abilities or ()):
                # Before any answer about a mapping: the server must know the address when it tells the client.
                self._out.append(Send(server.link, rspro.AddressesInd(self.advertise or ())))
            self.presences.report_readers()
            named = abilities or ()
            self.presences.numbers.on_server_active(is_wanted=CARDS in named, wants_all=INVENTORY in named)
            self.presences.report_sessions(now)
            self.presences.reports.on_server_active(now, is_wanted=SLOTS_2 in (abilities or ()))
            if self.conditions.message is not None:
                self._tell_conditions(self.conditions.message)

    def _on_order(self, server: ServerLink, message: rspro.Message, tag: int, now: float) -> None:
        match message:
            case rspro.CreateMappingReq():
                change = self._mappings.create(message.client, message.bank)
                self._apply(server, rspro.CreateMappingRes(change.result), tag, change, now)
                if change.result is ResultCode.OK:
                    self._report_absence(message)
            case rspro.RemoveMappingReq():
                change = self._mappings.remove(message.client, message.bank)
                self._apply(server, rspro.RemoveMappingRes(change.result), tag, change, now)
            case rspro.ResetStateReq():
                change = self._mappings.clear()
                self._note("warning", "state_reset", server, mappings=len(change.removed))
                self._apply(server, rspro.ResetStateRes(change.result), tag, change, now)
            case extensions.RevocationListInd():
                whole = server.list_parts.add(message)
                if whole is not None:
                    self._out.append(StoreRevocations(whole))
            case extensions.CertifiedInd():
                self._certified.on_part(server.link, message, now, is_proven=server.proof is not None)
            case extensions.TraceReq() if self.traces.on_request(message, server.link, now):
                pass
            case _:
                self._note("debug", "server_message_ignored", server, type=type(message).__name__)

    def _apply(self, server: ServerLink, answer: Response, tag: int, change: MappingChange, now: float) -> None:
        """Answer first, then act: the server's list is right as soon as it hears from us."""
        self._out.append(Send(server.link, answer, tag))
        for mapping in change.removed:
            self._out.append(LogEvent("info", "mapping_removed", mapping.bank, mapping.client))
            self.listener.on_mapping_removed(mapping, now)
        if change.created is not None:
            created = change.created
            self._out.append(LogEvent("info", "mapping_created", created.bank, created.client))
            self.listener.on_mapping_created(created, now)
        if change.result is not ResultCode.OK:
            self._note("warning", "mapping_refused", server, result=change.result.name)

    def _report_absence(self, order: rspro.CreateMappingReq) -> None:
        """Say that there is no card for this mapping, also if we had it already: the server may have been restarted."""
        mapping = self._mappings.of_slot(order.bank.slot_nr)
        if mapping is not None and not self.presences.is_card_present(mapping.bank.slot_nr):
            self.slot_changed(mapping, is_present=False)

    # What an own server hears; a classic one understands none of it.

    def slot_changed(self, mapping: SlotMapping, *, is_present: bool) -> None:
        """A card came or went."""
        if self.active_server is not None and SLOTS in (self.active_server.abilities or ()):
            status = SlotPhysStatus(reset_active=False, card_present=is_present)
            self._out.append(
                Send(self.active_server.link, rspro.BankSlotStatusInd(mapping.bank, mapping.client, status))
            )

    def session_changed(self, report: rspro.SessionStateInd) -> None:
        """A card session has begun, changed or ended."""
        if self.active_server is not None and SESSIONS in (self.active_server.abilities or ()):
            self._out.append(Send(self.active_server.link, report))

    def slot_health(self, report: SlotHealthInd) -> None:
        """How a slot stands."""
        if self.active_server is not None and SLOTS_2 in (self.active_server.abilities or ()):
            self._out.append(Send(self.active_server.link, report))

    def card_number(self, bank_slot: BankSlot, iccid: str | None) -> None:
        """The number of the card there; None if there is none or it cannot be read."""
        if self.active_server is not None and CARDS in (self.active_server.abilities or ()):
            self._out.append(Send(self.active_server.link, extensions.CardInd(bank_slot, iccid)))

    def card_contents(self, bank_slot: BankSlot, identity: CardIdentity) -> None:
        """What the card there says of itself without a PIN."""
        if self.active_server is not None and INVENTORY in (self.active_server.abilities or ()):
            self._out.append(Send(self.active_server.link, _inventory(bank_slot, identity)))

    def reader_health(self, health: rspro.ReaderHealthInd) -> None:
        """A reader is suspended, tried once more, or works again."""
        if self.active_server is not None and SLOTS in (self.active_server.abilities or ()):
            self._out.append(Send(self.active_server.link, health))

    def card_failed(self, bank_slot: BankSlot, client_slot: ClientSlot | None, text: str) -> None:
        """A command failed with unknown outcome."""
        if self.active_server is None or self.active_server.abilities is None:
            return
        self._out.append(Send(self.active_server.link, error_ind(text, bank_slot, client_slot)))

    def on_host_conditions(self, found: Sequence[HostCondition]) -> None:
        """All that is wrong with the host now."""
        message = self.conditions.on_found(found)
        if message is not None:
            self._tell_conditions(message)

    def _tell_conditions(self, message: HostConditionsInd) -> None:
        if self.active_server is not None and CONDITIONS in (self.active_server.abilities or ()):
            self._out.append(Send(self.active_server.link, message))

    def _note(self, level: Level, event: str, server: ServerLink, **fields: object) -> None:
        self._out.append(LogEvent(level, event, fields={"peer": server.peer, **fields}))


def _inventory(bank_slot: BankSlot, identity: CardIdentity) -> InventoryInd:
    name = (identity.service_provider or "").encode("utf-8", "replace")
    while len(name) > MAX_PROVIDER:
        # Not within a character.
        name = name.decode()[:-1].encode()
    return InventoryInd(bank_slot, identity.iccid, identity.imsi, name or None, identity.eid)
