# SPDX-License-Identifier: Apache-2.0
"""All that one bank has learnt: by card and modem, and pooled by ATR and over all cards.

A card is known by its bank slot and ATR, a modem by its client slot: neither is the identity of a subscriber. The text
form has command headers, names of files and applications, and nothing else (see ``symbols``).
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from remsim.ahead.context_model import MAX_COMMANDS, MAX_RECORDING, MIN_RECORDING, ContextModel
from remsim.ahead.symbols import is_symbol
from remsim.core.errors import IdRangeError, RemsimError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass

#: Models in memory: with less than a megabyte each, less than 256 MB.
MAX_PAIRS: Final = 192
MAX_ATRS: Final = 48
#: A file of ``MAX_COMMANDS`` commands is shorter.
MAX_TEXT: Final = 1 << 20

_FIRST_LINE: Final = "remsim-ahead 1"
_PAIR: Final = re.compile(
    r"card B([0-9]{1,4}):([0-9]{1,4}) modem C([0-9]{1,4}):([0-9]{1,4}) atr ((?:[0-9a-f]{2}){1,33})"
)
#: In place of a pair: recordings of cards and modems that are not known.
_FOR_ALL: Final = "for all"
_SUM: Final = re.compile(r"sha256 ([0-9a-f]{64})")
_RECORDING: Final = re.compile(r"(?:[0-9a-f]{2}){1,21}(?: (?:[0-9a-f]{2}){1,21})*")


class LearntError(RemsimError):
    """A file that does not hold what was learnt, or is damaged."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A card and the modem that uses it."""

    card: BankSlot
    modem: ClientSlot
    atr: bytes


class Library:
    """The models of one bank."""

    def __init__(self, shipped: Sequence[Sequence[bytes]] = ()) -> None:
        """``shipped`` are recordings that every bank begins with."""
        self._pairs: OrderedDict[Pair, ContextModel] = OrderedDict()
        self._by_atr: OrderedDict[bytes, ContextModel] = OrderedDict()
        self._all = ContextModel(shipped)

    def knows(self, pair: Pair) -> bool:
        """Whether something was learnt of this card with this modem, and is in memory."""
        return pair in self._pairs

    def models(self, pair: Pair) -> tuple[ContextModel, ...]:
        """For a predictor: of this pair, of this ATR, of all."""
        own = self._pairs.setdefault(pair, ContextModel())
        self._pairs.move_to_end(pair)
        while len(self._pairs) > MAX_PAIRS:
            self._pairs.popitem(last=False)
        return own, self._model_of(pair.atr), self._all

    def put(self, pair: Pair | None, model: ContextModel) -> None:
        """What a file had of this pair, or of nobody in particular."""
        if pair is not None:
            self._pairs[pair] = model
        for recording in model.recordings:
            self._all.learn(recording)
            if pair is not None:
                self._model_of(pair.atr).learn(recording)

    def learn(self, pair: Pair, recording: Sequence[bytes]) -> bool:
        """One start. Whether the pair's file is to be written."""
        own, by_atr, everything = self.models(pair)
        is_new = own.learn(recording)
        if is_new:
            by_atr.learn(recording)
            everything.learn(recording)
        return is_new

    def _model_of(self, atr: bytes) -> ContextModel:
        model = self._by_atr.setdefault(atr, ContextModel())
        self._by_atr.move_to_end(atr)
        while len(self._by_atr) > MAX_ATRS:
            self._by_atr.popitem(last=False)
        return model


def to_text(pair: Pair | None, recordings: Sequence[Sequence[bytes]]) -> str:
    """What was learnt of a pair, or for all, as a file has it: its last line says whether all lines are there."""
    whose = _FOR_ALL if pair is None else f"card {pair.card} modem {pair.modem} atr {pair.atr.hex()}"
    lines = [_FIRST_LINE, whose]
    lines += [" ".join(symbol.hex() for symbol in recording) for recording in recordings]
    body = "".join(f"{line}\n" for line in lines)
    return f"{body}sha256 {hashlib.sha256(body.encode()).hexdigest()}\n"


def from_text(text: str) -> tuple[Pair | None, ContextModel]:
    """Read ``to_text``. Raises LearntError."""
    if len(text) > MAX_TEXT:
        raise LearntError(f"more than {MAX_TEXT} characters")
    body, mark, last = text.removesuffix("\n").rpartition("\n")
    found = _SUM.fullmatch(last)
    if not mark or found is None or hashlib.sha256(f"{body}\n".encode()).hexdigest() != found[1]:
        raise LearntError("the sum at its end does not fit")
    lines = body.split("\n")
    whose = lines[1] if len(lines) > 1 else ""
    known = _PAIR.fullmatch(whose)
    if lines[0] != _FIRST_LINE or (known is None and whose != _FOR_ALL):
        raise LearntError("it does not begin as such a file does")
    model = ContextModel([_recording(line) for line in lines[2:]])
    if known is None:
        return None, model
    try:
        card, modem = BankSlot(int(known[1]), int(known[2])), ClientSlot(int(known[3]), int(known[4]))
    except IdRangeError as error:
        raise LearntError(str(error)) from None
    return Pair(card, modem, bytes.fromhex(known[5])), model


def _recording(line: str) -> tuple[bytes, ...]:
    if _RECORDING.fullmatch(line) is None:
        raise LearntError("a line is no recording")
    symbols = tuple(map(bytes.fromhex, line.split(" ")))
    if not MIN_RECORDING <= len(symbols) <= min(MAX_RECORDING, MAX_COMMANDS) or not all(map(is_symbol, symbols)):
        raise LearntError("a recording has what is never learnt")
    return symbols
