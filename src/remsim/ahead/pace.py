# SPDX-License-Identifier: Apache-2.0
"""How far and when to guess: as many commands as fit into a round trip, and only while that saves time.

All times are in seconds, measured by the bankd; nothing here reads a clock.
"""

from collections import deque
from math import ceil
from typing import Final

#: Most answers that may be on their way or unused. A modem rarely waits for more than a second.
MAX_UNCONFIRMED: Final = 512
#: A modem is next to its card if a command follows an answer within so many seconds: what a guess costs both ends is as
#: much as a hit saves.
NEAR_S: Final = 0.001
#: The client reports after so many answers that it used.
REPORT_INTERVAL: Final = 16

#: Believed until measured.
_FIRST_CARD_TIME_S: Final = 0.003
#: Weight of a new measurement.
_SHARE_OF_NEW: Final = 0.1
#: The shortest of so many waits is the round trip: the modem thinks as well, and so does the card.
_ROUND_TRIPS: Final = 16
#: A wrong guess costs about so many commands, until it was measured: the one in progress, and those that restore.
_FIRST_LOSS_COMMANDS: Final = 3
#: How much a second that was saved or lost counts after the next command.
_DECAY: Final = 0.98
#: Commands without guesses after guessing cost more than it saved, doubled each time up to the most.
_PAUSE, _MOST_PAUSE = 64, 4096


class Pace:
    """Measures one card session."""

    def __init__(self, round_trip: float = 0.0) -> None:
        #: The time from an answer until the command that follows it, without what the modem needs.
        self.round_trip = round_trip
        self.card_time = _FIRST_CARD_TIME_S
        self.loss = _FIRST_LOSS_COMMANDS * _FIRST_CARD_TIME_S
        #: Seconds saved less seconds lost of late. Guessing pauses where more than a round trip was lost: the first
        #: guesses may be wrong, and a hit pays for many of them.
        self.gain = 0.0
        self.saved = 0.0
        self._has_card_time = False
        self._waits: deque[float] = deque(maxlen=_ROUND_TRIPS)
        self._pause = _PAUSE
        self._paused_for = 0

    @property
    def is_near(self) -> bool:
        """There is nothing to gain, or the distance was not measured yet."""
        return self.round_trip < NEAR_S

    @property
    def window(self) -> int:
        """Answers that may be unconfirmed: those that fit into a round trip, and those not reported yet."""
        if self.card_time <= 0:
            return MAX_UNCONFIRMED
        return min(ceil(self.round_trip / self.card_time) + REPORT_INTERVAL, MAX_UNCONFIRMED)

    @property
    def is_paused(self) -> bool:
        """Guessing cost more than it saved."""
        return self._paused_for > 0

    def pays(self, share: float) -> bool:
        """Whether guesses that come true in ``share`` of all cases save more than the others cost."""
        return share * self.round_trip > (1 - share) * self.loss

    def on_card_time(self, seconds: float) -> None:
        """The card needed so long for a command."""
        if not self._has_card_time:
            self._has_card_time = True
            self.card_time, self.loss = seconds, _FIRST_LOSS_COMMANDS * seconds
        self.card_time += _SHARE_OF_NEW * (seconds - self.card_time)

    def on_wait(self, seconds: float) -> None:
        """So long after its answer was sent, the next command or report came."""
        self._waits.append(max(seconds, 0.0))
        self.round_trip = min(self._waits)

    def on_hit(self) -> None:
        """The modem had an answer without a round trip."""
        self.saved += self.round_trip
        self.gain += self.round_trip

    def on_command(self) -> None:
        """The modem sent a command that was not answered ahead."""
        self.gain *= _DECAY
        self._paused_for = max(self._paused_for - 1, 0)

    def on_miss(self, seconds: float) -> None:
        """A command had to wait so long because of guesses that did not come true."""
        self.loss += _SHARE_OF_NEW * (seconds - self.loss)
        self.saved -= seconds
        self.gain -= seconds
        if self.gain < -self.round_trip:
            self._paused_for = self._pause
            self._pause = min(2 * self._pause, _MOST_PAUSE)
            self.gain = 0.0
