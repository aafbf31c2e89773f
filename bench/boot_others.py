# SPDX-License-Identifier: Apache-2.0
"""What other sessions of a bank notice while one far modem is answered ahead.

Sessions at a steady rate (``paced``) play on cards of one bankd, directly; a modem 300 ms away starts again and again
on another card of it, as fast as it can. Windows in which that modem is answered ahead and windows in which it is not
take turns.
"""

import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.programs import open_server
from bench.tables import Cell
from bench.workers import Worker
from remsim.config import HostPort
from tests.doubles.cutting_proxy import CuttingProxy
from tests.doubles.programs import Program, remsim
from tests.doubles.rest_calls import RestCalls
from tests.reference import reference

#: Commands per second of each of the others.
RATE: Final = 50.0
_ROUND_TRIP_S: Final = 0.3
_WINDOW_S: Final = 8.0
_START_S: Final = 60.0
#: ``remsim`` with cards that are not kept waiting by the loop's timers.
_EXACT: Final = (sys.executable, "-m", "bench.exact_bankd")
_LISTENING: Final = r"\blistening\b.* address=127\.0\.0\.1:(\d+)"


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for."""

    sessions: int
    rounds: int
    card_time_ms: float
    #: Bankd and the others are not kept waiting by whatever else the machine does.
    is_realtime: bool


def _step_forward(pid: int) -> None:
    """Give a process real-time priority. Raises PermissionError."""
    os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))


@asynccontextmanager
async def _far_modem(rspro_port: int, *, ahead: bool) -> AsyncIterator[None]:
    """It starts again and again."""
    recording = reference("traces", "phone-boot.jsonl")
    words = ["script", str(recording), "--repeat", "100", "--server", f"127.0.0.1:{rspro_port}", "--client", "7:0"]
    words += ["--plaintext", "--resume", "always", "--ahead", "on" if ahead else "off"]
    with Program(remsim("client", *words)) as program:
        await asyncio.to_thread(program.wait_for, r"\bcard_inserted\b", timeout_s=_START_S)
        yield
        program.stop()


async def _window(others: Worker, rspro_port: int, *, ahead: bool) -> dict[str, float]:
    async with _far_modem(rspro_port, ahead=ahead):
        # The start of a program is over.
        await asyncio.sleep(1.0)
        others.begin()
        await asyncio.sleep(_WINDOW_S)
        return await others.end()


async def measure(options: Options) -> list[dict[str, Cell]]:
    """A row for each pair of windows, and their medians."""
    rows: list[dict[str, Cell]] = []
    with tempfile.TemporaryDirectory(prefix="remsim-boot-") as folder:
        async with open_server(Path(folder) / "server", None) as (_, rspro_port, rest_port):
            async with RestCalls(rest_port) as rest, CuttingProxy(delay_s=_ROUND_TRIP_S / 2) as proxy:
                for slot in range(options.sessions + 1):
                    client = {"clientId": 1, "slotNr": slot}
                    if slot == options.sessions:
                        client = {"clientId": 7, "slotNr": 0}
                    await rest.post("/slotmaps", {"bank": {"bankId": 1, "slotNr": slot}, "client": client})
                words = ["--server", f"127.0.0.1:{rspro_port}", "--listen", "127.0.0.1:0", "--reader", "sim"]
                words += ["--slots", str(options.sessions + 1), "--sim-profile", "phone", "--resume", "always"]
                words += ["--card-time-ms", str(options.card_time_ms), "--ahead", "on", "--plaintext"]
                words += [
                    "--advertise",
                    str(proxy.address),
                    "--state",
                    str(Path(folder) / "bankd"),
                    "--no-read-numbers",
                ]
                with Program([*_EXACT, "bankd", *words]) as bankd:
                    if options.is_realtime:
                        _step_forward(bankd.pid)
                    port = int((await asyncio.to_thread(bankd.wait_for, _LISTENING, timeout_s=_START_S))[1])
                    proxy.target = HostPort("127.0.0.1", port)
                    await asyncio.to_thread(bankd.wait_for, r"\bserver_connected\b", timeout_s=_START_S)
                    arguments = ["--server", rspro_port, "--bankd", port, "--sessions", options.sessions]
                    with Worker("bench.paced", *arguments, "--rate", RATE) as others:
                        await others.wait_ready()
                        if options.is_realtime:
                            _step_forward(others.program.pid)
                        numbers = range(1, options.rounds + 1)
                        rows = [await _round(others, rspro_port, number, options) for number in numbers]
    return [*rows, _median(rows)]


async def _round(others: Worker, rspro_port: int, number: int, options: Options) -> dict[str, Cell]:
    found: dict[bool, dict[str, float]] = {}
    # Every second round begins with the other one, so that what changes with time hits both.
    for ahead in (False, True) if number % 2 else (True, False):
        found[ahead] = await _window(others, rspro_port, ahead=ahead)
    print(f"round {number} of {options.rounds} done", file=sys.stderr)
    alone, ahead_too = found[False], found[True]
    return {
        "round": number,
        "card, ms": options.card_time_ms,
        "p50 µs": alone["p50_us"],
        "p50 µs, ahead": ahead_too["p50_us"],
        "p99 µs": alone["p99_us"],
        "p99 µs, ahead": ahead_too["p99_us"],
        "p50 ratio": ahead_too["p50_us"] / alone["p50_us"],
        "p99 ratio": ahead_too["p99_us"] / alone["p99_us"],
        "broken": int(alone["broken"] + ahead_too["broken"]),
    }


def _median(rows: Sequence[dict[str, Cell]]) -> dict[str, Cell]:
    columns = {name: [cell for row in rows if isinstance(cell := row[name], int | float)] for name in rows[0]}
    return {name: statistics.median(cells) for name, cells in columns.items()} | {"round": "median"}
