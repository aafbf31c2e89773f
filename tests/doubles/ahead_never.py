# SPDX-License-Identifier: Apache-2.0
"""A card that counts what it is given, through many starts whose guesses are always plausible and always wrong.

Two cards of the same kind are started again and again, one alone, one with answers ahead from a hostile predictor. The
second one counts each command by itself. After each start, what it was given beyond the modem's own commands must be
harmless, every command with an effect must have come as often as the modem sent it, and both cards must stand the
same: PIN counters, sequence numbers, toolkit, files. A long run is ``python -m tests.doubles.ahead_never``.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from remsim.ahead.predictor import Context
from remsim.ahead.rules import Verdict, judge
from remsim.ahead.structure import Expected, Source
from remsim.ahead.view import CardView
from remsim.card.instructions import command_name
from remsim.uicc import Uicc
from tests.doubles.ahead_equivalence import (
    RandomPredictor,
    Reached,
    Script,
    WatchedSession,
    is_harmless,
    profile,
    recorded,
    state_of,
)
from tests.doubles.ahead_world import FarModem

#: One start in so many is that of a phone, which is seven times as long.
PHONE_EVERY: Final = 50
#: Share of the predictions that name a command which must never be run ahead.
_FORBIDDEN: Final = 0.15


@dataclass
class CountingUicc:
    """The software UICC; counts all that it is given, no matter who asks."""

    uicc: Uicc
    given: Counter[bytes] = field(default_factory=Counter)

    def transmit(self, tpdu: bytes) -> bytes:
        """Count and answer."""
        self.given[bytes(tpdu)] += 1
        return self.uicc.transmit(tpdu)

    def cold_reset(self) -> bytes:
        """Power comes back."""
        return self.uicc.cold_reset()


class ForbiddingPredictor(RandomPredictor):
    """Always wrong, mostly plausible; names forbidden commands as well, and those that the modem sends next, too."""

    def __init__(self, commands: Sequence[bytes], rng: random.Random, script: Script) -> None:
        super().__init__(commands, rng, script, 0.0)
        #: Forbidden commands that were proposed, by the row of the table that refused them.
        self.refused: Counter[str] = Counter()

    def next(self, context: Context, view: CardView) -> Expected | None:
        """A command that is to be refused, or a guess that does not come true."""
        if self._rng.random() < _FORBIDDEN:
            position = context.cursors[0].position
            truth = self._commands[position] if position < len(self._commands) else b""
            # What the modem does send next is no less forbidden if it has an effect.
            tpdu = truth if truth and self._rng.random() < 0.3 else self._script._other(0x00)
            judgement = judge(tpdu, view)
            if judgement.row.verdict is Verdict.NEVER:
                self.refused[judgement.row.name] += 1
                return Expected(tpdu, Source.LONG_CONTEXT)
        return super().next(context, view)


@dataclass(slots=True)
class Tally:
    """What many starts came to."""

    starts: int = 0
    commands: int = 0
    reached: Reached = field(default_factory=Reached)
    #: Given to the card beyond what the modem sent, by name.
    extra: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


class Pair:
    """Two cards of one kind, started again and again."""

    def __init__(self, trace: str, seed: int, *, card: CountingUicc | None = None) -> None:
        """``card`` replaces the second one."""
        self._trace = trace
        self._rng = random.Random(seed)
        self._plain = Uicc(profile(trace))
        self._counted = CountingUicc(Uicc(profile(trace))) if card is None else card

    def start(self, tally: Tally) -> None:
        """One more start. Raises AssertionError if anything differs."""
        commands, rng = recorded(self._trace), self._rng
        self._plain.cold_reset()
        answers = [self._plain.transmit(command) for command in commands]
        self._counted.cold_reset()
        self._counted.given.clear()
        predictor = ForbiddingPredictor(commands, rng, Script(rng, is_gsm=False))
        session = WatchedSession(predictor, tally.reached)
        modem = FarModem(
            self._counted,
            session,
            commands,
            delay=lambda: rng.choice((0.001, 0.01, 0.02)) * rng.random(),
            card_time=lambda: rng.choice((0.001, 0.003)),
        )
        modem.run()
        modem.settle()
        assert modem.answers == answers, "the modem saw something else"
        self._check(commands, tally)
        tally.starts += 1
        tally.commands += len(commands)
        tally.refused += predictor.refused

    def _check(self, commands: Sequence[bytes], tally: Tally) -> None:
        sent = Counter(commands)
        extra = self._counted.given - sent
        missing = {
            command: (sent[command], self._counted.given[command])
            for command in sent
            if not is_harmless(command) and self._counted.given[command] != sent[command]
        }
        assert not missing, f"commands with an effect, sent and executed: {missing}"
        harmful = [command.hex() for command in extra if not is_harmless(command)]
        assert not harmful, f"executed, and never sent: {harmful}"
        assert state_of(self._counted.uicc) == state_of(self._plain), "the card ended otherwise"
        for command, count in extra.items():
            tally.extra[command_name(command[0], command[1])] += count


def run(starts: int, *, seed: int = 0, phone_every: int = PHONE_EVERY) -> Tally:
    """Start so many times. Raises AssertionError."""
    tally = Tally()
    modem, phone = Pair("iot-modem", seed), Pair("phone", seed + 1)
    for number in range(starts):
        (phone if number % phone_every == phone_every - 1 else modem).start(tally)
    return tally


def report(tally: Tally) -> str:
    """What was done, in words."""
    extra = ", ".join(f"{name} {count}" for name, count in tally.extra.most_common())
    refused = ", ".join(f"{name} {count}" for name, count in sorted(tally.refused.items()))
    rows = ", ".join(f"{name} {count}" for name, count in sorted(tally.reached.rows.items()))
    return (
        f"{tally.starts} starts, {tally.commands} commands of the modem, all answered as without guesses; "
        f"{sum(tally.extra.values())} further ones run, none with an effect\n"
        f"further ones: {extra}\nforbidden proposals, by the row that refused them: {refused}\nrows reached: {rows}"
    )


def main() -> int:
    """The long run."""
    parser = argparse.ArgumentParser(prog="python -m tests.doubles.ahead_never", description=main.__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="starts (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="chooses what is guessed (%(default)s)")
    arguments = parser.parse_args()
    sys.stdout.write(report(run(arguments.count, seed=arguments.seed)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
