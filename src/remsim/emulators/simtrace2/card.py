# SPDX-License-Identifier: Apache-2.0
"""One SIMtrace2 emulator slot without its USB: start-up, lines, commands, and what to do when they come out of order.

Messages of the device, answers of the card and the time come in; messages to send, TPDUs to forward and facts come
out as actions. Time is an argument in seconds; ``next_deadline`` says when ``handle_timer`` is due.

**Start-up.** A device goes on when its host dies and keeps up to four old messages per endpoint. So CONFIG is sent and
everything on bulk IN thrown away until its answer arrives, which comes last; then STATUS is asked for. Only then is
anything believed (simtrace2.md, 6.4). What was asked for meanwhile - ATR, card, remote SIM - is done after that, and
again whenever the device comes back.
"""

from collections.abc import Callable
from enum import Enum
from typing import ClassVar, Final

from remsim.card.apdu_case import AS_TABLES_SAY, CommandRules
from remsim.card.errors import PpsError
from remsim.card.pps import DEFAULT_SPEED, Speed, parse_pps
from remsim.core.state_machine import Event, State, Stateful, Transitions
from remsim.emulators.errors import BoardFrameError
from remsim.emulators.simtrace2.actions import (
    Action,
    BoardReady,
    Fact,
    FactKind,
    SendBulk,
    ShowLines,
    ShowSpeed,
)
from remsim.emulators.simtrace2.boards import Board
from remsim.emulators.simtrace2.controls import CardControls
from remsim.emulators.simtrace2.header import Message, UnknownBoardMessage
from remsim.emulators.simtrace2.lines import LineTracker, is_applied, lines_of, runs
from remsim.emulators.simtrace2.messages import (
    Config,
    LineFlag,
    PtsReport,
    RxData,
    Status,
    StatusRequest,
    TpduFlag,
    decode_from_device,
)
from remsim.emulators.simtrace2.order import CommandOrder
from remsim.emulators.simtrace2.stream import StreamFault
from remsim.emulators.simtrace2.t0 import T0Card

#: STATUS and CONFIG are answered within milliseconds; a lost answer is asked for again.
ANSWER_WAIT_S: Final = 1.0
#: How often a STATUS answer that contradicts the interrupt endpoint is asked for again during start-up.
_MAX_STATUS_TRIES: Final = 3
#: F and D are nibbles; what exceeds one is not for showing.
_MAX_INDEX: Final = 15


class Phase(State):
    """How much of the device is believed."""

    OFF = "off"  # not started, unplugged or stopped
    CONFIGURING = "configuring"  # CONFIG sent, everything else is stale
    READING_STATUS = "reading status"  # STATUS requested, interrupt messages are old
    READY = "ready"  # whatever it says is believed


class PhaseEvent(Event):
    """What moves a slot from one phase to another."""

    STARTED = "interface claimed"
    CONFIGURED = "CONFIG answered"
    STATUS_KNOWN = "STATUS answered"
    ENDED = "unplugged or stopped"


#: A pair that is not listed cannot happen. The diagram in the docs is drawn from here.
PHASE_TRANSITIONS: Final[Transitions[Phase, PhaseEvent]] = Transitions(
    "SIMtrace2 slot",
    {
        (Phase.OFF, PhaseEvent.STARTED): Phase.CONFIGURING,
        (Phase.CONFIGURING, PhaseEvent.CONFIGURED): Phase.READING_STATUS,
        (Phase.READING_STATUS, PhaseEvent.STATUS_KNOWN): Phase.READY,
        **{(phase, PhaseEvent.ENDED): Phase.OFF for phase in Phase},
    },
)


class _Timer(Enum):
    ANSWER = "an answer is overdue"
    CONFIRM = "nothing on the interrupt endpoint contradicts a status answer"
    REINSERT = "the card was away for long enough"


class SimtraceCard(Stateful[Phase, PhaseEvent]):
    """One emulator slot. All methods return what is to be done, in order."""

    TRANSITIONS: ClassVar[Transitions[Phase, PhaseEvent]] = PHASE_TRANSITIONS

    def __init__(
        self,
        board: Board,
        *,
        mux_slot: int | None = None,
        is_presence_high: bool | None = None,
        rules: CommandRules = AS_TABLES_SAY,
        is_one_message: bool = True,
        interval_ms: int = 1,
        first_generation: int = 0,
    ) -> None:
        """``interval_ms`` is the polling interval of the interrupt endpoint; the rest are the operator's settings.

        ``first_generation``: commands are numbered from there.
        """
        super().__init__(Phase.OFF)
        self.t0 = T0Card(rules=rules, is_one_message=is_one_message, first_generation=first_generation)
        self._controls = CardControls(board, mux_slot=mux_slot, is_presence_high=is_presence_high)
        self._order = CommandOrder(self.t0, interval_ms=interval_ms)
        self._lines = LineTracker()
        self._speed = DEFAULT_SPEED
        self._timers: dict[_Timer, float] = {}
        self._status_tries = 0
        self._last_interrupt: Status | None = None
        self._unconfirmed: Status | None = None
        self._has_told_silence = False
        self._on_timer: dict[_Timer, Callable[[float], list[Action]]] = {
            _Timer.ANSWER: self._on_answer_overdue,
            _Timer.CONFIRM: self._on_confirmed,
            _Timer.REINSERT: lambda _now: self._controls.reinsert(),
        }

    # Life of the device

    def start(self, now: float) -> list[Action]:
        """The interface is claimed and its endpoints are being read: find out what the device does."""
        self._forget_device()
        self.step(PhaseEvent.STARTED)
        self._timers[_Timer.ANSWER] = now + ANSWER_WAIT_S
        return [SendBulk(self._controls.first_config())]

    def stop(self, now: float) -> list[Action]:
        """Show the modem no card and give it its own; let the transfers finish, then close."""
        if self.state is Phase.OFF:
            return []
        actions = self._order.cancel()
        self._forget_device()
        return [*actions, *self._controls.give_up()]

    def on_unplugged(self, now: float) -> list[Action]:
        """The device is gone, with everything that it was told. ``start`` again when it is back."""
        if self.state is Phase.OFF:
            return []
        actions = self._order.cancel()
        was_known = self._lines.status is not None
        self._forget_device()
        if was_known:
            gone = Status(LineFlag.RESET, 0, 1, 1, 10, 9600)
            actions.append(ShowLines(lines_of(gone), None, 0))
        return actions

    def _forget_device(self) -> None:
        self.step(PhaseEvent.ENDED)
        self._lines.forget()
        self._timers.clear()
        self._status_tries = 0
        self._last_interrupt = self._unconfirmed = None
        self._speed = DEFAULT_SPEED
        self._has_told_silence = False

    # What the slot is told to do

    def set_atr(self, atr: bytes, now: float) -> list[Action]:
        """The answer to reset from the next reset on; if a card with another one is inserted, cause that reset."""
        actions, is_away = self._controls.set_atr(atr, is_ready=self.state is Phase.READY)
        if is_away:
            self._timers[_Timer.REINSERT] = now + self._controls.reset_pulse_s
        return actions

    def insert_card(self, now: float) -> list[Action]:
        """Show the modem a card."""
        self._timers.pop(_Timer.REINSERT, None)
        return self._if_ready(self._controls.insert(is_on=True))

    def remove_card(self, now: float) -> list[Action]:
        """Show the modem no card, where the board can."""
        self._timers.pop(_Timer.REINSERT, None)
        return self._if_ready(self._controls.insert(is_on=False))

    def select_sim(self, now: float, *, is_remote: bool) -> list[Action]:
        """Connect the modem to this emulator, or to its own card."""
        actions = self._controls.select(is_remote=is_remote)
        if not is_remote:
            # The device is deaf and mute from now on; an answer in flight would be kept for later.
            actions = [*self._order.cancel(), *actions]
        return self._if_ready(actions)

    def reset_modem(self, now: float) -> list[Action]:
        """Pulse the modem's reset line, where the board has one."""
        return self._if_ready(self._controls.pulse())

    def hold_modem_reset(self, now: float, *, is_held: bool) -> list[Action]:
        """Assert the modem's reset line until it is released, where the board has one."""
        return self._if_ready(self._controls.hold(is_held=is_held))

    def _if_ready(self, actions: list[Action]) -> list[Action]:
        return actions if self.state is Phase.READY else []

    # The card

    def on_answer(self, generation: int, response: bytes, now: float) -> list[Action]:
        """The card's answer to the command of that generation."""
        return self.t0.answer(generation, response)

    def on_no_answer(self, generation: int, reason: str, now: float) -> list[Action]:
        """The command of that generation gets no answer."""
        return self.t0.abort(generation, reason)

    def on_sent(self, generation: int) -> None:
        """A transfer that belongs to a command has been taken by the device."""
        self._order.on_sent(generation)

    # Messages of the device

    def on_bulk(self, item: bytes | StreamFault, now: float) -> list[Action]:
        """A message, or what should have been one, from bulk IN."""
        message = self._decode(item)
        if isinstance(message, Fact):
            return [message]
        if self.state is Phase.CONFIGURING and not isinstance(message, Config):
            return [Fact(FactKind.STALE_DROPPED, type(message).__name__)]
        match message:
            case Config():
                return self._on_config(message, now)
            case Status():
                return self._on_status_answer(message, now)
            case RxData():
                return self._on_rx_data(message, now)
            case PtsReport():
                return self._on_pts(message)
        return [Fact(FactKind.UNEXPECTED_MESSAGE, type(message).__name__, message.to_bytes())]

    def on_interrupt(self, item: bytes | StreamFault, now: float) -> list[Action]:
        """A message, or what should have been one, from interrupt IN."""
        message = self._decode(item)
        if isinstance(message, Fact):
            return [message]
        if not isinstance(message, Status):
            return [Fact(FactKind.UNEXPECTED_MESSAGE, type(message).__name__, message.to_bytes())]
        if self.state is not Phase.READY:
            # Old, or newer than the answer that is awaited; if they contradict, the status is asked for again.
            self._last_interrupt = message
            return []
        self._unconfirmed = None
        self._timers.pop(_Timer.CONFIRM, None)
        return self._on_status(message, now)

    def _decode(self, item: bytes | StreamFault) -> Message | UnknownBoardMessage | Fact:
        if self.state is Phase.OFF:
            return Fact(FactKind.STALE_DROPPED, "the slot is off")
        if isinstance(item, StreamFault):
            return Fact(FactKind.BAD_MESSAGE, item.reason, item.data)
        try:
            return decode_from_device(item)
        except BoardFrameError as error:
            return Fact(FactKind.BAD_MESSAGE, str(error), item)

    def _on_config(self, answer: Config, now: float) -> list[Action]:
        if self.state is not Phase.CONFIGURING:
            return []
        further = self._controls.next_config(answer)
        self._timers[_Timer.ANSWER] = now + ANSWER_WAIT_S
        if further is not None:
            return [SendBulk(further)]
        self.step(PhaseEvent.CONFIGURED)
        self._last_interrupt = None
        return [SendBulk(StatusRequest())]

    def _on_status_answer(self, answer: Status, now: float) -> list[Action]:
        if self.state is Phase.READING_STATUS:
            return self._on_first_status(answer, now)
        if self._order.expects_status and (self._order.has_asked or not runs(answer)):
            return self._on_status(answer, now, is_answer=True)
        # Nobody asked since the header, so the interrupt endpoint has had no time to tell of the reset before it.
        if self._lines.status == answer:
            return []
        # It may be newer than what the interrupt endpoint still has to tell; then that endpoint has the last word.
        self._unconfirmed = answer
        self._timers[_Timer.CONFIRM] = now + self._order.statuses_s
        return []

    def _on_first_status(self, answer: Status, now: float) -> list[Action]:
        heard, self._last_interrupt = self._last_interrupt, None
        self._status_tries += 1
        if heard is not None and heard.flags != answer.flags and self._status_tries < _MAX_STATUS_TRIES:
            self._timers[_Timer.ANSWER] = now + ANSWER_WAIT_S
            return [SendBulk(StatusRequest())]
        self.step(PhaseEvent.STATUS_KNOWN)
        self._timers.pop(_Timer.ANSWER, None)
        is_enabled = bool(answer.flags & LineFlag.VCC)
        return [BoardReady(answer), *self._on_status(answer, now), *self._controls.resume(is_enabled=is_enabled)]

    def _on_pts(self, report: PtsReport) -> list[Action]:
        # A PPS comes between commands, so the modem waits for no answer any more.
        actions = self._order.cancel()
        try:
            speed = parse_pps(report.response).speed
        except PpsError as error:
            return [*actions, Fact(FactKind.BAD_MESSAGE, str(error), report.to_bytes())]
        return actions if speed is None else [*actions, *self._show_speed(speed)]

    def _show_speed(self, speed: Speed) -> list[Action]:
        if speed == self._speed:
            return []
        self._speed = speed
        return [ShowSpeed(speed, is_applied(speed))]

    def _on_rx_data(self, message: RxData, now: float) -> list[Action]:
        if message.flags & TpduFlag.HEADER:
            return self._order.on_header(message.data, now, is_running=self._lines.is_running)
        return self._order.on_data(message.data, is_final=bool(message.flags & TpduFlag.FINAL))

    def _on_status(self, status: Status, now: float, *, is_answer: bool = False) -> list[Action]:
        has_changed, kind = self._lines.update(status)
        actions: list[Action] = []
        if has_changed:
            actions.append(ShowLines(lines_of(status), kind, self._controls.millivolt(status)))
        if max(status.f_index, status.d_index) <= _MAX_INDEX:
            actions += self._show_speed(Speed(status.f_index, status.d_index))
        if runs(status):
            return [*actions, *self._order.on_running(now)]
        if has_changed or is_answer:
            actions += self._order.on_reset(now, is_answer=is_answer)
        return actions

    # Time

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due, None if never."""
        order = self._order.next_deadline()
        return min((*self._timers.values(), *(() if order is None else (order,))), default=None)

    def handle_timer(self, now: float) -> list[Action]:
        """Do all that is due."""
        actions: list[Action] = []
        for timer in [timer for timer, due in self._timers.items() if due <= now]:
            del self._timers[timer]
            actions += self._on_timer[timer](now)
        return actions + self._order.handle_timer(now)

    def _on_answer_overdue(self, now: float) -> list[Action]:
        self._timers[_Timer.ANSWER] = now + ANSWER_WAIT_S
        request = self._controls.first_config() if self.state is Phase.CONFIGURING else StatusRequest()
        if self._has_told_silence:
            return [SendBulk(request)]
        self._has_told_silence = True
        return [Fact(FactKind.NO_ANSWER, self.state.value), SendBulk(request)]

    def _on_confirmed(self, now: float) -> list[Action]:
        status, self._unconfirmed = self._unconfirmed, None
        return [] if status is None else self._on_status(status, now)
