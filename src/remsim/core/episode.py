# SPDX-License-Identifier: Apache-2.0
"""What lasts, or comes again and again, is told when it begins and when it ends, not each time. Pure counting.

``OncePerEpisode`` is for trouble that somebody knows the end of. ``RecurringEvents`` is for peers that try again for
ever: nobody says that they have stopped, so an episode ends when one has been quiet for a while. Neither limits a
rate; ``core.rate_limit`` does.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

#: Subjects of recurring events that are remembered; beyond it the one that was heard of longest ago is forgotten.
MAX_SUBJECTS: Final = 1024
#: So often each event about one subject is told in a row; a program that comes for the fourth time within the time
#: below will not stop by itself.
RECURRENCES: Final = 3
#: A row ends when nothing has been heard of the subject for this long. Programs try again within a minute.
QUIET_S: Final = 90.0


class LineVerdict(Enum):
    """What is to be done with something that may come too often."""

    PASS = "pass"
    #: It is the first of many that are held back: say that.
    FIRST_HELD_BACK = "first held back"
    #: It is one more of those.
    HELD_BACK = "held back"


@dataclass(slots=True)
class _Episode:
    what: object
    repeats: int = 0


class OncePerEpisode(Generic[K]):
    """What was told already, of one kind of trouble; ``key`` says whose it is.

    An episode is a run of the same ``what`` for one key. Another ``what`` begins a new episode.
    """

    def __init__(self, *, most_keys: int | None = None) -> None:
        """Beyond ``most_keys``, the episode that began longest ago is forgotten; None: keys are few by nature."""
        self._most_keys = most_keys
        # In the order of their beginnings.
        self._episodes: dict[K, _Episode] = {}

    def begins(self, key: K, what: object = None) -> bool:
        """It has happened. True: this is the first time of an episode, and worth a line."""
        episode = self._episodes.get(key)
        if episode is not None and episode.what == what:
            episode.repeats += 1
            return False
        self._episodes[key] = _Episode(what)
        if self._most_keys is not None and len(self._episodes) > self._most_keys:
            del self._episodes[next(iter(self._episodes))]
        return True

    def ends(self, key: K) -> int | None:
        """It is over. How often it happened again after the first time; None if there was no episode."""
        episode = self._episodes.pop(key, None)
        return None if episode is None else episode.repeats

    def is_on(self, key: K) -> bool:
        """Whether an episode lasts."""
        return key in self._episodes


@dataclass(slots=True)
class Row:
    """What happened to one subject again and again."""

    subject: Hashable
    began: float
    last: float
    #: How often each event happened.
    events: dict[str, int] = field(default_factory=dict)
    held_back: int = 0


class RecurringEvents:
    """Tells events that come again and again from those that say something new: one for each log.

    A peer that is refused, or gets no card, comes again within a second or a minute, for weeks. Its subject (a client
    slot, a bank, an address) gets a few lines of each event, then one that says that they recur, and one when that has
    ended. What all sources together may say is bounded elsewhere: there may be more of them than are remembered here.
    ``now`` never goes backwards.
    """

    def __init__(self) -> None:
        # In the order of their latest events.
        self._rows: OrderedDict[Hashable, Row] = OrderedDict()
        self._ended: list[Row] = []
        # Rows of which events are held back.
        self._open = 0

    def on_event(self, subject: Hashable, event: str, now: float) -> LineVerdict:
        """It has happened to ``subject``."""
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
            return LineVerdict.PASS
        row.held_back += 1
        if row.held_back > 1:
            return LineVerdict.HELD_BACK
        self._open += 1
        return LineVerdict.FIRST_HELD_BACK

    def _end(self, row: Row) -> None:
        if row.held_back:
            self._open -= 1
            self._ended.append(row)

    def ended(self, now: float) -> list[Row]:
        """Rows of which events were held back, and that have ended since the call before."""
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
