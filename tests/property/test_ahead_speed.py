# SPDX-License-Identifier: Apache-2.0
"""What answering ahead saves, by a simulated clock: the same figures on every machine."""

import random
from typing import Final

import pytest

from bench.boot_clock import changed, measure, play
from remsim.ahead.bank_side import AheadSession, symbols
from remsim.ahead.context_model import ContextModel
from remsim.ahead.predictor import Predictor
from remsim.ahead.structure import Source
from tests.doubles.ahead_equivalence import TRACES, RandomPredictor, Script, recorded

FAR_S: Final = 0.3


@pytest.mark.parametrize(("trace", "warm"), [("iot-modem", 8.8), ("phone", 38.0)])
def test_starts_from_far_away_are_as_much_faster_as_promised(trace: str, warm: float) -> None:
    row = measure(trace, recorded(trace), FAR_S)
    for column, least in {
        "warm, ×": warm,
        "cold, ×": 1.3,
        "restarted, ×": warm,
        "shipped, ×": 2.0,
        "warm, changed, ×": 4.0,
    }.items():
        found = row[column]
        assert isinstance(found, float)
        assert found >= least, column


@pytest.mark.parametrize("trace", TRACES)
def test_model_of_the_same_kind_of_modem_halves_the_round_trips(trace: str) -> None:
    rng = random.Random(1)
    commands = changed(recorded(trace), rng)
    model = ContextModel([symbols(recorded(name)) for name in TRACES])
    alone = play(trace, commands, None, FAR_S)
    shipped = play(trace, commands, AheadSession(Predictor([model])), FAR_S)
    assert shipped.answers == alone.answers
    assert alone.finished_at >= 2 * shipped.finished_at


class _Wrong(RandomPredictor):
    """Always wrong, and at first believed as any other."""

    def share(self, source: Source) -> float:
        """What was measured."""
        return Predictor.share(self, source)


@pytest.mark.parametrize("round_trip", [0.0, 0.005, 0.02])
@pytest.mark.parametrize("trace", TRACES)
def test_predictor_that_is_always_wrong_costs_next_to_nothing(trace: str, round_trip: float) -> None:
    rng = random.Random(1)
    commands = recorded(trace)
    alone = play(trace, commands, None, round_trip)
    session = AheadSession(_Wrong(commands, rng, Script(rng, is_gsm=False), 0.0), round_trip=round_trip)
    ahead = play(trace, commands, session, round_trip)
    assert ahead.answers == alone.answers
    assert session.counts.hits == 0
    assert ahead.finished_at <= 1.05 * alone.finished_at


@pytest.mark.parametrize("trace", TRACES)
def test_near_its_card_a_modem_starts_no_later(trace: str) -> None:
    commands = recorded(trace)
    alone = play(trace, commands, None, 0.0)
    for models in ([], [ContextModel([symbols(commands)])]):
        assert play(trace, commands, AheadSession(Predictor(models)), 0.0).finished_at <= 1.05 * alone.finished_at
