# SPDX-License-Identifier: Apache-2.0
"""Holds card sessions whose link is lost, without I/O: who may return, what is due then, and when it is too late.

A session can be held once its card is powered for a client that can return (ability ``resume.1``). When its link is
lost, it is DETACHED: the card goes on with the command in progress, and the ledger keeps its response. Within the hold
time the client returns over another link, with the token. ``connections`` has the connections
themselves.
"""

from typing import Final, Protocol

from remsim.bankd.core.actions import BankdAction, CardAttached
from remsim.bankd.core.continuity import Continuity, HoldCounts, HoldPolicy
from remsim.bankd.core.session import CardSession, CardSlot, Connection, Due
from remsim.bankd.core.slot_reports import SlotReports
from remsim.bankd.core.states import HoldEvent, HoldState
from remsim.core.deadlines import Deadlines
from remsim.core.identity import Proof
from remsim.core.ids import ClientSlot
from remsim.core.log_event import LogEvent
from remsim.core.text import counted
from remsim.session.hold import Hold, HoldTimes
from remsim.session.ledger import Standing
from remsim.wire.link.actions import Send
from remsim.wire.messages import rspro
from remsim.wire.messages.health import SessionPhase
from remsim.wire.messages.rspro import (
    MAX_HOLD_MS,
    MAX_OPERATION_TAG,
    SessionEnd,
    SessionEndInd,
    SessionInd,
    SessionStateInd,
)

_PHASES: Final = {
    HoldState.ATTACHED: SessionPhase.ATTACHED,
    HoldState.RESUMABLE: SessionPhase.RESUMABLE,
    HoldState.DETACHED: SessionPhase.DETACHED,
}


class SessionEnder(Protocol):
    """What holds need of the card positions' owner."""

    def end(self, session: CardSession, now: float) -> None:
        """The session is over; its card is powered off when it is idle."""
        ...

    def drive(self, position: CardSlot, now: float) -> None:
        """Let an idle position do what is due."""
        ...


class SessionListener(Protocol):
    """How the server hears of sessions."""

    def session_changed(self, report: SessionStateInd) -> None:
        """A card session has begun, changed or ended."""
        ...


class SessionHolds:
    """All sessions of one bank that can be held, or are. ``policy`` None: none can."""

    def __init__(
        self,
        policy: HoldPolicy | None,
        *,
        positions: list[CardSlot],
        cards: SessionEnder,
        out: list[BankdAction],
        deadlines: Deadlines[Due],
        server: SessionListener,
        reports: SlotReports,
    ) -> None:
        self._policy = policy
        self._positions = positions
        self._cards = cards
        self._out = out
        self._deadlines = deadlines
        self._server = server
        self._reports = reports
        # By client, the session that it may return to, and the slot of the last one that is over: a thousand that
        # return together must not cost a search of all slots each.
        self._live: dict[ClientSlot, CardSession] = {}
        self._over: dict[ClientSlot, CardSlot] = {}
        self.counts = HoldCounts()

    def detached(self) -> list[CardSession]:
        """The sessions that are held just now."""
        found = (position.session for position in self._positions)
        return [session for session in found if session is not None and session.state is HoldState.DETACHED]

    # What the server hears

    def report(self, session: CardSession, now: float, *, is_new: bool = False) -> None:
        """Tell the server how a session in service stands; ``is_new``: it has changed just now."""
        if is_new or session.since is None:
            session.since = now
        age_ms = min(MAX_OPERATION_TAG, round((now - session.since) * 1000))
        self._tell(session, _PHASES[session.state], age_ms, now)

    def report_end(self, session: CardSession, now: float) -> None:
        """Tell the server that a session is over, if it was told of it."""
        if session.since is not None:
            session.since = None
            self._tell(session, SessionPhase.NONE, 0, now)

    def _tell(self, session: CardSession, phase: SessionPhase, age_ms: int, now: float) -> None:
        report = SessionStateInd(session.slot.bank_slot, session.client, phase, age_ms, session.cuts)
        self._server.session_changed(report)
        self._reports.on_changed(session.slot, now)

    # A session begins

    def offer(self, session: CardSession, connection: Connection) -> None:
        """The card is powered for this session: from now on it outlives its link, if its client can return."""
        policy = self._policy
        if policy is None or not connection.returns or not policy.allows(connection.proof, session.slot.reader):
            return
        continuity = Continuity(session.client, connection.proof, connection.edges, random=policy.random)
        session.continuity = continuity
        self._live[session.client] = session
        session.step(HoldEvent.OFFERED)
        token = continuity.tokens.issue()
        self._out.append(Send(connection.link, _told(token, policy.times)))

    # The link is lost

    def may_hold(self, session: CardSession) -> bool:
        """Whether the session goes on without its link."""
        return session.state is HoldState.RESUMABLE and session.is_in_service and not session.is_ending

    def begin(self, session: CardSession, reason: str, now: float) -> None:
        """The link is lost, and the client may come back."""
        continuity, policy, connection = session.continuity, self._policy, session.connection
        assert continuity is not None
        assert policy is not None
        assert connection is not None
        waiting = session.waiting
        session.connection = connection.session = None
        session.step(HoldEvent.LINK_LOST)
        if session.ahead is not None:
            session.ahead.on_detached()
        continuity.hold = Hold(policy.times, now, now if waiting else None)
        self._deadlines.set(session, continuity.hold.deadline)
        self.counts.cuts += 1
        session.cuts += 1
        self.report(session, now, is_new=True)
        fields = {"peer": connection.peer, "reason": reason, "detail": f"{counted(waiting, 'command')} in progress"}
        self._out.append(LogEvent("info", "session_held", session.slot.bank_slot, session.client, fields))

    # The client returns

    def find(self, client: ClientSlot, token: bytes, proof: Proof | None) -> CardSession | SessionEnd:
        """The session that this token is for; or why there is none."""
        session = self._live.get(client)
        if session is not None and session.slot.session is session and session.continuity is not None:
            if session.continuity.tokens.prove(token, client, proof):
                return session
        position = self._over.get(client)
        if position is not None and position.ended is not None and position.ended[0].prove(token, client, proof):
            return position.ended[1]
        return SessionEnd.UNKNOWN

    def resume(self, session: CardSession, connection: Connection, request: rspro.ResumeInd, now: float) -> bool:
        """The client is back on this connection, which has just been attached. False: what it asks for cannot be.

        The connect request has been answered.
        """
        continuity, policy = session.continuity, self._policy
        assert continuity is not None
        assert policy is not None
        hold = continuity.hold
        self._deadlines.cancel(session)
        session.step(HoldEvent.RETURNED)
        ledger = continuity.ledger
        standing = ledger.resume(request.waits_for)
        if standing is Standing.MISORDERED:
            return False
        session.drop_void(request.waits_for)
        connection.edges = continuity.edges
        # The certificate may have been renewed: it is the new one whose revocation counts from now on.
        continuity.proof = connection.proof
        continuity.go_on(request.waits_for)
        token = continuity.tokens.issue(request.token)
        link, slot = connection.link, session.slot
        self._out.append(Send(link, _told(token, policy.times, last_tag=ledger.last or 0, is_resumed=True)))
        if continuity.owes_atr:
            self._out.append(Send(link, rspro.SetAtrReq(session.client, slot.atr)))
        if session.ahead is not None:
            # A link that was still thought to be alive is lost all the same.
            session.ahead.on_detached()
            session.ahead.on_attached()
        self._out.append(CardAttached(link, session.client, slot.bank_slot, session.entry))
        self._count(slot, hold, standing, now)
        if hold is not None:
            self.report(session, now, is_new=True)
        held = "taken over" if hold is None else f"held {hold.age(now):.1f} s"
        fields = {
            "peer": connection.peer,
            "detail": f"{held}, {counted(session.waiting, 'command')} in progress, card undisturbed",
        }
        self._out.append(LogEvent("info", "session_resumed", slot.bank_slot, session.client, fields))
        if standing is Standing.ANSWERED and ledger.response is not None and request.waits_for is not None:
            session.answer(request.waits_for, ledger.response)
        return True

    def _count(self, slot: CardSlot, hold: Hold | None, standing: Standing, now: float) -> None:
        if hold is None:
            self.counts.taken_over += 1
        else:
            self.counts.resumed += 1
            slot.usage.held_s += hold.age(now)
            self.counts.longest_s = max(self.counts.longest_s, hold.age(now))
        self.counts.suppressed += standing is not Standing.NEW

    # The end

    def end_detached(self, session: CardSession, cause: SessionEnd, now: float) -> None:
        """A session that is held does not go on. Its card is powered off when it is idle."""
        continuity = session.continuity
        assert continuity is not None
        assert continuity.hold is not None
        self._deadlines.cancel(session)
        self.counts.ended[cause] = self.counts.ended.get(cause, 0) + 1
        age = continuity.hold.age(now)
        session.slot.usage.held_s += age
        fields = {
            "cause": cause.name.lower(),
            "detail": f"held {age:.1f} s, {counted(session.waiting, 'command')} lost",
        }
        self._out.append(LogEvent("warning", "session_lost", session.slot.bank_slot, session.client, fields))
        self.forget(session, cause)
        session.queue.clear()
        self._cards.end(session, now)

    def say_end(self, session: CardSession, cause: SessionEnd) -> None:
        """The session ends with its link, which we are about to close: the client is not to wait for another one."""
        if session.state is HoldState.RESUMABLE:
            if session.connection is not None:
                self._out.append(Send(session.connection.link, SessionEndInd(cause)))
            self.forget(session, cause)

    def forget(self, session: CardSession, cause: SessionEnd) -> None:
        """The session cannot be taken up again; its client will be told why if it tries."""
        continuity, slot = session.continuity, session.slot
        if continuity is None:
            return
        if self._live.get(session.client) is session:
            del self._live[session.client]
        if slot.ended is not None and self._over.get(slot.ended[0].client) is slot:
            del self._over[slot.ended[0].client]
        slot.ended = (continuity.tokens, cause)
        self._over[session.client] = slot
        session.continuity = None
        session.step(HoldEvent.OVER)

    def on_hold_over(self, session: CardSession, now: float) -> None:
        """Its client was away for too long."""
        self.end_detached(session, SessionEnd.HOLD_OVER, now)

    def end_of_client(self, client: ClientSlot, cause: SessionEnd, now: float) -> None:
        """Nobody returns to what this client had."""
        for session in self.detached():
            if session.client == client:
                self.end_detached(session, cause, now)

    def end_all(self, cause: SessionEnd, now: float) -> None:
        """None of those that are held goes on."""
        for session in self.detached():
            self.end_detached(session, cause, now)


def _told(token: bytes, times: HoldTimes, *, last_tag: int = 0, is_resumed: bool = False) -> SessionInd:
    idle, busy = (min(MAX_HOLD_MS, round(seconds * 1000)) for seconds in (times.idle_s, times.busy_s))
    return SessionInd(is_resumed=is_resumed, token=token, hold_idle_ms=idle, hold_busy_ms=busy, last_tag=last_tag)
