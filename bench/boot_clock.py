# SPDX-License-Identifier: Apache-2.0
"""The start of a modem far from its card by a simulated clock, see ``boot``.

Recorded starts are played against the software card that answers as the recorded one did. The clock is simulated, so
the figures are what the link and the card cost, without what this machine adds; a boot takes milliseconds to measure.
Ratios are to the same start without anything ahead. Kinds of starts:

cold
    the first one ever: nothing is known but how modems go about it
shipped
    cold, with the recordings that each bank begins with
other model
    cold, with what another kind of modem taught
warm
    the second one of the same modem
warm, changed
    a second one that differs: a tenth of the commands is left out, swapped with a neighbour, or new
perfect
    what the rules allow at most: the predictor knows all that will come
"""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Final

from bench.tables import Cell
from remsim.ahead.bank_side import AheadSession, symbols
from remsim.ahead.context_model import ContextModel
from remsim.ahead.predictor import Predictor
from remsim.bankd.learnt_files import shipped_recordings
from remsim.card.instructions import command_name
from remsim.uicc import Uicc
from tests.doubles.ahead_equivalence import TRACES, PerfectPredictor, profile, recorded
from tests.doubles.ahead_world import FarModem

CARD_TIME_S: Final = 0.003
#: Between an answer and the next command; recorded modems needed 0.2 to 1 ms.
THINK_S: Final = 0.0005
_CHANGED: Final = 0.1
_GET_RESPONSE: Final = 0xC0
_SEED: Final = 4711

Commands = Sequence[bytes]


def play(trace: str, commands: Commands, session: AheadSession | None, round_trip: float) -> FarModem:
    """One start; ``round_trip`` in seconds."""
    modem = FarModem(
        Uicc(profile(trace)),
        session,
        commands,
        delay=lambda: round_trip / 2,
        card_time=lambda: CARD_TIME_S,
        think=THINK_S,
    )
    modem.run()
    return modem


def changed(commands: Commands, rng: random.Random) -> list[bytes]:
    """The same start on another day. A command and the GET RESPONSE behind it stay together."""
    units: list[list[bytes]] = []
    for command in commands:
        if command[1] == _GET_RESPONSE and units:
            units[-1].append(command)
        else:
            units.append([command])
    at = 0
    result: list[list[bytes]] = []
    while at < len(units):
        chance = rng.random()
        if chance < _CHANGED / 3:
            at += 1
        elif chance < 2 * _CHANGED / 3 and at + 1 < len(units):
            result += [units[at + 1], units[at]]
            at += 2
        else:
            result.append(units[at])
            at += 1
            if chance > 1 - _CHANGED / 3:
                result.append(rng.choice(units))
    return [command for unit in result for command in unit]


def _ratio(trace: str, commands: Commands, predictor: Predictor, round_trip: float) -> tuple[FarModem, float]:
    alone = play(trace, commands, None, round_trip)
    ahead = play(trace, commands, AheadSession(predictor), round_trip)
    assert ahead.answers == alone.answers
    return ahead, alone.finished_at / ahead.finished_at


def measure(trace: str, commands: Commands, round_trip: float) -> dict[str, Cell]:
    """One row of the table."""
    cold_session = AheadSession(Predictor([]))
    patterns: dict[tuple[bytes, bytes], bytes] = {}
    others = [symbols(recorded(name)) for name in TRACES if name != trace]
    alone = play(trace, commands, None, round_trip)
    cold = play(trace, commands, cold_session, round_trip)
    shipped, shipped_ratio = _ratio(trace, commands, Predictor([ContextModel(shipped_recordings())]), round_trip)
    model = ContextModel([cold_session.recording])
    rng = random.Random(_SEED)
    # Patterns that the modem looks for are remembered while the bankd runs.
    play(trace, commands, AheadSession(Predictor([ContextModel()], patterns)), round_trip)
    warm, warm_ratio = _ratio(trace, commands, Predictor([model], patterns), round_trip)
    restarted, restarted_ratio = _ratio(trace, commands, Predictor([model]), round_trip)
    _, other_ratio = _ratio(trace, commands, Predictor([ContextModel(others)]), round_trip)
    differing, changed_ratio = _ratio(trace, changed(commands, rng), Predictor([model], patterns), round_trip)
    _, perfect_ratio = _ratio(trace, commands, PerfectPredictor(commands), round_trip)
    return {
        "round trip, ms": round(round_trip * 1000),
        "alone, s": alone.finished_at,
        "cold, s": cold.finished_at,
        "cold, ×": alone.finished_at / cold.finished_at,
        "shipped, s": shipped.finished_at,
        "shipped, ×": shipped_ratio,
        "other model, ×": other_ratio,
        "warm, s": warm.finished_at,
        "warm, ×": warm_ratio,
        "after a restart, s": restarted.finished_at,
        "after a restart, ×": restarted_ratio,
        "warm, changed, s": differing.finished_at,
        "warm, changed, ×": changed_ratio,
        "perfect, ×": perfect_ratio,
    }


def remaining(trace: str, commands: Commands, round_trip: float) -> dict[str, int]:
    """Which commands of a warm start still wait for a round trip, by name."""
    patterns: dict[tuple[bytes, bytes], bytes] = {}
    first = AheadSession(Predictor([ContextModel()], patterns))
    play(trace, commands, first, round_trip)
    warm = play(trace, commands, AheadSession(Predictor([ContextModel([first.recording])], patterns)), round_trip)
    return dict(Counter(command_name(command[0], command[1]) for command in warm.executed.modem))
