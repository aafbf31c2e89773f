# SPDX-License-Identifier: Apache-2.0
"""GSMTAP of a SIM as commands: which bytes went to the card, and how it answered.

Programs write them in three forms. Ours, the C bankd and SIMtrace 2 put a command with its answer into one frame, so
that P3 bytes and a status word in it may have gone either way; others use a frame for the command and another one for
the answer, or one for each part (header, data, status word). Short frames tell which of the first two it is: one with
an answer has seven bytes at least. Frames come from outside: nothing is kept but what waits for its other half.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import field
from enum import Enum, IntEnum
from typing import Final

from remsim.card.apdu_case import Direction, PreviousCommand, decide
from remsim.card.tpdu import HEADER_LENGTH, MAX_TPDU
from remsim.core.values import dataclass
from remsim.trace.gsmtap import TpduMark
from remsim.trace.packets import Datagram

_VERSION, _TYPE_SIM = 2, 4
_HEADER: Final = 16
_PLACE_OF_SUB_TYPE, _PLACE_OF_MARK = 12, 13
#: Our own programs mark what no modem has sent.
_MARKS: Final = frozenset(TpduMark) - {TpduMark.MODEM}

_STATUS: Final = 2
_SHORTEST_JOINED: Final = HEADER_LENGTH + _STATUS
_MAX_ANSWER: Final = 256 + _STATUS
_INS_GET_RESPONSE: Final = 0xC0
_SW1_MORE: Final = frozenset({0x61, 0x9F})
_SW1_LENGTH: Final = 0x6C

#: So many frames of one sender wait until a short one says that commands and answers are apart. Without one among
#: them, they are not: two in three commands of a modem are answered with a status word alone.
_UNDECIDED_FRAMES: Final = 64
#: Programs whose frames are told apart. More are one.
_MAX_SENDERS: Final = 64


class SubType(IntEnum):
    """What a frame holds (libosmocore's gsmtap.h). PPS has two more, which are of no use here."""

    APDU = 0
    ATR = 1
    HEADER = 4
    TO_CARD = 5
    FROM_CARD = 6
    STATUS = 7


class SeenData(Enum):
    """Which way the data of a command really went."""

    TO_CARD = "data to the card"
    FROM_CARD = "no data to the card"
    #: The capture does not tell: P3 bytes and a status word may be either, and so may a refusal alone.
    UNDECIDED = "not told"


@dataclass(frozen=True, slots=True)
class SeenReset:
    """The card gave its ATR. ``place`` is the packet, counted from 1."""

    place: int
    sender: str = ""


@dataclass(frozen=True, slots=True)
class SeenCommand:
    """One command. ``behind`` are the data behind its header, of either way; of them ``brought`` went to the card.

    ``brought`` is None where one frame has both; ``sw`` where the answer is missing.
    """

    place: int
    sender: str
    header: bytes
    behind: bytes
    brought: int | None
    sw: int | None

    @property
    def seen(self) -> SeenData:
        """Which way its data went, as far as the frames tell."""
        if self.brought is None:
            return seen_of_joined(self.header, len(self.behind), self.sw or 0)
        if self.brought:
            return SeenData.TO_CARD
        return SeenData.FROM_CARD if self.behind or self.header[4] == 0 else SeenData.UNDECIDED

    def tpdu(self, previous: PreviousCommand | None) -> tuple[bytes, PreviousCommand]:
        """The command as it went to the card, and what to pass for the next one of the same card.

        What the frames do not tell, the tables of commands do.
        """
        seen, wanted = self.seen, self.header[4]
        is_to_card = seen is SeenData.TO_CARD
        if seen is SeenData.UNDECIDED:
            is_to_card = decide(self.header, previous=previous).direction is Direction.RECEIVE
        direction = Direction.RECEIVE if is_to_card else Direction.FORWARD
        data = self.behind[: wanted if self.brought is None else self.brought] if is_to_card else b""
        return self.header + data, PreviousCommand(self.header, self.sw or 0, direction)


SimStep = SeenReset | SeenCommand


def seen_of_joined(header: bytes, behind: int, sw: int) -> SeenData:
    """The way of a command's data where all that follows the header is one row of ``behind`` bytes and a status word.

    P3 bytes and a status word may be either; 61xx and 9Fxx behind them speak of an answer still to be fetched.
    """
    p3 = header[4]
    if behind == 0:
        return SeenData.FROM_CARD if sw >> 8 == _SW1_LENGTH else SeenData.UNDECIDED
    if p3 == 0 or behind < p3:
        return SeenData.FROM_CARD
    if behind > p3:
        return SeenData.TO_CARD
    return SeenData.TO_CARD if sw >> 8 in _SW1_MORE and header[1] != _INS_GET_RESPONSE else SeenData.UNDECIDED


class LeftOut(Enum):
    """Why something in a capture is no command."""

    OTHER_PACKETS = "packets that are no GSMTAP of a card"
    NO_COMMANDS = "frames that are no command"
    GUESSES = "commands that no modem has sent"
    CUT = "packets of which the capture has only the beginning"


@dataclass(slots=True)
class _Parts:
    """A command whose frames have not all come."""

    place: int
    header: bytes
    to_card: bytes = b""
    from_card: bytes = b""

    def has_room(self, more: bytes) -> bool:
        """Whether a command and its answer can have so many bytes in all."""
        return len(self.to_card) + len(self.from_card) + len(more) <= MAX_TPDU + _MAX_ANSWER


@dataclass(slots=True)
class _Talk:
    """One sender's frames."""

    sender: str
    #: None: not known yet; then the frames wait.
    is_apart: bool | None = None
    waiting: deque[tuple[int, bytes]] = field(default_factory=deque)
    pending: _Parts | None = None


class SimFrames:
    """Makes steps of datagrams. ``finish`` when there are no more."""

    def __init__(self) -> None:
        #: What was passed over.
        self.left_out: Counter[LeftOut] = Counter()
        self._talks: dict[str, _Talk] = {}

    def on_datagram(self, place: int, datagram: Datagram | None) -> Iterator[SimStep]:
        """What is known after one more packet, whose GSMTAP this is; None: it has none."""
        payload = b"" if datagram is None else datagram.payload
        if datagram is None or len(payload) < _HEADER or payload[0] != _VERSION or payload[2] != _TYPE_SIM:
            self.left_out[LeftOut.OTHER_PACKETS] += 1
            return
        length = payload[1] * 4
        if not _HEADER <= length <= len(payload):
            self.left_out[LeftOut.NO_COMMANDS] += 1
            return
        if payload[_PLACE_OF_MARK] in _MARKS:
            self.left_out[LeftOut.GUESSES] += 1
            return
        sender = datagram.sender if datagram.sender in self._talks or len(self._talks) < _MAX_SENDERS else ""
        talk = self._talks.setdefault(sender, _Talk(sender))
        yield from self._on_frame(talk, place, payload[_PLACE_OF_SUB_TYPE], payload[length:])

    def on_cut(self) -> None:
        """A packet is not there as a whole."""
        self.left_out[LeftOut.CUT] += 1

    def finish(self) -> Iterator[SimStep]:
        """There are no more packets."""
        for talk in self._talks.values():
            yield from self._decide(talk)
            yield from self._end(talk)

    def _on_frame(self, talk: _Talk, place: int, sub_type: int, body: bytes) -> Iterator[SimStep]:
        match sub_type:
            case SubType.APDU if talk.is_apart is None:
                talk.waiting.append((place, body))
                if len(body) == HEADER_LENGTH or (len(body) == _STATUS and _is_status(body)):
                    talk.is_apart = True
                if talk.is_apart or len(talk.waiting) >= _UNDECIDED_FRAMES:
                    yield from self._decide(talk)
            case SubType.APDU:
                yield from self._on_apdu(talk, place, body)
            case SubType.ATR:
                yield from self._decide(talk, is_final=False)
                yield from self._end(talk)
                yield SeenReset(place, talk.sender)
            case SubType.HEADER if len(body) == HEADER_LENGTH:
                yield from self._end(talk)
                talk.pending = _Parts(place, body)
            case SubType.TO_CARD if talk.pending is not None and talk.pending.has_room(body):
                talk.pending.to_card += body
            case SubType.FROM_CARD if talk.pending is not None and talk.pending.has_room(body):
                talk.pending.from_card += body
            case SubType.STATUS if talk.pending is not None and len(body) == _STATUS:
                yield from self._end(talk, body)
            case _:
                self.left_out[LeftOut.NO_COMMANDS] += 1

    def _decide(self, talk: _Talk, *, is_final: bool = True) -> Iterator[SimStep]:
        """Deal with the frames that wait. Those before an ATR were few, and say less about the ones behind it."""
        is_apart = talk.is_apart
        if is_apart is None:
            talk.is_apart = False
        while talk.waiting:
            yield from self._on_apdu(talk, *talk.waiting.popleft())
        if not is_final:
            talk.is_apart = is_apart

    def _on_apdu(self, talk: _Talk, place: int, body: bytes) -> Iterator[SimStep]:
        if not talk.is_apart:
            if _SHORTEST_JOINED <= len(body) <= MAX_TPDU + _MAX_ANSWER:
                header, behind = body[:HEADER_LENGTH], body[HEADER_LENGTH:-_STATUS]
                yield SeenCommand(place, talk.sender, header, behind, None, int.from_bytes(body[-_STATUS:]))
            else:
                self.left_out[LeftOut.NO_COMMANDS] += 1
            return
        if talk.pending is not None and _is_answer(talk.pending, body):
            talk.pending.from_card = body[:-_STATUS]
            yield from self._end(talk, body[-_STATUS:])
            return
        yield from self._end(talk)
        if HEADER_LENGTH <= len(body) <= MAX_TPDU + 1:
            header, data = body[:HEADER_LENGTH], body[HEADER_LENGTH:]
            # A length behind the data is of the reader's level, not of the card's.
            talk.pending = _Parts(place, header, data[: header[4]])
        elif len(body) == HEADER_LENGTH - 1:
            talk.pending = _Parts(place, body + b"\0")
        else:
            self.left_out[LeftOut.NO_COMMANDS] += 1

    def _end(self, talk: _Talk, status: bytes | None = None) -> Iterator[SimStep]:
        """The command that waits has its answer, or gets none."""
        parts, talk.pending = talk.pending, None
        if parts is None:
            return
        sw = None if status is None else int.from_bytes(status)
        behind = parts.to_card + parts.from_card
        yield SeenCommand(parts.place, talk.sender, parts.header, behind, len(parts.to_card), sw)


def _is_status(body: bytes) -> bool:
    """Whether the last two bytes can be a status word (ISO/IEC 7816-3, 10.3.3)."""
    return body[-2] >> 4 in (6, 9)


def _is_answer(pending: _Parts, body: bytes) -> bool:
    """Whether a frame behind a command can be its answer: it ends with a status word, and is no longer than asked."""
    if not _STATUS <= len(body) <= _MAX_ANSWER or not _is_status(body):
        return False
    wanted = pending.header[4] or 256
    return bool(pending.to_card) or len(body) - _STATUS <= wanted
