# SPDX-License-Identifier: Apache-2.0
"""Server, bankd and client on real sockets, with a proxy between client and bankd that cuts or freezes the link."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from remsim.client.observer import CutCounter
from remsim.emulators.driven import DrivenEmulator
from remsim.emulators.script.player import PlayError, ScriptPlayer
from remsim.emulators.script.recording import load_recording
from tests.doubles.cutting_proxy import CuttingProxy
from tests.doubles.suite import Suite

_PATIENCE_S = 60.0
_RECORDING = """\
{"event": "reset"}
{"cmd": "00a40004023f00", "sw": "6109", "rlen": 0}
{"cmd": "00a40004022fe2", "sw": "6109", "rlen": 0}
{"cmd": "00b000000a", "sw": "9000", "rlen": 10}
"""


class _Run:
    """Plays a recording through a proxy that fails ``disturb`` seconds apart."""

    def __init__(self, folder: Path, *, repeat: int, resume: Literal["always", "off"], card_time_ms: float) -> None:
        path = folder / "boot.jsonl"
        path.write_text(_RECORDING)
        self.emulator = DrivenEmulator()
        self.player = ScriptPlayer(self.emulator, load_recording(path), repeat=repeat, card_wait_s=_PATIENCE_S)
        self.counter = CutCounter()
        self._folder, self._resume, self._card_time_ms = folder, resume, card_time_ms

    async def play(self, disturb: Callable[[CuttingProxy], None], every_s: float) -> Suite:
        async with CuttingProxy() as proxy:
            suite = Suite(
                self._folder,
                [self.emulator],
                profile="default",
                proxy=proxy,
                resume=self._resume,
                card_time_ms=self._card_time_ms,
                observer=self.counter,
            )
            async with suite, asyncio.timeout(_PATIENCE_S), asyncio.TaskGroup() as group:
                playing = group.create_task(self.player.run())
                while not playing.done():
                    await asyncio.wait([playing], timeout=every_s)
                    if not playing.done():
                        disturb(proxy)
                self.counter.stop()
            return suite


async def test_cuts_of_the_link_are_not_noticed(tmp_path: Path) -> None:
    run = _Run(tmp_path, repeat=120, resume="always", card_time_ms=5)
    suite = await run.play(CuttingProxy.cut, 0.3)
    commands = run.player.outcome.commands
    assert commands == 360
    assert run.counter.cuts >= 3
    assert run.counter.resumes == run.counter.cuts
    assert run.counter.losses == 0
    # Each command was executed once, and the card was reset by its modem only.
    assert suite.bankd.coordinator.counts.tpdus == commands
    assert suite.bankd.coordinator.counts.resets == run.player.outcome.resets == 120
    assert suite.metric("cuts_total") == run.counter.cuts
    assert suite.metric("resumes_total") == run.counter.resumes


async def test_link_that_is_frozen_is_noticed_and_taken_over(tmp_path: Path) -> None:
    run = _Run(tmp_path, repeat=120, resume="always", card_time_ms=5)
    seen: list[CuttingProxy] = []

    def freeze(proxy: CuttingProxy) -> None:
        """Once; what is frozen stays so, and new connections go through."""
        if not seen:
            seen.append(proxy)
            proxy.freeze()

    suite = await run.play(freeze, 0.2)
    assert run.counter.resumes == run.counter.cuts == 1
    assert run.counter.losses == 0
    assert suite.bankd.coordinator.counts.tpdus == run.player.outcome.commands == 360


async def test_many_clients_that_are_cut_together_go_on_together(tmp_path: Path) -> None:
    many = 100
    path = tmp_path / "boot.jsonl"
    path.write_text(_RECORDING)
    steps = load_recording(path)
    emulators = [DrivenEmulator() for _ in range(many)]
    counter = CutCounter()
    async with CuttingProxy() as proxy:
        suite = Suite(tmp_path, emulators, profile="default", proxy=proxy, resume="always", observer=counter)
        async with suite, asyncio.timeout(_PATIENCE_S):
            await asyncio.gather(*(emulator.wait_card(_PATIENCE_S) for emulator in emulators))
            players = [ScriptPlayer(emulator, steps, card_wait_s=_PATIENCE_S) for emulator in emulators]
            async with asyncio.TaskGroup() as group:
                playing = [group.create_task(player.run()) for player in players]
                # One modem has all its answers; most others wait for one.
                await asyncio.wait(playing, return_when=asyncio.FIRST_COMPLETED)
                proxy.cut()
            # Each has its answers, and now works over its new link.
            outcomes = await asyncio.gather(
                *(ScriptPlayer(emulator, steps, card_wait_s=_PATIENCE_S).run() for emulator in emulators)
            )
            counter.stop()
    assert sum(outcome.commands for outcome in outcomes) == 3 * many
    assert counter.cuts == counter.resumes == many
    assert counter.losses == 0
    counts = suite.bankd.coordinator.counts
    assert (counts.tpdus, counts.resets) == (6 * many, 2 * many)
    assert suite.bankd.coordinator.cards.holds.counts.longest_s < 10.0


async def test_without_resume_the_modem_loses_its_card(tmp_path: Path) -> None:
    run = _Run(tmp_path, repeat=80, resume="off", card_time_ms=5)
    with pytest.RaisesGroup(PlayError, flatten_subgroups=True):
        await run.play(CuttingProxy.cut, 0.3)
    assert run.counter.cuts == 0
