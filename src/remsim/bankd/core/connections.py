# SPDX-License-Identifier: Apache-2.0
"""The connections of a bank without I/O: who is there, who may use which card, what commands arrive (rspro.md, 9.2).

A connection that has a mapping holds on to the card of its slot (see ``cards``). Connections without a card must make
room for others when there are too many: ``PendingConnections`` knows them by source and age.
"""

from collections.abc import Hashable
from typing import Final

from remsim.bankd.core.actions import BankdAction, Level, Notice, ResetKind, Transmit
from remsim.bankd.core.cards import CardSlots
from remsim.bankd.core.certified import CertifiedClients
from remsim.bankd.core.error_reports import error_ind
from remsim.bankd.core.mappings import Mapping, MappingTable
from remsim.bankd.core.session import BankdCounts, QueuedTpdu, Session
from remsim.bankd.core.states import CardState, SessionEvent, SessionState
from remsim.core.claims import CONTEST_HINT, TakeOvers, contest_texts
from remsim.core.identity import Proof
from remsim.core.ids import ClientSlot
from remsim.core.limits import LimitName
from remsim.wire.link.abilities import SLOTS
from remsim.wire.link.actions import Accepted, Close, LinkId, PeerAddress, Probe, Send, source_of
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentIdentity, ResultCode, SlotPhysStatus

#: Connections that have no card: not introduced yet, not mapped, or contending. A bank has at most 1023 slots, so this
#: leaves room for several times as many rightful clients that wait.
MAX_UNSERVED: Final = 4096
#: Half of that for one source, so that a stranger makes room for himself among his own first.
MAX_UNSERVED_PER_SOURCE: Final = 2048


class PendingConnections:
    """The connections without a card of one bank."""

    def __init__(self) -> None:
        # Insertion order is age.
        self._all: dict[Session, None] = {}
        self._by_source: dict[Hashable, dict[Session, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, session: Session) -> tuple[Session, LimitName] | None:
        """A newcomer; return who must leave for it, and the limit that says so.

        That is the oldest one of its own source if that has too many, else the oldest of all.
        """
        own = self._by_source.setdefault(source_of(session.peer.host), {})
        self._all[session] = own[session] = None
        if len(own) > MAX_UNSERVED_PER_SOURCE:
            return next(iter(own)), LimitName.UNSERVED_PER_SOURCE
        if len(self._all) > MAX_UNSERVED:
            return next(iter(self._all)), LimitName.UNSERVED
        return None

    def discard(self, session: Session) -> None:
        """It has a card now, or is gone, or never was here."""
        if session not in self._all:
            return
        del self._all[session]
        source = source_of(session.peer.host)
        del self._by_source[source][session]
        if not self._by_source[source]:
            del self._by_source[source]


#: Commands of one client that wait for its card. A modem has one in flight; more is a client that does not listen.
MAX_QUEUED: Final = 256
#: Who may wait to hear whether the connection of the same client lives. One program has one or two at a time.
MAX_CONTENDERS: Final = 16
#: A classic client gives up 10 s after its connect request, so the answer does not wait for a slow card any longer.
CONNECT_ANSWER_S: Final = 8.0

#: Results that a classic client may hear. For all others the C bankd says cardNotPresent; C clients try again anyhow.
_CLASSIC_RESULTS: Final = frozenset({ResultCode.OK, ResultCode.ILLEGAL_CLIENT_ID, ResultCode.IDENTITY_IN_USE})


class ClientConnections:
    """All connections of one bank, until they turn out to be a server's."""

    def __init__(
        self,
        *,
        identity: ComponentIdentity,
        mappings: MappingTable,
        cards: CardSlots,
        out: list[BankdAction],
        counts: BankdCounts,
        takeover_s: float,
        certified: CertifiedClients,
    ) -> None:
        self._identity = identity
        self._mappings = mappings
        self._cards = cards
        self._out = out
        self._counts = counts
        self._takeover_s = takeover_s
        self.sessions: dict[LinkId, Session] = {}
        self._by_client: dict[ClientSlot, Session] = {}
        self._certified = certified
        self.takeovers = TakeOvers()
        self._unserved = PendingConnections()
        self._answer_by: dict[Session, float] = {}

    # Connections come and go

    def on_link_up(self, link: LinkId, peer: PeerAddress, now: float, *, proof: Proof | None = None) -> None:
        """Somebody connected. One who is proven does not count among those who crowd."""
        session = Session(link, peer, proof)
        self.sessions[link] = session
        if proof is not None:
            return
        found = self._unserved.add(session)
        if found is not None:
            oldest, limit = found
            self._counts.crowded_out += 1
            self._counts.limits.reached(limit)
            self.close(oldest, "too many connections without a card", now)

    def on_link_lost(self, session: Session, reason: str, now: float) -> None:
        """The connection is gone; its card is powered off, the mapping stays."""
        self._forget(session, reason, now)

    def close(self, session: Session, reason: str, now: float) -> None:
        """End the session from our side."""
        self._out.append(Close(session.link, reason))
        self._forget(session, reason, now)

    def refuse(self, session: Session, reason: str, now: float) -> None:
        """End the session because its peer broke the protocol."""
        self._counts.protocol_errors += 1
        self.close(session, reason, now)

    def take_away(self, session: Session) -> None:
        """The peer turned out to be a server: no longer our business."""
        session.step(SessionEvent.IS_SERVER)
        del self.sessions[session.link]
        self._unserved.discard(session)

    def _forget(self, session: Session, reason: str, now: float) -> None:
        del self.sessions[session.link]
        self._unserved.discard(session)
        self._answer_by.pop(session, None)
        session.queue.clear()
        if session.challenger is not None:
            session.challenger.contenders.remove(session)
            session.challenger = None
        self._note("info" if session.client else "debug", "client_gone", session, reason=reason)
        session.step(SessionEvent.ENDED)
        if session.client is not None:
            del self._by_client[session.client]
        position, session.position = session.position, None
        if position is not None:
            position.session = None
            self._cards.drive(position, now)
        contenders, session.contenders = session.contenders, []
        for newcomer in contenders:
            newcomer.challenger = None
        for newcomer in contenders:
            self._identify(newcomer, now)

    # Who is it?

    def on_connect_request(self, session: Session, request: rspro.ConnectClientReq, tag: int, now: float) -> None:
        """A client introduces itself."""
        is_second = session.client is not None or session.challenger is not None
        session.request, session.request_tag = request, tag
        session.is_own = request.identity.abilities is not None
        session.hears_slots = SLOTS in (request.identity.abilities or ())
        if is_second or request.client_slot is None:
            self.answer(session, ResultCode.ILLEGAL_CLIENT_ID)
            self.refuse(session, "second connect request" if is_second else "connect request without clientSlot", now)
            return
        objection = self._objection(session, request.client_slot)
        if objection:
            self._counts.impostors += 1
            self._note("warning", "client_refused", session, claims=request.client_slot, reason=objection)
            self.answer(session, ResultCode.ILLEGAL_CLIENT_ID)
            self.close(session, objection, now)
            return
        if session.proof is not None:
            self._certified.on_shown(session.proof.identity, now)
        # The peer has said who it is; whatever takes longer now is our doing.
        self._out.append(Accepted(session.link))
        self._identify(session, now)

    def _objection(self, session: Session, claimed: ClientSlot) -> str:
        """What the peer's certificate, or the lack of one, has against what it says it is; nothing if it is right."""
        proof = session.proof
        if proof is None:
            return self._certified.objection(claimed)
        return "" if proof.identity.covers(claimed) else f"its certificate is for {proof.identity}, not for {claimed}"

    def close_plain(self, now: float) -> None:
        """End the sessions without TLS of clients that, as is known now, have a certificate."""
        plain = [session for session in self.sessions.values() if session.proof is None]
        # Newcomers first: they must not be let in because the one before them goes.
        for session in sorted(plain, key=lambda session: session.challenger is None):
            claimed = session.request.client_slot if session.request is not None else session.client
            objection = "" if claimed is None else self._certified.objection(claimed)
            if objection:
                self._note("warning", "plain_session_ended", session, claims=claimed, reason=objection)
                self.answer(session, ResultCode.ILLEGAL_CLIENT_ID)
                self.close(session, objection, now)

    def _identify(self, session: Session, now: float) -> None:
        """Accept the peer as the client that it says it is, unless another connection with that identity lives."""
        client = session.request.client_slot if session.request is not None else None
        assert client is not None
        challenger = self._by_client.get(client)
        if challenger is None:
            self._admit(session, client, now)
            return
        if len(challenger.contenders) >= MAX_CONTENDERS:
            self._counts.limits.reached(LimitName.CONTENDERS)
            self.answer(session, ResultCode.IDENTITY_IN_USE)
            self.close(session, f"more than {MAX_CONTENDERS} claim to be {client}", now)
            return
        self._out.append(
            Notice("info", "duplicate_client", None, client, {"old_peer": challenger.peer, "new_peer": session.peer})
        )
        session.challenger = challenger
        challenger.contenders.append(session)
        hosts = (str(challenger.peer.host), str(session.peer.host))
        if session.proof is not None and session.proof == challenger.proof and self.takeovers.may(client, *hosts, now):
            # The same certificate: the client has come back, and knows better than we whether the old link is alive.
            self.close(challenger, "its holder has connected anew", now)
            return
        if len(challenger.contenders) == 1:
            self._out.append(Probe(challenger.link, self._takeover_s))

    def on_probe_answered(self, session: Session, now: float) -> None:
        """The older connection lives, so newcomers with its identity are turned away."""
        contenders, session.contenders = session.contenders, []
        for newcomer in contenders:
            newcomer.challenger = None
            self._counts.duplicate_clients += 1
            if newcomer.proof is not None and newcomer.proof == session.proof:
                self._say_contest(session, newcomer, now)
            self.answer(newcomer, ResultCode.IDENTITY_IN_USE)
            self.close(newcomer, f"{session.client} is connected from {session.peer}", now)

    def _say_contest(self, holder: Session, newcomer: Session, now: float) -> None:
        """Two programs with one certificate, both alive: say so at all three places, once."""
        assert holder.client is not None
        if not self.takeovers.refuse(holder.client, now):
            return
        texts = contest_texts(str(holder.client), str(holder.peer), str(newcomer.peer))
        for session, text in zip((holder, newcomer), texts, strict=True):
            if session.is_own:
                self._out.append(Send(session.link, error_ind(text, None, holder.client)))
        self._note("error", "client_contested", holder, newcomer=newcomer.peer, hint=CONTEST_HINT)

    def _admit(self, session: Session, client: ClientSlot, now: float) -> None:
        session.client = client
        session.step(SessionEvent.IS_CLIENT)
        self._by_client[client] = session
        mapping = self._mappings.of_client(client)
        if mapping is not None:
            self._attach(session, mapping, now)
            return
        session.step(SessionEvent.NOT_MAPPED)
        self._note("info", "client_not_mapped", session)
        self.answer(session, ResultCode.UNKNOWN_SLOTMAP)

    def answer(self, session: Session, result: ResultCode) -> None:
        """Answer the connect request, if that is still due."""
        if session.request is None:
            return
        if not session.is_own and result not in _CLASSIC_RESULTS:
            result = ResultCode.CARD_NOT_PRESENT
        session.request = None
        self._answer_by.pop(session, None)
        self._out.append(Send(session.link, rspro.ConnectClientRes(self._identity, result), session.request_tag))

    # Mappings

    def on_mapping_created(self, mapping: Mapping, now: float) -> None:
        """A client that waits for it is served at once."""
        session = self._by_client.get(mapping.client)
        # A newcomer that got in when an older mapping's client was closed has found the new mapping by itself.
        if session is not None and session.position is None:
            self._attach(session, mapping, now)

    def on_mapping_removed(self, mapping: Mapping, now: float) -> None:
        """Its client is disconnected and the card powered off."""
        session = self._by_client.get(mapping.client)
        if session is not None:
            session.step(SessionEvent.UNMAPPED)
            self.close(session, "mapping removed", now)

    def _attach(self, session: Session, mapping: Mapping, now: float) -> None:
        position = self._cards.positions[mapping.bank.slot_nr]
        session.step(SessionEvent.MAPPED)
        session.position, position.session = position, session
        self._unserved.discard(session)
        self._note("info", "client_mapped", session)
        if session.request is not None:
            self._answer_by[session] = now + CONNECT_ANSWER_S
        self._cards.drive(position, now)

    # Commands of clients

    def on_tpdu(self, session: Session, message: rspro.TpduModemToCard, tag: int, now: float) -> None:
        """A command for the card: run it, queue it, or close the connection (rspro.md, 9.3).

        One of 1 to 4 bytes is answered in its turn, without the card: a program's mistake must not cost it the card.
        """
        position = session.position
        data = message.data
        if position is None or session.state is not SessionState.CONNECTED_CLIENT_MAPPED_CARD:
            # One that crossed our word that the card is gone was not executed, and its client knows that.
            if position is None or not session.hears_slots:
                self.refuse(session, "command without a card", now)
        elif message.to_bank_slot != position.bank_slot or message.from_client_slot != session.client:
            self.refuse(session, f"command from {message.from_client_slot} to {message.to_bank_slot}", now)
        elif not 1 <= len(data) <= rspro.MAX_COMMAND:
            self.refuse(session, f"command of {len(data)} bytes", now)
        elif position.state is CardState.READY:
            position.state = CardState.BUSY  # CardEvent.COMMAND, without the table's cost
            position.caller = session
            position.tag = tag
            position.tpdu = data
            self._out.append(Transmit(position.bank_slot.slot_nr, data))
        else:
            self._enqueue(session, QueuedTpdu(tag, data), now)

    def on_status(self, session: Session, status: SlotPhysStatus, now: float) -> None:
        """The modem's lines changed (9.4); slots in the message are not checked, nothing is answered."""
        kind = session.edges.on_status(status)
        position = session.position
        if kind is None or position is None or session.state is not SessionState.CONNECTED_CLIENT_MAPPED_CARD:
            return
        self._enqueue(session, kind, now)
        self._cards.drive(position, now)

    def _enqueue(self, session: Session, command: QueuedTpdu | ResetKind, now: float) -> None:
        if len(session.queue) >= MAX_QUEUED:
            self._counts.limits.reached(LimitName.QUEUED_COMMANDS)
            self.refuse(session, f"more than {MAX_QUEUED} commands waiting", now)
        else:
            session.queue.append(command)

    # Time and the end

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due."""
        return min(self._answer_by.values()) if self._answer_by else None

    def handle_timer(self, now: float) -> None:
        """Answer clients whose card takes too long; they get its ATR when it is there."""
        for session in [session for session, due in self._answer_by.items() if now >= due]:
            self.answer(session, ResultCode.CARD_UNRESPONSIVE)

    def stop(self, now: float) -> None:
        """End all sessions; those with a command in progress end after its answer."""
        for session in list(self.sessions.values()):
            position = session.position
            if position is not None and position.state is CardState.BUSY and position.caller is session:
                session.is_ending = True
                session.queue.clear()
            else:
                self.close(session, "shutting down", now)

    def state_counts(self) -> dict[SessionState, int]:
        """Sessions by state."""
        counts = dict.fromkeys(SessionState, 0)
        for session in self.sessions.values():
            counts[session.state] += 1
        return counts

    def _note(self, level: Level, event: str, session: Session, **fields: object) -> None:
        slot = session.position.bank_slot if session.position is not None else None
        self._out.append(Notice(level, event, slot, session.client, {"peer": session.peer, **fields}))
