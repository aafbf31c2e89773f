# SPDX-License-Identifier: Apache-2.0
"""What the guard in front of a card costs: the round trip of a TPDU with the shipped rules, next to none.

Two bankds, one with the shipped rules and one whose rule file switches them off, take turns with the same commands, of
one session. The cards answer at once, so the guard's share is as large as it can be. How long the guard itself needs
for a command and its answer is measured apart, within this process.
"""

import argparse
import statistics
import sys
import tempfile
import timeit
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bench import tables
from bench.load import OWN, Seen, load
from bench.loops import run
from bench.programs import BANK_ID, Programs, map_clients, open_programs
from bench.tables import Cell
from remsim.core.ids import BankSlot, ClientSlot
from remsim.policy.guard import DEFAULT

#: What modems send all day.
COMMANDS: Final[dict[str, bytes]] = {
    "SELECT": bytes.fromhex("00A40004026F07"),
    "READ BINARY": bytes.fromhex("00B0000009"),
    "READ RECORD": bytes.fromhex("00B2010426"),
    "STATUS": bytes.fromhex("80F2000000"),
}
_OFF: Final = '[presets]\npin-change = "off"\nfile-update = "off"\nglobalplatform = "off"\n'
_CALLS: Final = 2000
_REPEATS: Final = 15


def own_time_us(command: bytes) -> float:
    """Microseconds of the guard for one command and its answer: the best of several runs."""
    guard = DEFAULT.guard_for(BankSlot(BANK_ID, 0), ClientSlot(1, 0))

    def exchange() -> None:
        guard.check(command)
        guard.on_exchange(command, b"\x90\x00")

    return min(timeit.repeat(exchange, number=_CALLS, repeat=_REPEATS)) / _CALLS * 1e6


async def _play(programs: Programs, command: bytes, seconds: float) -> Seen:
    return await load(
        OWN,
        port=programs.bankd_port,
        bank=BANK_ID,
        sessions=1,
        seconds=seconds,
        options=["--command", command.hex()],
    )


async def measure(seconds: float, rounds: int) -> list[dict[str, Cell]]:
    """A row for each command; medians of all rounds."""
    rows: list[dict[str, Cell]] = []
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder:
        off = Path(folder) / "off.toml"
        off.write_text(_OFF, encoding="utf-8")
        async with AsyncExitStack() as stack:
            places = {"off": ["--guard", str(off)], "shipped": []}
            setups = {
                name: await stack.enter_async_context(
                    open_programs(Path(folder) / name, None, slots=1, bankd_options=options)
                )
                for name, options in places.items()
            }
            for programs in setups.values():
                await map_clients(programs, sessions=1)
            for name, command in COMMANDS.items():
                pairs = [
                    (await _play(setups["off"], command, seconds), await _play(setups["shipped"], command, seconds))
                    for _ in range(rounds)
                ]
                rows.append(
                    {
                        "command": name,
                        "p50 µs, off": statistics.median(off.p50_us for off, _ in pairs),
                        "p50 µs, shipped rules": statistics.median(on.p50_us for _, on in pairs),
                        "p50 ratio": statistics.median(on.p50_us / off.p50_us for off, on in pairs),
                        "p99 ratio": statistics.median(on.p99_us / off.p99_us for off, on in pairs),
                        "guard's own µs": own_time_us(command),
                    }
                )
                print(f"{name} done", file=sys.stderr)
    return rows


def main(arguments: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench guard", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="duration of one run (default: 1)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    rows = run(measure(given.seconds, given.rounds))
    tables.show("TPDU round trip of one session, with the guard's shipped rules and without", rows)
    tables.save(given.json, {"bench": "guard", "machine": tables.machine(), "rows": rows})
    return 0
