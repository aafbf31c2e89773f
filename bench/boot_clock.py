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
restarted
    warm, and the bankd was started anew in between
warm, changed
    a second one that differs: a tenth of the commands is left out, swapped with a neighbour, or new
perfect
    what the rules allow at most: the predictor knows all that will come
"""

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
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
#: TCP sends a lost packet again after a round trip and so many seconds (RFC 6298; Linux takes 0.2 at least).
_RETRANSMIT_S: Final = 0.2
_CHANGED: Final = 0.1
_GET_RESPONSE: Final = 0xC0
_SEED: Final = 4711

#: A second start that differs from the first.
CHANGED: Final = "warm, changed"
KINDS: Final = ("alone", "cold", "other model", "shipped", "warm", "restarted", CHANGED, "perfect")

Commands = Sequence[bytes]
Patterns = dict[tuple[bytes, bytes], bytes]


def play(
    trace: str,
    commands: Commands,
    session: AheadSession | None,
    round_trip: float,
    card_time: float = CARD_TIME_S,
    loss: float = 0.0,
) -> FarModem:
    """One start; ``round_trip`` in seconds, ``loss`` the share of packets that are lost and sent again by TCP."""
    rng = random.Random(_SEED)

    def delay() -> float:
        # What comes behind a lost packet waits for it: messages of one direction keep their order.
        return round_trip / 2 + (round_trip + _RETRANSMIT_S if loss and rng.random() < loss else 0.0)

    modem = FarModem(
        Uicc(profile(trace)),
        session,
        commands,
        delay=delay,
        card_time=lambda: card_time,
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


@cache
def _learnt(trace: str, commands: tuple[bytes, ...], round_trip: float) -> tuple[ContextModel, Patterns]:
    """What a first start teaches: the order of its commands, and the patterns that the modem looked for."""
    patterns: Patterns = {}
    first = AheadSession(Predictor([ContextModel()], patterns))
    play(trace, commands, first, round_trip)
    return ContextModel([first.recording]), patterns


def _session(kind: str, trace: str, commands: tuple[bytes, ...], round_trip: float) -> AheadSession | None:
    match kind:
        case "alone":
            return None
        case "cold":
            return AheadSession(Predictor([]))
        case "shipped":
            return AheadSession(Predictor([ContextModel(shipped_recordings())]))
        case "other model":
            return AheadSession(Predictor([ContextModel([symbols(recorded(o)) for o in TRACES if o != trace])]))
        case "perfect":
            return AheadSession(PerfectPredictor(commands), round_trip=round_trip)
    model, patterns = _learnt(trace, commands, round_trip)
    if kind == "restarted":
        # Patterns that are not stored, and how far the modem is, are not known any more.
        return AheadSession(Predictor([model]))
    return AheadSession(Predictor([model], dict(patterns)), round_trip=round_trip)


def start(
    kind: str,
    trace: str,
    commands: Commands,
    round_trip: float,
    card_time: float = CARD_TIME_S,
    loss: float = 0.0,
) -> tuple[FarModem, float]:
    """One start of a kind, and how many times faster it is than without answers ahead.

    Raises AssertionError if the modem saw anything else than without.
    """
    known = tuple(commands)
    played = changed(known, random.Random(_SEED)) if kind == CHANGED else known
    alone = play(trace, played, None, round_trip, card_time, loss)
    if kind == "alone":
        return alone, 1.0
    ahead = play(trace, played, _session(kind, trace, known, round_trip), round_trip, card_time, loss)
    assert ahead.answers == alone.answers
    return ahead, alone.finished_at / ahead.finished_at


def measure(trace: str, commands: Commands, round_trip: float) -> dict[str, Cell]:
    """One row of the table."""
    row: dict[str, Cell] = {"round trip, ms": round(round_trip * 1000)}
    for kind in KINDS:
        modem, ratio = start(kind, trace, commands, round_trip)
        if kind in ("alone", "warm"):
            row[f"{kind}, s"] = modem.finished_at
        if kind != "alone":
            row[f"{kind}, ×"] = ratio
    return row


def over_loss(trace: str, commands: Commands, round_trip: float, loss: float) -> dict[str, Cell]:
    """One row of the table over links that lose packets: seconds without, at a first start, and at a second one."""
    row: dict[str, Cell] = {"round trip, ms": round(round_trip * 1000), "loss, %": round(loss * 100)}
    for kind in ("alone", "shipped", "warm"):
        row[f"{kind}, s"] = start(kind, trace, commands, round_trip, loss=loss)[0].finished_at
    return row


def remaining(trace: str, commands: Commands, kind: str, round_trip: float) -> dict[str, int]:
    """Which commands of a start still wait for a round trip, by name."""
    modem, _ = start(kind, trace, commands, round_trip)
    return dict(Counter(command_name(command[0], command[1]) for command in modem.executed.modem))
