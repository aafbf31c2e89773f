# SPDX-License-Identifier: Apache-2.0
"""What a client slot tells its server of itself, and when, without I/O: what has changed, and not too often.

A server that named ``client.1`` hears how the slot stands once, then of each other state as soon as it may be told
again, of other figures now and then.
"""

from collections.abc import Callable
from typing import Final

from remsim.ahead.client_side import AnswersAhead
from remsim.client.core.actions import Action
from remsim.client.core.assignment import Assignment
from remsim.client.core.notices import Notice, NoticeKind
from remsim.client.core.states import SlotState
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.recent import Durations, RecentCount, RecentDurations
from remsim.core.values import dataclass
from remsim.wire.link.actions import LinkId, Send
from remsim.wire.messages.health import (
    MAX_AGE_MS,
    MAX_COUNT,
    MAX_DESCRIPTION,
    MAX_KIND,
    MAX_SPEED_INDEX,
    ClientCounters,
    ClientHealthInd,
    ClientPhase,
    Latency,
    ModemLines,
    ModemSpeed,
    NetworkTime,
    Quantiles,
)
from remsim.wire.messages.rspro import SlotPhysStatus

#: A slot reports at most once in so many seconds.
INTERVAL_S: Final = 2.0
#: Where only figures have changed, after so many.
FIGURES_S: Final = 10.0

_PHASES: Final = {
    SlotState.INIT: ClientPhase.INIT,
    SlotState.UNCONFIGURED: ClientPhase.UNCONFIGURED,
    SlotState.WAIT_BANKD: ClientPhase.WAIT_BANKD,
    SlotState.OPERATIONAL: ClientPhase.OPERATIONAL,
    SlotState.HOLDING: ClientPhase.HOLDING,
}


@dataclass(frozen=True, slots=True)
class _State:
    """What a change of is told as soon as may be."""

    client_slot: ClientSlot
    bank_slot: BankSlot | None
    state: SlotState
    lines: SlotPhysStatus | None
    speed: ModemSpeed | None
    #: None: the emulator needs no hardware.
    has_hardware: bool | None
    board: str
    firmware: str


class ClientHealth:
    """What one slot tells of itself. ``latency`` is asked for each report; ``emulator`` names what plays the card."""

    def __init__(self, assignment: Assignment, ahead: AnswersAhead, latency: Callable[[], Latency | None]) -> None:
        self._assignment = assignment
        self._ahead = ahead
        self._latency = latency
        self.emulator = ""
        self.round_trips = RecentDurations()
        # What the network took of commands; and of PINGs, for a bankd that does not say what it took itself.
        self._network, self._pings = RecentDurations(), RecentDurations()
        self._commands = self._failures = self._resets = self._cuts = self._resumes = 0
        self._recent_cuts = RecentCount()
        self._longest_hold_s = 0.0
        self._standing: tuple[SlotState, ClientSlot | None, BankSlot | None] = (SlotState.INIT, None, None)
        self._state_since: float | None = None
        self._lines: SlotPhysStatus | None = None
        self._lines_since = 0.0
        self._speed: ModemSpeed | None = None
        self._has_hardware: bool | None = None
        self._board = self._firmware = ""
        # The link to a server that wants to hear us.
        self._link: LinkId | None = None
        self._hears_network = False
        #: When ``on_due`` is to be called; None: nothing is due.
        self.due: float | None = None
        self._next_look = 0.0
        self._told: tuple[float, _State, ClientCounters] | None = None

    # What happens

    def on_answered(self, seconds: float | None) -> None:
        """A command was answered, after this time; None: its answer had come ahead."""
        self._commands += 1
        if seconds is not None:
            self.round_trips.observe(seconds)

    def on_network(self, seconds: float | None) -> None:
        """The network took so long for a command; None: the bankd does not say what it took itself."""
        if seconds is None:
            self._network.clear()
        else:
            self._network.observe(seconds)

    def on_ping(self, seconds: float) -> None:
        """The bankd answered a PING after this time."""
        self._pings.observe(seconds)

    def on_failed(self) -> None:
        """A command got no answer."""
        self._failures += 1

    def on_notice(self, notice: Notice, now: float) -> None:
        """Something has changed."""
        match notice.kind:
            case NoticeKind.MODEM_RESET:
                self._resets += 1
            case NoticeKind.SESSION_HELD:
                self._cuts += 1
                self._recent_cuts.add(now)
            case NoticeKind.BANKD_GIVEN:
                self._network.clear()
                self._pings.clear()
            case NoticeKind.SESSION_RESUMED:
                self._resumes += 1
                self._longest_hold_s = max(self._longest_hold_s, notice.held_s or 0.0)
            case _:
                return

    def look(self, state: SlotState, link: LinkId | None, now: float, *, hears_network: bool = False) -> None:
        """The slot is in this state now; ``link`` leads to a server that wants to hear us, None: there is none.

        ``hears_network``: it wants to hear of the network's time, too.
        """
        known = self._assignment
        standing = state, known.client_slot, known.bank_slot
        if standing == self._standing and link == self._link:
            # After nearly every event.
            return
        if state is not self._standing[0] or self._state_since is None:
            self._state_since = now
        self._standing = standing
        if link != self._link:
            self._link, self._told, self._hears_network = link, None, hears_network
            self._next_look = now + FIGURES_S
            self.due = None if link is None else now
        self._changed(now)

    def on_lines(self, lines: SlotPhysStatus, now: float) -> None:
        """The modem changed its lines. Without power it forgets the speed that it chose."""
        if lines != self._lines:
            self._lines, self._lines_since = lines, now
            if lines.vcc_present is False:
                self._speed = None
            self._changed(now)

    def on_speed(self, f_index: int, d_index: int, now: float) -> None:
        """The modem chose this speed."""
        if 0 <= f_index <= MAX_SPEED_INDEX and 0 <= d_index <= MAX_SPEED_INDEX:
            self._speed = ModemSpeed(f_index, d_index)
            self._changed(now)

    def on_board(self, name: str, now: float, *, is_present: bool) -> None:
        """The hardware came or went; it may be another one, with other firmware."""
        self._has_hardware, self._board, self._firmware = is_present, name, ""
        self._changed(now)

    def on_firmware(self, version: str, now: float) -> None:
        """The hardware runs this firmware."""
        self._firmware = version
        self._changed(now)

    # When it is told

    def on_due(self, now: float) -> list[Action]:
        """Tell what may be told now."""
        if self._link is None or self.due is None or now < self.due:
            return []
        is_look = now >= self._next_look
        if is_look:
            self._next_look = now + FIGURES_S
        self.due = self._next_look
        _, client_slot, _ = self._standing
        if client_slot is None:
            return []
        state, counters = self._now(client_slot), self._counters(now)
        if self._told is not None:
            told_at, told_state, told_counters = self._told
            if state == told_state and (counters == told_counters or not is_look):
                return []
            if now < told_at + INTERVAL_S:
                self.due = min(self.due, told_at + INTERVAL_S)
                return []
        self._told = now, state, counters
        return [Send(self._link, self._report(state, counters, now))]

    def _changed(self, now: float) -> None:
        if self._link is not None:
            at = now if self._told is None else max(now, self._told[0] + INTERVAL_S)
            self.due = at if self.due is None else min(self.due, at)

    # How the slot stands

    def _now(self, client_slot: ClientSlot) -> _State:
        state, _, bank_slot = self._standing
        hardware = self._has_hardware, self._board, self._firmware
        return _State(client_slot, bank_slot, state, self._lines, self._speed, *hardware)

    def _counters(self, now: float) -> ClientCounters:
        return ClientCounters(
            commands=min(self._commands, MAX_COUNT),
            failures=min(self._failures, MAX_COUNT),
            resets=min(self._resets, MAX_COUNT),
            cuts=min(self._cuts, MAX_COUNT),
            resumes=min(self._resumes, MAX_COUNT),
            recent_cuts=self._recent_cuts.count(now),
            longest_hold_ms=min(round(self._longest_hold_s * 1000), MAX_COUNT),
            guesses_hit=min(self._ahead.hits, MAX_COUNT),
            guesses_missed=min(self._ahead.misses, MAX_COUNT),
        )

    def _report(self, state: _State, counters: ClientCounters, now: float) -> ClientHealthInd:
        lines = state.lines
        return ClientHealthInd(
            client_slot=state.client_slot,
            phase=_PHASES[state.state],
            phase_age_ms=_age_ms(now if self._state_since is None else self._state_since, now),
            counters=counters,
            emulator=_plain(self.emulator, MAX_KIND),
            board=_plain(state.board, MAX_DESCRIPTION),
            firmware=_plain(state.firmware, MAX_DESCRIPTION),
            has_hardware=state.has_hardware,
            bank_slot=state.bank_slot,
            lines=None
            if lines is None
            else ModemLines(_age_ms(self._lines_since, now), lines.reset_active, lines.vcc_present, lines.clk_active),
            speed=state.speed,
            round_trip=self._round_trip(),
            latency=self._latency(),
            network=self._network_time() if self._hears_network else None,
        )

    def _round_trip(self) -> Quantiles | None:
        found = self.round_trips.durations()
        return None if found is None else _quantiles(found)

    def _network_time(self) -> NetworkTime | None:
        if (found := self._network.durations()) is not None:
            return NetworkTime(_quantiles(found), is_of_pings=False)
        found = self._pings.durations()
        return None if found is None else NetworkTime(_quantiles(found), is_of_pings=True)


def _quantiles(found: Durations) -> Quantiles:
    return Quantiles(found.samples, _us(found.p50_s), _us(found.p99_s))


def _us(seconds: float) -> int:
    return min(MAX_COUNT, max(0, round(seconds * 1e6)))


def _age_ms(since: float, now: float) -> int:
    return min(MAX_AGE_MS, max(0, round((now - since) * 1000)))


def _plain(text: str, most: int) -> str | None:
    """Printable ASCII, which the message can carry; None for nothing."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:most] or None
