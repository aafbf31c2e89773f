# SPDX-License-Identifier: Apache-2.0
"""What a flood of PINGs at the plaintext ports does to a session over TLS, and to the end of the programs.

A real server and a real bankd, each with a port for TLS and one for plain TCP; one client with a certificate, which
plays commands on its card; and connections without any introduction that send PING as fast as the plaintext ports take
it. Windows without and with the flood take turns. At the end each program gets SIGTERM while the flood goes on.
"""

import argparse
import asyncio
import contextlib
import os
import signal
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
from bench.loops import run
from bench.programs import Programs, map_clients, open_programs
from bench.tables import Cell
from bench.workers import Worker
from remsim.core.identity import Identity
from tests.doubles.programs import Program

_SECOND_PORT: Final = ("--listen-plaintext", "127.0.0.1:0", "--plaintext")
#: Longer than any program may take to end.
_END_S: Final = 60.0
_POLL_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for."""

    connections: int
    rate: float
    seconds: float
    rounds: int
    #: A new connection after so many bytes; None: as long as it is not closed.
    fresh: int | None

    def source(self, ports: Sequence[int]) -> Worker:
        """The generator, for these ports."""
        arguments: list[object] = ["--port", *ports, "--connections", self.connections]
        if self.fresh is not None:
            arguments += ["--fresh", self.fresh]
        return Worker("bench.ping_source", *arguments)


async def _window(sessions: Worker, seconds: float) -> dict[str, float]:
    sessions.begin()
    await asyncio.sleep(seconds)
    return await sessions.end()


def _row(label: Cell, before: dict[str, float], during: dict[str, float], flood: dict[str, float]) -> dict[str, Cell]:
    return {
        "round": label,
        "p50 µs": before.get("p50_us"),
        "p99 µs": before.get("p99_us"),
        "p50 µs, flood": during.get("p50_us"),
        "p99 µs, flood": during.get("p99_us"),
        "max µs, flood": during.get("max_us"),
        "PING max µs, flood": during.get("ping_max_us"),
        "broken": int(during["broken"]),
        "TPDU/s, flood": during["commands"] / during["seconds"],
        "PING kB/s": flood.get("bytes", 0.0) / 1000,
        "connects/s": flood.get("connects", 0.0),
    }


async def _seconds_to_end(program: Program) -> float:
    process = psutil.Process(program.pid)
    began = time.perf_counter()
    os.kill(program.pid, signal.SIGTERM)
    # It may be gone between two looks.
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            took_s = time.perf_counter() - began
            if took_s > _END_S:
                return took_s
            await asyncio.sleep(_POLL_S)
    return time.perf_counter() - began


async def _rounds(programs: Programs, sessions: Worker, options: Options) -> list[dict[str, Cell]]:
    ports = [programs.plain_port(programs.bankd), programs.plain_port(programs.server)]
    rows: list[dict[str, Cell]] = []
    for number in range(1, options.rounds + 1):
        before = await _window(sessions, options.seconds)
        with options.source(ports) as source:
            await source.wait_ready()
            source.begin()
            during = await _window(sessions, options.seconds)
            rows.append(_row(number, before, during, await source.end()))
        print(f"round {number} of {options.rounds} done", file=sys.stderr)
    return [*rows, _median(rows)]


def _median(rows: Sequence[dict[str, Cell]]) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for column in rows[0]:
        values = [value for row in rows if isinstance(value := row[column], int | float)]
        found[column] = statistics.median(values) if values else None
    return found | {"round": "median", "broken": max(int(str(row["broken"])) for row in rows)}


async def _ends(programs: Programs, options: Options) -> list[dict[str, Cell]]:
    """How long each program takes from SIGTERM to its end while the flood goes on at both."""
    ports = [programs.plain_port(programs.bankd), programs.plain_port(programs.server)]
    rows: list[dict[str, Cell]] = []
    with options.source(ports) as source:
        await source.wait_ready()
        source.begin()
        await asyncio.sleep(options.seconds)
        for name, program in (("bankd", programs.bankd), ("server", programs.server)):
            took_s = await _seconds_to_end(program)
            # Its status comes a moment after it is gone.
            status = await asyncio.to_thread(program.wait, _END_S)
            rows.append({"program": name, "SIGTERM to end s": took_s, "status": status})
        await source.end()
    return rows


async def measure(options: Options) -> tuple[list[dict[str, Cell]], list[dict[str, Cell]]]:
    """A row for each pair of windows and their medians; and a row for the end of each program."""
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder:
        lab = Lab(Path(folder) / "lab")
        async with open_programs(
            Path(folder), lab, slots=1, bankd_options=_SECOND_PORT, server_options=_SECOND_PORT
        ) as programs:
            await map_clients(programs, sessions=1)
            arguments = ["--server", programs.rspro_port, "--bankd", programs.bankd_port, "--sessions", 1]
            arguments += ["--rate", options.rate, "--tls", lab.credentials(Identity.client(1)).directory]
            with Worker("bench.paced", *arguments) as sessions:
                await sessions.wait_ready()
                rows = await _rounds(programs, sessions, options)
                return rows, await _ends(programs, options)


def main(arguments: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench flood", description=__doc__)
    parser.add_argument("--connections", type=int, default=10, metavar="N", help="to each program (default: 10)")
    parser.add_argument("--rate", type=float, default=50.0, help="commands per second of the session (default: 50)")
    parser.add_argument("--seconds", type=float, default=12.0, help="length of one window (default: 12)")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of windows (default: 3)")
    parser.add_argument("--fresh", type=int, metavar="BYTES", help="a new connection after so many (default: none)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    rows, ends = run(measure(Options(given.connections, given.rate, given.seconds, given.rounds, given.fresh)))
    tables.show(f"One session over TLS while {given.connections} connections flood each plaintext port", rows)
    tables.show("The end of the programs under the flood", ends)
    tables.save(given.json, {"bench": "flood", "machine": tables.machine(), "rows": rows, "ends": ends})
    return 0
