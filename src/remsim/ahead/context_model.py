# SPDX-License-Identifier: Apache-2.0
"""What came next after commands like these: recorded starts, searched for the longest context that was seen before.

The longest suffix of what the modem has sent that also stands in a recording decides; of several equally long ones,
what most of them continue with. Where the context is new, because a command was left out, added or swapped, the
recording is followed by position. Old recordings make room for new ones. Nothing is random: the same recordings and
commands always give the same prediction.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

from remsim.ahead.symbols import START
from remsim.core.values import dataclass

#: Longest context that is compared.
MAX_ORDER: Final = 32
#: Places in the recordings that are compared for one prediction.
MAX_COMPARED: Final = 64
#: Commands of one recording, and of all recordings of a model. 4096 take less than a megabyte with their index.
MAX_RECORDING: Final = 2048
MAX_COMMANDS: Final = 4096
#: A recording of fewer commands is a modem that gave up, and says little.
MIN_RECORDING: Final = 4

#: How far from where it was expected a command is looked for: left out are these many at most.
_AHEAD, _BEHIND = 24, 8
#: Share of the places with the longest context that must agree.
_CONFIDENCE: Final = 0.5
_NOWHERE: Final = -1


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is expected next. ``order`` is the number of commands that agreed; 0: followed by position."""

    symbol: bytes
    order: int


class Cursor(NamedTuple):
    """The place in the recordings that a modem is followed to, and the places near it that it has passed."""

    position: int = _NOWHERE
    passed: tuple[int, ...] = ()


class ContextModel:
    """Recordings of starts, newest last."""

    def __init__(self, recordings: Sequence[Sequence[bytes]] = ()) -> None:
        self._recordings: list[tuple[bytes, ...]] = []
        self._text: list[bytes] = []
        self._numbers: dict[bytes, int] = {}
        # The latest place behind each pair of symbols, and for each place the one before with the same pair.
        self._latest: dict[int, int] = {}
        self._earlier: array[int] = array("i")
        for recording in recordings:
            self._keep(tuple(recording))
        self._build()

    @property
    def recordings(self) -> tuple[tuple[bytes, ...], ...]:
        """What was learnt, oldest first."""
        return tuple(self._recordings)

    @property
    def size(self) -> int:
        """Commands in all recordings."""
        return sum(map(len, self._recordings))

    def learn(self, recording: Sequence[bytes]) -> bool:
        """Add one start, without ``START``. False if it says nothing new."""
        if not self._keep(tuple(recording[:MAX_RECORDING])):
            return False
        self._build()
        return True

    def _keep(self, recording: tuple[bytes, ...]) -> bool:
        if len(recording) < MIN_RECORDING:
            return False
        for known in self._recordings:
            if known[: len(recording)] == recording:
                # Seen before. It counts as the newest all the same.
                is_last = known is self._recordings[-1]
                self._recordings.remove(known)
                self._recordings.append(known)
                return not is_last
        self._recordings = [known for known in self._recordings if recording[: len(known)] != known]
        self._recordings.append(recording)
        while self.size > MAX_COMMANDS:
            del self._recordings[0]
        return True

    def _build(self) -> None:
        self._text, self._numbers, self._latest, self._earlier = [], {}, {}, array("i")
        for recording in self._recordings:
            for symbol in (START, *recording):
                self._append(symbol)

    def _append(self, symbol: bytes) -> None:
        self._numbers.setdefault(symbol, len(self._numbers))
        self._text.append(symbol)
        end = len(self._text)
        pair = self._pair(self._text[end - 2], symbol) if end > 1 else None
        self._earlier.append(_NOWHERE if pair is None else self._latest.get(pair, _NOWHERE))
        if pair is not None:
            self._latest[pair] = end

    def _pair(self, first: bytes, second: bytes) -> int | None:
        left, right = self._numbers.get(first), self._numbers.get(second)
        return None if left is None or right is None else left << 16 | right

    # Prediction

    def by_context(self, history: Sequence[bytes]) -> Prediction | None:
        """What most often followed the longest context. ``history`` begins with ``START``, newest last."""
        best, votes = 0, list[bytes]()
        for place in self._places(history):
            order = self._order(history, place)
            if order > best:
                best, votes = order, []
            if order == best and place < len(self._text) and self._text[place] != START:
                votes.append(self._text[place])
        if not votes:
            return None
        # The newest comes first, and wins where as many say something else.
        favourite = max(dict.fromkeys(votes), key=votes.count)
        return Prediction(favourite, best) if votes.count(favourite) >= _CONFIDENCE * len(votes) else None

    def _places(self, history: Sequence[bytes]) -> Iterator[int]:
        """Places in the text behind the last two symbols, newest first."""
        pair = self._pair(history[-2], history[-1]) if len(history) > 1 else None
        place = _NOWHERE if pair is None else self._latest.get(pair, _NOWHERE)
        for _ in range(MAX_COMPARED):
            if place == _NOWHERE:
                return
            yield place
            place = self._earlier[place - 1]

    def _order(self, history: Sequence[bytes], place: int) -> int:
        text, order, length = self._text, 0, len(history)
        while order < MAX_ORDER and order < length and order < place:
            if history[length - 1 - order] != text[place - 1 - order]:
                break
            order += 1
        return order

    # Following by position

    def followed(self, cursor: Cursor) -> Prediction | None:
        """What stands where the modem is, in the recording that it is followed in."""
        position = cursor.position
        while position in cursor.passed:
            position += 1
        if position == _NOWHERE or position >= len(self._text) or self._text[position] == START:
            return None
        return Prediction(self._text[position], 0)

    def follow(self, cursor: Cursor, history: Sequence[bytes]) -> Cursor:
        """Where the modem is after the last command of ``history``."""
        position = cursor.position
        if position == _NOWHERE:
            place = next(self._places(history), _NOWHERE)
            return cursor if place == _NOWHERE else Cursor(place, (place - 1,))
        near = self._near(cursor, history[-1])
        if near is None or near != position:
            # A long context says for certain where it is; else it is near where it was.
            for place in self._places(history):
                if self._order(history, place) >= MAX_ORDER // 4:
                    return Cursor(place, (place - 1,))
        if near is None:
            return cursor
        position = max(position, near + 1)
        passed = (*(place for place in cursor.passed if place >= position - _BEHIND), near)
        return Cursor(position, passed[-MAX_ORDER:])

    def _near(self, cursor: Cursor, symbol: bytes) -> int | None:
        """The next place from the cursor on that has this symbol and was not passed, else one shortly before."""
        start, end = cursor.position, min(len(self._text), cursor.position + _AHEAD)
        if start < end and self._text[start] == symbol and start not in cursor.passed:
            return start
        for position in chain(range(start, end), range(start - 1, max(start - _BEHIND, 0) - 1, -1)):
            if self._text[position] == symbol and position not in cursor.passed:
                return position
        return None
