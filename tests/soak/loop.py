# SPDX-License-Identifier: Apache-2.0
"""Server, bankd and client in one loop, a proxy that cuts all links between client and bankd again and again.

Modems work in rounds. After each round all sessions have their links again, and what the process holds is counted:
resident memory, objects that the garbage collector knows, descriptors, tasks, threads. The first rounds fill caches and
histories of bounded length; from then on nothing may grow.
"""

import asyncio
import gc
import os
import resource
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from remsim.client.core.notices import Notice
from remsim.client.observer import CutCounter
from remsim.core.ids import ClientSlot
from remsim.emulators.driven import DrivenEmulator
from remsim.emulators.script.player import ScriptPlayer
from remsim.emulators.script.recording import Step, load_recording
from remsim.server.core.event_feed import FeedEvent
from tests.doubles.cutting_proxy import CuttingProxy
from tests.doubles.suite import Suite

#: Modems, unless told otherwise.
SLOTS: Final = 8
#: A modem is at rest again within this time, however slow the machine.
_PATIENCE_S: Final = 60.0
#: A modem powers its card up and reads a little: 24 commands.
_RECORDING: Final = """\
{"event": "reset"}
""" + (
    """\
{"cmd": "00a40004023f00", "sw": "612e", "rlen": 0}
{"cmd": "00a40004022fe2", "sw": "611a", "rlen": 0}
{"cmd": "00b000000a", "sw": "9000", "rlen": 10}
"""
    * 8
)
_COMMANDS: Final = 24
#: Rounds of the loop.
_TURNS: Final = 20
#: More than this between two samples is growth: a part of the objects, and so many bytes of memory.
_OBJECTS: Final = 0.01
_MEMORY_KB: Final = 4096
#: As many threads as asyncio's own pool has at most.
_POOL_THREADS: Final = min(32, (os.cpu_count() or 1) + 4)


class SoakError(AssertionError):
    """Something grows, or a command was lost or doubled."""


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """How much, and how often it is disturbed."""

    #: Commands in all; a few more are sent, so that all rounds are alike.
    commands: int
    slots: int = SLOTS
    rounds: int = 20
    #: Rounds before the one that the later ones are compared with; at least one.
    warm_up: int = 4
    #: Links are cut after so many steps of all modems together, and not after a time: on a busy machine, nearly nothing
    #: else would be done than to connect anew.
    cut_every: int = 1000

    @property
    def repeat(self) -> int:
        """How often each modem plays its recording in one round."""
        return max(1, -(-self.commands // (self.slots * self.rounds * _COMMANDS)))


@dataclass(frozen=True, slots=True)
class Sample:
    """What there was after a round."""

    commands: int
    cuts: int
    seconds: float
    memory_kb: int
    objects: int
    descriptors: int
    tasks: int
    threads: int

    @staticmethod
    def heading() -> str:
        """The line above the first sample."""
        return "commands    cuts  seconds  memory/kB   objects  descriptors  tasks  threads"

    def line(self) -> str:
        """As a line of the table."""
        return (
            f"{self.commands:8} {self.cuts:7} {self.seconds:8.1f} {self.memory_kb:10} {self.objects:9} "
            f"{self.descriptors:12} {self.tasks:6} {self.threads:8}"
        )


@dataclass
class SoakReport:
    """All samples; ``check`` judges them."""

    plan: SoakPlan
    samples: list[Sample] = field(default_factory=list)

    def check(self, *, memory: bool = True) -> None:
        """Raise SoakError if anything has grown since the warm-up. ``memory``: judge resident memory, too.

        A short run cannot tell a leak from the allocator's reserves.
        """
        base, last = self.samples[self.plan.warm_up - 1], self.samples[-1]
        grown = {
            "objects": last.objects > base.objects * (1 + _OBJECTS),
            "descriptors": last.descriptors > base.descriptors,
            "tasks": last.tasks > base.tasks,
            # The loop's pool starts its threads one by one, as they are wanted, and keeps them.
            "threads": last.threads > base.threads + _POOL_THREADS,
            "memory": memory and last.memory_kb > base.memory_kb + _MEMORY_KB,
        }
        names = [name for name, has_grown in grown.items() if has_grown]
        if names:
            raise SoakError(f"{', '.join(names)} have grown\n{Sample.heading()}\n{base.line()}\n{last.line()}")

    def lines(self) -> list[str]:
        """What came of it."""
        base, last = self.samples[self.plan.warm_up - 1], self.samples[-1]
        return [
            f"{last.commands} commands, {last.cuts} cuts, none lost, none doubled, no modem was reset",
            f"since the warm-up: {last.memory_kb - base.memory_kb:+} kB, {last.objects - base.objects:+} objects",
        ]


class _Counter(CutCounter):
    """Tells when a session is held or goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.has_changed = asyncio.Event()

    def on_notice(self, client_slot: ClientSlot | None, notice: Notice) -> None:
        super().on_notice(client_slot, notice)
        self.has_changed.set()


class _Soak:
    """One run."""

    def __init__(self, plan: SoakPlan, steps: list[Step]) -> None:
        self._plan = plan
        self._steps = steps
        self.emulators = [DrivenEmulator() for _ in range(plan.slots)]
        self.counter = _Counter()
        self._commands = self._resets = 0

    async def round(self, suite: Suite, proxy: CuttingProxy) -> None:
        """Let all modems play while links are cut; then wait until all sessions have their links. Raises SoakError."""
        due = asyncio.Event()
        steps = len(self._steps) * self._plan.repeat
        cut_every, played = min(self._plan.cut_every, self._plan.slots * steps // 2), 0

        def on_progress(_done: int) -> None:
            nonlocal played
            played += 1
            if played % cut_every == 0:
                due.set()

        async def cut_again_and_again() -> None:
            while True:
                await due.wait()
                due.clear()
                proxy.cut()

        players = [
            ScriptPlayer(emulator, self._steps, repeat=self._plan.repeat, card_wait_s=_PATIENCE_S, progress=on_progress)
            for emulator in self.emulators
        ]
        async with asyncio.TaskGroup() as group:
            cutting = group.create_task(cut_again_and_again())
            await asyncio.gather(*(group.create_task(player.run()) for player in players))
            cutting.cancel()
        wrong = [str(difference) for player in players for difference in player.outcome.differences]
        if wrong:
            raise SoakError("\n".join(["modems have got wrong answers", *wrong]))
        self._commands += sum(player.outcome.commands for player in players)
        self._resets += sum(player.outcome.resets for player in players)
        await self._rest(suite, proxy)
        self._check(suite)

    async def _rest(self, suite: Suite, proxy: CuttingProxy) -> None:
        counter, holds = self.counter, suite.bankd.coordinator.cards.holds
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while counter.cuts != counter.resumes or holds.detached() or proxy.connections != 2 * self._plan.slots:
                    counter.has_changed.clear()
                    await counter.has_changed.wait()
        except TimeoutError:
            raise SoakError(
                f"not at rest: {counter.cuts} cuts, {counter.resumes} resumes, {len(holds.detached())} held, "
                f"{proxy.connections} connections of the proxy"
            ) from None
        # What served the connections that were cut ends within these.
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def _check(self, suite: Suite) -> None:
        counts = suite.bankd.coordinator.counts
        if (counts.tpdus, counts.resets) != (self._commands, self._resets):
            raise SoakError(
                f"modems: {self._commands} commands, {self._resets} resets; "
                f"cards: {counts.tpdus} commands, {counts.resets} resets"
            )
        if self.counter.losses:
            raise SoakError(f"modems have lost their cards {self.counter.losses} times")

    def sample(self, seconds: float) -> Sample:
        """Count."""
        gc.collect()
        return Sample(
            commands=self._commands,
            cuts=self.counter.cuts,
            seconds=seconds,
            memory_kb=_memory_kb(),
            # The server keeps its newest events, of which there are some for each cut, up to a limit of its own.
            objects=sum(not isinstance(found, FeedEvent) for found in gc.get_objects()),
            descriptors=len(list(Path("/proc/self/fd").iterdir())),
            tasks=len(asyncio.all_tasks()),
            threads=threading.active_count(),
        )


def _memory_kb() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() // 1024


async def soak(folder: Path, plan: SoakPlan, *, tell: Callable[[Sample], None] = lambda _sample: None) -> SoakReport:
    """Run ``plan``; ``tell`` gets each sample. Raises SoakError if a command was lost or doubled."""
    path = folder / "boot.jsonl"
    path.write_text(_RECORDING, encoding="utf-8")
    running, report = _Soak(plan, load_recording(path)), SoakReport(plan)
    async with CuttingProxy() as proxy:
        suite = Suite(
            folder, running.emulators, profile="default", proxy=proxy, resume="always", observer=running.counter
        )
        async with suite:
            began = time.monotonic()
            for _ in range(plan.rounds):
                await running.round(suite, proxy)
                sample = running.sample(time.monotonic() - began)
                report.samples.append(sample)
                tell(sample)
            running.counter.stop()
    return report
