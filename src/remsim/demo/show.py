# SPDX-License-Identifier: Apache-2.0
"""The demonstration as a program: a live picture on a terminal, a few lines elsewhere."""

import asyncio
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live

from remsim.config import DemoConfig
from remsim.core.ids import BankSlot
from remsim.demo.board import draw, timing_table
from remsim.demo.scene import Scene
from remsim.demo.stage import BANK_ID, CARDS, DemoError, Stage
from remsim.net.runtime.process import run_service

#: How long the modem thinks between two commands on a terminal: a start takes some seconds, so that one can read along.
_PACE_S: Final = 0.03
#: The first card that is used; the others follow. Not the first one, so that one sees that it is a choice.
_FIRST_SLOT: Final = 2
_PAUSE_S: Final = 2.0
_PICTURES_PER_SECOND: Final = 12


def show(config: DemoConfig) -> int:
    """Run the demonstration until it is done or a signal ends it; the exit status."""
    return run_service(lambda: _Show(config, Console()), config=_quiet(config))


def _quiet(config: DemoConfig) -> DemoConfig:
    """The picture says what happens; log lines would tear it."""
    return config.model_copy(update={"log_level": "error"}) if config.log_level == "info" else config


class _Show:
    """The demonstration as a service (``net.process.Service``)."""

    def __init__(self, config: DemoConfig, console: Console) -> None:
        self.started = asyncio.Event()
        self._config = config
        self._console = console
        self._scope: asyncio.Timeout | None = None
        self._is_stopping = False

    async def start(self) -> None:
        """Nothing to do before the run."""
        self.started.set()

    async def run(self) -> None:
        """Play. Raises RemsimError if anything is not as it should be."""
        scope = self._scope = asyncio.timeout(0 if self._is_stopping else None)
        try:
            async with scope, Stage() as stage:
                await (self._play_live(stage) if self._console.is_terminal else self._play_plain(stage))
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            # A signal may come while the program ends by itself; there is nothing left to interrupt.
            self._scope = None
            self._console.print(_next_steps(), soft_wrap=True, highlight=False)

    def request_stop(self) -> None:
        """End the picture; also before ``run``."""
        self._is_stopping = True
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def stop(self) -> None:
        """Everything is released by the stage."""

    async def _play_live(self, stage: Stage) -> None:
        scene = stage.scene
        loop = asyncio.get_running_loop()
        self._console.print(f"The same in a browser, once, within ten minutes: {stage.page}", soft_wrap=True)
        # Drawn between two commands only, so that drawing does not show in their durations.
        with Live(console=self._console, auto_refresh=False) as live:
            drawn_at = 0.0

            def redraw(*, at_once: bool = False) -> None:
                nonlocal drawn_at
                if at_once or loop.time() >= drawn_at + 1 / _PICTURES_PER_SECOND:
                    live.update(draw(scene, self._console.height), refresh=True)
                    drawn_at = loop.time()

            await stage.wait_for_peers()
            for bank_slot in self._slots():
                redraw(at_once=True)
                await stage.boot(bank_slot, pace_s=_PACE_S, on_change=redraw)
                scene.result = _result(scene, bank_slot)
                redraw(at_once=True)
                if self._config.once:
                    break
                await asyncio.sleep(_PAUSE_S)
                await stage.unmap(bank_slot)
                scene.result = ""
        self._console.print(timing_table(scene))
        _check(scene)

    async def _play_plain(self, stage: Stage) -> None:
        scene, say = stage.scene, self._console.print
        await stage.wait_for_peers()
        say(f"server: {scene.server.place}")
        say(f"page:   {stage.page}", soft_wrap=True, highlight=False)
        say(f"bankd:  B{BANK_ID} at {scene.bankd.place}")
        say(f"client: {scene.client_slot}, {scene.client.place}")
        for bank_slot in self._slots():
            await stage.boot(bank_slot, pace_s=0.0, on_change=lambda: None)
            say(f"mapped: {scene.client_slot} to {bank_slot}, ATR {scene.atr.hex().upper()}", soft_wrap=True)
            say(_result(scene, bank_slot), soft_wrap=True)
            if self._config.once:
                break
            await stage.unmap(bank_slot)
        say(timing_table(scene))
        _check(scene)

    def _slots(self) -> Iterator[BankSlot]:
        return (BankSlot(BANK_ID, (_FIRST_SLOT + number) % CARDS) for number in count())


def _next_steps() -> str:
    """Where to go from here, by the name under which this program was called."""
    program = Path(sys.argv[0])
    if program.is_absolute() and program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    return f"Next: {program} --help lists the programs, docs/manual.md says how to set them up."


def _result(scene: Scene, bank_slot: BankSlot) -> str:
    if scene.surprises:
        return f"{scene.surprises} of {scene.played} answers are not those of the recorded card."
    return f"The modem is up: {scene.played} commands answered by the card in {bank_slot}, each as recorded."


def _check(scene: Scene) -> None:
    if scene.surprises:
        raise DemoError(_result(scene, scene.bank_slot or BankSlot(BANK_ID, 0)))
