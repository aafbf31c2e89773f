# SPDX-License-Identifier: Apache-2.0
"""What traces cost sessions that nobody watches: a TPDU through the bankd while another slot is watched, and while none
is; and, with ``--before``, through an older bankd that knows nothing of traces.

All take turns, and each ratio is to the run without a watcher in the same turn. The cards answer at once, so a cost
cannot hide behind them.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Final

from bench import null_reader, tables
from bench.load import OWN
from bench.loops import run
from bench.roundtrip import BANK, LEAST_CPU_US, Options, Result, measure_load, open_bankd
from bench.scripted_server import ScriptedServer
from bench.tables import Cell
from remsim.core.ids import BankSlot
from remsim.wire.link.abilities import TRACE
from tests.doubles.programs import Program

#: Longer than a run; no more may be asked for at once.
_WATCHED_S: Final = 60.0
_NONE: Final = "no slot is watched"
_IDLE: Final = "an idle slot is watched"
_ONE: Final = "one of the sessions is watched"
_BEFORE: Final = "before there were traces"


class _Stage:
    """A bankd of today with one slot more than there are sessions."""

    def __init__(self, server: ScriptedServer, program: Program, port: int, sessions: int) -> None:
        self._server = server
        self._program = program
        self._port = port
        self._sessions = sessions

    async def play(self, what: str, options: Options) -> Result:
        """One run."""
        watched = {_IDLE: self._sessions, _ONE: 0}.get(what)
        before = self._server.traced
        if watched is not None:
            self._server.watch(BankSlot(BANK, watched), _WATCHED_S)
        result = await measure_load(what, self._program, self._port, self._sessions, options)
        if watched is not None:
            self._server.watch(BankSlot(BANK, watched), 0)
        told = self._server.traced - before
        if (told > 0) != (what == _ONE):
            raise RuntimeError(f"{what}: {told} records were told")
        return result


async def measure(sessions: int, rounds: int, options: Options, before: Path | None) -> list[dict[str, Cell]]:
    """A row for each case; medians of all turns."""
    found: dict[str, list[Result]] = {}
    cases = [_NONE, _IDLE, _ONE, *([] if before is None else [_BEFORE])]
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="remsim-bench-")))
        env = null_reader.plug_in(folder, sessions + 1)
        server = ScriptedServer(abilities=(TRACE,))
        make = open_bankd(null_reader.SOURCE, null_reader.reader_name, env, sessions + 1, server=server)
        stage = _Stage(server, *await stack.enter_async_context(make), sessions)
        old: tuple[Program, int] | None = None
        if before is not None:
            older = env | {"PYTHONPATH": f"{env['PYTHONPATH']}:{before / 'src'}"}
            make = open_bankd(null_reader.SOURCE, null_reader.reader_name, older, sessions + 1)
            old = await stack.enter_async_context(make)
        for number in range(rounds):
            # What changes with time, and what the run before has left in the caches, hits each of them alike.
            for what in Random(number).sample(cases, len(cases)):
                if what == _BEFORE and old is not None:
                    result = await measure_load(what, *old, sessions, options)
                else:
                    result = await stage.play(what, options)
                found.setdefault(what, []).append(result)
            print(f"turn {number + 1} of {rounds} done", file=sys.stderr)
    return [_row(what, found[what], found[_NONE]) for what in cases]


def _row(what: str, results: Sequence[Result], base: Sequence[Result]) -> dict[str, Cell]:
    pairs = list(zip(results, base, strict=True))
    return {
        "case": what,
        "p50 µs": statistics.median(each.seen.p50_us for each in results),
        "p50 ratio": statistics.median(each.seen.p50_us / other.seen.p50_us for each, other in pairs),
        "p99 ratio": statistics.median(each.seen.p99_us / other.seen.p99_us for each, other in pairs),
        "TPDU/s": round(statistics.median(each.seen.rate for each in results)),
        "rate ratio": statistics.median(each.seen.rate / other.seen.rate for each, other in pairs),
        "CPU µs/TPDU": statistics.median(each.cpu_us for each in results),
        "CPU ratio": statistics.median(each.cpu_us / max(other.cpu_us, LEAST_CPU_US) for each, other in pairs),
    }


def main(arguments: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench trace", description=__doc__)
    parser.add_argument("--sessions", type=int, default=16, help="at a time (default: 16)")
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of one run (default: 2)")
    parser.add_argument("--rounds", type=int, default=7, help="turns (default: 7)")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="a copy of the repository from before traces")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    options = Options(OWN, given.seconds, 7, None)
    rows = run(measure(given.sessions, given.rounds, options, given.before))
    tables.show(f"TPDU round trip of {given.sessions} sessions; ratios are to no slot watched, in the same turn", rows)
    tables.save(given.json, {"bench": "trace", "machine": tables.machine(), "rows": rows})
    return 0
