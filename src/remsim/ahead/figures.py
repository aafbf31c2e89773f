# SPDX-License-Identifier: Apache-2.0
"""Where the time of a slot's commands goes, and what answers ahead did about it: totals since a program's start.

Bankd and client each count what they see of the same commands. All times are in seconds.
"""

from dataclasses import fields, replace
from typing import Self

from remsim.core.values import dataclass


@dataclass(frozen=True, slots=True)
class AheadFigures:
    """What answers ahead did. A client makes no guesses: there ``guesses``, ``undone`` and ``restores`` stay 0."""

    #: Commands that were run before the modem sent them.
    guesses: int = 0
    #: Those of them that the modem then sent.
    hits: int = 0
    #: How often the modem sent another command than the one that was guessed.
    misses: int = 0
    #: Guessed commands that the modem did not send, so that their effect was taken back.
    undone: int = 0
    #: Commands that took it back, by selecting again what the modem believes to be selected.
    restores: int = 0
    #: What the modem did not have to wait, less what it had to wait for wrong guesses. May be below 0.
    saved_s: float = 0.0

    def __add__(self, other: Self) -> Self:
        return replace(
            self, **{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(AheadFigures)}
        )

    def __sub__(self, other: Self) -> Self:
        return replace(
            self, **{one.name: getattr(self, one.name) - getattr(other, one.name) for one in fields(AheadFigures)}
        )

    def shown(self) -> dict[str, object]:
        """As fields of a line in the log."""
        whole: dict[str, object] = {one.name: getattr(self, one.name) for one in fields(AheadFigures)}
        return {**whole, "saved_s": round(self.saved_s, 3)}


@dataclass(frozen=True, slots=True)
class LatencyFigures:
    """Times of all commands of a slot. None: this end cannot know it, or has not measured it yet."""

    #: Commands of the modem that were answered.
    commands: int = 0
    #: Those of them that were not answered ahead, and took a round trip.
    round_trips: int = 0
    #: How long the modem waited for the answers, all in all. The client knows.
    waited_s: float | None = None
    #: How long the card worked while the modem waited. The bankd knows.
    card_s: float | None = None
    #: How long commands waited for a lost link (client); how long the session was held without one (bankd).
    hold_s: float = 0.0
    #: The shortest of the last waits from an answer to the command that follows (bankd), or from a command to its
    #: answer (client).
    round_trip_s: float | None = None
    ahead: AheadFigures = AheadFigures()
