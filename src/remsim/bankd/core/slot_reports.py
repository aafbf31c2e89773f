# SPDX-License-Identifier: Apache-2.0
"""When the server is told how a slot stands, without I/O: what has changed, not too often, and not too much at once.

A server that named ``slots.2`` hears of all slots once, then of each change: of another state as soon as the slot may
report again, of other figures now and then. Whatever happens to a bank of a thousand slots, the control link has room
for what it is there for. Nothing waits here but the numbers of slots, so a report is always of the present.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from remsim.bankd.core.session import CardSlot
from remsim.bankd.core.slot_record import SlotRecord
from remsim.bankd.core.states import HoldState
from remsim.core.deadlines import Deadlines
from remsim.core.ids import ClientSlot
from remsim.core.rate_limit import TokenBuckets
from remsim.core.values import dataclass
from remsim.wire.messages.health import (
    MAX_AGE_MS,
    MAX_COUNT,
    MAX_READER,
    CardErrorKind,
    LastError,
    Latency,
    Quantiles,
    RecentErrors,
    SameStatus,
    SessionPhase,
    SlotCounters,
    SlotHealthInd,
)
from remsim.wire.messages.rspro import MAX_ATR

#: A slot reports at most once in so many seconds.
INTERVAL_S: Final = 2.0
#: Where only figures have changed, after so many.
FIGURES_S: Final = 10.0
#: Reports of one bank that may go out at once, and in a second after that: some 200 bytes each.
BURST: Final = 100
PER_SECOND: Final = 100
#: Answers in a row with one status word that are worth a word: a modem that looks for a feature meets fewer.
MIN_SAME: Final = 5

_PHASES: Final = {
    HoldState.ATTACHED: SessionPhase.ATTACHED,
    HoldState.RESUMABLE: SessionPhase.RESUMABLE,
    HoldState.DETACHED: SessionPhase.DETACHED,
}


class HealthListener(Protocol):
    """How the server hears of slots."""

    def slot_health(self, report: SlotHealthInd) -> None:
        """How a slot stands."""
        ...


@dataclass(frozen=True, slots=True)
class _State:
    """What a change of is told as soon as may be. Times are the coordinator's."""

    is_present: bool
    reader: str | None
    atr: bytes | None
    iccid: str | None
    phase: SessionPhase
    client: ClientSlot | None
    last_error: CardErrorKind | None
    is_broken: bool


@dataclass(slots=True)
class _Told:
    """What the server was told of one slot last, and when."""

    at: float
    state: _State
    figures: tuple[int, ...]


#: Where the waiting of a slot's modem went; None: nothing is known of it.
LatencyOf = Callable[[int], Latency | None]


class SlotReports:
    """All slots of one bank. ``latency`` is asked for each report."""

    def __init__(
        self,
        positions: Sequence[CardSlot],
        *,
        server: HealthListener,
        latency: LatencyOf = lambda _slot_nr: None,
    ) -> None:
        self._positions = positions
        self._server = server
        self._latency = latency
        self._is_wanted = False
        #: When ``on_due`` is to be called; None: nothing is due.
        self.due: float | None = None
        self._told: dict[CardSlot, _Told] = {}
        # When each slot with something to tell may do so; those whose state has changed come first.
        self._states: Deadlines[CardSlot] = Deadlines()
        self._figures: Deadlines[CardSlot] = Deadlines()
        # Those in the first queue keep their place, however often they change.
        self._changed: set[CardSlot] = set()
        self._next_look = 0.0
        self._budget = TokenBuckets(burst=BURST, interval_s=1 / PER_SECOND)
        # By slot, in which phase its session is, and since when.
        self._phases: dict[CardSlot, tuple[SessionPhase, float]] = {}

    # What happens

    def on_server_active(self, now: float, *, is_wanted: bool) -> None:
        """There is an active server; ``is_wanted``: it is to hear of all slots."""
        self._is_wanted = is_wanted
        self._told.clear()
        self._states, self._figures = Deadlines(), Deadlines()
        self._changed.clear()
        if not is_wanted:
            self.due = None
            return
        for position in self._positions:
            self._want(position, now)
        self._next_look = now + FIGURES_S
        self.due = now

    def on_changed(self, position: CardSlot, now: float) -> None:
        """Something about this slot may have changed."""
        if self._is_wanted:
            at = self._want(position, now)
            self.due = at if self.due is None else min(self.due, at)

    def on_server_lost(self) -> None:
        """Nobody hears us."""
        self._is_wanted = False
        self.due = None

    def on_due(self, now: float) -> None:
        """Tell what may be told now."""
        if not self._is_wanted:
            return
        if now >= self._next_look:
            self._next_look = now + FIGURES_S
            self._look(now)
        for waiting in (self._states, self._figures):
            while (due := waiting.next()) is not None and due <= now and self._budget.wait_s("", now) == 0.0:
                position = waiting.pop_due(now)
                assert position is not None
                self._changed.discard(position)
                self._tell(position, now)
        self.due = self._next_time(now)

    def _want(self, position: CardSlot, now: float) -> float:
        """Let it tell its state as soon as it may, which is returned."""
        told = self._told.get(position)
        at = now if told is None else max(now, told.at + INTERVAL_S)
        if position not in self._changed:
            self._changed.add(position)
            self._states.set(position, at)
        return at

    def _next_time(self, now: float) -> float:
        waiting = [due for due in (self._states.next(), self._figures.next()) if due is not None]
        first = min(waiting, default=self._next_look)
        # Behind the budget, at least so much later that there is one more: the wait may be too small for the clock.
        later = now if self._budget.wait_s("", now) == 0.0 else now + 1 / PER_SECOND
        return min(max(first, later), self._next_look)

    def _look(self, now: float) -> None:
        """Which slots have other figures than they told."""
        for position in self._positions:
            record = position.record
            if record.same_count >= MIN_SAME and record.same_since is None:
                record.same_since = now
            told = self._told.get(position)
            if told is None:
                continue
            if self._state(position, now) != told.state:
                self._want(position, now)
            elif _figures(record, now) != told.figures:
                self._figures.set(position, max(now, told.at + INTERVAL_S))

    def _tell(self, position: CardSlot, now: float) -> None:
        told, state, figures = self._told.get(position), self._state(position, now), _figures(position.record, now)
        self._figures.cancel(position)
        if told is not None and told.state == state and told.figures == figures:
            return
        self._budget.take("", now)
        self._told[position] = _Told(now, state, figures)
        self._server.slot_health(self._report(position, state, now))

    # How a slot stands

    def _state(self, position: CardSlot, now: float) -> _State:
        session, record = position.session, position.record
        has_session = session is not None and session.since is not None
        phase = _PHASES[session.state] if session is not None and has_session else SessionPhase.NONE
        known = self._phases.get(position)
        if known is None or known[0] is not phase:
            since = session.since if session is not None and session.since is not None else now
            self._phases[position] = phase, since
        if record.presence_since is None:
            record.presence_since = now
        return _State(
            position.is_present,
            _plain(position.reader)[:MAX_READER] or None,
            record.atr[:MAX_ATR] or None,
            position.iccid,
            phase,
            session.client if session is not None and has_session else None,
            record.last_error,
            record.same_since is not None,
        )

    def _report(self, position: CardSlot, state: _State, now: float) -> SlotHealthInd:
        record = position.record
        assert record.presence_since is not None
        return SlotHealthInd(
            bank_slot=position.bank_slot,
            is_present=state.is_present,
            presence_age_ms=_age_ms(record.presence_since, now),
            phase=state.phase,
            phase_age_ms=_age_ms(self._phases[position][1], now),
            counters=_counters(record),
            recent=RecentErrors(record.recent_mutes.count(now), record.recent_transmission_errors.count(now)),
            reader=state.reader,
            atr=state.atr,
            iccid=state.iccid,
            client=state.client,
            last_error=_last_error(record, now),
            same_status=_same_status(record, now),
            card_time=_card_time(record),
            latency=self._latency(position.slot_nr),
        )


def _counters(record: SlotRecord) -> SlotCounters:
    counts = (
        record.commands,
        record.resets,
        record.mutes,
        record.transmission_errors,
        record.other_errors,
        record.recoveries,
    )
    return SlotCounters(*(min(count, MAX_COUNT) for count in counts))


def _figures(record: SlotRecord, now: float) -> tuple[int, ...]:
    return (
        record.commands,
        record.resets,
        record.mutes,
        record.transmission_errors,
        record.other_errors,
        record.recoveries,
        record.recent_mutes.count(now),
        record.recent_transmission_errors.count(now),
        record.card_times.count,
    )


def _last_error(record: SlotRecord, now: float) -> LastError | None:
    return None if record.last_error is None else LastError(record.last_error, _age_ms(record.last_error_at, now))


def _same_status(record: SlotRecord, now: float) -> SameStatus | None:
    if record.same_since is None:
        return None
    return SameStatus(record.same_status, min(record.same_count, MAX_COUNT), _age_ms(record.same_since, now))


def _card_time(record: SlotRecord) -> Quantiles | None:
    found = record.card_times.durations()
    return None if found is None else Quantiles(found.samples, _us(found.p50_s), _us(found.p99_s))


def _us(seconds: float) -> int:
    return min(MAX_COUNT, max(0, round(seconds * 1e6)))


def _age_ms(since: float, now: float) -> int:
    return min(MAX_AGE_MS, max(0, round((now - since) * 1000)))


def _plain(text: str) -> str:
    """Printable ASCII, which the message can carry."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)
