# SPDX-License-Identifier: Apache-2.0
"""The card positions of a bank without I/O: who is powered for whom, what runs, and what follows when it fails.

A position does one thing at a time and is powered off before it is given to somebody else. A command is never
repeated: after a fault its outcome is unknown. Who the sessions are is ``clients``'s business.
"""

from typing import Final, Protocol

from remsim.bankd.core.actions import (
    RESULT_OF_FAULT,
    BankdAction,
    CardAttached,
    CardDetached,
    CloseCard,
    FaultKind,
    Level,
    Notice,
    OpenCard,
    ResetCard,
    TraceAtr,
    TraceTpdu,
    Transmit,
)
from remsim.bankd.core.error_reports import error_ind
from remsim.bankd.core.iccid_reader import CardNumbers, NumberNews
from remsim.bankd.core.mappings import Mapping, MappingTable
from remsim.bankd.core.session import BankdCounts, CardSlot, QueuedTpdu, Session
from remsim.bankd.core.states import CardEvent, CardState, SessionEvent, SessionState
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.link.actions import Send
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ResultCode, SlotPhysStatus

#: Delays before a card that is there, but could not be powered, is tried again; the last one repeats.
RETRY_DELAYS_S: Final = (1.0, 2.0, 4.0, 8.0)


class ServerNews(NumberNews, Protocol):
    """How the server hears what it wants to know."""

    def slot_changed(self, mapping: Mapping, *, is_present: bool) -> None:
        """A card came or went."""
        ...

    def card_failed(self, bank_slot: BankSlot, client_slot: ClientSlot | None, text: str) -> None:
        """A command failed with unknown outcome."""
        ...


class SessionOwner(Protocol):
    """What cards need of the sessions' owner."""

    def answer(self, session: Session, result: ResultCode) -> None:
        """Answer the connect request, if that is still due."""
        ...

    def close(self, session: Session, reason: str, now: float) -> None:
        """End the session from our side."""
        ...


class CardSlots:
    """All card positions of one bank."""

    def __init__(
        self,
        *,
        mappings: MappingTable,
        server: ServerNews,
        out: list[BankdAction],
        counts: BankdCounts,
        traced_slots: frozenset[int],
        reads_numbers: bool,
    ) -> None:
        self._mappings = mappings
        self._server = server
        self._out = out
        self._counts = counts
        self._traced_slots = traced_slots
        #: Set by the sessions' owner.
        self.owner: SessionOwner
        self.positions = [CardSlot(BankSlot(mappings.bank_id, nr)) for nr in range(mappings.slots)]
        self.numbers = CardNumbers(self.positions, server=server, out=out, is_enabled=reads_numbers)
        self._retry_at: dict[CardSlot, float] = {}

    def is_card_present(self, slot_nr: int) -> bool:
        """There is a card in that slot's reader, as far as the reader tells."""
        return self.positions[slot_nr].is_present

    def is_traced(self, slot_nr: int) -> bool:
        """Traces are wanted of that slot."""
        return slot_nr in self._traced_slots

    def state_counts(self) -> dict[CardState, int]:
        """Card positions by state."""
        counts = dict.fromkeys(CardState, 0)
        for position in self.positions:
            counts[position.state] += 1
        return counts

    # What the card says

    def on_card_opened(self, slot_nr: int, atr: bytes, now: float) -> None:
        """The card is powered."""
        position = self.positions[slot_nr]
        position.step(CardEvent.OPENED)
        position.atr, position.failures, position.fault = atr, 0, None
        session = position.powered_for = position.session
        if session is not None and self._may_serve(position, session):
            session.step(SessionEvent.CARD_OPENED)
            is_late = session.request is None
            self.owner.answer(session, ResultCode.OK)
            self._send_atr(session, position)
            if is_late and session.hears_slots:
                self._send_presence(session, position, is_present=True)
            assert session.client is not None
            self._out.append(CardAttached(session.link, session.client, position.bank_slot))
            self._note("info", "card_in_service", position, reader=position.reader)
        self.drive(position, now)

    def on_card_response(self, slot_nr: int, response: bytes, now: float) -> None:
        """The answer to the command that runs."""
        position = self.positions[slot_nr]
        if not rspro.MIN_RESPONSE <= len(response) <= rspro.MAX_RESPONSE:
            text = f"the card's response has {len(response)} bytes"
            self.on_card_failed(slot_nr, FaultKind.TRANSMISSION, text, now)
            return
        position.state = CardState.READY  # CardEvent.DONE
        self._counts.tpdus += 1
        session = position.caller
        position.caller = None
        if session is not None and session is position.session and session.client is not None:
            answer = rspro.TpduCardToModem(position.bank_slot, session.client, rspro.NO_FLAGS, response)
            self._out.append(Send(session.link, answer, position.tag))
        if slot_nr in self._traced_slots and position.tpdu is not None:
            self._out.append(TraceTpdu(slot_nr, position.tpdu, response))
        self.drive(position, now)

    def on_card_reset(self, slot_nr: int, atr: bytes, now: float) -> None:
        """The reset that ran is done; a changed ATR is passed on."""
        position = self.positions[slot_nr]
        position.step(CardEvent.DONE)
        self._counts.resets += 1
        has_changed = atr != position.atr
        position.atr, position.caller = atr, None
        session = position.session
        if session is not None and session is position.powered_for and has_changed:
            self._send_atr(session, position)
        self.drive(position, now)

    def on_card_failed(self, slot_nr: int, kind: FaultKind, text: str, now: float) -> None:
        """The operation that ran failed. A command is never repeated: whether the card executed it is unknown."""
        position = self.positions[slot_nr]
        self._counts.faults[kind] += 1
        if position.state is CardState.OPENING:
            self._on_open_failed(position, kind, text, now)
            return
        session, position.caller = position.caller, None
        what = "reset" if position.tpdu is None else "command"
        client_slot = session.client if session is not None else None
        self._out.append(
            Notice("warning", "card_fault", position.bank_slot, client_slot, {"during": what, "error": text})
        )
        position.step(CardEvent.FAULT)
        self._server.card_failed(position.bank_slot, client_slot, text)
        if session is not None and session is position.session:
            self._lose_card(session, "card fault", now)
        self._out.append(CloseCard(slot_nr))

    def _on_open_failed(self, position: CardSlot, kind: FaultKind, text: str, now: float) -> None:
        position.step(CardEvent.OPEN_FAILED)
        is_news = position.fault is not kind
        position.fault = kind
        if kind is not FaultKind.PROTOCOL:
            # Nothing but another card mends that one.
            delay_s = RETRY_DELAYS_S[min(position.failures, len(RETRY_DELAYS_S) - 1)]
            self._retry_at[position] = now + delay_s
        position.failures += 1
        client = position.session.client if position.session is not None else None
        level: Level = "warning" if is_news else "debug"
        event = "reader_busy" if kind is FaultKind.BUSY else "card_not_powered"
        fields: dict[str, object] = {"reader": position.reader, "error": text}
        self._out.append(Notice(level, event, position.bank_slot, client, fields))
        if is_news and kind is FaultKind.BUSY:
            # No result code says so, and it is for people to mend: they hear it in words, at both ends.
            self._server.card_failed(position.bank_slot, client, f"{kind.value}: {text}")
            self._tell_client(position, f"{kind.value}: {text}")
        if position.session is not None:
            self.owner.answer(position.session, RESULT_OF_FAULT[kind])
        self.drive(position, now)

    def on_card_closed(self, slot_nr: int, now: float) -> None:
        """The card is powered off; somebody may be waiting for it, the old owner after a fault included."""
        position = self.positions[slot_nr]
        position.step(CardEvent.CLOSED)
        position.powered_for, position.atr = None, b""
        self.drive(position, now)

    def on_card_number(self, slot_nr: int, iccid: str | None, reason: str, now: float) -> None:
        """The reading that ran is over, and the card powered off; somebody may be waiting for it."""
        position = self.positions[slot_nr]
        self.numbers.on_number(position, iccid, reason)
        self.drive(position, now)

    def on_presence(self, slot_nr: int, *, is_present: bool, reader: str, cause: str, now: float) -> None:
        """A card or reader came or went; ``reader`` is the slot's reader now, empty if there is none."""
        position = self.positions[slot_nr]
        name = reader or position.reader
        position.reader = reader
        if is_present == position.is_present:
            return
        position.is_present = is_present
        mapping = self._mappings.of_slot(slot_nr)
        client = mapping.client if mapping is not None else None
        event = "card_present" if is_present else "card_gone"
        fields: dict[str, object] = {"reader": name, "cause": cause}
        # Without a cause it is how things stood at the start: one line for each slot would say little.
        level: Level = "info" if cause else "debug"
        self._out.append(Notice(level, event, position.bank_slot, client, fields))
        if mapping is not None:
            self._server.slot_changed(mapping, is_present=is_present)
        self.numbers.on_presence(position)
        position.failures, position.fault = 0, None
        if is_present:
            self._retry(position)
            self.numbers.go_on()
        else:
            self._retry_at.pop(position, None)
            self.drive(position, now)

    # Cards

    def drive(self, position: CardSlot, now: float) -> None:
        """Let an idle position do what is due."""
        session = position.session
        state = position.state
        if state is CardState.READY:
            if session is None or session is not position.powered_for or not self._may_serve(position, session):
                position.step(CardEvent.RELEASED)
                if session is not None and session.state is SessionState.CONNECTED_CLIENT_MAPPED_CARD:
                    self._lose_card(session, "card removed", now)
                self._out.append(CloseCard(position.slot_nr))
            elif session.is_ending:
                self.owner.close(session, "shutting down", now)
            elif session.queue:
                self._run_next(position, session)
        elif state is CardState.OFF:
            if session is not None:
                self._begin_to_open(position, session)
            self.numbers.go_on()
        elif state is CardState.WAITING and session is None:
            position.step(CardEvent.RELEASED)
            self._retry_at.pop(position, None)
            self.numbers.go_on()

    def _may_serve(self, position: CardSlot, session: Session) -> bool:
        """Whether the card that is powered is the one for this session: not gone, nor exchanged during powering up."""
        is_serving = session.state is SessionState.CONNECTED_CLIENT_MAPPED_CARD
        return position.is_present and (is_serving or not self.numbers.is_due(position))

    def _begin_to_open(self, position: CardSlot, session: Session) -> None:
        if position.is_present:
            self._read_or_open(position, CardEvent.WANTED)
            return
        position.step(CardEvent.NO_CARD)
        position.fault = FaultKind.NO_CARD if position.reader else FaultKind.NO_READER
        if session.request is not None:
            self._note("warning", "card_missing", position, reader=position.reader or None)
        self.owner.answer(session, RESULT_OF_FAULT[position.fault])

    def _read_or_open(self, position: CardSlot, event: CardEvent) -> None:
        if self.numbers.is_due(position):
            self.numbers.begin(position)
        else:
            position.step(event)
            self._out.append(OpenCard(position.slot_nr))

    def _run_next(self, position: CardSlot, session: Session) -> None:
        command = session.queue.popleft()
        position.step(CardEvent.COMMAND)
        position.caller = session
        if isinstance(command, QueuedTpdu):
            position.tag, position.tpdu = command.tag, command.data
            self._out.append(Transmit(position.slot_nr, command.data))
        else:
            position.tpdu = None
            self._note("info", "card_reset", position, kind=command.value)
            self._out.append(ResetCard(position.slot_nr, command))

    def _retry(self, position: CardSlot) -> None:
        self._retry_at.pop(position, None)
        if position.state is CardState.WAITING:
            self._read_or_open(position, CardEvent.RETRY)

    def _lose_card(self, session: Session, reason: str, now: float) -> None:
        """A modem must not be left with a dead card that claims to be present."""
        session.step(SessionEvent.CARD_LOST)
        session.queue.clear()
        if session.hears_slots and session.position is not None and not session.is_ending:
            self._out.append(CardDetached(session.link))
            self._send_presence(session, session.position, is_present=False)
        else:
            self.owner.close(session, reason, now)

    def _send_atr(self, session: Session, position: CardSlot) -> None:
        assert session.client is not None
        self._out.append(Send(session.link, rspro.SetAtrReq(session.client, position.atr)))
        if position.slot_nr in self._traced_slots:
            self._out.append(TraceAtr(position.slot_nr, position.atr))

    def _send_presence(self, session: Session, position: CardSlot, *, is_present: bool) -> None:
        assert session.client is not None
        status = SlotPhysStatus(reset_active=False, card_present=is_present)
        self._out.append(Send(session.link, rspro.BankSlotStatusInd(position.bank_slot, session.client, status)))

    def _tell_client(self, position: CardSlot, text: str) -> None:
        """Tell an own client something in words; a classic one would make nothing of it."""
        session = position.session
        if session is not None and session.is_own:
            error = error_ind(text, position.bank_slot, session.client, severity=rspro.ErrorSeverity.MINOR)
            self._out.append(Send(session.link, error))

    def _note(self, level: Level, event: str, position: CardSlot, **fields: object) -> None:
        client = position.session.client if position.session is not None else None
        self._out.append(Notice(level, event, position.bank_slot, client, fields))

    # Time

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due."""
        return min(self._retry_at.values()) if self._retry_at else None

    def handle_timer(self, now: float) -> None:
        """Try cards again."""
        for position in [position for position, due in self._retry_at.items() if now >= due]:
            self._retry(position)
