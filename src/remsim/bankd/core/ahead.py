# SPDX-License-Identifier: Apache-2.0
"""Answers ahead in a card session: runs on the card what ``remsim.ahead`` decides, one command at a time.

Commands of the modem come by ``take``. Between them, each turn of the loop runs one guess at most, so a command that
comes meanwhile waits for one guess, and other sessions are served in between. What the card answered to a guess is
looked at in a turn of its own, for the same reason, and commands that waited for the card come in the turn behind that.
Guesses and restoring commands pass neither trace nor counters; a guess is counted and traced once its modem has sent
it. A command that a rule is about is never guessed.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from remsim.ahead.bank_side import AheadSession, Answer, Broken
from remsim.ahead.client_side import SentAhead, Used
from remsim.ahead.figures import AheadFigures
from remsim.ahead.library import Library, Pair
from remsim.ahead.predictor import Predictor
from remsim.ahead.return_path import Step
from remsim.ahead.view import CardView
from remsim.bankd.core.actions import (
    BankdAction,
    CardFault,
    Origin,
    RunAhead,
    SendResponse,
    StoreLearnt,
    TraceTpdu,
)
from remsim.bankd.core.session import BankdCounts, CardSession, SessionOwner
from remsim.bankd.core.states import CardEvent, CardState
from remsim.card.status import SW_WRONG_LENGTH
from remsim.card.t0_exchange import mend_tpdu
from remsim.card.tpdu import is_well_formed
from remsim.core.ids import ClientSlot
from remsim.policy.guard import BLOCKED_RESPONSE
from remsim.session.ledger import Standing
from remsim.wire.link.actions import Send
from remsim.wire.messages.extensions import AheadInd
from remsim.wire.messages.rspro import MAX_COMMAND

_WRONG_LENGTH: Final = SW_WRONG_LENGTH.to_bytes(2)
#: Where other modems use cards that answer at once, a command of theirs takes less than a guess: one in so many seconds
#: is run then, so that hardly any of theirs has to wait for it.
YIELD_S: Final = 0.1
#: Modems whose distance is remembered.
_MAX_MODEMS: Final = 1024


@dataclass(slots=True)
class AheadPolicy:
    """What sessions of one bank learn from each other."""

    library: Library
    #: How far the modems are, in seconds, as measured last.
    round_trips: dict[ClientSlot, float] = field(default_factory=dict)
    #: Patterns that modems search for, which are never stored.
    patterns: dict[Pair, dict[tuple[bytes, bytes], bytes]] = field(default_factory=dict)
    #: Whether a session that begins now in this slot is answered ahead.
    allows: Callable[[int], bool] = lambda _slot_nr: True

    def session(self, pair: Pair) -> AheadSession:
        """For one use of a card by a modem."""
        patterns = self.patterns.setdefault(pair, {}) if len(self.patterns) < _MAX_MODEMS else None
        predictor = Predictor(self.library.models(pair), patterns)
        return AheadSession(predictor, round_trip=self.round_trips.get(pair.modem, 0.0))

    def on_distance(self, modem: ClientSlot, round_trip: float) -> None:
        """How far a modem is."""
        if modem in self.round_trips or len(self.round_trips) < _MAX_MODEMS:
            self.round_trips[modem] = round_trip


class AheadRun:
    """The commands of one session, from one powering up of its card to the next."""

    def __init__(
        self,
        session: CardSession,
        policy: AheadPolicy,
        *,
        owner: SessionOwner,
        out: list[BankdAction],
        counts: BankdCounts,
    ) -> None:
        self._session = session
        self._policy = policy
        self._owner = owner
        self._out = out
        self._counts = counts
        slot = session.slot
        self._pair = Pair(slot.bank_slot, session.client, slot.atr)
        self._plan = policy.session(self._pair)
        # The modem's command that is dealt with, by tag and bytes, and what is to be run before it.
        self._command: tuple[int, bytes] | None = None
        self._restore: deque[Step] = deque()
        # What the card is doing, and since when.
        self._origin = Origin.MODEM
        self._began = 0.0
        self._is_due = False
        # What the card answered to a guess that is not looked at yet, and the seconds that it took.
        self._outcome: tuple[bytes, float] | None = None
        # The newest command that came over the link that there is now.
        self._newest: int | None = None
        self._guesses = 0
        # Commands of this modem, and of all others as last looked at, whose card answered at once.
        self._at_once = 0
        # What was counted before this session says nothing of others that work beside it.
        self._others_at_once = counts.at_once
        # Others have sent such commands until shortly before this time; and when the last guess was made.
        self._busy_until = self._guessed_at = 0.0

    @property
    def view(self) -> CardView:
        """What is selected, for the session's guard."""
        return self._plan.view

    @property
    def figures(self) -> AheadFigures:
        """What this run has done so far."""
        counts = self._plan.counts
        return AheadFigures(
            guesses=self._guesses,
            hits=counts.hits,
            misses=counts.misses,
            undone=counts.wasted,
            restores=counts.restored,
            saved_s=self._plan.pace.saved,
        )

    @property
    def round_trip_s(self) -> float:
        """How far the modem is."""
        return self._plan.pace.round_trip

    # Commands of the modem

    def take(self, tag: int, tpdu: bytes, origin: Origin, now: float) -> bytes | None:
        """As ``CardSession.take``: the response if it is there at once."""
        session, continuity = self._session, self._session.continuity
        if continuity is None:
            self._newest = tag
            return self._enter(tag, tpdu, origin, now)
        if continuity.is_unsettled:
            continuity.settle()
        standing = continuity.ledger.take_command(tag, tpdu)
        if standing is Standing.NEW:
            self._newest = tag
            return self._enter(tag, tpdu, origin, now)
        if standing is Standing.ANSWERED:
            return continuity.ledger.response
        if standing is not Standing.RUNNING:
            self._owner.refuse(session, f"command with tag {tag}: {standing.value}", now)
        return None

    def _enter(self, tag: int, tpdu: bytes, origin: Origin, now: float) -> bytes | None:
        """A command has come. It does not pass those that wait for a turn."""
        if self._session.queue:
            self._session.put_off(tag, tpdu, origin, now)
            return None
        self._settle()
        return self.submit(tag, tpdu, origin, now)

    def submit(self, tag: int, tpdu: bytes, origin: Origin, now: float) -> bytes | None:
        """As ``CardSession.submit``."""
        session = self._session
        slot = session.slot
        is_ours = slot.powered_for is session and slot.session is session
        if slot.state is not CardState.READY or not is_ours or not 1 <= len(tpdu) <= MAX_COMMAND:
            session.put_off(tag, tpdu, origin, now)
            return None
        if not is_well_formed(tpdu):
            tpdu = mend_tpdu(tpdu)
        decision = self._plan.on_command(tag, tpdu, now, is_over_link=tag == self._newest)
        self._policy.on_distance(session.client, self._plan.pace.round_trip)
        self._note_used()
        if isinstance(decision, Broken):
            self._owner.refuse(session, decision.reason, now)
            return None
        self._command = tag, tpdu
        if isinstance(decision, Answer):
            return self._answer(decision, now)
        self._restore = deque(decision.restore)
        return self._go_on(now)

    def _answer(self, answer: Answer, now: float) -> bytes | None:
        """The card is not asked."""
        assert self._command is not None
        (tag, tpdu), self._command = self._command, None
        self._schedule()
        if not answer.is_guess:
            self._plan.on_response(tag, tpdu, answer.response, now)
            self._count(tag, tpdu, answer.response)
            return answer.response
        self._complete(tag, answer.response)
        if not answer.again:
            return answer.response
        # Behind the answer itself.
        self._session.answer(tag, answer.response)
        for later in answer.again:
            self._send(later)
        return None

    def _go_on(self, now: float) -> bytes | None:
        """Restore what is to be restored, then run the modem's command. Its response, if it is there at once."""
        assert self._command is not None
        while self._restore:
            outcome = self._run(self._restore[0].command, Origin.RESTORE, now)
            if outcome is None or not self._restored(outcome, now):
                return None
            if not self._restore and (held := self._plan.on_restored(self._command[1])) is not None:
                return self._answer(held, now)
        return self._run_command(now)

    def _restored(self, response: bytes, now: float) -> bool:
        step = self._restore.popleft()
        self._trace(step.command, response, None, origin=Origin.RESTORE, was_run=True)
        sw = int.from_bytes(response[-2:])
        if step.is_matched_by(sw):
            return True
        self._restore.clear()
        self._command = None
        self._owner.refuse(self._session, f"what was selected cannot be selected again: {sw:04X}", now)
        return False

    def _run_command(self, now: float) -> bytes | None:
        assert self._command is not None
        tpdu, guard = self._command[1], self._session.guard
        if not is_well_formed(tpdu):
            return self._finish(_WRONG_LENGTH, now, was_run=False)
        if guard is not None and guard.blocks(tpdu, now):
            return self._finish(BLOCKED_RESPONSE, now, was_run=False)
        response = self._run(tpdu, Origin.MODEM, now)
        if response is None:
            return None
        self._at_once += 1
        self._counts.at_once += 1
        return self._finish(response, now)

    def _finish(self, response: bytes, now: float, *, was_run: bool = True) -> bytes:
        assert self._command is not None
        (tag, tpdu), self._command = self._command, None
        seconds = now - self._began if was_run else None
        self._plan.on_response(tag, tpdu, response, now, seconds=seconds, was_run=was_run)
        self._count(tag, tpdu, response, was_run=was_run)
        self._schedule()
        return response

    def _count(self, tag: int, tpdu: bytes, response: bytes, *, was_run: bool = False) -> None:
        self._complete(tag, response)
        self._counts.tpdus += 1
        self._session.slot.usage.commands += 1
        self._trace(tpdu, response, tag, was_run=was_run)

    def _complete(self, tag: int, response: bytes) -> None:
        if self._session.continuity is not None:
            self._session.continuity.ledger.complete(tag, response)

    def _trace(
        self,
        tpdu: bytes,
        response: bytes,
        tag: int | None,
        index: int = 0,
        *,
        origin: Origin = Origin.MODEM,
        was_run: bool = False,
    ) -> None:
        slot = self._session.slot
        if slot.is_traced:
            label = self._session.label
            self._out.append(TraceTpdu(slot.slot_nr, tpdu, response, origin, was_run, label, tag, index))

    def on_used(self, used: Used) -> None:
        """The client has used answers; commands that came before this have been dealt with."""
        self._plan.on_used(used)
        self._note_used()
        self._schedule()

    def _note_used(self) -> None:
        for answer in self._plan.used:
            self._counts.tpdus += 1
            self._session.slot.usage.commands += 1
            self._counts.ahead_hits += 1
            self._trace(answer.tpdu, answer.response, answer.base, answer.index)
        self._plan.used.clear()

    # The card

    def _run(self, tpdu: bytes, origin: Origin, now: float) -> bytes | None:
        """Run a command on the idle card; None: ``complete`` follows, or the card has failed."""
        slot = self._session.slot
        slot.step(CardEvent.COMMAND)
        self._origin = slot.origin = origin
        self._began = now
        # The tag is that of the command which waits for this one.
        slot.caller, slot.tpdu = self._session, tpdu
        slot.tag = 0 if self._command is None else self._command[0]
        outcome = slot.card.submit(tpdu)
        if outcome is None:
            return None
        if isinstance(outcome, CardFault):
            self._owner.on_fault(slot, outcome, now)
            return None
        self._done(outcome)
        return outcome

    def _done(self, response: bytes) -> None:
        """The card has answered."""
        slot = self._session.slot
        slot.record.on_answered(response)
        slot.step(CardEvent.DONE)
        slot.caller = None
        if slot.breaker.failures:
            self._owner.on_recovered(slot)

    def complete(self, response: bytes, now: float) -> SendResponse | None:
        """The card answered later than at once. Returns what is to be done first of all."""
        session = self._session
        slot = session.slot
        self._done(response)
        answer: bytes | None = None
        command = self._command
        if self._origin is Origin.GUESS:
            self._put_aside(response, now)
        elif command is not None and self._origin is Origin.MODEM:
            answer = self._finish(response, now)
        elif command is not None and self._restored(response, now):
            held = None if self._restore else self._plan.on_restored(command[1])
            answer = self._go_on(now) if held is None else self._answer(held, now)
        connection = session.connection
        if answer is None or command is None or connection is None or slot.session is not session:
            return None
        if not session.is_awaited(command[0]):
            return None
        return SendResponse(connection.link, command[0], session.client, slot.bank_slot, answer)

    # Guesses

    def _schedule(self, delay_s: float = 0.0) -> None:
        """Let the next turn of the loop run a guess, or one after a while."""
        if not self._is_due and (self._plan.may_guess or self._outcome is not None):
            self._is_due = True
            self._out.append(RunAhead(self._session.slot.slot_nr, delay_s))

    @property
    def is_unsettled(self) -> bool:
        """A guess was answered and is looked at in the next turn: commands that wait have to come behind that."""
        return self._outcome is not None

    def on_turn(self, now: float) -> bool:
        """Nothing else is to be done just now: run one guess, or look at what came of it.

        Whether commands that wait may come now; if not, another turn follows.
        """
        self._is_due = False
        if self._outcome is None:
            self._guess(now)
            return True
        self._settle()
        if self._session.queue:
            self._is_due = True
            self._out.append(RunAhead(self._session.slot.slot_nr, 0.0))
            return False
        self._schedule()
        return True

    def _settle(self) -> None:
        """Look at what the card answered to the last guess."""
        if self._outcome is not None:
            (response, seconds), self._outcome = self._outcome, None
            self._step_done(response, seconds)

    def _guess(self, now: float) -> None:
        session = self._session
        slot = session.slot
        is_idle = slot.state is CardState.READY and slot.powered_for is session and slot.session is session
        if not is_idle or session.queue or session.is_ending or session.connection is None or self._command is not None:
            return
        if (delay_s := self._time_for_others(now)) > 0:
            self._schedule(delay_s)
            return
        step = self._plan.next_step()
        if step is None:
            return
        if self._is_ruled(step.tpdu):
            self._plan.cancel_step()
            return
        self._guessed_at = now
        response = self._run(step.tpdu, Origin.GUESS, now)
        if response is not None:
            self._put_aside(response, now)

    def _put_aside(self, response: bytes, now: float) -> None:
        self._outcome = response, now - self._began
        self._schedule()

    def _time_for_others(self, now: float) -> float:
        """How long the next guess is put off for other modems."""
        others = self._counts.at_once - self._at_once
        if others != self._others_at_once:
            self._others_at_once, self._busy_until = others, now + YIELD_S
        return self._guessed_at + YIELD_S - now if now < self._busy_until else 0.0

    def _is_ruled(self, tpdu: bytes) -> bool:
        guard = self._session.guard
        return guard is not None and guard.concerns(tpdu)

    def _step_done(self, response: bytes, seconds: float) -> None:
        tpdu = self._session.slot.tpdu
        answer = self._plan.on_step_done(response, seconds=seconds)
        if tpdu is not None:
            base, index = (None, 0) if answer is None else (answer.base, answer.index)
            self._trace(tpdu, response, base, index, origin=Origin.GUESS, was_run=True)
        if answer is not None:
            self._counts.ahead_guesses += 1
            self._guesses += 1
            self._send(answer)

    def _send(self, answer: SentAhead) -> None:
        connection = self._session.connection
        if connection is not None:
            message = AheadInd(answer.base, answer.index, answer.tpdu, answer.response)
            self._out.append(Send(connection.link, message))

    # What ends it

    def on_detached(self) -> None:
        """The link is lost; the session is held."""
        self._newest = None
        self._plan.on_detached()

    def on_attached(self) -> None:
        """The session goes on over another link."""
        self._plan.on_attached()

    def on_reset(self) -> None:
        """The card was reset, or loses its power: what its modem sent until then is learnt."""
        recording = self._plan.on_reset()
        self._command = self._outcome = None
        self._restore.clear()
        self._session.slot.origin = Origin.MODEM
        if self._policy.library.learn(self._pair, recording):
            self._out.append(StoreLearnt(self._pair))
