# SPDX-License-Identifier: Apache-2.0
"""A virtual modem in front of one slot of a virtual SIMtrace2, in real time: characters take none, resets do.

Knows no event loop: ``advance`` does all that can be done now and says when it wants to be called again. So the same
stand works in a test's loop and in the process that emulates USB.
"""

from collections.abc import Callable
from typing import Final

from tests.doubles.simtrace2_device import CardState, Slot
from tests.doubles.virtual_modem import Get, ModemError, Op, Pause, Procedure, Put, SetLines

_CLOCK_HZ: Final = 3_570_000
#: Between RST going high and the end of the ATR: the order of the two USB endpoints depends on it.
_ATR_S: Final = 0.010

#: How a procedure ended: its result, or what went wrong.
Done = Callable[[object, ModemError | None], None]


class ModemStand:
    """One modem, one procedure at a time. ``slot`` gives the slot as it is now: a device that restarts has new ones."""

    def __init__(self, slot: Callable[[], Slot]) -> None:
        self._slot = slot
        self._procedure: Procedure[object] | None = None
        self._done: Done = _nobody
        self._op: Op | None = None
        self._began = self._last_character = self._atr_at = 0.0

    def begin(self, procedure: Procedure[object], done: Done, now: float) -> None:
        """Start a procedure; ``done`` is called from ``advance`` at its end."""
        assert self._procedure is None, "the modem is busy"
        self._procedure, self._done = procedure, done
        self._next(None, now)

    def abandon(self) -> None:
        """Leave the procedure where it is, as a modem does whose power is cut."""
        procedure, self._procedure = self._procedure, None
        if procedure is not None:
            procedure.close()

    def _next(self, value: int | None, now: float) -> None:
        assert self._procedure is not None
        self._began = now
        try:
            self._op = self._procedure.send(value)
        except StopIteration as stop:
            self._procedure = None
            self._done(stop.value, None)
        except ModemError as error:
            self._procedure = None
            self._done(None, error)

    def advance(self, now: float) -> float | None:
        """Do what can be done. Return when to call again at the latest, None: when the host has done something."""
        while self._procedure is not None:
            assert self._op is not None
            slot = self._slot()
            match self._op:
                case SetLines(vcc, rst):
                    self._set_lines(slot, vcc=vcc, rst=rst, now=now)
                    self._next(None, now)
                case Put(character):
                    self._last_character = now
                    slot.receive(character)
                    self._next(None, now)
                case Pause(duration_s):
                    if now < self._began + duration_s:
                        return self._began + duration_s
                    self._next(None, now)
                case Get(wait_etu):
                    due = self._get(slot, wait_etu, now)
                    if due is not None:
                        return due
        return None

    def _set_lines(self, slot: Slot, *, vcc: bool, rst: bool, now: float) -> None:
        if vcc is not slot.vcc:
            slot.set_vcc(is_on=vcc)
        slot.set_rst(is_high=rst)
        self._atr_at = now + _ATR_S

    def _get(self, slot: Slot, wait_etu: int, now: float) -> float | None:
        """Take a character or let a timer expire; return when something can happen, None if something has."""
        if slot.state is CardState.ATR_DELAY:
            if now < self._atr_at:
                return self._atr_at
            slot.expire_timer()
            return None
        character = slot.transmit()
        if character is not None:
            self._last_character = now
            self._next(character, now)
            return None
        etu_s = slot.clocks_per_etu / _CLOCK_HZ
        timer_at = self._last_character + slot.timer_etu * etu_s
        if slot.timer_etu and timer_at <= now:
            self._last_character = now
            slot.expire_timer()
            return None
        deadline = max(self._began, self._last_character) + wait_etu * etu_s
        if deadline <= now:
            self._next(None, now)
            return None
        return min(deadline, timer_at) if slot.timer_etu else deadline


def _nobody(_result: object, _error: ModemError | None) -> None:
    return
