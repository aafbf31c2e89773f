# SPDX-License-Identifier: Apache-2.0
"""How long the modem waited for its answers, and how long it would have waited without those that came ahead."""

from collections import deque
from typing import Final

from remsim.ahead.client_side import AnswersAhead
from remsim.ahead.figures import AheadFigures, LatencyFigures

#: The shortest of so many waits stands for what a command would have waited: some wait for a slow command of the card.
_WAITS: Final = 16


class Waits:
    """How long the modem of one slot waited since the program's start. Times are in seconds."""

    def __init__(self, ahead: AnswersAhead) -> None:
        self._ahead = ahead
        self._recent: deque[float] = deque(maxlen=_WAITS)
        self._commands = 0
        self._waited = self._held = self._saved = 0.0
        self._was_held = False
        self._began = AheadFigures()

    def on_answer(self, waited: float) -> None:
        """A command has its answer after a round trip; ``waited``: since the modem sent it."""
        self._commands += 1
        self._waited += waited
        if not self._was_held:
            self._recent.append(waited)
        self._was_held = False

    def on_hit(self, waited: float) -> None:
        """A command was answered ahead, at once or by an answer that was under way."""
        self._commands += 1
        self._waited += waited
        self._saved += max(min(self._recent, default=0.0) - waited, 0.0)

    def on_held(self, seconds: float) -> None:
        """Commands waited so long for a link."""
        self._held += seconds
        # What the command waits that was under way tells nothing about the distance.
        self._was_held = True

    @property
    def figures(self) -> LatencyFigures:
        """All of it."""
        ahead = self._ahead
        return LatencyFigures(
            commands=self._commands,
            round_trips=self._commands - ahead.hits,
            waited_s=self._waited,
            hold_s=self._held,
            round_trip_s=min(self._recent, default=None),
            ahead=AheadFigures(hits=ahead.hits, misses=ahead.misses, saved_s=self._saved),
        )

    def begin(self) -> None:
        """The modem sees a card."""
        self._began = self.figures.ahead

    @property
    def of_session(self) -> AheadFigures:
        """What answers ahead did since then."""
        return self.figures.ahead - self._began
