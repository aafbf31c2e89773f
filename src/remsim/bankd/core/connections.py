# SPDX-License-Identifier: Apache-2.0
"""The connections of a bank without I/O: who is there, who may use which card, what commands arrive (rspro.md, 9.2).

A connection that has a mapping attaches to a ``CardSession``. Connections without a card must make room for others when
there are too many: ``PendingConnections`` knows them by source and age.
"""

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Final

from remsim.ahead.client_side import Used
from remsim.bankd.core.actions import BankdAction, Origin
from remsim.bankd.core.cards import CardSlots
from remsim.bankd.core.certified import CertifiedClients
from remsim.bankd.core.continuity import Continuity
from remsim.bankd.core.error_reports import error_ind
from remsim.bankd.core.mappings import MappingTable, SlotMapping
from remsim.bankd.core.session import BankdCounts, CardSession, Connection, Due
from remsim.bankd.core.states import CardState, ConnectionInput, ConnectionState
from remsim.core.claims import CONTEST_HINT, MAX_CHALLENGERS, ClaimRefusal, ClaimVerdict, IdentityClaims, contest_texts
from remsim.core.deadlines import Deadlines
from remsim.core.identity import Proof
from remsim.core.ids import ClientSlot
from remsim.core.limits import LimitName
from remsim.core.log_event import Level, LogEvent
from remsim.session.ledger import Standing
from remsim.wire.link.abilities import AHEAD, RESUME, SLOTS
from remsim.wire.link.actions import Accepted, Close, LinkId, PeerAddress, Probe, Send, source_of
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ComponentIdentity, ResultCode, SessionEnd, SlotPhysStatus

#: Connections that have no card: not introduced yet, not mapped, or challengers. A bank has at most 1023 slots, so this
#: leaves room for several times as many rightful clients that wait.
MAX_UNSERVED: Final = 4096
#: Half of that for one source, so that an unknown peer makes room among those of its own source first.
MAX_UNSERVED_PER_SOURCE: Final = 2048


class PendingConnections:
    """The connections without a card of one bank."""

    def __init__(self) -> None:
        # Insertion order is age.
        self._all: dict[Connection, None] = {}
        self._by_source: dict[Hashable, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Connection) -> tuple[Connection, LimitName] | None:
        """A newcomer; return who must leave for it, and the limit that says so.

        That is the oldest one of its own source if that has too many, else the oldest of all.
        """
        own = self._by_source.setdefault(source_of(connection.peer.host), {})
        self._all[connection] = own[connection] = None
        if len(own) > MAX_UNSERVED_PER_SOURCE:
            return next(iter(own)), LimitName.UNSERVED_PER_SOURCE
        if len(self._all) > MAX_UNSERVED:
            return next(iter(self._all)), LimitName.UNSERVED
        return None

    def discard(self, connection: Connection) -> None:
        """It has a card now, or is gone, or never was here."""
        if connection not in self._all:
            return
        del self._all[connection]
        source = source_of(connection.peer.host)
        del self._by_source[source][connection]
        if not self._by_source[source]:
            del self._by_source[source]


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
        deadlines: Deadlines[Due],
    ) -> None:
        self._identity = identity
        self._mappings = mappings
        self._cards = cards
        self._out = out
        self._counts = counts
        self._takeover_s = takeover_s
        self.connections: dict[LinkId, Connection] = {}
        #: Which connection is which client.
        self.claims: IdentityClaims[ClientSlot, Connection] = IdentityClaims()
        self._certified = certified
        self._holds = cards.holds
        self._unserved = PendingConnections()
        self._deadlines = deadlines
        self._is_stopping = False

    # Connections come and go

    def on_link_up(self, link: LinkId, peer: PeerAddress, now: float, *, proof: Proof | None = None) -> None:
        """A peer connected. One that is proven does not count among those that may have to make room."""
        if self._is_stopping:
            self._out.append(Close(link, "shutting down"))
            return
        connection = Connection(link, peer, proof)
        self.connections[link] = connection
        if proof is not None:
            return
        found = self._unserved.add(connection)
        if found is not None:
            oldest, limit = found
            self._counts.crowded_out += 1
            self._counts.limits.reached(limit)
            self.close(oldest, "too many connections without a card", now)

    def on_link_lost(self, connection: Connection, reason: str, now: float) -> None:
        """The connection is gone. Its session is held if its client can return, else the card is powered off."""
        session = connection.session
        is_held = session is not None and self._holds.may_hold(session) and not self._is_stopping
        if is_held and session is not None:
            self._holds.begin(session, reason, now)
        self._forget(connection, reason, now, is_held=is_held)

    def close(self, connection: Connection, reason: str, now: float, *, cause: SessionEnd = SessionEnd.REFUSED) -> None:
        """End the connection, and its session, from our side; ``cause`` is for a client that could return."""
        if connection.session is not None:
            self._holds.say_end(connection.session, cause)
        self._out.append(Close(connection.link, reason))
        self._forget(connection, reason, now)

    def refuse(self, connection: Connection, reason: str, now: float) -> None:
        """End the connection because its peer broke the protocol."""
        self._counts.protocol_errors += 1
        self.close(connection, reason, now)

    def take_away(self, connection: Connection) -> None:
        """The peer turned out to be a server: no connection of a client any more."""
        connection.step(ConnectionInput.IS_SERVER)
        del self.connections[connection.link]
        self._unserved.discard(connection)

    def _forget(self, connection: Connection, reason: str, now: float, *, is_held: bool = False) -> None:
        del self.connections[connection.link]
        self._unserved.discard(connection)
        self._deadlines.cancel(connection)
        # That a session is held has a line of its own.
        self._note("info" if connection.client and not is_held else "debug", "client_gone", connection, reason=reason)
        connection.step(ConnectionInput.ENDED)
        challengers = self.claims.release(connection)
        session = connection.session
        if session is not None:
            session.detach()
            self._cards.end(session, now)
        # When all connections end, none takes the place of another.
        for newcomer in () if self._is_stopping else challengers:
            self._identify(newcomer, now)

    # Who is it?

    def on_connect_request(self, connection: Connection, request: rspro.ConnectClientReq, tag: int, now: float) -> None:
        """A client introduces itself."""
        is_second = connection.client is not None or self.claims.is_waiting(connection)
        connection.request, connection.request_tag = request, tag
        connection.is_own = request.identity.abilities is not None
        connection.hears_slots = SLOTS in (request.identity.abilities or ())
        connection.hears_ahead = AHEAD in (request.identity.abilities or ())
        connection.returns = RESUME in (request.identity.abilities or ())
        if is_second or request.client_slot is None:
            self.answer(connection, ResultCode.ILLEGAL_CLIENT_ID)
            self.refuse(
                connection, "second connect request" if is_second else "connect request without clientSlot", now
            )
            return
        objection = self._objection(connection, request.client_slot)
        if objection:
            self._counts.impostors += 1
            self._note("warning", "client_refused", connection, claims=request.client_slot, reason=objection)
            self.answer(connection, ResultCode.ILLEGAL_CLIENT_ID)
            self.close(connection, objection, now)
            return
        if connection.proof is not None:
            self._certified.on_shown(connection.proof.identity, now)
        # The peer has said who it is; whatever takes longer now is our doing.
        self._out.append(Accepted(connection.link))
        if not self._take_back(connection, request.client_slot, now):
            self._identify(connection, now)

    # A client returns

    def on_return(self, connection: Connection, request: rspro.ResumeInd, now: float) -> None:
        """A client announces that it returns to its session; its connect request follows."""
        if connection.state is not ConnectionState.CONNECTED_WAIT_ID or connection.returning is not None:
            self.refuse(connection, "resumeInd behind the connect request", now)
        else:
            connection.returning = request

    def _take_back(self, connection: Connection, client: ClientSlot, now: float) -> bool:
        """Let a client that has shown a token go on with its session, if it can."""
        request, connection.returning = connection.returning, None
        if request is None or not connection.returns:
            return False
        session = self._holds.find(client, request.token, connection.proof)
        if isinstance(session, SessionEnd):
            self._note("info", "session_not_resumed", connection, claims=client, cause=session.name.lower())
            self._out.append(Send(connection.link, rspro.SessionEndInd(session)))
            return False
        if session.ahead is not None and not connection.hears_ahead:
            self.refuse(connection, "it returns without ahead.1", now)
            return True
        self._put_in_place(connection, client, session.connection, now)
        connection.client = client
        for step in (ConnectionInput.IS_CLIENT, ConnectionInput.MAPPED, ConnectionInput.CARD_OPENED):
            connection.step(step)
        session.attach(connection)
        self._unserved.discard(connection)
        self.answer(connection, ResultCode.OK)
        if not self._holds.resume(session, connection, request, now):
            self.refuse(connection, f"it waits for command {request.waits_for}, which is too old", now)
            return True
        self._cards.drive(session.slot, now)
        return True

    def _put_in_place(self, connection: Connection, client: ClientSlot, old: Connection | None, now: float) -> None:
        """The client is this connection now. An older one with its session is surely dead: the token proves it."""
        if old is None:
            self.claims.claim(client, connection, connection.proof, connection.peer.host, now)
            return
        session, old.session = old.session, None
        if session is not None:
            session.connection = None
        if self.claims.hand_over(old, connection, connection.proof, connection.peer.host):
            self._out.append(Probe(connection.link, self._takeover_s))
        self.close(old, "its client has returned over another link", now)

    def on_leaving(self, connection: Connection) -> None:
        """The client ends its session with this link."""
        if connection.session is not None:
            self._holds.forget(connection.session, SessionEnd.LEAVING)

    def on_atr_taken(self, connection: Connection) -> None:
        """The client has the ATR of its card."""
        continuity = None if connection.session is None else connection.session.continuity
        if continuity is not None:
            continuity.owes_atr = False
            continuity.settle()

    def on_revoked(self, is_revoked: Callable[[int], bool], now: float) -> None:
        """Certificates were revoked, by their serial numbers: nobody returns with one of them."""
        for session in self._holds.detached():
            proof = None if session.continuity is None else session.continuity.proof
            if proof is not None and is_revoked(proof.serial):
                self._holds.end_detached(session, SessionEnd.NOT_TRUSTED, now)
        for connection in list(self.connections.values()):
            if connection.proof is not None and is_revoked(connection.proof.serial) and connection.session is not None:
                self._holds.say_end(connection.session, SessionEnd.NOT_TRUSTED)

    # Who is it?

    def _objection(self, connection: Connection, claimed: ClientSlot) -> str:
        """What the peer's certificate, or the lack of one, has against what it says it is; nothing if it is right."""
        proof = connection.proof
        if proof is None:
            return self._certified.objection(claimed)
        return "" if proof.identity.covers(claimed) else f"its certificate is for {proof.identity}, not for {claimed}"

    def close_plain(self, now: float) -> None:
        """End the connections without TLS of clients that, as is known now, have a certificate."""
        for session in self._holds.detached():
            if session.continuity is not None and session.continuity.proof is None:
                if self._certified.objection(session.client):
                    self._holds.end_detached(session, SessionEnd.NOT_TRUSTED, now)
        plain = [connection for connection in self.connections.values() if connection.proof is None]
        # Newcomers first: they must not be let in because the one before them goes.
        for connection in sorted(plain, key=lambda connection: not self.claims.is_waiting(connection)):
            claimed = connection.request.client_slot if connection.request is not None else connection.client
            objection = "" if claimed is None else self._certified.objection(claimed)
            if objection:
                self._note("warning", "plain_session_ended", connection, claims=claimed, reason=objection)
                self.answer(connection, ResultCode.ILLEGAL_CLIENT_ID)
                self.close(connection, objection, now, cause=SessionEnd.NOT_TRUSTED)

    def _identify(self, connection: Connection, now: float) -> None:
        """Accept the peer as the client that it says it is, unless another connection with that identity lives."""
        client = connection.request.client_slot if connection.request is not None else None
        assert client is not None
        verdict = self.claims.claim(client, connection, connection.proof, connection.peer.host, now)
        if verdict is ClaimVerdict.HOLDS:
            self._admit(connection, client, now)
            return
        if verdict is ClaimVerdict.TOO_MANY:
            self._counts.limits.reached(LimitName.CHALLENGERS)
            self.answer(connection, ResultCode.IDENTITY_IN_USE)
            self.close(connection, f"more than {MAX_CHALLENGERS} claim to be {client}", now)
            return
        holder = self.claims.holder(client)
        assert holder is not None
        peers = {"old_peer": holder.peer, "new_peer": connection.peer}
        self._out.append(LogEvent("info", "duplicate_client", None, client, peers))
        if verdict is ClaimVerdict.TAKES_OVER:
            # The same certificate: the client has come back, and knows better than we whether the old link is alive.
            self.close(holder, "its holder has connected anew", now, cause=SessionEnd.REPLACED)
        elif verdict is ClaimVerdict.PROBE:
            self._out.append(Probe(holder.link, self._takeover_s))

    def on_probe_answered(self, connection: Connection, now: float) -> None:
        """The older connection lives, so newcomers with its identity are turned away."""
        for refused in self.claims.on_alive(connection, now):
            newcomer = refused.who
            self._counts.duplicate_clients += 1
            if refused.reason is ClaimRefusal.CONTESTED:
                self._say_contest(connection, newcomer)
            self.answer(newcomer, ResultCode.IDENTITY_IN_USE)
            self.close(newcomer, f"{connection.client} is connected from {connection.peer}", now)

    def _say_contest(self, holder: Connection, newcomer: Connection) -> None:
        """Two programs with one certificate, both alive: say so at all three places."""
        texts = contest_texts(str(holder.client), str(holder.peer), str(newcomer.peer))
        for connection, text in zip((holder, newcomer), texts, strict=True):
            if connection.is_own:
                self._out.append(Send(connection.link, error_ind(text, None, holder.client)))
        self._note("error", "client_contested", holder, newcomer=newcomer.peer, hint=CONTEST_HINT)

    def _admit(self, connection: Connection, client: ClientSlot, now: float) -> None:
        """Attach it to its card; without a mapping it is told so, stays, and waits for one."""
        connection.client = client
        connection.step(ConnectionInput.IS_CLIENT)
        # It has no token, so it was restarted, and knows nothing of what the card has done.
        self._holds.end_of_client(client, SessionEnd.REPLACED, now)
        mapping = self._mappings.of_client(client)
        if mapping is not None:
            self._attach(connection, mapping, now)
            return
        connection.step(ConnectionInput.NOT_MAPPED)
        self._note("info", "client_not_mapped", connection)
        self.answer(connection, ResultCode.UNKNOWN_SLOTMAP)

    def answer(self, connection: Connection, result: ResultCode) -> None:
        """Answer the connect request, if that is still due."""
        if connection.request is None:
            return
        if not connection.is_own and result not in _CLASSIC_RESULTS:
            result = ResultCode.CARD_NOT_PRESENT
        connection.request = None
        self._deadlines.cancel(connection)
        self._out.append(Send(connection.link, rspro.ConnectClientRes(self._identity, result), connection.request_tag))

    # Mappings

    def on_mapping_created(self, mapping: SlotMapping, now: float) -> None:
        """A client that waits for it is served at once."""
        connection = self.claims.holder(mapping.client)
        # A newcomer that got in when an older mapping's client was closed has found the new mapping by itself.
        if connection is not None and connection.session is None:
            self._attach(connection, mapping, now)

    def on_mapping_removed(self, mapping: SlotMapping, now: float) -> None:
        """Its client is disconnected and the card powered off."""
        connection = self.claims.holder(mapping.client)
        if connection is not None:
            connection.step(ConnectionInput.UNMAPPED)
            self.close(connection, "mapping removed", now, cause=SessionEnd.UNMAPPED)
        self._holds.end_of_client(mapping.client, SessionEnd.UNMAPPED, now)

    def _attach(self, connection: Connection, mapping: SlotMapping, now: float) -> None:
        connection.step(ConnectionInput.MAPPED)
        self._cards.begin(mapping).attach(connection)
        self._unserved.discard(connection)
        self._note("info", "client_mapped", connection)
        if connection.request is not None:
            self._deadlines.set(connection, now + CONNECT_ANSWER_S)
        self._cards.drive(self._cards.positions[mapping.bank.slot_nr], now)

    # Commands of clients

    def on_tpdu(self, connection: Connection, message: rspro.TpduModemToCard, tag: int, now: float) -> None:
        """A command that arrived as a message; those that the link recognises go to the session without one."""
        session = connection.session
        if session is None:
            self.refuse(connection, "command without a card", now)
        elif session.is_in_service and not _is_of(session, message):
            reason = f"command from {message.from_client_slot} to {message.to_bank_slot}"
            self.refuse(connection, reason, now)
        else:
            response = session.entry(tag, message.data, Origin.MODEM, now)
            if response is not None:
                session.answer(tag, response)

    def on_used(self, connection: Connection, used: Used, now: float) -> None:
        """The client says which answers ahead it used; in its place among its commands."""
        session = connection.session
        if session is None or session.ahead is None:
            return
        if session.queue:
            session.enqueue(used, now)
        else:
            session.ahead.on_used(used)

    def on_status(self, connection: Connection, status: SlotPhysStatus, tag: int, now: float) -> None:
        """The modem's lines changed (9.4). Slots in the message are not checked.

        Nothing is answered, unless the client can return: it has to know what arrived.
        """
        session = connection.session
        if session is not None and session.continuity is not None:
            if not self._note_lines(connection, session, session.continuity, status, tag, now):
                return
        kind = connection.edges.on_status(status)
        if kind is None or session is None or not session.is_in_service:
            return
        session.enqueue(kind, now)
        self._cards.drive(session.slot, now)

    def _note_lines(
        self,
        connection: Connection,
        session: CardSession,
        continuity: Continuity,
        status: SlotPhysStatus,
        tag: int,
        now: float,
    ) -> bool:
        """Answer a change of lines. False: it has come before, or is out of order."""
        continuity.settle()
        standing = continuity.ledger.take_lines(tag)
        if standing not in (Standing.NEW, Standing.ANSWERED):
            self.refuse(connection, f"lines with tag {tag}: {standing.value}", now)
            return False
        told = replace(status, card_present=True)
        answer = rspro.BankSlotStatusInd(session.slot.bank_slot, session.client, told)
        self._out.append(Send(connection.link, answer, tag))
        is_new = standing is Standing.NEW
        if is_new and (status.reset_active or status.vcc_present is False):
            continuity.ledger.void()
        return is_new

    # The end

    def give_up_waiting(self, connection: Connection) -> None:
        """Answer a client whose card takes too long; it gets its ATR when it is there."""
        self.answer(connection, ResultCode.CARD_UNRESPONSIVE)

    def stop(self, now: float) -> None:
        """End all connections; those with a command in progress end after its answer."""
        self._is_stopping = True
        self._holds.end_all(SessionEnd.STOPPING, now)
        for connection in list(self.connections.values()):
            session = connection.session
            if session is not None and session.slot.state is CardState.BUSY and session.slot.caller is session:
                session.is_ending = True
                session.queue.clear()
            else:
                self.close(connection, "shutting down", now, cause=SessionEnd.STOPPING)

    def state_counts(self) -> dict[ConnectionState, int]:
        """Sessions by state."""
        counts = dict.fromkeys(ConnectionState, 0)
        for connection in self.connections.values():
            counts[connection.state] += 1
        return counts

    def _note(self, level: Level, event: str, connection: Connection, **fields: object) -> None:
        slot = connection.session.slot.bank_slot if connection.session is not None else None
        self._out.append(LogEvent(level, event, slot, connection.client, {"peer": connection.peer, **fields}))


def _is_of(session: CardSession, message: rspro.TpduModemToCard) -> bool:
    """Whether a command is for the card of this session, and from its client."""
    return message.to_bank_slot == session.slot.bank_slot and message.from_client_slot == session.client
