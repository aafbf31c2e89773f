# SPDX-License-Identifier: Apache-2.0
"""Plays a recorded command sequence through an emulator and measures how long each kind of command takes."""

import json
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field
from typing import Final, TextIO

from remsim.card.instructions import command_name, describe_command
from remsim.card.status import describe_sw
from remsim.core.errors import RemsimError, reason_of
from remsim.core.values import dataclass
from remsim.emulators.driven import DrivenEmulator, ExchangeError
from remsim.emulators.script.recording import Modem, RecordedCommand, RecordedReset, Step

#: Called after each step with the number of steps done, of all repetitions together.
Progress = Callable[[int], None]
#: Awaited after each command with its step, what was sent, what was answered, and the seconds it took.
AfterCommand = Callable[[RecordedCommand, bytes, bytes, float], Awaitable[None]]

_MILLISECONDS: Final = 1000.0


class PlayError(RemsimError):
    """A command of the recording got no answer, so the rest makes no sense."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations of commands of one kind, in milliseconds."""

    kind: str
    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    total_ms: float


#: So many differences are told one by one; the rest is counted.
MAX_TOLD_DIFFERENCES: Final = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """An answer that is not as recorded."""

    #: Of the commands that were played, from 1, and its line in the recording.
    number: int
    line: int
    command: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"command {self.number} (line {self.line}), {self.command}: expected {self.expected}, got {self.got}"


@dataclass(slots=True)
class ScriptOutcome:
    """What came of playing."""

    atr: bytes = b""
    commands: int = 0
    resets: int = 0
    #: Answers whose status word, or number of data bytes, is not the recorded one.
    sw_mismatches: int = 0
    length_mismatches: int = 0
    #: Answers with either; ``differences`` has the first of them.
    different_answers: int = 0
    differences: list[Difference] = field(default_factory=list)
    #: From the start of the program to the card, and from the first step to the last answer, in seconds.
    card_after_s: float = 0.0
    played_s: float = 0.0
    #: Seconds, by kind of command.
    durations: dict[str, list[float]] = field(default_factory=dict)

    @property
    def has_mismatch(self) -> bool:
        """Whether any answer was not as recorded."""
        return bool(self.sw_mismatches or self.length_mismatches)

    def timings(self) -> list[Timing]:
        """By kind, the most frequent first, and all together last, as ``all``."""
        kinds = sorted(self.durations.items(), key=lambda item: (-len(item[1]), item[0]))
        everything = [duration for durations in self.durations.values() for duration in durations]
        return [_timing(kind, durations) for kind, durations in [*kinds, ("all", everything)]]


def percentile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed (nearest rank). Wants one value."""
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def _timing(kind: str, durations: Sequence[float]) -> Timing:
    ascending = sorted(duration * _MILLISECONDS for duration in durations)
    return Timing(
        kind,
        len(ascending),
        percentile(ascending, 0.5),
        percentile(ascending, 0.99),
        ascending[-1],
        sum(ascending),
    )


class ScriptPlayer:
    """Plays ``steps`` ``repeat`` times. ``dump`` gets what was sent and answered as JSON lines."""

    def __init__(
        self,
        emulator: DrivenEmulator,
        steps: Sequence[Step],
        *,
        literal: bool = False,
        repeat: int = 1,
        card_wait_s: float,
        dump: TextIO | None = None,
        progress: Progress | None = None,
        after_command: AfterCommand | None = None,
    ) -> None:
        self.outcome = ScriptOutcome()
        self._emulator = emulator
        self._steps = steps
        self._modem = None if literal else Modem()
        self._repeat = repeat
        self._card_wait_s = card_wait_s
        self._dump = dump
        self._progress = progress
        self._after_command = after_command
        #: The card with which it began; the rest makes no sense to another one.
        self._card_number = 0

    async def run(self) -> ScriptOutcome:
        """Wait for the card and play. Raises NoCardError if none comes, PlayError if a command gets no answer."""
        waited_since = time.perf_counter()
        self.outcome.atr = await self._emulator.wait_card(self._card_wait_s)
        self._card_number = self._emulator.card_number
        since = time.perf_counter()
        self.outcome.card_after_s = since - waited_since
        done = 0
        for _ in range(self._repeat):
            for step in self._steps:
                await self._play(step)
                done += 1
                if self._progress is not None:
                    self._progress(done)
        self.outcome.played_s = time.perf_counter() - since
        return self.outcome

    async def _play(self, step: Step) -> None:
        match step:
            case RecordedReset():
                await self._emulator.cold_reset()
                self.outcome.resets += 1
                if self._modem is not None:
                    self._modem.on_reset()
                self._write({"event": "reset"})
            case RecordedCommand():
                await self._play_command(step)

    async def _play_command(self, step: RecordedCommand) -> None:
        tpdu = step.tpdu if self._modem is None else self._modem.prepare(step.tpdu)
        name = command_name(tpdu[0], tpdu[1])
        try:
            response = await self._emulator.exchange(tpdu, card_number=self._card_number)
        except ExchangeError as error:
            raise PlayError(f"command {self.outcome.commands + 1} ({name}, line {step.line}): {error}") from None
        sw, length = int.from_bytes(response[-2:]), len(response) - 2
        if self._modem is not None:
            self._modem.on_answer(tpdu, sw)
        self.outcome.commands += 1
        self.outcome.durations.setdefault(name, []).append(self._emulator.last_duration_s)
        self._compare(step, tpdu, sw, length)
        if self._after_command is not None:
            await self._after_command(step, tpdu, response, self._emulator.last_duration_s)
        self._write({"cmd": tpdu.hex(), "data": response[:-2].hex(), "sw": f"{sw:04x}"})

    def _compare(self, step: RecordedCommand, tpdu: bytes, sw: int, length: int) -> None:
        is_other_sw = step.sw is not None and step.sw != sw
        is_other_length = step.length is not None and step.length != length
        self.outcome.sw_mismatches += is_other_sw
        self.outcome.length_mismatches += is_other_length
        if not (is_other_sw or is_other_length):
            return
        self.outcome.different_answers += 1
        if len(self.outcome.differences) >= MAX_TOLD_DIFFERENCES:
            return
        expected = _answer_text(step.sw, step.length)
        got = _answer_text(sw if step.sw is not None else None, length if step.length is not None else None)
        command = describe_command(tpdu)
        self.outcome.differences.append(Difference(self.outcome.commands, step.line, command, expected, got))

    def _write(self, entry: dict[str, str]) -> None:
        if self._dump is None:
            return
        try:
            self._dump.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise PlayError(f"cannot write the dump: {reason_of(error)}", hint="make room there (df)") from None


def _answer_text(sw: int | None, length: int | None) -> str:
    """``9000 ok, 10 bytes``, of what is known."""
    parts = [] if sw is None else [f"{sw:04X} {describe_sw(sw)}"]
    if length is not None:
        parts.append(f"{length} byte{'' if length == 1 else 's'}")
    return ", ".join(parts)
