# SPDX-License-Identifier: Apache-2.0
"""Answering ahead changes nothing but the time: whatever the modem sends, whatever is guessed, whenever messages come.

The sessions are written and compared by ``tests.doubles.ahead_equivalence``, which also has the long run.
"""

import random
from typing import Final

import pytest

from remsim.ahead.bank_side import symbols
from remsim.ahead.context_model import ContextModel
from remsim.ahead.predictor import Predictor
from remsim.ahead.rules import MALFORMED, TABLE, UNTRIED, Verdict
from remsim.uicc import Uicc
from tests.doubles.ahead_equivalence import (
    PREDICTORS,
    TRACES,
    PerfectPredictor,
    RandomPredictor,
    Reached,
    Script,
    SurePredictor,
    WatchedSession,
    compare,
    play,
    profile,
    recorded,
    report,
)

#: Enough that each row of the table is reached; ``test_every_row`` counts.
SESSIONS: Final = 500


def test_generated_sessions_see_no_difference_and_reach_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    reached = Reached()
    for seed in range(SESSIONS):
        try:
            play(seed, reached)
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
    with capsys.disabled():
        print(f"\n{report(reached)}")  # noqa: T201 - the numbers are a part of the proof
    assert {row.name for row in (*TABLE, MALFORMED, UNTRIED)} == set(reached.rows)
    guesses = {row.name for row in TABLE if row.verdict is Verdict.GUESS}
    assert all(reached.rows[name] >= 10 for name in guesses)


@pytest.mark.parametrize("seed", [1_000_000, 1_000_001])
def test_long_sessions_on_many_channels_see_no_difference(seed: int) -> None:
    play(seed, Reached(), length=1500)


def _predictor(kind: str, commands: tuple[bytes, ...], rng: random.Random) -> Predictor:
    if kind == "perfect":
        return PerfectPredictor(commands)
    if kind == "learnt":
        return SurePredictor([ContextModel([symbols(commands)])])
    return RandomPredictor(commands, rng, Script(rng, is_gsm=False), 0.6 if kind == "random" else 0.0)


@pytest.mark.parametrize("kind", PREDICTORS)
@pytest.mark.parametrize("trace", TRACES)
def test_recorded_starts_see_no_difference(trace: str, kind: str) -> None:
    commands, plain = recorded(trace), Uicc(profile(trace))
    answers = [plain.transmit(command) for command in commands]
    rng = random.Random(kind)
    session = WatchedSession(_predictor(kind, commands, rng), Reached())
    compare(Uicc(profile(trace)), plain, commands, answers, session, Reached(), rng)
    least = {"perfect": 0.85, "learnt": 0.8, "random": 0.05, "hostile": 0.0}[kind]
    assert session.counts.hits >= least * len(commands)


def test_hostile_starts_leave_counters_and_toolkit_alone() -> None:
    """SQN, PIN counters and toolkit are a part of the state that is compared."""
    commands = recorded("iot-modem")
    plain = Uicc(profile("iot-modem"))
    answers = [plain.transmit(command) for command in commands]
    for seed in range(10):
        rng = random.Random(seed)
        predictor = RandomPredictor(commands, rng, Script(rng, is_gsm=False), 0.0)
        reached = Reached()
        compare(Uicc(profile("iot-modem")), plain, commands, answers, WatchedSession(predictor, reached), reached, rng)
        assert reached.undone > 50
