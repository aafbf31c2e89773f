# SPDX-License-Identifier: Apache-2.0
"""Which command the modem will probably send next, and how often such predictions came true.

What was learnt of this card with this modem comes first, then what cards of the same ATR saw, then all others; where
nothing agrees, the rules of ``structure``. How often each source is right is measured by every command, guessed or
not, so a source that is wrong falls silent by itself and returns when it is right again.
"""

from collections.abc import Sequence
from dataclasses import field
from typing import Final

from remsim.ahead.context_model import MAX_ORDER, ContextModel, Cursor, Prediction
from remsim.ahead.return_path import INS_SEARCH
from remsim.ahead.structure import Exchanged, Expected, Source, expected
from remsim.ahead.symbols import START, command_of, symbol_of
from remsim.ahead.view import CardView
from remsim.card.tpdu import HEADER_LENGTH
from remsim.core.values import dataclass

#: A context of so many commands is believed before the rules of ``structure``.
_LONG: Final = 4
#: A context must be this long at least.
_LEAST: Final = 2
#: Patterns of SEARCH RECORD that are kept in memory, and never stored.
_MAX_PATTERNS: Final = 256
#: How much the past counts with each new prediction that came true or not.
_DECAY: Final = 0.95
#: What is believed of a source before it was tried, and for how many predictions that counts.
_BELIEFS: Final = {
    Source.FETCH: 0.97,
    Source.LENGTH: 0.95,
    Source.FIRST_READ: 0.6,
    Source.NEXT_RECORD: 0.8,
    Source.NEXT_PART: 0.8,
    Source.LONG_CONTEXT: 0.9,
    Source.SHORT_CONTEXT: 0.6,
    Source.FOLLOWED: 0.5,
}
_WEIGHT: Final = 4.0


@dataclass(slots=True)
class TrackRecord:
    """How often a source was right of late."""

    right: float
    all: float = _WEIGHT

    @property
    def share(self) -> float:
        """The share of predictions that came true, 0 to 1."""
        return self.right / self.all

    def note(self, *, is_right: bool) -> None:
        """One more prediction was compared with what the modem sent."""
        self.right = self.right * _DECAY + is_right
        self.all = self.all * _DECAY + 1


@dataclass(frozen=True, slots=True)
class Context:
    """What the modem has sent, or is expected to have sent: a value, so that guesses can be taken back."""

    history: tuple[bytes, ...] = (START,)
    cursors: tuple[Cursor, ...] = ()
    situation: Exchanged = field(default_factory=Exchanged)


class Predictor:
    """Predicts for one session. ``models`` from the most special to the most general."""

    def __init__(
        self, models: Sequence[ContextModel], patterns: dict[tuple[bytes, bytes], bytes] | None = None
    ) -> None:
        """``patterns`` are commands that were seen in this process, by symbol before and own symbol."""
        self._models = tuple(models)
        self._patterns = {} if patterns is None else patterns
        self._records = {source: TrackRecord(belief * _WEIGHT) for source, belief in _BELIEFS.items()}

    def start(self) -> Context:
        """The card was reset."""
        return Context(cursors=tuple(Cursor() for _ in self._models))

    def after(self, context: Context, tpdu: bytes, response: bytes) -> Context:
        """One command later."""
        symbol = symbol_of(tpdu)
        if len(tpdu) > HEADER_LENGTH and len(symbol) == HEADER_LENGTH and symbol[1] == INS_SEARCH:
            if len(self._patterns) < _MAX_PATTERNS:
                self._patterns[context.history[-1], symbol] = bytes(tpdu)
        history = (*context.history[-MAX_ORDER:], symbol)
        cursors = tuple(
            model.follow(cursor, history) for model, cursor in zip(self._models, context.cursors, strict=True)
        )
        return Context(history, cursors, context.situation.after(tpdu, response))

    def next(self, context: Context, view: CardView) -> Expected | None:
        """The command that most probably comes next."""
        rule = expected(context.situation, view)
        if rule is not None and rule.source in (Source.FETCH, Source.LENGTH):
            return rule
        found = self._by_models(context)
        if found is not None and found.order >= _LONG:
            return self._command(context, found, Source.LONG_CONTEXT)
        followed = self._by_position(context)
        if followed is not None and (rule is None or self.share(Source.FOLLOWED) >= self.share(rule.source)):
            return self._command(context, followed, Source.FOLLOWED)
        if rule is not None:
            return rule
        if found is not None:
            return self._command(context, found, Source.SHORT_CONTEXT)
        return None

    def share(self, source: Source) -> float:
        """How often this source was right of late, 0 to 1."""
        return self._records[source].share

    def note(self, prediction: Expected | None, tpdu: bytes) -> None:
        """The modem sent ``tpdu`` where ``prediction`` was expected."""
        if prediction is not None:
            self._records[prediction.source].note(is_right=prediction.tpdu == tpdu)

    def _by_models(self, context: Context) -> Prediction | None:
        best: Prediction | None = None
        for model in self._models:
            found = model.by_context(context.history)
            if found is not None and found.order >= _LEAST and (best is None or found.order > best.order):
                best = found
                if best.order >= MAX_ORDER:
                    # No other one can agree in more.
                    break
        return best

    def _by_position(self, context: Context) -> Prediction | None:
        for model, cursor in zip(self._models, context.cursors, strict=True):
            found = model.followed(cursor)
            if found is not None:
                return found
        return None

    def _command(self, context: Context, prediction: Prediction, source: Source) -> Expected | None:
        whole = command_of(prediction.symbol) or self._patterns.get((context.history[-1], prediction.symbol))
        return None if whole is None else Expected(whole, source)
