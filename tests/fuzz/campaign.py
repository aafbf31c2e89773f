# SPDX-License-Identifier: Apache-2.0
"""Plays a range of conversations, many at a time, while a canary sings; looks for crash, hang, leak and fault."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from remsim.net.runtime.process import raise_open_file_limit
from tests.fuzz import cast
from tests.fuzz.canary import Canary, CanaryError
from tests.fuzz.conversation import conversation, stage_of
from tests.fuzz.player import ConnectError, play
from tests.fuzz.programs import Holdings, ProgramError, Programs
from tests.fuzz.script import Part, Script

#: Before the first look at what the programs hold: everything was imported and used once by then.
_WARM_UP: Final = 600
_LOOK_S: Final = 1.0
#: After the last conversation everything of them must be gone within this time; deadlines of the programs are 2 s.
_SETTLE_S: Final = 30.0
_SETTLE_POLL_S: Final = 0.25
#: Growth between the end of the warm-up and the end. Caches and the allocator take their share early; beyond that
#: every conversation may cost so much, which no leak of an object would get by with.
_SPARE_KB: Final = 12_000
_KB_EACH: Final = 0.05
#: Database connections and the like come and go.
_SPARE_DESCRIPTORS: Final = 6
_SPARE_THREADS: Final = 2
#: So many of the conversations before a failure are shown.
_SUSPECTS: Final = 2 * cast.STAGES


class CampaignError(AssertionError):
    """Something gave way; the text says what, and how to play it again."""


class LeakError(AssertionError):
    """A program holds more than before."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a campaign went that found nothing."""

    conversations: int
    seconds: float
    by_part: dict[Part, int]
    canary_commands: int
    canary_slowest_s: dict[str, float]
    #: By program: after the warm-up, and at the end.
    holdings: dict[str, tuple[Holdings, Holdings]]

    def lines(self) -> list[str]:
        """For a person."""
        parts = ", ".join(f"{count} as {part.value}" for part, count in self.by_part.items())
        slowest = ", ".join(f"{what} {seconds * 1e3:.0f} ms" for what, seconds in self.canary_slowest_s.items())
        lines = [
            f"{self.conversations} conversations in {self.seconds:.0f} s ({self.conversations / self.seconds:.0f}/s)",
            f"  {parts}",
            f"  meanwhile {self.canary_commands} commands of the canary, all answered; slowest: {slowest}",
        ]
        for name, (first, last) in self.holdings.items():
            lines.append(
                f"  {name}: descriptors {first.descriptors} -> {last.descriptors}, threads {first.threads} -> "
                f"{last.threads}, memory {first.memory_kb // 1024} -> {last.memory_kb // 1024} MB"
            )
        return lines


class Campaign:
    """Conversations ``numbers`` of ``seed`` against the programs."""

    def __init__(self, programs: Programs, *, seed: int, numbers: Sequence[int], is_quiet: bool = False) -> None:
        self._programs = programs
        self._seed = seed
        self._numbers = numbers
        self._is_quiet = is_quiet
        self._queues: list[deque[int]] = [deque() for _ in range(cast.STAGES)]
        for number in numbers:
            self._queues[stage_of(number)].append(number)
        self._lonely = asyncio.Lock()
        self._recent: deque[int] = deque(maxlen=_SUSPECTS)
        self._by_part: dict[Part, int] = dict.fromkeys(Part, 0)
        self._done = 0
        self._first: dict[str, Holdings] = {}
        self._warm: dict[str, Holdings] = {}
        self._began = 0.0
        self._twentieths_said = -1

    async def run(self) -> Report:
        """Raises CampaignError."""
        raise_open_file_limit()
        canary = Canary(rspro=self._programs.rspro, bankd=self._programs.bankd, rest=self._programs.rest)
        try:
            try:
                await canary.start()
                self._first = self._holdings()
                self._began = time.perf_counter()
                await self._play_while(canary)
                took_s = time.perf_counter() - self._began
                holdings = await self._settle(canary)
            finally:
                canary.stop()
        except* (ProgramError, CanaryError, ConnectError, LeakError) as errors:
            raise CampaignError(self._describe(errors.exceptions)) from None
        return Report(self._done, took_s, self._by_part, canary.commands, canary.slowest_s, holdings)

    async def _play_while(self, canary: Canary) -> None:
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(canary.sing()), group.create_task(self._look())]
            async with asyncio.TaskGroup() as stages:
                for stage, queue in enumerate(self._queues):
                    stages.create_task(self._hold(stage, queue))
            for task in background:
                task.cancel()

    async def _hold(self, stage: int, queue: deque[int]) -> None:
        source = f"127.0.1.{stage + 1}"
        while queue:
            number = queue.popleft()
            self._recent.append(number)
            script = conversation(self._seed, number)
            if script.part is Part.SERVER_OF_BANKD:
                async with self._lonely:
                    await play(script, self._programs.lonely_bankd, source)
            else:
                await play(script, self._port(script), source)
            self._by_part[script.part] += 1
            self._done += 1

    def _port(self, script: Script) -> int:
        match script.part:
            case Part.CLIENT_OF_BANKD:
                return self._programs.bankd
            case Part.CALLER_OF_REST:
                return self._programs.rest
        return self._programs.rspro

    async def _look(self) -> None:
        """Every now and then: do they run, what do their logs say, how far are we."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self._programs.check()
            if not self._warm and self._done >= min(_WARM_UP, len(self._numbers) // 2):
                self._warm = self._holdings()
            self._say()

    def _holdings(self) -> dict[str, Holdings]:
        return {tenant.name: tenant.holdings() for tenant in self._programs.tenants}

    def _say(self) -> None:
        if self._is_quiet:
            return
        rate = self._done / (time.perf_counter() - self._began)
        memory = ", ".join(f"{name} {held.memory_kb // 1024} MB" for name, held in self._holdings().items())
        twentieths = self._done * 20 // len(self._numbers)
        is_terminal = sys.stderr.isatty()
        if is_terminal or twentieths != self._twentieths_said:
            self._twentieths_said = twentieths
            end = "   \r" if is_terminal else "\n"
            sys.stderr.write(f"{self._done}/{len(self._numbers)}, {rate:.0f}/s; {memory}{end}")
            sys.stderr.flush()

    async def _settle(self, canary: Canary) -> dict[str, tuple[Holdings, Holdings]]:
        """Wait until what the conversations left behind is gone. Raises LeakError, ProgramError, CanaryError."""
        deadline = time.perf_counter() + _SETTLE_S
        async with asyncio.TaskGroup() as group:
            song = group.create_task(canary.sing())
            leaks = self._leaks()
            while leaks and time.perf_counter() < deadline:
                await asyncio.sleep(_SETTLE_POLL_S)
                leaks = self._leaks()
            song.cancel()
        self._programs.check()
        if leaks:
            raise LeakError("; ".join(leaks))
        now = self._holdings()
        return {name: (self._warm.get(name, held), held) for name, held in now.items()}

    def _leaks(self) -> list[str]:
        leaks: list[str] = []
        for name, held in self._holdings().items():
            first = self._first[name]
            warm = self._warm.get(name, held)
            if held.descriptors > first.descriptors + _SPARE_DESCRIPTORS:
                leaks.append(f"{name} holds {held.descriptors} descriptors, {first.descriptors} before the start")
            if held.threads > max(first.threads, warm.threads) + _SPARE_THREADS:
                leaks.append(f"{name} has {held.threads} threads, {first.threads} before the start")
            if held.memory_kb > warm.memory_kb + _SPARE_KB + _KB_EACH * len(self._numbers):
                leaks.append(f"{name} uses {held.memory_kb} kB of memory, {warm.memory_kb} kB after the warm-up")
        return leaks

    def _describe(self, errors: Sequence[BaseException]) -> str:
        lines = [str(leaf) for error in errors for leaf in _leaves(error)]
        again = ",".join(str(number) for number in sorted(set(self._recent)))
        lines += [
            f"after {self._done} conversations of seed {self._seed}. The last ones, in order of their beginning:",
            *(f"  {number}: {conversation(self._seed, number).describe()[:600]}" for number in self._recent),
            f"To play these again: python -m tests.fuzz --seed {self._seed} --only {again}",
        ]
        return "\n".join(lines)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def run_campaign(folder: Path, *, seed: int, numbers: Sequence[int], log_level: str, is_quiet: bool) -> Report:
    """Start the programs with their files in ``folder``, play, stop them. Raises CampaignError."""
    from bench.loops import run

    async def main(programs: Programs) -> Report:
        return await Campaign(programs, seed=seed, numbers=numbers, is_quiet=is_quiet).run()

    with Programs(folder, log_level=log_level) as programs:
        report = run(main(programs))
    wrong = {name: status for name, status in programs.statuses.items() if status}
    if wrong:
        raise CampaignError(f"programs did not end properly when told to: {wrong}")
    try:
        programs.check_logs()
    except ProgramError as error:
        raise CampaignError(f"{error}\nseed {seed}, near or after the end of the conversations") from None
    return report
