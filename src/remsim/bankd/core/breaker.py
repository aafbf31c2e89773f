# SPDX-License-Identifier: Apache-2.0
"""How often a reader that fails is tried again: a breaker for each card position, without I/O.

Failures count in a row, over powering up, resets and commands alike; only a command that the card answers ends a row,
because a sick reader often still powers its card up. Some failures in a row open the breaker. From then on the card is
powered up only now and then, at growing intervals, until a command is answered: a reader that hangs must not cost its
client, its neighbours or the PC/SC service an attempt each second, for weeks.
"""

from typing import Final

from remsim.bankd.core.actions import FaultKind
from remsim.bankd.core.states import BREAKER_TRANSITIONS, BreakerEvent, BreakerState
from remsim.core.state_machine import Stateful

#: Failures in a row that open a breaker. One is a contact that was bad for a moment, two may still be.
TRIPS_AFTER: Final = 3
#: Delays behind each failure in a row before the next attempt; the last one repeats.
DELAYS_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
#: Where another program has the card, nothing is sick: it may be back at any moment, and people wait for it.
MAX_BUSY_DELAY_S: Final = 8.0
#: A delay is up to this part longer or shorter, so that the readers of a hub that failed together are tried apart.
JITTER: Final = 0.25

#: Steps of two sequences that spread evenly: parts of the golden ratio and of the square root of two.
_OF_SLOT, _OF_FAILURE = 0.6180339887, 0.4142135624


class SlotBreaker(Stateful[BreakerState, BreakerEvent]):
    """The breaker of slot ``slot_nr``. Times are those of the coordinator, in seconds."""

    __slots__ = ("_slot_nr", "failures", "fault", "next_try", "trips")

    TRANSITIONS = BREAKER_TRANSITIONS

    def __init__(self, slot_nr: int) -> None:
        super().__init__(BreakerState.CLOSED)
        self._slot_nr = slot_nr
        #: Failures in a row. While there are some, the first answered command must be told by ``on_answered``.
        self.failures = 0
        #: Why the last one failed.
        self.fault = FaultKind.MUTE
        #: The card is not powered up before this time.
        self.next_try = 0.0
        #: How often it has opened since the start.
        self.trips = 0

    def on_failure(self, kind: FaultKind, now: float, *, was_in_service: bool = False) -> bool:
        """The card could not be powered, or (``was_in_service``) a command or reset failed. True: it opens by that."""
        self.failures += 1
        self.fault = kind
        if was_in_service and self.failures == 1:
            # The usual fault: the card is powered again at once, and the modem has it back.
            self.next_try = now
            return False
        self.next_try = now + self._delay(kind)
        if self.state is BreakerState.PROBING:
            self.step(BreakerEvent.PROBE_FAILED)
        elif self.state is BreakerState.CLOSED and self.failures >= TRIPS_AFTER and kind is not FaultKind.BUSY:
            self.step(BreakerEvent.TRIPPED)
            self.trips += 1
            return True
        return False

    def on_try(self) -> None:
        """The card is powered up now; it was due."""
        if self.state is BreakerState.OPEN:
            self.step(BreakerEvent.INTERVAL_OVER)

    def on_unfit(self, kind: FaultKind) -> bool:
        """The card is of no use, and only another one mends that: it is not tried again. True: a probe is over."""
        if self.state is not BreakerState.PROBING:
            return False
        self.fault = kind
        self.step(BreakerEvent.PROBE_FAILED)
        return True

    def on_answered(self) -> bool:
        """The card has answered a command. True: it closes by that."""
        return self._forget(BreakerEvent.ANSWERED)

    def on_free(self) -> None:
        """Another program had the reader, and has let go of it: that was no failure of reader or card."""
        if self.fault is FaultKind.BUSY and self.state is BreakerState.CLOSED:
            self.failures, self.next_try = 0, 0.0

    def on_exchange(self) -> bool:
        """Card or reader came or went: what was is no reason to wait. True: it closes by that."""
        return self._forget(BreakerEvent.EXCHANGED)

    def _forget(self, event: BreakerEvent) -> bool:
        self.failures, self.next_try = 0, 0.0
        if self.state is BreakerState.CLOSED:
            return False
        self.step(event)
        return True

    def _delay(self, kind: FaultKind) -> float:
        delay_s = DELAYS_S[min(self.failures, len(DELAYS_S)) - 1]
        if kind is FaultKind.BUSY:
            delay_s = min(delay_s, MAX_BUSY_DELAY_S)
        part = (self._slot_nr * _OF_SLOT + self.failures * _OF_FAILURE) % 1.0
        return delay_s * (1.0 + JITTER * (2.0 * part - 1.0))
