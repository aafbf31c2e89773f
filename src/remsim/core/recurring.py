# SPDX-License-Identifier: Apache-2.0
"""Which of many lines about one peer are worth saying: not those that it causes again and again. Pure counting.

What all sources together may say is bounded by ``net.lines``: there may be more of them than are remembered here.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

#: Subjects that are remembered; beyond it the one that was heard of longest ago is forgotten.
MAX_SUBJECTS: Final = 1024
#: So often each event about one subject is said in a row; a program that comes for the fourth time within the time
#: below will not stop by itself.
RECURRENCES: Final = 3
#: A row ends when nothing has been heard of the subject for this long. Programs try again within a minute.
QUIET_S: Final = 90.0


class Said(Enum):
    """What is to be done with a line."""

    PLAINLY = "plainly"
    #: It is the first of many that are held back: say that.
    BEGINS = "begins"
    #: It is one more of those.
    HELD_BACK = "held back"


@dataclass(slots=True)
class Row:
    """What happened to one subject again and again."""

    subject: Hashable
    began: float
    last: float
    #: How often each event happened.
    events: dict[str, int] = field(default_factory=dict)
    held_back: int = 0


class Recurring:
    """Tells lines that come again and again from those that say something new: one for each log.

    A peer that is refused, or gets no card, comes again within a second or a minute, for weeks. Its subject (a client
    slot, a bank, an address) gets a few lines of each event, then one that says that they recur, and one when that has
    ended. ``now`` never goes backwards.
    """

    def __init__(self) -> None:
        # In the order of their latest lines.
        self._rows: OrderedDict[Hashable, Row] = OrderedDict()
        self._ended: list[Row] = []
        # Rows of which lines are held back.
        self._open = 0

    def on_line(self, subject: Hashable, event: str, now: float) -> Said:
        """Somebody wants to say a line."""
        row = self._rows.pop(subject, None)
        if row is not None and now - row.last > QUIET_S:
            self._end(row)
            row = None
        if row is None:
            row = Row(subject, now, now)
        self._rows[subject] = row
        if len(self._rows) > MAX_SUBJECTS:
            self._end(self._rows.popitem(last=False)[1])
        row.last = now
        row.events[event] = row.events.get(event, 0) + 1
        if row.events[event] <= RECURRENCES:
            return Said.PLAINLY
        row.held_back += 1
        if row.held_back > 1:
            return Said.HELD_BACK
        self._open += 1
        return Said.BEGINS

    def _end(self, row: Row) -> None:
        if row.held_back:
            self._open -= 1
            self._ended.append(row)

    def ended(self, now: float) -> list[Row]:
        """Rows of which lines were held back, and that have ended since the call before."""
        while self._rows:
            oldest = next(iter(self._rows.values()))
            if now - oldest.last <= QUIET_S:
                break
            self._end(self._rows.pop(oldest.subject))
        ended, self._ended = self._ended, []
        return ended

    def next_deadline(self) -> float | None:
        """When to call ``ended``; None as long as nothing is held back."""
        if self._ended:
            return self._ended[0].last
        return next(iter(self._rows.values())).last + QUIET_S + 0.001 if self._open else None
