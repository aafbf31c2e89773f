# SPDX-License-Identifier: Apache-2.0
"""Where records of what the cards do go: GSMTAP, captures, spans, and the server while somebody watches there."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from remsim.bankd.core.actions import CardAction, OpenCard, Origin, ReadNumber, ResetCard, TimeCard, TraceAtr, TraceTpdu
from remsim.bankd.core.audit import plain_detail
from remsim.bankd.core.coordinator import BankdCoordinator
from remsim.bankd.driver import CardDriver
from remsim.card.reset import ResetKind
from remsim.config import BankdConfig
from remsim.core.ids import BankSlot
from remsim.trace.gsmtap import AtrRecord, TpduMark, TpduRecord, TraceRecord
from remsim.trace.mask import TraceMask
from remsim.trace.outlet import CommandOutlet, DoneCommand
from remsim.trace.tap import CommandId
from remsim.wire.messages.extensions import AuditInd

#: Times of commands that were not traced yet: a command of the modem, and what was run before it.
_MAX_TIMES: Final = 16
_MARKS: Final = {
    Origin.MODEM: TpduMark.MODEM,
    Origin.GUESS: TpduMark.GUESS,
    Origin.RESTORE: TpduMark.RESTORE,
}
_POWERED: Final = "powered up"
_READ: Final = "powered up to be read"


class TraceOutlets:
    """Makes records of what the cards of a bank did, and hands them to all that take them."""

    def __init__(
        self,
        coordinator: BankdCoordinator,
        drivers: Sequence[CardDriver],
        *,
        now: Callable[[], float],
    ) -> None:
        self._coordinator = coordinator
        self._drivers = drivers
        self._now = now
        self.mask = TraceMask()
        #: Takes records of these slots, if there is one.
        self.send: Callable[[TraceRecord], None] | None = None
        self.sent_slots: frozenset[int] = frozenset()
        #: It also gets the commands that no modem has sent.
        self.sends_guesses = False
        # They are told of all slots, watched or not.
        self._outlets: tuple[CommandOutlet, ...] = ()
        self._names = [str(position.bank_slot) for position in coordinator.cards.positions]
        self._watched: set[int] = set()
        # What cards took for commands that were not traced yet, and who is told of it in any case.
        self._times: dict[int, deque[tuple[bytes | None, float]]] = {}
        self._counts: dict[int, Callable[[float], None]] = {}

    def tell(self, outlets: Sequence[CommandOutlet]) -> None:
        """Tell these of all slots from now on."""
        self._outlets = tuple(outlets)
        if self._outlets:
            for slot_nr in range(len(self._drivers)):
                self._time(slot_nr)

    def on_card_action(self, action: CardAction) -> None:
        """Something begins that powers a card up or resets it."""
        if isinstance(action, OpenCard | ResetCard):
            self.mask.on_reset(action.slot_nr)
            for outlet in self._outlets:
                outlet.on_reset(self._names[action.slot_nr])
        if action.slot_nr not in self._watched:
            return
        traces, now = self._coordinator.traces, self._now()
        match action:
            case OpenCard(slot_nr):
                traces.on_reset(slot_nr, ResetKind.COLD, now, words=_POWERED)
            case ReadNumber(slot_nr):
                traces.on_reset(slot_nr, ResetKind.COLD, now, words=_READ)
            case ResetCard(slot_nr, kind):
                traces.on_reset(slot_nr, kind, now)

    def trace_atr(self, action: TraceAtr) -> None:
        """A client is given an ATR."""
        if self.send is not None and action.slot_nr in self.sent_slots:
            self.send(AtrRecord(action.slot_nr, action.atr))
        for outlet in self._outlets:
            outlet.on_atr(self._names[action.slot_nr], action.atr)
        self._coordinator.traces.on_atr(action.slot_nr, action.atr, self._now())

    def trace_tpdu(self, action: TraceTpdu) -> None:
        """A card answered a command, or failed."""
        slot_nr, response = action.slot_nr, action.response
        is_wanted = action.origin is Origin.MODEM or self.sends_guesses
        if self.send is not None and is_wanted and response is not None and slot_nr in self.sent_slots:
            mark = _MARKS[action.origin]
            self.send(TpduRecord(slot_nr, action.tpdu, response, mark, was_run=action.was_run))
        if slot_nr in self._times:
            spent_s = self._spent_s(action)
            if self._outlets:
                self._tell(action, spent_s)
            if slot_nr in self._watched:
                self._coordinator.traces.on_tpdu(action, spent_s, self._now())

    def _tell(self, action: TraceTpdu, spent_s: float | None) -> None:
        session = self._coordinator.cards.positions[action.slot_nr].session
        done = DoneCommand(
            self._names[action.slot_nr],
            action.tpdu,
            action.response,
            other="" if session is None else str(session.client),
            command_id=CommandId(action.session, action.tag, action.index),
            mark=_MARKS[action.origin],
            was_run=action.was_run,
            spent_s=spent_s,
        )
        for outlet in self._outlets:
            outlet.on_command(done)

    def time_card(self, action: TimeCard) -> None:
        """Somebody watches a slot, or nobody does any more."""
        slot_nr = action.slot_nr
        driver = self._drivers[slot_nr]
        if action.is_on:
            self._watched.add(slot_nr)
            driver.tell_reading = partial(self._on_reading, slot_nr)
            self._time(slot_nr)
            return
        self._watched.discard(slot_nr)
        driver.tell_reading = None
        if not self._outlets and self._times.pop(slot_nr, None) is not None:
            driver.observe = self._counts.pop(slot_nr)

    def _time(self, slot_nr: int) -> None:
        """Note from now on what the card takes for each command."""
        if slot_nr not in self._times:
            driver = self._drivers[slot_nr]
            self._times[slot_nr] = deque(maxlen=_MAX_TIMES)
            self._counts[slot_nr] = driver.observe
            driver.observe = partial(self._on_time, slot_nr)

    def _on_time(self, slot_nr: int, seconds: float) -> None:
        self._counts[slot_nr](seconds)
        self._times[slot_nr].append((self._coordinator.cards.positions[slot_nr].tpdu, seconds))

    def _on_reading(self, slot_nr: int, tpdu: bytes, response: bytes, seconds: float) -> None:
        self._coordinator.traces.on_inventory(slot_nr, tpdu, response, seconds, self._now())

    def _spent_s(self, action: TraceTpdu) -> float | None:
        """What the card took for this very command, if it was run and its time is known."""
        times = self._times[action.slot_nr]
        while action.was_run and times:
            tpdu, seconds = times.popleft()
            if tpdu is action.tpdu:
                return seconds
        return None


def revealing(config: BankdConfig) -> AuditInd:
    """What the audit log is told of a trace that hides nothing: of which slot, or of all, and to whom."""
    only = config.gsmtap_slot
    return AuditInd(
        "gsmtap.reveal",
        is_refused=False,
        bank_slot=None if only is None else BankSlot(config.bank_id, only),
        detail=plain_detail(f"secrets are shown to {config.gsmtap}"),
    )
