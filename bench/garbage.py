# SPDX-License-Identifier: Apache-2.0
"""How sessions fare while garbage comes to the RSPRO ports of the bankd and the server, and without it.

A real server and a real bankd with cards that answer at once; clients that play commands at a steady rate; and a
generator that keeps thousands of connections of garbage up, half at each program, at a bounded rate. Windows of peace
and of garbage take turns, and each pair of them gives a ratio. A window of garbage begins with no connection of it.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from bench import tables
from bench.certificates import Lab
from bench.garbage_kinds import KINDS
from bench.loops import run
from bench.priority import BEHIND
from bench.programs import Programs, map_clients, open_programs
from bench.tables import Cell
from bench.workers import Worker
from remsim.core.identity import Identity
from tests.doubles.programs import Program

LISTENERS: Final = ("plain", "TLS")
#: What one window left behind must be gone before the next one.
_SETTLE_S: Final = 30.0
_POLL_S: Final = 0.1
_SPARE_DESCRIPTORS: Final = 10


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for."""

    sessions: int
    #: Commands per second of each session.
    rate: float
    connections: int
    #: Connections of garbage that are opened, and that begin to speak, and bytes, per second, at most.
    connects: float
    knocks: float
    raw: float
    kinds: list[str]
    #: How the generator stands behind the others, of ``BEHIND``.
    behind: str
    seconds: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Window:
    """What one window showed."""

    figures: dict[str, float]
    #: Processor time, in parts of one processor; lines in the log per second.
    cpu: dict[str, float]
    lines: dict[str, float]
    garbage: dict[str, float]


class _Watch:
    """Processor time and lines in the log of a program, since it was made."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._began = time.perf_counter()
        self._cpu_s, self._lines = self._now()

    def _now(self) -> tuple[float, int]:
        times = psutil.Process(self._program.pid).cpu_times()
        return times.user + times.system, self._program.mark()

    def rates(self) -> tuple[float, float]:
        """Both, per second."""
        took_s = time.perf_counter() - self._began
        cpu_s, lines = self._now()
        return (cpu_s - self._cpu_s) / took_s, (lines - self._lines) / took_s


class Field:
    """The programs and the sessions that are measured."""

    def __init__(self, programs: Programs, sessions: Worker, options: Options) -> None:
        self._programs = {"bankd": programs.bankd, "server": programs.server}
        self._ports = (programs.bankd_port, programs.rspro_port)
        self._sessions = sessions
        self._options = options

    async def peace(self) -> Window:
        """A window without garbage."""
        return await self._window(None)

    async def garbage(self) -> Window:
        """A window with garbage; at its end, what is left of it is gone."""
        options = self._options
        before = self._descriptors()
        arguments = ["--connections", options.connections, "--connects", options.connects]
        arguments += ["--knocks", options.knocks, "--bytes", options.raw, "--kind", *options.kinds]
        arguments += ["--behind", options.behind]
        with Worker("bench.garbage_source", "--port", *self._ports, *arguments) as source:
            await source.wait_ready()
            found = await self._window(source)
        if not found.garbage.get("connects"):
            raise SystemExit("the generator got no time for a single connection; hint: --behind low")
        await self._settle(before)
        return found

    async def _window(self, source: Worker | None) -> Window:
        watches = {name: _Watch(program) for name, program in self._programs.items()}
        self._sessions.begin()
        if source is not None:
            source.begin()
        await asyncio.sleep(self._options.seconds)
        rates = {name: watch.rates() for name, watch in watches.items()}
        garbage = {} if source is None else await source.end()
        figures = await self._sessions.end()
        return Window(
            figures,
            {name: cpu for name, (cpu, _) in rates.items()},
            {name: lines for name, (_, lines) in rates.items()},
            garbage,
        )

    def _descriptors(self) -> int:
        return sum(psutil.Process(program.pid).num_fds() for program in self._programs.values())

    async def _settle(self, before: int) -> None:
        deadline = time.perf_counter() + _SETTLE_S
        while self._descriptors() > before + _SPARE_DESCRIPTORS:
            if time.perf_counter() > deadline:
                raise SystemExit("the programs hold on to connections that are gone")
            await asyncio.sleep(_POLL_S)


def _ratio(garbage: Window, peace: Window, figure: str) -> Cell:
    first, second = peace.figures.get(figure), garbage.figures.get(figure)
    return None if first is None or second is None else second / first


def _row(listener: str, label: Cell, peace: Window, garbage: Window) -> dict[str, Cell]:
    before, during, sent = peace.figures, garbage.figures, garbage.garbage
    return {
        "listener": listener,
        "round": label,
        "p50 µs": before.get("p50_us"),
        "p99 µs": before.get("p99_us"),
        "p50 µs, garbage": during.get("p50_us"),
        "p99 µs, garbage": during.get("p99_us"),
        "p99 ratio": _ratio(garbage, peace, "p99_us"),
        "max µs, garbage": during.get("max_us"),
        "PING p99 ratio": _ratio(garbage, peace, "ping_p99_us"),
        "broken": int(during["broken"]),
        "TPDU/s": during["commands"] / during["seconds"],
        "open": sent["open"],
        "all open after s": sent.get("full_s"),
        "connects/s": sent.get("connects", 0.0),
        "closed/s": sent.get("closed", 0.0),
        "kB/s": sent.get("bytes", 0.0) / 1000,
        "CPU bankd": garbage.cpu["bankd"],
        "CPU server": garbage.cpu["server"],
        "log lines/s": sum(garbage.lines.values()),
    }


def _median(rows: Sequence[dict[str, Cell]]) -> dict[str, Cell]:
    """The median of every figure; broken links of all rounds."""
    found: dict[str, Cell] = {}
    for column in rows[0]:
        values = [value for row in rows if isinstance(value := row[column], int | float)]
        found[column] = statistics.median(values) if values else rows[0][column]
    return found | {"round": "median", "broken": max(int(str(row["broken"])) for row in rows)}


async def measure(listener: str, options: Options) -> list[dict[str, Cell]]:
    """A row for each pair of windows, and their medians."""
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder:
        place = Path(folder)
        lab = Lab(place / "lab") if listener == "TLS" else None
        async with open_programs(place, lab, slots=options.sessions) as programs:
            await map_clients(programs, sessions=options.sessions)
            arguments = ["--server", programs.rspro_port, "--bankd", programs.bankd_port]
            arguments += ["--sessions", options.sessions, "--rate", options.rate]
            if lab is not None:
                arguments += ["--tls", lab.credentials(Identity.client(1)).directory]
            with Worker("bench.paced", *arguments) as sessions:
                await sessions.wait_ready()
                field = Field(programs, sessions, options)
                rows: list[dict[str, Cell]] = []
                for number in range(1, options.rounds + 1):
                    rows.append(_row(listener, number, await field.peace(), await field.garbage()))
                    print(f"{listener}: round {number} of {options.rounds} done", file=sys.stderr)
    return [*rows, _median(rows)]


async def _measure_all(listeners: Sequence[str], options: Options) -> list[dict[str, Cell]]:
    return [row for listener in listeners for row in await measure(listener, options)]


def main(arguments: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench garbage", description=__doc__)
    parser.add_argument("--sessions", type=int, default=64, metavar="N", help="that are at work (default: 64)")
    parser.add_argument("--rate", type=float, default=20.0, help="commands per second of each (default: 20)")
    parser.add_argument("--connections", type=int, default=2000, metavar="N", help="of garbage (default: 2000)")
    parser.add_argument("--connects", type=float, default=1500.0, help="new ones per second at most (default: 1500)")
    parser.add_argument("--knocks", type=float, default=1000.0, help="that begin to speak per second (default: 1000)")
    parser.add_argument("--bytes", type=float, default=2e6, help="of garbage per second at most (default: 2000000)")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS), help="of garbage (default: all)")
    parser.add_argument(
        "--behind",
        choices=BEHIND,
        default=BEHIND[0],
        help="how the generator stands back: low is for machines with much else to do (default: %(default)s)",
    )
    parser.add_argument("--seconds", type=float, default=12.0, help="length of one window (default: 12)")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of windows (default: 5)")
    parser.add_argument("--listener", nargs="+", choices=LISTENERS, default=list(LISTENERS), help="default: both")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    options = Options(
        sessions=given.sessions,
        rate=given.rate,
        connections=given.connections,
        connects=given.connects,
        knocks=given.knocks,
        raw=given.bytes,
        kinds=given.kind,
        behind=given.behind,
        seconds=given.seconds,
        rounds=given.rounds,
    )
    rows = run(_measure_all(given.listener, options))
    tables.show(f"{given.sessions} sessions while {given.connections} connections bring garbage, and in peace", rows)
    tables.save(given.json, {"bench": "garbage", "machine": tables.machine(), "rows": rows})
    return 0
