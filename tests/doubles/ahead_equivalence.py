# SPDX-License-Identifier: Apache-2.0
"""The proof that answering ahead changes nothing but the time: generated sessions, each played with and without.

``play(seed)`` plays one session and compares what the modem saw and how the card ends. A long run is
``python -m tests.doubles.ahead_equivalence --count 100000``; it prints what was reached.
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Final

from remsim.ahead.bank_side import AheadSession, Guess, Trial, symbols
from remsim.ahead.context_model import ContextModel, Cursor
from remsim.ahead.pace import Pace
from remsim.ahead.predictor import Context, Predictor
from remsim.ahead.rules import judge
from remsim.ahead.structure import Expected, Source
from remsim.ahead.view import CardView
from remsim.card.class_byte import class_byte
from remsim.uicc import Uicc
from remsim.uicc.profile.model import Profile
from remsim.uicc.profile.toml import parse_profile
from tests.doubles.ahead_world import RESET, FarModem
from tests.doubles.odd_card import Manners, OddCard
from tests.reference import reference

PROFILES: Final = ("default", "iot-modem", "phone")
TRACES: Final = ("iot-modem", "phone")
PREDICTORS: Final = ("perfect", "learnt", "random", "hostile")
_MANNERS: Final = (
    Manners(),
    Manners(takes_paths=False),
    Manners(takes_quiet_select=False),
    Manners(refusal_loses_file=True),
)

AnyCard = Uicc | OddCard


def state_of(card: AnyCard) -> object:
    """Everything that commands change, but the response that waits."""
    if isinstance(card, OddCard):
        return replace(card, response=None).state()
    session = card._session
    return (
        card.state.to_bytes(),
        {
            number: (
                channel.df.path,
                channel.ef.path if channel.ef is not None else None,
                channel.app.path if channel.app is not None else None,
                channel.record,
            )
            for number, channel in session.channels.items()
        },
        sorted(session.pins._verified),
        tuple(session.toolkit._waiting),
        session.toolkit._is_fetched,
    )


def response_of(card: AnyCard) -> tuple[int, bytes] | None:
    """Channel and bytes of the response that waits to be fetched."""
    if isinstance(card, OddCard):
        return card.response
    return None if card._response_channel < 0 else (card._response_channel, card._response)


@cache
def profile(name: str) -> Profile:
    """A shipped profile; all its cards have 20 channels here."""
    text = resources.files("remsim.uicc").joinpath("profiles", f"{name}.toml").read_text(encoding="utf-8")
    return parse_profile(text.replace("channels = 4", "channels = 20"))


@cache
def recorded(name: str) -> tuple[bytes, ...]:
    """The commands of a recorded start."""
    lines = reference("traces", f"{name}-boot.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    return tuple(bytes.fromhex(entry["cmd"]) for entry in entries if "cmd" in entry)


# Commands

_FIDS: Final = tuple(
    fid.to_bytes(2)
    for fid in (
        *(0x3F00, 0x7FFF, 0x7F10, 0x7F20, 0x5F3A, 0x5F3B, 0x2FE2, 0x2F00, 0x2F05),
        *(0x6F07, 0x6FAD, 0x6F05, 0x6FB7, 0x6F7E, 0x6F3A, 0x4F3A, 0x4F20, 0x6FFF, 0x6F3C),
    )
)
_PATHS: Final = tuple(
    bytes.fromhex(path)
    for path in (
        *("7FFF6F07", "7FFF6FAD", "7FFF6FB7", "7FFF6F05", "7FFF5F3B4F20", "7FFF6FFF", "7FFF", "2FE2", "2F00"),
        *("7F206F07", "7F105F3A4F3A", "7F106F3A", "7F10", "6F07", "5F3B4F20"),
    )
)
_AIDS: Final = tuple(
    bytes.fromhex(aid) for aid in ("A0000000871002", "A0000000871002FF49FFFF89", "A0000000871004", "A000000151", "A0")
)


def _command(cla: int, ins: int, p1: int, p2: int, data: bytes = b"") -> bytes:
    return bytes((cla, ins, p1, p2, len(data))) + data


class Script:
    """Writes what a modem sends: mostly what modems do, with everything else in between."""

    def __init__(self, rng: random.Random, *, is_gsm: bool) -> None:
        self._rng = rng
        self._is_gsm = is_gsm
        self._channels = [0]

    def next(self, last: bytes, response: bytes) -> bytes:
        """The next command, after the last one and its answer."""
        rng, sw1, sw2 = self._rng, response[-2], response[-1]
        cla = last[0] if last and last[0] & 0x80 == 0 else 0xA0 if self._is_gsm else 0x00
        if sw1 in (0x61, 0x9F) and rng.random() < 0.85:
            return bytes((cla, 0xC0, 0, 0, sw2 if rng.random() < 0.85 else max(sw2 - rng.randint(1, 20), 1)))
        if sw1 == 0x6C and rng.random() < 0.85:
            return bytes((*last[:4], sw2))
        if sw1 == 0x61 and (last[1] in (0x88, 0xC2) or last[1:3] == b"\xa4\x04"):
            # What waits is fetched once, and lost with the command that follows (TS 102 221, 7.3.1.1.4): here that is
            # one by which every card loses it. The software card keeps it when a command has no meaning.
            return self.guessable(0x00)
        if len(last) == 5 and last[1] == 0xB2 and rng.random() < 0.4:
            return bytes((*last[:2], (last[2] + 1) & 0xFF, *last[3:]))
        if len(response) == 3 and last[1] == 0x70:
            self._channels.append(response[0])
        return self.any()

    def any(self) -> bytes:
        """Any command."""
        rng = self._rng
        if rng.random() < 0.01:
            return RESET
        if self._is_gsm and rng.random() < 0.85:
            return self._gsm()
        channel = rng.choice(self._channels)
        cla = channel if channel < 4 else 0x40 | channel - 4
        return self.guessable(cla) if rng.random() < 0.75 else self._other(cla)

    def guessable(self, cla: int) -> bytes:
        """One that may be guessed, if the state allows it."""
        rng = self._rng
        kind = rng.randrange(10)
        p2 = rng.choice((0x04, 0x04, 0x0C))
        if kind < 2:
            return _command(cla, 0xA4, 0x00, p2, rng.choice(_FIDS))
        if kind < 5:
            return _command(cla, 0xA4, rng.choice((0x08, 0x08, 0x08, 0x09)), p2, rng.choice(_PATHS))
        sfi = rng.choice((0x01, 0x02, 0x03, 0x05, 0x07, 0x0B, 0x0D, 0x1E))
        length = rng.choice((0, 1, 4, 9, 10, 15, 20))
        if kind == 5:
            return bytes((cla, 0xB0, 0x80 | sfi, 0, length))
        if kind == 6:
            return bytes((cla, 0xB0, 0, rng.randrange(3), length))
        if kind == 7:
            return bytes((cla, 0xB2, rng.randrange(1, 4), (sfi << 3 if rng.random() < 0.5 else 0) | 4, length))
        if kind == 8:
            p2 = (sfi << 3 if rng.random() < 0.4 else 0) | 4
            return _command(cla, 0xA2, rng.randrange(3), p2, rng.choice((b"\xff", b"\x00", b"\xff\xff")))
        return bytes((cla, rng.choice((0x20, 0x2C)), 0, rng.choice((0x01, 0x81)), 0))

    def _other(self, cla: int) -> bytes:
        rng = self._rng
        return rng.choice(
            (
                _command(cla, 0xA4, 0x04, rng.choice((0x04, 0x0C)), rng.choice(_AIDS)),
                _command(cla, 0xA4, 0x04, 0x04, _AIDS[0]),
                _command(cla, 0xA4, rng.choice((0x03, 0x01)), 0x0C),
                _command(cla, 0xD6, 0x00, 0x00, b"\xff\x01"),
                _command(cla, 0xD6, 0x80 | rng.choice((0x03, 0x07, 0x0B)), 0x00, b"\xff\x01"),
                _command(cla, 0x20, 0x00, rng.choice((0x01, 0x81)), rng.choice((b"1234", b"0000")) + b"\xff" * 4),
                _command(cla, 0x20, 0x00, 0x81, b"5678" + b"\xff" * 4),
                _command(cla, 0x88, 0x00, 0x81, bytes(34)),
                bytes((cla, 0x70, 0x00, 0x00, 0x01)),
                bytes((cla, 0x70, 0x80, rng.choice(self._channels), 0x00)),
                bytes((cla, 0xB2, 0x00, rng.choice((0x02, 0x03)), rng.choice((15, 20)))),
                bytes((0x80, 0xF2, 0x00, 0x0C, 0x00)),
                _command(0x80, 0x10, 0x00, 0x00, bytes(16)),
                bytes((0x80, 0x12, 0x00, 0x00, 0x10)),
                _command(0x80, 0x14, 0x00, 0x00, bytes(12)),
                _command(0x80, 0xC2, 0x00, 0x00, bytes.fromhex("d30782020181900101")),
                _command(cla, 0xDC, 1, 4, b"\x01" * 20),
                bytes((cla, 0x84, 0x00, 0x00, 0x08)),
                bytes((cla ^ 0x0C, 0xB0, 0x00, 0x00, 0x01)),
                b"\x00\xb0\x00",
                _command(0xA0, 0xA4, 0, 0, rng.choice(_FIDS)),
            )
        )

    def _gsm(self) -> bytes:
        rng = self._rng
        kind = rng.randrange(8)
        if kind < 4:
            return _command(0xA0, 0xA4, 0, 0, rng.choice(_FIDS))
        if kind == 4:
            return bytes((0xA0, 0xB0, 0, 0, rng.choice((1, 4, 9, 10))))
        if kind == 5:
            return bytes((0xA0, 0xB2, rng.randrange(4), rng.choice((4, 4, 4, 2)), rng.choice((20, 15, 34))))
        if kind == 6:
            return _command(0xA0, 0xA2, 0, rng.choice((0x00, 0x10, 0x12)), rng.choice((b"\xff", b"\x00")))
        return rng.choice(
            (bytes((0xA0, 0xF2, 0, 0, 22)), _command(0xA0, 0xD6, 0, 0, b"\x01"), bytes((0xA0, 0x04, 0, 0, 0)))
        )


# Predictors that are sure of themselves


class SurePredictor(Predictor):
    """Believes all that it says."""

    def share(self, source: Source) -> float:
        """As sure as can be."""
        return 1.0


class PerfectPredictor(SurePredictor):
    """Knows what the modem will send."""

    def __init__(self, commands: Sequence[bytes]) -> None:
        super().__init__([])
        self._commands = [*commands, RESET]
        self._starts = [0, *(at + 1 for at, command in enumerate(commands) if command == RESET)]
        self._started = -1

    def start(self) -> Context:
        """The cursor is the place in the list."""
        self._started += 1
        return Context(cursors=(Cursor(self._starts[min(self._started, len(self._starts) - 1)]),))

    def after(self, context: Context, tpdu: bytes, response: bytes) -> Context:
        """One further."""
        return replace(context, cursors=(Cursor(context.cursors[0].position + 1),))

    def next(self, context: Context, view: CardView) -> Expected | None:
        """The truth."""
        position = context.cursors[0].position
        command = self._commands[position] if position < len(self._commands) else RESET
        return Expected(command, Source.LONG_CONTEXT) if command != RESET else None


class RandomPredictor(PerfectPredictor):
    """Right in some cases, and else plausible. With ``truth`` 0 it is hostile: plausible and wrong."""

    def __init__(self, commands: Sequence[bytes], rng: random.Random, script: Script, truth: float) -> None:
        super().__init__(commands)
        self._rng, self._script, self._truth = rng, script, truth

    def next(self, context: Context, view: CardView) -> Expected | None:
        """Something that may be guessed, if possible."""
        right = super().next(context, view)
        if self._truth and self._rng.random() < self._truth:
            return right
        for _ in range(4):
            tpdu = self._plausible(view)
            if judge(tpdu, view).is_guess and (self._truth or right is None or tpdu != right.tpdu):
                return Expected(tpdu, Source.LONG_CONTEXT)
        return Expected(self._script.any() or b"\x00", Source.LONG_CONTEXT)

    def _plausible(self, view: CardView) -> bytes:
        waiting = view.fetching.waiting if view.fetching is not None else 0
        if waiting and self._rng.random() < 0.6:
            cla = view.last.command[0] if view.last is not None else 0
            cla = 0 if 0x80 <= cla != 0xA0 else cla
            return bytes(
                (cla, 0xC0, 0, 0, (waiting if self._rng.random() < 0.7 else self._rng.randint(1, waiting)) & 0xFF)
            )
        if view.last is not None and self._rng.random() < 0.8 and class_byte(view.last.command[0]).channel:
            return self._script.guessable(view.last.command[0] & 0x4F)
        return self._script._gsm() if self._script._is_gsm else self._script.guessable(0x00)


@dataclass(slots=True)
class Reached:
    """What a run of the proof came across."""

    sessions: int = 0
    commands: int = 0
    guesses: int = 0
    hits: int = 0
    undone: int = 0
    trials: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    triples: set[int] = field(default_factory=set)


class EagerPace(Pace):
    """Guesses at any distance."""

    @property
    def is_near(self) -> bool:
        """Never."""
        return False


class WatchedSession(AheadSession):
    """Notes which rows of the table decided, and what was guessed where."""

    def __init__(self, predictor: Predictor, reached: Reached, *, is_eager: bool = True) -> None:
        """``is_eager``: what a hostile predictor costs is not asked. Otherwise guessing pauses as it does in use."""
        super().__init__(predictor, round_trip=0.3)
        self._reached = reached
        if is_eager:
            self.pace = EagerPace(0.3)
            self.pace.gain = 1e9

    def next_step(self) -> Guess | Trial | None:
        """As ever."""
        step = super().next_step()
        if isinstance(step, Guess):
            judgement = judge(step.tpdu, self.view)
            self._reached.rows[judgement.row.name] += 1
            place = self.view.place(step.tpdu[0])
            self._reached.triples.add(hash((place.steps, self.view.fetching, step.tpdu, judgement.undo)))
        elif step is None and not self._guessed and not self._late:
            expected = self._predictor.next(self._here.context, self.view)
            if expected is not None:
                self._reached.rows[judge(expected.tpdu, self.view).row.name] += 1
        return step


def is_harmless(tpdu: bytes) -> bool:
    """Whether a command leaves no trace but the selection, said once more and otherwise than in the table."""
    cla, ins, p1, p2, p3 = tpdu[:5]
    if cla >> 4 not in (0x0, 0x4) and cla != 0xA0:
        return False
    if ins == 0xA4:
        return p1 in (0x00, 0x08, 0x09) and len(tpdu) > 5
    if ins == 0xB2:
        return len(tpdu) == 5 and p1 > 0 and p2 & 7 == 4
    if ins in (0x20, 0x2C):
        return len(tpdu) == 5 and p3 == 0 == p1 and cla != 0xA0
    return ins == 0xA2 or (ins in (0xB0, 0xC0) and len(tpdu) == 5)


def make_card(rng: random.Random) -> tuple[Callable[[], AnyCard], bool]:
    """How to make one of the cards, and whether class A0 is spoken to it."""
    if rng.random() < 0.4:
        manners = rng.choice(_MANNERS)
        return (lambda: OddCard(manners)), False
    name = rng.choice(PROFILES)
    return (lambda: Uicc(profile(name))), rng.random() < 0.3


def write(rng: random.Random, card: AnyCard, script: Script, length: int) -> tuple[list[bytes], list[bytes]]:
    """What a modem sends, and what it sees without anything ahead. ``card`` is used up."""
    commands: list[bytes] = []
    answers: list[bytes] = []
    cla = 0xA0 if script._is_gsm else 0x00
    command = _command(cla, 0xA4, 0x00, 0x00 if script._is_gsm else rng.choice((0x04, 0x0C)), b"\x3f\x00")
    first = command
    while len(commands) < length:
        commands.append(command)
        answers.append(card.cold_reset() if command == RESET else card.transmit(command))
        command = first if command == RESET else script.next(command, answers[-1])
    return commands, answers


def play(seed: int, reached: Reached, *, length: int = 40) -> None:
    """One session. Raises AssertionError if the modem or the card can tell the difference."""
    rng = random.Random(seed)
    make, is_gsm = make_card(rng)
    script = Script(rng, is_gsm=is_gsm)
    plain = make()
    commands, answers = write(rng, plain, script, length)
    kind = rng.choice(PREDICTORS)
    predictor: Predictor
    if kind == "perfect":
        predictor = PerfectPredictor(commands)
    elif kind == "learnt":
        parts = [command for command in commands if command != RESET and rng.random() < 0.9]
        predictor = SurePredictor([ContextModel([symbols(parts)])])
    else:
        predictor = RandomPredictor(commands, rng, script, 0.6 if kind == "random" else 0.0)
    session = WatchedSession(predictor, reached, is_eager=seed % 4 != 0)
    compare(make(), plain, commands, answers, session, reached, rng)


def compare(
    card: AnyCard,
    plain: AnyCard,
    commands: Sequence[bytes],
    answers: Sequence[bytes],
    session: AheadSession,
    reached: Reached,
    rng: random.Random,
) -> None:
    """Play ``commands`` on ``card`` with ``session``, and compare with ``plain``, which they were played on."""
    modem = FarModem(
        card,
        session,
        commands,
        delay=lambda: rng.choice((0.0, 0.001, 0.01, 0.05)) * rng.random(),
        card_time=lambda: rng.choice((0.0001, 0.002, 0.01)),
        think=rng.choice((0.0, 0.0005, 0.02)),
        cuts=[(rng.random() * 3, rng.random() * 0.3) for _ in range(rng.choice((0, 0, 2, 12)))],
    )
    modem.run()
    differing = next(
        (at for at, pair in enumerate(zip(modem.answers, answers, strict=True)) if pair[0] != pair[1]), None
    )
    if differing is not None:
        seen, right = modem.answers[differing].hex(), answers[differing].hex()
        raise AssertionError(f"command {differing}, {commands[differing].hex()}, saw {seen} and not {right}")
    modem.settle()
    assert state_of(card) == state_of(plain), "the card ended otherwise"
    held = session.held
    response = response_of(card) if held is None else held
    assert response == response_of(plain), "another response waits"
    ahead = [*modem.executed.guesses, *modem.executed.trials, *modem.executed.restores]
    assert all(map(is_harmless, ahead)), "something was run that may not be guessed"
    reached.sessions += 1
    reached.commands += len(commands)
    reached.guesses += len(modem.executed.guesses)
    reached.trials += len(modem.executed.trials)
    reached.hits += session.counts.hits
    reached.undone += session.counts.misses


def main() -> int:
    """The long run."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="sessions (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one (%(default)s)")
    parser.add_argument("--length", type=int, default=40, help="commands of one session (%(default)s)")
    arguments = parser.parse_args()
    reached = Reached()
    for seed in range(arguments.first, arguments.first + arguments.count):
        try:
            play(seed, reached, length=arguments.length)
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
    sys.stdout.write(report(reached) + "\n")
    return 0


def report(reached: Reached) -> str:
    """What was reached, in words."""
    rows = ", ".join(f"{name} {count}" for name, count in sorted(reached.rows.items()))
    return (
        f"{reached.sessions} sessions, {reached.commands} commands, {reached.guesses} guesses, {reached.hits} hits, "
        f"{reached.undone} undone, {reached.trials} trials; {len(reached.triples)} distinct (state, guess, undo)\n"
        f"{rows}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
