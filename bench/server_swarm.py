# SPDX-License-Identifier: Apache-2.0
"""A real server process with many clients: a storm of connects, time from POST to the client's configuration, memory.

The clients live in this process, the server in its own. Everything is on loopback.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from bench import tables
from bench.loops import run
from bench.swarm import SLOTS, Swarm
from bench.tables import Cell
from remsim.net.runtime.process import calm_garbage_collector, raise_open_file_limit
from tests.doubles.programs import Program, remsim
from tests.doubles.rest_calls import RestCalls

#: Clients that connect at the same time before the storm.
_RAMP: Final = 200
#: How long a client may take to be configured before it counts as lost.
_PATIENCE_S: Final = 30.0
_REST_CALLS: Final = 50
_START_S: Final = 60.0
_LISTENING: Final = r"\blistening\b.* rspro=127\.0\.0\.1:(\d+) rest=127\.0\.0\.1:(\d+)"


class Measurement:
    """One server, its swarm, and the rows of the result."""

    def __init__(self, program: Program, swarm: Swarm, rest: RestCalls) -> None:
        self._process = psutil.Process(program.pid)
        self._swarm = swarm
        self._rest = rest
        self.rows: list[dict[str, Cell]] = []

    def _row(self, what: str, value: Cell, unit: str) -> None:
        self.rows.append({"figure": what, "value": value, "unit": unit})
        print(f"{what}: {value} {unit}", file=sys.stderr)

    def _rss_kb(self) -> float:
        return self._process.memory_info().rss / 1024

    async def connect(self, clients: int, storm: int) -> None:
        """Fill the server up, then let the last ones come all at once."""
        idle_kb, ramp = self._rss_kb(), clients - storm
        for bank in range(1, clients // SLOTS + 2):
            if not await self._swarm.add_bankd(bank):
                raise SystemExit(f"the server refused bankd {bank}")
        began = time.perf_counter()
        accepted = await self._swarm.add_clients(0, ramp, at_once=_RAMP)
        took_s = time.perf_counter() - began
        self._row(f"clients accepted, {_RAMP} at a time", accepted, f"of {ramp}")
        self._row("connects", accepted / took_s if ramp else None, "per s")
        began = time.perf_counter()
        accepted = await self._swarm.add_clients(ramp, storm, at_once=storm)
        self._row("clients accepted, all at once", accepted, f"of {storm}")
        self._row("duration of that storm", time.perf_counter() - began, "s")
        self._row("memory", (self._rss_kb() - idle_kb) / clients, "kB per client")

    async def map(self, first: int, count: int, *, at_once: int) -> None:
        """POST mappings and wait until each client is configured. Client n is given slot n % SLOTS of a bank."""
        sent: dict[int, float] = {}
        began = time.perf_counter()
        calls = [await RestCalls(self._rest.port).__aenter__() for _ in range(at_once)]
        numbers = iter(range(first, first + count))

        async def work(rest: RestCalls) -> None:
            for number in numbers:
                client, slot = divmod(number, SLOTS)
                sent[number] = time.perf_counter()
                status, body = await rest.post(
                    "/slotmaps",
                    {"bank": {"bankId": client + 1, "slotNr": slot}, "client": {"clientId": client, "slotNr": slot}},
                )
                if status != 201:
                    raise SystemExit(f"POST of mapping {number}: {status} {body.decode(errors='replace')}")

        await asyncio.gather(*(work(rest) for rest in calls))
        rate = count / (time.perf_counter() - began)
        await self._swarm.wait_configured(set(sent), within_s=_PATIENCE_S)
        at = self._swarm.configured_at
        times = sorted((at[number] - since) * 1e3 for number, since in sent.items() if number in at)
        kind = f"POST to client configured, {at_once} at a time"
        self._row(f"{kind}: clients configured", len(times), f"of {count}")
        for part in (0.5, 0.99, 1.0):
            value = times[min(len(times) - 1, int(len(times) * part))] if times else None
            self._row(f"{kind}: p{part * 100:g}", value, "ms")
        self._row(f"{kind}: POSTs", rate, "per s")
        for rest in calls:
            await rest.__aexit__(None, None, None)

    async def ask(self) -> None:
        """Time REST calls: a small one often, and the list of all clients."""
        times: list[float] = []
        for _ in range(_REST_CALLS):
            began = time.perf_counter()
            status, _ = await self._rest.get("/restart-counter")
            times.append((time.perf_counter() - began) * 1e3)
            if status != 200:
                raise SystemExit(f"GET /restart-counter: {status}")
        times.sort()
        self._row("GET /restart-counter: p50", times[len(times) // 2], "ms")
        self._row("GET /restart-counter: slowest", times[-1], "ms")
        began = time.perf_counter()
        status, body = await self._rest.get("/clients")
        self._row("GET /clients", (time.perf_counter() - began) * 1e3, "ms")
        count = len(json.loads(body)["clients"]) if status == 200 else None
        self._row("GET /clients: listed", count, "clients")

    def finish(self) -> None:
        """What is left to say."""
        self._row("connections lost meanwhile", self._swarm.lost, "")


async def measure(clients: int, storm: int, mappings: int) -> list[dict[str, Cell]]:
    """All rows."""
    raise_open_file_limit()
    calm_garbage_collector()
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < clients + 200:
        raise SystemExit(f"{clients} clients need more open files than this account may have (ulimit -Hn)")
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder:
        arguments = ["--plaintext", "--rest-open", "--state", folder]
        arguments += ["--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0"]
        # A line for each of ten thousand clients is read and thrown away; that belongs to the server's work.
        with Program(remsim("server", *arguments)) as program:
            said = await asyncio.to_thread(program.wait_for, _LISTENING, timeout_s=_START_S)
            swarm = Swarm(int(said[1]))
            try:
                async with RestCalls(int(said[2])) as rest:
                    measurement = Measurement(program, swarm, rest)
                    await measurement.connect(clients, storm)
                    await measurement.map(0, mappings, at_once=1)
                    await measurement.map(mappings, mappings, at_once=16)
                    await measurement.ask()
                    measurement.finish()
                    return measurement.rows
            finally:
                swarm.hang_up()


def main(arguments: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench server", description=__doc__)
    parser.add_argument("--clients", type=int, default=10_000, metavar="N", help="connected clients (default: 10000)")
    parser.add_argument("--storm", type=int, default=1_000, metavar="N", help="how many of them come at once")
    parser.add_argument("--mappings", type=int, default=1_000, metavar="N", help="one by one, and again 16 at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    if given.storm > given.clients or 2 * given.mappings > given.clients:
        parser.error("the storm and twice the mappings must not exceed the clients")
    rows = run(measure(given.clients, given.storm, given.mappings))
    tables.show(f"Server with {given.clients} clients", rows)
    tables.save(given.json, {"bench": "server", "machine": tables.machine(), "rows": rows})
    return 0
