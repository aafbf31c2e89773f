# SPDX-License-Identifier: Apache-2.0
"""The bankd's end: what to run on the idle card, and what to restore before a command of the modem.

``AheadSession`` decides, and does nothing itself. Its owner runs one command at a time on the card and tells it of
each. Between two commands of the modem it asks ``next_step``; a command of the modem goes to ``on_command`` first,
once the card is free.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from remsim.ahead.client_side import SentAhead, Used
from remsim.ahead.context_model import MAX_ORDER, MAX_RECORDING
from remsim.ahead.pace import Pace
from remsim.ahead.predictor import Context, Predictor
from remsim.ahead.return_path import INS_GET_RESPONSE, Step
from remsim.ahead.rules import judge
from remsim.ahead.structure import Expected
from remsim.ahead.symbols import symbol_of
from remsim.ahead.view import CardView, Snapshot
from remsim.card.class_byte import class_byte
from remsim.card.status import SW_CORRECT_LENGTH, SW_MORE_DATA
from remsim.card.tpdu import HEADER_LENGTH
from remsim.core.values import dataclass

_FETCH_ONCE: Final = "fetch-once"
#: Exchanges that are kept until they are looked at: twice the longest context.
_MOST_LATE: Final = 2 * MAX_ORDER


@dataclass(frozen=True, slots=True)
class Run:
    """Run these commands, whose answers stay here, and then the modem's. Each must end as its step says."""

    restore: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The card is not asked: send this answer, and once more what was sent ahead after it on a link that is lost.

    ``is_guess``: it was sent ahead before. Otherwise it is made from a response that is kept, and ``on_response`` is
    to be told.
    """

    response: bytes
    is_guess: bool = False
    again: tuple[SentAhead, ...] = ()


@dataclass(frozen=True, slots=True)
class Broken:
    """The session cannot go on. ``reason`` says why, for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class Guess:
    """Run this command, and send its answer ahead."""

    tpdu: bytes


@dataclass(frozen=True, slots=True)
class Trial:
    """Run this command, which selects what is selected, to see whether the card takes its form."""

    tpdu: bytes


@dataclass(frozen=True, slots=True)
class Moment:
    """What the card would be like if the modem had sent exactly this much."""

    card: Snapshot
    context: Context


@dataclass(frozen=True, slots=True)
class Guessed:
    """A command that was run before the modem sent it."""

    answer: SentAhead
    expected: Expected
    before: Moment
    #: The row of the table that allowed it.
    row: str


@dataclass(slots=True)
class AheadCounts:
    """Totals of one session."""

    hits: int = 0
    misses: int = 0
    #: Guessed commands that the modem did not send.
    wasted: int = 0
    #: Commands that restored.
    restored: int = 0


class AheadSession:
    """Guesses for one use of one card by one modem."""

    def __init__(self, predictor: Predictor, view: CardView | None = None, *, round_trip: float = 0.0) -> None:
        """``view`` is the tracker of the session's guard, if there is one; it is told of exchanges here.

        ``round_trip`` in seconds is believed until it was measured.
        """
        self.view = CardView() if view is None else view
        self.pace = Pace(round_trip)
        self.counts = AheadCounts()
        self._predictor = predictor
        self._here = Moment(self.view.snapshot(), predictor.start())
        # What has led here and is not a part of ``_here`` yet: the answer to a modem goes out first, and while nothing
        # is guessed it need not be known. Of many such exchanges the last ones are enough.
        self._late: deque[tuple[bytes, bytes]] = deque(maxlen=_MOST_LATE)
        self._has_gap = False
        # Something was run since the modem's last command was answered.
        self._has_strayed = False
        # What is expected next, as far as that was found out already.
        self._foreseen: tuple[Expected | None] | None = None
        self._guessed: deque[Guessed] = deque()
        # The last command that was answered otherwise than by a guess; guesses since then, and those that were used.
        self._base = 0
        self._made = self._used = 0
        # A response that was fetched for the modem, which asked for it in other parts: the rest, and its status word.
        self._held: tuple[int, bytes, bytes] | None = None
        self._step: Guess | Trial | None = None
        self._pending: tuple[Expected, str] | None = None
        self._is_stopped = True
        self._sent_at: float | None = None
        self._missed_at: float | None = None
        # A link is there. What was sent ahead on an older one may be lost, until a command comes on this one.
        self._is_attached = True
        self._has_new_link = False
        self._recording: list[bytes] = []
        #: Guesses that the modem has sent meanwhile, for traces and counters; to be taken from here.
        self.used: list[SentAhead] = []

    # The modem's commands

    def on_command(self, tag: int, tpdu: bytes, now: float, *, is_over_link: bool = True) -> Run | Answer | Broken:
        """The modem sent a command, and the card is free.

        ``is_over_link``: it came over the link that there is now. Of one that came over a link that is lost, the client
        may have had the answer, and others behind it: these keep their numbers.
        """
        self._measure_wait(now)
        guess = self._guessed[0] if self._guessed else None
        has_new_link = self._has_new_link and is_over_link
        if is_over_link:
            self._has_new_link = False
        if guess is not None and guess.answer.tpdu == tpdu:
            self._confirm()
            return Answer(guess.answer.response, is_guess=True, again=self._again(tag) if has_new_link else ())
        self._missed_at = now if guess is not None else None
        if guess is not None:
            self._predictor.note(guess.expected, tpdu)
            self._take_back(guess)
        elif self.may_guess:
            self._predictor.note(self._expected(), tpdu)
        self.pace.on_command()
        if not self._has_strayed:
            return (self._from_held(tpdu) if self._held is not None else None) or Run()
        plan = self.view.way_to(self._here.card)
        if plan is None:
            return Broken("what the modem believes to be selected cannot be selected again")
        self.counts.restored += len(plan)
        if plan:
            return Run(plan)
        self.view.go_back(self._here.card)
        return (self._from_held(tpdu) if self._held is not None else None) or Run()

    def on_restored(self, tpdu: bytes) -> Answer | None:
        """All restoring commands of ``Run`` went well. An answer for ``tpdu``, the modem's: do not run it."""
        self.view.go_back(self._here.card)
        return self._from_held(tpdu) if self._held is not None else None

    def on_response(
        self, tag: int, tpdu: bytes, response: bytes, now: float, *, seconds: float | None = None, was_run: bool = True
    ) -> None:
        """The modem's command is answered; ``seconds``: how long the card took. ``was_run``: the card has seen it."""
        if seconds is not None:
            self.pace.on_card_time(seconds)
        if self._missed_at is not None:
            self.pace.on_miss(max(now - self._missed_at - self.pace.card_time, 0.0))
            self._missed_at = None
        if was_run:
            self.view.on_exchange(tpdu, response)
        self._note_late(tpdu, response)
        self._has_strayed = False
        self._record(tpdu)
        self._base, self._made, self._used = tag, 0, 0
        self._sent_at = now
        self._is_stopped = False

    def on_used(self, used: Used) -> None:
        """The client reports how many answers it used."""
        while self._guessed and used.base == self._base and self._used < used.count:
            self._confirm()

    # Guesses

    @property
    def may_guess(self) -> bool:
        """Whether ``next_step`` may have something until the modem's next command."""
        return not (self.pace.is_near or self.pace.is_paused)

    def next_step(self) -> Guess | Trial | None:
        """What to run on the idle card; None: nothing until the modem sends or confirms something."""
        if self._step is not None or not self.may_guess:
            return None
        self._catch_up()
        if self._is_stopped or self._has_new_link or self._held is not None:
            return None
        if len(self._guessed) >= self.pace.window:
            return None
        expected = self._expected()
        if expected is None or not self.pace.pays(self._predictor.share(expected.source)):
            self._is_stopped = True
            return None
        judgement = judge(expected.tpdu, self.view)
        if not judgement.is_guess:
            self._is_stopped = True
            return None
        if judgement.trial is not None:
            self._step = Trial(judgement.trial)
        else:
            self._step = Guess(expected.tpdu)
            self._pending = expected, judgement.row.name
        return self._step

    def on_step_done(self, response: bytes, *, seconds: float | None = None) -> SentAhead | None:
        """The card answered the last step. What is returned goes to the client."""
        step, self._step = self._step, None
        self._has_strayed = True
        if seconds is not None:
            self.pace.on_card_time(seconds)
        if isinstance(step, Trial):
            self.view.on_tried(step.tpdu, response)
            self._foreseen = None
            return None
        if step is None or self._pending is None:
            return None
        expected, row = self._pending
        self._made += 1
        answer = SentAhead(self._base, self._made, step.tpdu, response)
        self._guessed.append(Guessed(answer, expected, self._here, row))
        self.view.on_exchange(step.tpdu, response)
        self._note_late(step.tpdu, response)
        self._catch_up()
        return answer

    def cancel_step(self) -> None:
        """The last step is not run."""
        self._step, self._is_stopped = None, True

    # What ends it

    def on_reset(self) -> tuple[bytes, ...]:
        """The card was reset: all is forgotten. Returns what the modem sent since the last reset, to be learnt."""
        recording = self.recording
        self.view.on_reset()
        self.counts.wasted += len(self._guessed)
        self._guessed.clear()
        self._recording.clear()
        self._here = Moment(self.view.snapshot(), self._predictor.start())
        self._late.clear()
        self._has_gap = self._has_strayed = False
        self._foreseen = None
        self._held = self._step = self._pending = self._sent_at = self._missed_at = None
        self._base = self._made = self._used = 0
        self._is_stopped, self._has_new_link = True, not self._is_attached
        return recording

    def on_detached(self) -> None:
        """The link is lost. What was sent ahead may have arrived or not: the modem's next command tells."""
        self._is_attached, self._has_new_link = False, True

    def on_attached(self) -> None:
        """There is a new link."""
        self._is_attached = True

    @property
    def recording(self) -> tuple[bytes, ...]:
        """The symbols of the modem's commands since the last reset."""
        return tuple(self._recording)

    @property
    def held(self) -> tuple[int, bytes] | None:
        """Channel and bytes of a response that was fetched for the modem before it asked for it."""
        return None if self._held is None else self._held[:2]

    # Inside

    def _catch_up(self) -> None:
        """What the card is like now."""
        if not self._late:
            return
        context = self._predictor.start() if self._has_gap else self._here.context
        for tpdu, response in self._late:
            context = self._predictor.after(context, tpdu, response)
        self._late.clear()
        self._has_gap = False
        self._here = Moment(self.view.snapshot(), context)

    def _note_late(self, tpdu: bytes, response: bytes) -> None:
        self._has_gap = self._has_gap or len(self._late) == _MOST_LATE
        self._late.append((tpdu, response))
        self._foreseen = None

    def _expected(self) -> Expected | None:
        """What the modem will probably send next. It may be asked twice: before it is guessed, and when it came."""
        if self._foreseen is None:
            self._catch_up()
            self._foreseen = (self._predictor.next(self._here.context, self.view),)
        return self._foreseen[0]

    def _confirm(self) -> None:
        """The modem has sent the oldest command that was guessed."""
        guess = self._guessed.popleft()
        self._used += 1
        self._sent_at = None
        self.counts.hits += 1
        self.pace.on_hit()
        self._predictor.note(guess.expected, guess.answer.tpdu)
        self._record(guess.answer.tpdu)
        self.used.append(guess.answer)

    def _again(self, tag: int) -> tuple[SentAhead, ...]:
        """What was sent ahead over the link before, numbered anew from the command ``tag``."""
        self._base, self._used, self._made = tag, 0, len(self._guessed)
        self._guessed = deque(
            replace(guess, answer=replace(guess.answer, base=tag, index=index))
            for index, guess in enumerate(self._guessed, start=1)
        )
        return tuple(guess.answer for guess in self._guessed)

    def _measure_wait(self, now: float) -> None:
        """The wait for a command that follows an answer without one in between is a round trip, and a thought."""
        if self._sent_at is not None:
            self.pace.on_wait(now - self._sent_at)
        self._sent_at = None

    def _take_back(self, guess: Guessed) -> None:
        """The modem did not send what was guessed from here on."""
        self.counts.misses += 1
        self.counts.wasted += len(self._guessed)
        self._here, self._foreseen = guess.before, None
        fetching = guess.before.card.fetching
        if guess.row == _FETCH_ONCE and fetching is not None:
            self._held = fetching.channel, guess.answer.response[:-2], guess.answer.response[-2:]
        self._guessed.clear()

    def _from_held(self, tpdu: bytes) -> Answer | None:
        """The part of a held response that a GET RESPONSE asks for (TS 102 221, 7.3.1.1.4); None for others."""
        assert self._held is not None
        channel, data, sw = self._held
        if tpdu[1:2] != bytes((INS_GET_RESPONSE,)):
            # It is lost when another command comes.
            self._held = None
            return None
        if len(tpdu) != HEADER_LENGTH or tpdu[2] or tpdu[3] or class_byte(tpdu[0]).channel != channel:
            return None
        wanted = tpdu[4] or 256
        if wanted > len(data):
            return Answer((SW_CORRECT_LENGTH | len(data) & 0xFF).to_bytes(2))
        rest = data[wanted:]
        self._held = (channel, rest, sw) if rest else None
        return Answer(data[:wanted] + ((SW_MORE_DATA | len(rest) & 0xFF).to_bytes(2) if rest else sw))

    def _record(self, tpdu: bytes) -> None:
        if len(self._recording) < MAX_RECORDING:
            self._recording.append(symbol_of(tpdu))


def symbols(commands: Sequence[bytes]) -> tuple[bytes, ...]:
    """A recorded start as it is learnt."""
    return tuple(map(symbol_of, commands[:MAX_RECORDING]))
