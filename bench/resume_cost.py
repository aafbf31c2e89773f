# SPDX-License-Identifier: Apache-2.0
"""What it costs a TPDU that its session may outlive its link: processor time of client and bankd together.

Two whole installations run in this process, one with ``resume = "always"`` and one with ``"off"``, each with one modem
and one software card. They play the same commands in turns; only processor time is looked at, and of each the smallest
of many short turns, so that a busy machine hardly shows.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Literal

from bench import tables
from bench.loops import run
from bench.tables import Cell
from remsim.emulators.driven import DrivenEmulator
from tests.doubles.suite import Suite

#: An instruction that no card knows: the card itself takes next to no time.
_COMMAND: Final = bytes.fromhex("00fe000000")
_CARD_WAIT_S: Final = 60.0
_MODES: Final[tuple[Literal["off", "always"], ...]] = ("off", "always")


async def _turn(emulator: DrivenEmulator, commands: int) -> float:
    """Processor time of one command, in microseconds."""
    began = time.process_time()
    for _ in range(commands):
        await emulator.exchange(_COMMAND)
    return (time.process_time() - began) / commands * 1e6


async def measure(rounds: int, commands: int) -> list[dict[str, Cell]]:
    """One row: with, without, and their ratio; of the smallest values and of the medians."""
    found: dict[str, list[float]] = {mode: [] for mode in _MODES}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="remsim-bench-")))
        emulators = {}
        for mode in _MODES:
            emulators[mode] = DrivenEmulator()
            (folder / mode).mkdir()
            suite = Suite(folder / mode, [emulators[mode]], profile="default", resume=mode)
            await stack.enter_async_context(suite)
            await emulators[mode].wait_card(_CARD_WAIT_S)
            await _turn(emulators[mode], commands)
        for number in range(rounds):
            for mode in _MODES if number % 2 else reversed(_MODES):
                found[mode].append(await _turn(emulators[mode], commands))
    off, always = (found[mode] for mode in _MODES)
    return [
        {
            "figure": name,
            "CPU µs/TPDU": of(off),
            "CPU µs/TPDU, resume": of(always),
            "ratio": of(always) / of(off),
        }
        for name, of in (("smallest", min), ("median", statistics.median))
    ]


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench resume", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="turns of each (default: 100)")
    parser.add_argument("--commands", type=int, default=200, help="commands in a turn (default: 200)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    rows = run(measure(options.rounds, options.commands))
    tables.show("processor time of a TPDU at client and bankd, with resume and without", rows)
    tables.save(options.json, {"bench": "resume", "machine": tables.machine(), "rows": rows})
    return 0
