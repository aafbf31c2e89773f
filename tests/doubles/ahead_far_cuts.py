# SPDX-License-Identifier: Apache-2.0
"""Answers ahead between the real coordinators, over a link that takes its time and is lost again and again.

``CutWorld`` delivers at once and cuts at a byte. Here each message takes a while, so guesses, reports and commands
cross, and links fail at any time and in any manner: seen by both ends, by one end only, or by none for seconds, so that
the client returns while the bankd still believes in the old link, or the bankd has let go of it while the client still
sends. What the modem sees, and what the card keeps, must be as without any of it. A long run is
``python -m tests.doubles.ahead_far_cuts``.
"""

import argparse
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from remsim.ahead.bank_side import AheadSession, symbols
from remsim.ahead.context_model import ContextModel
from remsim.ahead.library import Library, Pair
from remsim.ahead.predictor import Predictor
from remsim.bankd.core.ahead import AheadPolicy
from remsim.uicc import Uicc
from remsim.wire.messages import rspro
from tests.doubles.ahead_equivalence import (
    PREDICTORS,
    AnyCard,
    EagerPace,
    PerfectPredictor,
    RandomPredictor,
    Script,
    SurePredictor,
    is_harmless,
    make_card,
    write,
)
from tests.doubles.ahead_world import RESET
from tests.doubles.cut_parts import CountingCard, CutPipe, LinkFailure
from tests.doubles.cut_world import CutWorld

#: Manners of failing after which a session goes on.
FAILURES: Final = (
    LinkFailure.FIN,
    LinkFailure.RST,
    LinkFailure.SILENCE,
    LinkFailure.DELAY,
    LinkFailure.HALF_OPEN_BANKD,
    LinkFailure.HALF_OPEN_CLIENT,
    LinkFailure.REFUSED_TWICE,
)


class Under(bytes):
    """Bytes that are under way, and when they arrive."""

    due: float


class SurePace(EagerPace):
    """Guesses at any distance, and whatever it costs."""

    def pays(self, share: float) -> bool:
        """Always."""
        return True


class GivenPolicy(AheadPolicy):
    """Sessions with the predictor that it was given."""

    def __init__(self, make: Callable[[], Predictor]) -> None:
        super().__init__(Library())
        self._make = make
        self.sessions: list[AheadSession] = []

    def session(self, pair: Pair) -> AheadSession:
        """One more."""
        session = AheadSession(self._make(), round_trip=0.3)
        session.pace = SurePace(0.3)
        session.pace.gain = 1e9
        self.sessions.append(session)
        return session


class GivenCard(CountingCard):
    """Any card in the place of the one that counts."""

    any: AnyCard

    def execute(self, tpdu: bytes) -> bytes:
        """Do it."""
        self.executed.append(tpdu)
        return self.any.transmit(tpdu)

    def reset(self) -> None:
        """Power it up, for the first time or again."""
        self.resets += 1
        self.any.cold_reset()


class FarCutWorld(CutWorld):
    """Messages take between nothing and ``far`` seconds; ``failures`` happen at their times."""

    def __init__(
        self,
        script: list[bytes | None],
        card: AnyCard,
        policy: AheadPolicy | None,
        rng: random.Random,
        *,
        far: float,
        failures: list[tuple[float, LinkFailure]],
    ) -> None:
        self._rng = rng
        self._far = far
        self._last_due: dict[int, float] = {}
        kind = type("Chosen", (GivenCard,), {"any": card})
        super().__init__(script, ahead=policy, card=kind)
        for time, failure in failures:
            self.later(time, lambda failure=failure: self._fail_now(failure))

    def _fail_now(self, failure: LinkFailure) -> None:
        if self.pipes and (self._newest().client_is_up or self._newest().bankd_is_up):
            self.failure = failure
            self._fail(self._newest())

    def _write(self, pipe: CutPipe, queue: deque[bytes], data: bytes) -> None:
        if not data or pipe.is_silent:
            return
        under = Under(data)
        under.due = max(self.now + self._far * self._rng.random(), self._last_due.get(id(queue), 0.0))
        self._last_due[id(queue)] = under.due
        queue.append(under)

    def _under_way(self) -> Iterator[tuple[float, CutPipe, deque[bytes], bool]]:
        for pipe in self.pipes:
            if pipe.is_silent:
                continue
            for queue, is_up, is_to_bank in (
                (pipe.to_bank, pipe.bankd_is_up, True),
                (pipe.to_client, pipe.client_is_up, False),
            ):
                if queue and is_up:
                    first = queue[0]
                    assert isinstance(first, Under)
                    yield max(first.due, pipe.blocked_until), pipe, queue, is_to_bank

    def _deliver(self) -> bool:
        due, pipe, queue, is_to_bank = min(
            self._under_way(), key=lambda found: found[0], default=(0.0, None, deque[bytes](), False)
        )
        if pipe is None or due > self.now:
            return False
        self._arrive(pipe, queue, is_to_bank=is_to_bank)
        return True

    def _deadlines(self) -> Iterator[float]:
        yield from super()._deadlines()
        yield from (due for due, *_ in self._under_way())


@dataclass(slots=True)
class Tally:
    """What a run came across."""

    sessions: int = 0
    commands: int = 0
    cuts: int = 0
    resumed: int = 0
    taken_over: int = 0
    guesses: int = 0
    hits: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


def play(seed: int, tally: Tally, *, length: int = 60) -> None:
    """One session. Raises AssertionError if the modem or the card can tell the difference."""
    rng = random.Random(seed)
    make, is_gsm = make_card(rng)
    writer = Script(rng, is_gsm=is_gsm)
    plain, card = make(), make()
    commands, answers = write(rng, plain, writer, length)
    # The client answers what is no command by itself.
    if any(command != RESET and len(command) < rspro.MIN_COMMAND for command in commands):
        commands = [command for command in commands if command == RESET or len(command) >= rspro.MIN_COMMAND]
        plain = make()
        answers = [plain.cold_reset() if command == RESET else plain.transmit(command) for command in commands]
    chosen = rng.choice(PREDICTORS)

    def predictor() -> Predictor:
        if chosen == "perfect":
            return PerfectPredictor(commands)
        if chosen == "learnt":
            return SurePredictor([ContextModel([symbols([c for c in commands if c != RESET])])])
        return RandomPredictor(commands, rng, writer, 0.6 if chosen == "random" else 0.0)

    policy = GivenPolicy(predictor)
    kinds = [rng.choice(FAILURES) for _ in range(rng.choice((0, 1, 2, 4, 8)))]
    failures = [(rng.random() * length * 0.05, kind) for kind in kinds]
    world = FarCutWorld(
        [command if command != RESET else None for command in commands],
        card,
        policy,
        rng,
        far=rng.choice((0.0, 0.02, 0.15, 0.6)),
        failures=failures,
    )
    world.run()
    _compare(world, commands, answers, card, plain)
    counts = world.bank.cards.holds.counts
    tally.sessions += 1
    tally.commands += len(commands)
    tally.cuts += counts.cuts
    tally.resumed += counts.resumed
    tally.taken_over += counts.taken_over
    tally.guesses += world.bank.counts.ahead_guesses
    # A link that is lost before the card is there begins another one.
    tally.hits += sum(session.counts.hits for session in policy.sessions)
    tally.kinds.update(kind.name.lower() for kind in kinds)


def _compare(world: FarCutWorld, commands: list[bytes], answers: list[bytes], card: AnyCard, plain: AnyCard) -> None:
    assert world.is_done(), "the modem waits for ever"
    assert (world.modem.insertions, world.modem.removals) == (1, 0), "the modem lost its card"
    for at, (command, right) in enumerate(zip(commands, answers, strict=True)):
        if command != RESET:
            seen = world.modem.answers[at]
            assert seen == right, f"command {at}, {command.hex()}, saw {seen!r} and not {right.hex()}"
    sent = Counter(command for command in commands if command != RESET)
    assert isinstance(world.card, GivenCard)
    given = Counter(world.card.executed)
    for command in {*sent, *given}:
        if not is_harmless(command):
            assert given[command] == sent[command], (
                f"{command.hex()} was sent {sent[command]} times, run {given[command]}"
            )
    if isinstance(card, Uicc) and isinstance(plain, Uicc):
        assert card.state.to_bytes() == plain.state.to_bytes(), "files, counters or sequence numbers ended otherwise"


def report(tally: Tally) -> str:
    """What was reached, in words."""
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(tally.kinds.items()))
    return (
        f"{tally.sessions} sessions, {tally.commands} commands, {tally.guesses} guesses, {tally.hits} hits; "
        f"{tally.cuts} links lost and noticed, {tally.resumed} sessions resumed, {tally.taken_over} taken over from a "
        f"link that was thought to be alive\n{kinds}"
    )


def main() -> int:
    """The long run."""
    parser = argparse.ArgumentParser(prog="python -m tests.doubles.ahead_far_cuts", description=main.__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="sessions (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one (%(default)s)")
    parser.add_argument("--length", type=int, default=60, help="commands of one session (%(default)s)")
    arguments = parser.parse_args()
    tally = Tally()
    for seed in range(arguments.first, arguments.first + arguments.count):
        try:
            play(seed, tally, length=arguments.length)
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
    sys.stdout.write(report(tally) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
