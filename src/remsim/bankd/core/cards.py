# SPDX-License-Identifier: Apache-2.0
"""The card positions of a bank without I/O: who is powered for whom, what runs, and what follows when it fails.

A position does one thing at a time and is powered off before it is given to another session. A command is never
repeated: after a fault its outcome is unknown. Connections are known to ``connections``, commands to ``session``.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from remsim.ahead.as_message import as_message
from remsim.ahead.client_side import Used
from remsim.ahead.figures import AheadFigures, LatencyFigures
from remsim.bankd.core.actions import (
    RESULT_OF_FAULT,
    BankdAction,
    CardAttached,
    CardDetached,
    CardFault,
    CloseCard,
    FaultKind,
    OpenCard,
    ResetCard,
    SendResponse,
    TraceAtr,
    TraceTpdu,
)
from remsim.bankd.core.ahead import AheadPolicy, AheadRun
from remsim.bankd.core.continuity import HoldPolicy
from remsim.bankd.core.error_reports import error_ind
from remsim.bankd.core.guarding import Guards
from remsim.bankd.core.holds import SessionHolds
from remsim.bankd.core.iccid_reader import CardNumbers, NumberListener
from remsim.bankd.core.mappings import MappingTable, SlotMapping
from remsim.bankd.core.session import BankdCounts, CardPort, CardSession, CardSlot, Connection, Due
from remsim.bankd.core.slot_reports import HealthListener, SlotReports
from remsim.bankd.core.states import BreakerState, CardEvent, CardState, ConnectionInput, HoldState
from remsim.bankd.core.tracing import SlotTraces
from remsim.card.identity import CardIdentity
from remsim.card.reset import ResetKind
from remsim.core.deadlines import Deadlines
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.log_event import Level, LogEvent
from remsim.wire.link.actions import Send
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ReaderState, ResultCode, SessionEnd, SlotPhysStatus

_REPORTED_STATE: Final = {
    BreakerState.CLOSED: ReaderState.WORKING,
    BreakerState.OPEN: ReaderState.SUSPENDED,
    BreakerState.PROBING: ReaderState.PROBING,
}
_SUSPENDED_HINT: Final = (
    "only this slot is affected; it is tried again by itself, and at once when card or reader are pulled and plugged in"
)


class ServerListener(NumberListener, HealthListener, Protocol):
    """How the server hears what it wants to know."""

    def slot_changed(self, mapping: SlotMapping, *, is_present: bool) -> None:
        """A card came or went."""
        ...

    def reader_health(self, health: rspro.ReaderHealthInd) -> None:
        """A reader is suspended, tried once more, or works again."""
        ...

    def session_changed(self, report: rspro.SessionStateInd) -> None:
        """A card session has begun, changed or ended."""
        ...

    def card_failed(self, bank_slot: BankSlot, client_slot: ClientSlot | None, text: str) -> None:
        """A command failed with unknown outcome."""
        ...


class ConnectionOwner(Protocol):
    """What cards need of the connections' owner."""

    def answer(self, connection: Connection, result: ResultCode) -> None:
        """Answer the connect request, if that is still due."""
        ...

    def close(self, connection: Connection, reason: str, now: float, *, cause: SessionEnd = SessionEnd.REFUSED) -> None:
        """End the connection, and its session, from our side; ``cause`` is for a client that could return."""
        ...

    def refuse(self, connection: Connection, reason: str, now: float) -> None:
        """End the connection because its peer broke the protocol."""
        ...


class CardSlots:
    """All card positions of one bank."""

    def __init__(
        self,
        *,
        cards: Sequence[CardPort],
        mappings: MappingTable,
        server: ServerListener,
        guards: Guards,
        out: list[BankdAction],
        counts: BankdCounts,
        traced_slots: frozenset[int],
        reads_numbers: bool,
        deadlines: Deadlines[Due],
        hold: HoldPolicy | None,
        ahead: AheadPolicy | None,
    ) -> None:
        self._mappings = mappings
        self._server = server
        self._guards = guards
        self._out = out
        self._counts = counts
        #: Set by the coordinator.
        self.owner: ConnectionOwner
        self.positions = [
            CardSlot(BankSlot(mappings.bank_id, nr), card, is_traced=nr in traced_slots)
            for nr, card in enumerate(cards)
        ]
        self.reports = SlotReports(self.positions, server=server, latency=lambda nr: as_message(self.latency(nr)))
        self.numbers = CardNumbers(self.positions, server=server, out=out, is_enabled=reads_numbers)
        self._deadlines = deadlines
        #: Of positions that somebody watches.
        self.traces = SlotTraces(self.positions, fixed=traced_slots, out=out, deadlines=deadlines, limits=counts.limits)
        #: What sessions that begin are answered ahead by; None: nothing.
        self.ahead = ahead
        self.holds = SessionHolds(
            hold,
            positions=self.positions,
            cards=self,
            out=out,
            deadlines=deadlines,
            server=server,
            reports=self.reports,
        )

    def is_card_present(self, slot_nr: int) -> bool:
        """There is a card in that slot's reader, as far as the reader tells."""
        return self.positions[slot_nr].is_present

    def breaker_counts(self) -> dict[BreakerState, int]:
        """Card positions by the state of their breakers."""
        counts = dict.fromkeys(BreakerState, 0)
        for position in self.positions:
            counts[position.breaker.state] += 1
        return counts

    def state_counts(self) -> dict[CardState, int]:
        """Card positions by state."""
        counts = dict.fromkeys(CardState, 0)
        for position in self.positions:
            counts[position.state] += 1
        return counts

    def latency(self, slot_nr: int) -> LatencyFigures:
        """Where the time of a slot's commands went, since the start."""
        position = self.positions[slot_nr]
        usage, session = position.usage, position.powered_for
        run = None if session is None else session.ahead
        ahead = usage.ahead if run is None else usage.ahead + run.figures
        return LatencyFigures(
            commands=usage.commands,
            round_trips=usage.commands - ahead.hits,
            card_s=usage.card_s,
            hold_s=usage.held_s,
            round_trip_s=None if run is None else run.round_trip_s or None,
            ahead=ahead,
        )

    # Sessions begin and end

    def begin(self, mapping: SlotMapping) -> CardSession:
        """A session on the card of this mapping; ``drive`` is to be called when its connection is attached."""
        slot = self.positions[mapping.bank.slot_nr]
        slot.session = session = CardSession(slot, mapping.client, owner=self, out=self._out, counts=self._counts)
        return session

    def end(self, session: CardSession, now: float) -> None:
        """The session is over; its card is powered off when it is idle."""
        self.holds.report_end(session, now)
        session.slot.session = None
        self.drive(session.slot, now)

    def in_service(self) -> Iterator[CardSession]:
        """The sessions whose client has its card."""
        return (slot.session for slot in self.positions if slot.session is not None and slot.session.is_in_service)

    # SessionOwner

    def on_fault(self, slot: CardSlot, fault: CardFault, now: float) -> None:
        """A command failed at once."""
        self.on_card_failed(slot.slot_nr, fault, now)

    def refuse(self, session: CardSession, reason: str, now: float) -> None:
        """The client of this session broke the protocol."""
        if session.connection is not None:
            self.owner.refuse(session.connection, reason, now)
        elif session.state is HoldState.DETACHED:
            self.holds.end_detached(session, SessionEnd.REFUSED, now)

    def on_recovered(self, slot: CardSlot) -> None:
        """A card that has failed answers again."""
        failures = slot.breaker.failures
        slot.record.recoveries += 1
        if slot.breaker.on_answered():
            self._note("info", "reader_recovered", slot, reader=slot.reader, failures=failures, by="a command")
            self._report(slot)

    def report_readers(self) -> None:
        """There is an active server: it hears which readers do not work."""
        for position in self.positions:
            if position.breaker.state is not BreakerState.CLOSED:
                self._report(position)

    def _report(self, position: CardSlot) -> None:
        breaker = position.breaker
        failures = min(breaker.failures, rspro.MAX_FAILURES)
        cause = breaker.fault.value if failures else None
        state = _REPORTED_STATE[breaker.state]
        self._server.reader_health(rspro.ReaderHealthInd(position.bank_slot, state, failures, cause))

    # What the card says

    def on_card_opened(self, slot_nr: int, atr: bytes, now: float) -> None:
        """The card is powered."""
        position = self.positions[slot_nr]
        position.step(CardEvent.OPENED)
        position.atr, position.fault = atr, None
        position.record.on_opened(atr)
        self.reports.on_changed(position, now)
        session = position.powered_for = position.session
        connection = session.connection if session is not None else None
        if session is not None and connection is not None and self._may_serve(position, session):
            self._enter_service(position, session, connection, now)
        self.drive(position, now)

    def _enter_service(self, position: CardSlot, session: CardSession, connection: Connection, now: float) -> None:
        connection.step(ConnectionInput.CARD_OPENED)
        if self.ahead is not None and connection.hears_ahead and self.ahead.allows(position.slot_nr):
            session.ahead = AheadRun(session, self.ahead, owner=self, out=self._out, counts=self._counts)
        self._guards.begin(session)
        is_late = connection.request is None
        self.owner.answer(connection, ResultCode.OK)
        self.holds.offer(session, connection)
        self.holds.report(session, now)
        self._send_atr(session, position)
        if is_late and connection.hears_slots:
            self._send_presence(session, is_present=True)
        self._out.append(CardAttached(connection.link, session.client, position.bank_slot, session.entry))
        self._note("info", "card_in_service", position, reader=position.reader)

    def on_card_response(self, slot_nr: int, response: bytes, now: float) -> SendResponse | None:
        """The answer to the command that runs; it is to be sent before all other actions."""
        position = self.positions[slot_nr]
        session = position.caller
        assert session is not None
        answer = session.complete(response) if session.ahead is None else session.ahead.complete(response, now)
        if (
            position.session is not session
            or not position.is_present
            or session.queue
            or session.is_ending
            or not session.is_in_service
        ):
            # Nearly never: something is due after this command.
            self.drive(position, now)
        return answer

    def on_card_reset(self, slot_nr: int, atr: bytes, now: float) -> None:
        """The reset that ran is done; a changed ATR is passed on."""
        position = self.positions[slot_nr]
        position.step(CardEvent.DONE)
        self._counts.resets += 1
        position.record.resets += 1
        has_changed = atr != position.atr
        position.atr, position.caller = atr, None
        position.record.atr = atr
        session = position.powered_for
        if session is not None and session.guard is not None:
            session.guard.on_reset()
        if session is not None and session.ahead is not None:
            session.ahead.on_reset()
        if session is not None and session is position.session and has_changed:
            self._send_atr(session, position)
        self.drive(position, now)

    def on_card_failed(self, slot_nr: int, fault: CardFault, now: float) -> None:
        """The operation that ran failed. A command is never repeated: whether the card executed it is unknown."""
        position = self.positions[slot_nr]
        self._counts.faults[fault.kind] += 1
        position.record.on_fault(fault.kind, now)
        self.reports.on_changed(position, now)
        if position.state is CardState.OPENING:
            self._on_open_failed(position, fault, now)
            return
        session, position.caller = position.caller, None
        client_slot = session.client if session is not None else None
        fields = {"during": "reset" if position.tpdu is None else "command", "error": fault.text}
        self._out.append(LogEvent("warning", "card_fault", position.bank_slot, client_slot, fields))
        if position.is_traced and position.tpdu is not None:
            label = b"" if session is None else session.label
            self._out.append(TraceTpdu(slot_nr, position.tpdu, None, session=label, tag=position.tag))
        position.step(CardEvent.FAULT)
        self._server.card_failed(position.bank_slot, client_slot, fault.text)
        self._count_failure(position, fault, now, was_in_service=True)
        if session is not None and session is position.session:
            self._lose_card(session, "card fault", now)
        self._power_off(position)

    def _on_open_failed(self, position: CardSlot, fault: CardFault, now: float) -> None:
        position.step(CardEvent.OPEN_FAILED)
        if fault.kind is not FaultKind.PROTOCOL:
            self._count_failure(position, fault, now)
            self._deadlines.set(position, position.breaker.next_try)
        elif position.breaker.on_unfit(fault.kind):
            # Nothing but another card mends that one.
            self._report(position)
        self._tell_fault(position, fault)
        self._answer(position.session, RESULT_OF_FAULT[fault.kind])
        self.drive(position, now)

    def _tell_fault(self, position: CardSlot, fault: CardFault) -> None:
        """Note why a card is not powered, and tell people what only they can mend."""
        is_new, position.fault = position.fault is not fault.kind, fault.kind
        event = "reader_busy" if fault.kind is FaultKind.BUSY else "card_not_powered"
        self._note("warning" if is_new else "debug", event, position, reader=position.reader, error=fault.text)
        if is_new and fault.kind is FaultKind.BUSY:
            # No result code says so, and it is for people to mend: they hear it in words, at both ends.
            text = f"{fault.kind.value}: {fault.text}"
            client = position.session.client if position.session is not None else None
            self._server.card_failed(position.bank_slot, client, text)
            self._tell_client(position, text)

    def _count_failure(self, position: CardSlot, fault: CardFault, now: float, *, was_in_service: bool = False) -> None:
        breaker = position.breaker
        if breaker.on_failure(fault.kind, now, was_in_service=was_in_service):
            fields = {"reader": position.reader, "failures": breaker.failures, "error": fault.text}
            next_s = round(breaker.next_try - now, 1)
            self._note("warning", "reader_suspended", position, **fields, next_try_s=next_s, hint=_SUSPENDED_HINT)
        if breaker.state is BreakerState.OPEN:
            self._report(position)

    def on_card_closed(self, slot_nr: int, now: float) -> None:
        """The card is powered off; a session may wait for it, also the one that had it before a fault."""
        position = self.positions[slot_nr]
        position.step(CardEvent.CLOSED)
        position.powered_for, position.atr = None, b""
        self.drive(position, now)

    def on_card_number(
        self,
        slot_nr: int,
        iccid: str | None,
        reason: str,
        now: float,
        identity: CardIdentity | None = None,
        *,
        is_busy: bool = False,
    ) -> None:
        """The reading that ran is over, and the card powered off; a session may wait for it."""
        position = self.positions[slot_nr]
        if is_busy:
            self._put_reading_off(position, CardFault(FaultKind.BUSY, reason), now)
        else:
            self.numbers.on_number(position, iccid, reason, identity)
            position.breaker.on_free()
            position.record.on_free()
            if position.fault is FaultKind.BUSY:
                position.fault = None
        self.reports.on_changed(position, now)
        self.drive(position, now)

    def _put_reading_off(self, position: CardSlot, fault: CardFault, now: float) -> None:
        """Read the card when its reader is ours again, tried as often as for a client that waits."""
        if not self.numbers.on_busy(position):
            return
        self._counts.faults[fault.kind] += 1
        position.record.on_fault(fault.kind, now)
        self._count_failure(position, fault, now)
        self._deadlines.set(position, position.breaker.next_try)
        self._tell_fault(position, fault)

    def on_presence(self, slot_nr: int, *, is_present: bool, reader: str, cause: str, now: float) -> None:
        """A card or reader came or went; ``reader`` is the slot's reader now, empty if there is none."""
        position = self.positions[slot_nr]
        name = reader or position.reader
        position.reader = reader
        self.reports.on_changed(position, now)
        if is_present == position.is_present:
            return
        position.is_present = is_present
        position.record.on_exchange(now)
        mapping = self._mappings.of_slot(slot_nr)
        client = mapping.client if mapping is not None else None
        event = "card_present" if is_present else "card_gone"
        fields: dict[str, object] = {"reader": name, "cause": cause}
        # Without a cause it is how things stood at the start: one line for each slot would say little.
        level: Level = "info" if cause else "debug"
        self._out.append(LogEvent(level, event, position.bank_slot, client, fields))
        if mapping is not None:
            self._server.slot_changed(mapping, is_present=is_present)
        self.numbers.on_presence(position)
        position.fault, failures = None, position.breaker.failures
        if position.breaker.on_exchange():
            self._note("info", "reader_recovered", position, reader=name, failures=failures, by=cause)
            self._report(position)
        if is_present:
            self.retry(position)
            self.numbers.go_on()
        else:
            self._deadlines.cancel(position)
            self.drive(position, now)

    def on_ahead_turn(self, slot_nr: int, now: float) -> None:
        """A turn of the loop in which a guess may run."""
        position = self.positions[slot_nr]
        session = position.session
        if session is not None and session.ahead is not None and session.ahead.on_turn(now):
            self.drive(position, now)

    # Cards

    def drive(self, position: CardSlot, now: float) -> None:
        """Let an idle position do what is due."""
        while position.state is CardState.READY:
            # A card that answers at once is idle again.
            if not self._go_on(position, now):
                return
        if position.state is CardState.OFF:
            if position.session is not None:
                self._begin_to_open(position, position.session, now)
            self.numbers.go_on()
        elif position.state is CardState.WAITING and position.session is None:
            position.step(CardEvent.RELEASED)
            if self.numbers.is_put_off(position):
                self._deadlines.set(position, position.breaker.next_try)
            else:
                self._deadlines.cancel(position)
            self.numbers.go_on()

    def _go_on(self, position: CardSlot, now: float) -> bool:
        """Let a powered card do what waits; False if there is nothing."""
        session = position.session
        if session is None or session is not position.powered_for or not self._may_serve(position, session):
            position.step(CardEvent.RELEASED)
            if session is not None and session.is_in_service:
                self._lose_card(session, "card removed", now)
            self._power_off(position)
        elif session.is_ending and session.connection is not None:
            self.owner.close(session.connection, "shutting down", now, cause=SessionEnd.STOPPING)
        elif session.queue:
            if session.ahead is not None and session.ahead.is_unsettled:
                return False
            command = session.queue.popleft()
            if isinstance(command, ResetKind):
                self._reset(position, session, command)
            elif isinstance(command, Used):
                if session.ahead is not None:
                    session.ahead.on_used(command)
            else:
                session.run_queued(command, now)
        else:
            return False
        return True

    def _may_serve(self, position: CardSlot, session: CardSession) -> bool:
        """Whether the card that is powered is the one for this session: not gone, nor exchanged during powering up."""
        return position.is_present and (session.is_in_service or not self.numbers.is_due(position))

    def _begin_to_open(self, position: CardSlot, session: CardSession, now: float) -> None:
        breaker = position.breaker
        if position.is_present and now < breaker.next_try:
            position.step(CardEvent.NOT_YET)
            self._deadlines.set(position, breaker.next_try)
            self._answer(session, RESULT_OF_FAULT[breaker.fault])
            return
        if position.is_present:
            self._read_or_open(position, CardEvent.WANTED)
            return
        position.step(CardEvent.NO_CARD)
        position.fault = FaultKind.NO_CARD if position.reader else FaultKind.NO_READER
        if session.connection is not None and session.connection.request is not None:
            self._note("warning", "card_missing", position, reader=position.reader or None)
        self._answer(session, RESULT_OF_FAULT[position.fault])

    def _read_or_open(self, position: CardSlot, event: CardEvent) -> None:
        if self.numbers.is_due(position):
            self.numbers.begin(position)
        else:
            position.step(event)
            position.breaker.on_try()
            if position.breaker.state is BreakerState.PROBING:
                self._report(position)
            self._out.append(OpenCard(position.slot_nr))

    def _reset(self, position: CardSlot, session: CardSession, kind: ResetKind) -> None:
        position.step(CardEvent.COMMAND)
        position.caller, position.tpdu = session, None
        self._note("info", "card_reset", position, kind=kind.value)
        self._out.append(ResetCard(position.slot_nr, kind))

    def _power_off(self, position: CardSlot) -> None:
        """Its guard goes with the card's power: what is selected is forgotten."""
        session = position.powered_for
        if session is not None:
            session.guard = None
            if session.ahead is not None:
                session.ahead.on_reset()
                self._end_ahead(position, session, session.ahead.figures)
        self._out.append(CloseCard(position.slot_nr))

    def _end_ahead(self, position: CardSlot, session: CardSession, figures: AheadFigures) -> None:
        session.ahead = None
        position.usage.ahead += figures
        if figures.guesses:
            event = LogEvent("info", "answered_ahead", position.bank_slot, session.client, figures.shown())
            self._out.append(event)

    def retry(self, position: CardSlot) -> None:
        """Try again to power a card that is wanted, or to read one that nobody wants."""
        self._deadlines.cancel(position)
        self.numbers.on_due(position)
        if position.state is CardState.WAITING:
            self._read_or_open(position, CardEvent.RETRY)
        elif position.state is CardState.OFF:
            self.numbers.go_on()

    def _lose_card(self, session: CardSession, reason: str, now: float) -> None:
        """A modem must not be left with a dead card that claims to be present."""
        session.queue.clear()
        connection = session.connection
        if connection is None:
            if session.state is HoldState.DETACHED:
                self.holds.end_detached(session, SessionEnd.CARD_GONE, now)
            return
        self.holds.forget(session, SessionEnd.CARD_GONE)
        self.holds.report_end(session, now)
        connection.step(ConnectionInput.CARD_LOST)
        if connection.hears_slots and not session.is_ending:
            self._out.append(CardDetached(connection.link))
            self._send_presence(session, is_present=False)
        else:
            self.owner.close(connection, reason, now)

    def report_sessions(self, now: float) -> None:
        """Tell the active server of all sessions in service."""
        for session in self.in_service():
            self.holds.report(session, now)

    # What clients hear

    def _answer(self, session: CardSession | None, result: ResultCode) -> None:
        """Answer the connect request of the session's client, if that is still due."""
        if session is not None and session.connection is not None:
            self.owner.answer(session.connection, result)

    def _send(self, session: CardSession, message: rspro.Message) -> None:
        if session.connection is not None:
            self._out.append(Send(session.connection.link, message))

    def _send_atr(self, session: CardSession, position: CardSlot) -> None:
        if session.continuity is not None:
            session.continuity.owes_atr = True
        self._send(session, rspro.SetAtrReq(session.client, position.atr))
        if position.is_traced:
            self._out.append(TraceAtr(position.slot_nr, position.atr))

    def _send_presence(self, session: CardSession, *, is_present: bool) -> None:
        status = SlotPhysStatus(reset_active=False, card_present=is_present)
        self._send(session, rspro.BankSlotStatusInd(session.slot.bank_slot, session.client, status))

    def _tell_client(self, position: CardSlot, text: str) -> None:
        """Tell an own client something in words; a classic one would make nothing of it."""
        session = position.session
        if session is not None and session.connection is not None and session.connection.is_own:
            severity = rspro.ErrorSeverity.MINOR
            self._send(session, error_ind(text, position.bank_slot, session.client, severity=severity))

    def _note(self, level: Level, event: str, position: CardSlot, **fields: object) -> None:
        client = position.session.client if position.session is not None else None
        self._out.append(LogEvent(level, event, position.bank_slot, client, fields))
