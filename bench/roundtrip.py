# SPDX-License-Identifier: Apache-2.0
"""The round trip of a TPDU through a real bankd process, next to a bare echo of the same frames in the same run.

Two kinds of cards that answer at once: ``inline`` needs no thread (as software cards do), ``pcsc`` has one per card and
goes through pyscard into a stand-in PC/SC library. What remains is the bankd's own share.
"""

import argparse
import asyncio
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psutil

from bench import null_reader, tables
from bench.load import OWN, LoadError, Seen, generator, load
from bench.loops import run
from bench.scripted_server import ScriptedServer
from bench.startup import processor_s
from bench.tables import Cell
from tests.doubles.programs import Program, remsim
from tests.reference import reference

SESSIONS: Final = (1, 16, 256, 1000)
BANK: Final = 1
#: A thousand readers with a thread each take a while to come up.
START_S: Final = 60.0
#: The clock of processor time is coarse; a run of an instant may have none.
LEAST_CPU_US: Final = 0.01
_SAMPLE_S: Final = 0.1
#: Of the measuring time, the part before its end in which processor time is looked at.
_STEADY_PART: Final = 0.8
LISTENING: Final = r"\blistening\b.* address=127\.0\.0\.1:(\d+)"
_HEADERS: Final = Path("/usr/include/PCSC")


@dataclass(frozen=True, slots=True)
class Result:
    """What one run of the generator showed."""

    target: str
    seen: Seen
    #: Processor time of the target per TPDU, without that for connecting.
    cpu_us: float
    #: Growth of resident memory per session; 0 for the echo.
    memory_kb: float

    def row(self, echo: "Result") -> dict[str, Cell]:
        """The line of the table, with ratios to the echo's figures."""
        seen = self.seen
        return {
            "sessions": seen.sessions,
            "target": self.target,
            "p50 µs": seen.p50_us,
            "p99 µs": seen.p99_us,
            "TPDU/s": round(seen.rate),
            "p50 ratio": seen.p50_us / echo.seen.p50_us,
            "p99 ratio": seen.p99_us / echo.seen.p99_us,
            "rate ratio": seen.rate / echo.seen.rate,
            "CPU µs/TPDU": self.cpu_us,
            "kB/session": None if self is echo or self.target == echo.target else round(self.memory_kb),
        }


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for, and where things lie."""

    generator: list[str]
    seconds: float
    length: int
    #: Folder of the stand-in PC/SC library.
    pcsc: Path | None
    #: More words for the generator, if it is that in Python.
    flags: tuple[str, ...] = ()


async def measure_load(name: str, program: Program, port: int, sessions: int, options: Options) -> Result:
    """Let the generator load a program that listens on ``port``, and look at what it needs meanwhile."""
    process = psutil.Process(program.pid)
    idle = peak = process.memory_info().rss
    # (when, processor time so far)
    samples: list[tuple[float, float]] = []
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(
                load(
                    options.generator,
                    port=port,
                    bank=BANK,
                    sessions=sessions,
                    seconds=options.seconds,
                    length=options.length,
                    options=options.flags,
                )
            )
            while not running.done():
                await asyncio.wait((running,), timeout=_SAMPLE_S)
                samples.append((time.perf_counter(), processor_s(program.pid)))
                peak = max(peak, process.memory_info().rss)
    except* LoadError as error:
        raise LoadError(f"{error.exceptions[0]}\n{program.describe()}") from None
    seen = running.result()
    # The generator ends with the measuring time, so the last samples lie within it, and those for connecting do not.
    since = samples[-1][0] - _STEADY_PART * options.seconds
    steady = [sample for sample in samples if sample[0] >= since]
    # On a machine that is busy with other things there may be few samples.
    (began, used_first), (ended, used_last) = (steady if len(steady) > 2 else samples[-3:])[0], samples[-2]
    if ended <= began:
        raise LoadError(f"{sessions} sessions: the machine is too busy to be measured")
    cpu_us = (used_last - used_first) / (ended - began) * 1e6 / seen.rate
    return Result(name, seen, cpu_us, (peak - idle) / 1024 / sessions)


async def _echo(sessions: int, options: Options) -> Result:
    with Program([sys.executable, "-m", "bench.echo_server"]) as program:
        port = (await asyncio.to_thread(program.wait_for_stdout, r"^port (\d+)$"))[1]
        return await measure_load("echo", program, int(port), sessions, options)


@asynccontextmanager
async def open_bankd(
    source: str,
    reader: Callable[[int], str],
    env: Mapping[str, str],
    sessions: int,
    words: Sequence[str] = (),
    *,
    server: ScriptedServer | None = None,
) -> AsyncIterator[tuple[Program, int]]:
    """A bankd with all slots mapped, and its port. ``server`` is what it is to connect to; without it, one is made."""
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder:
        config = Path(folder) / "bankd.toml"
        slots = "".join(f'[[slot]]\nslot = {n}\nreader = "{reader(n)}"\n' for n in range(sessions))
        config.write_text(f'reader = "{source}"\n{slots}', encoding="utf-8")
        async with server or ScriptedServer() as server:
            arguments = {
                "--server": f"127.0.0.1:{server.port}",
                "--bank-id": BANK,
                "--slots": sessions,
                "--listen": "127.0.0.1:0",
                "--config": config,
                "--state": f"{folder}/state",
            }
            told = [str(word) for pair in arguments.items() for word in pair]
            with Program(remsim("bankd", "--plaintext", *told, *words), env=env) as program:
                said = await asyncio.to_thread(program.wait_for, LISTENING, timeout_s=START_S)
                await server.map_slots(BANK, sessions)
                yield program, int(said[1])


async def _bankd(
    name: str, source: str, reader: Callable[[int], str], env: Mapping[str, str], sessions: int, options: Options
) -> Result:
    async with open_bankd(source, reader, env, sessions) as (program, port):
        return await measure_load(name, program, port, sessions, options)


async def _inline(sessions: int, options: Options) -> Result:
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder:
        env = null_reader.plug_in(Path(folder), sessions)
        return await _bankd("inline", null_reader.SOURCE, null_reader.reader_name, env, sessions, options)


async def _pcsc(sessions: int, options: Options) -> Result:
    env = {"LD_LIBRARY_PATH": str(options.pcsc), "STUB_READERS": str(sessions)}
    return await _bankd("pcsc", "pcsc", "Stub Reader {:04d} 00".format, env, sessions, options)


def _stand_in_pcsc(folder: Path) -> Path | None:
    """Compile the stand-in library; None, and a word about it, where something is missing."""
    source, compiler = reference("tools", "stub_pcsc.c"), shutil.which("gcc")
    if compiler is None or not _HEADERS.is_dir() or find_spec("smartcard") is None:
        print("no figures for PC/SC: they need gcc, libpcsclite-dev and pyscard")
        return None
    library = folder / "libpcsclite.so.1"
    subprocess.run([compiler, "-O2", "-w", "-shared", "-fPIC", f"-I{_HEADERS}", "-o", library, source], check=True)
    return folder


def median_run(results: Sequence[Result]) -> Result:
    """The run with the median rate."""
    middle = statistics.median_low(result.seen.rate for result in results)
    return next(result for result in results if result.seen.rate == middle)


async def measure(sessions: Sequence[int], rounds: int, options: Options) -> list[dict[str, Cell]]:
    """All rows; the targets of one size are measured in turns, so that noise hits all of them."""
    rows: list[dict[str, Cell]] = []
    for count in sessions:
        results: dict[str, list[Result]] = {}
        for _ in range(rounds):
            for target in (_echo, _inline, _pcsc):
                if target is not _pcsc or options.pcsc is not None:
                    result = await target(count, options)
                    results.setdefault(result.target, []).append(result)
        medians = {name: median_run(found) for name, found in results.items()}
        rows += [result.row(medians["echo"]) for result in medians.values()]
        print(f"{count} sessions done", file=sys.stderr)
    return rows


async def measure_resume(sessions: Sequence[int], rounds: int, options: Options) -> list[dict[str, Cell]]:
    """For each number of sessions the pairs, and the medians of all columns.

    One bankd that offers resume (``--resume always``) takes clients that name the ability and clients that do not, in
    turns; every second pair begins with the former, so that what changes with time hits both.
    """
    rows: list[dict[str, Cell]] = []
    words = ["--resume", "always"]
    for count in sessions:
        pairs: list[dict[str, Cell]] = []
        with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder:
            env = null_reader.plug_in(Path(folder), count)
            async with open_bankd(null_reader.SOURCE, null_reader.reader_name, env, count, words) as (program, port):
                for number in range(1, rounds + 1):
                    found: dict[bool, Result] = {}
                    for offered in (False, True) if number % 2 else (True, False):
                        chosen = replace(options, flags=("--resume",) if offered else ())
                        found[offered] = await measure_load("inline", program, port, count, chosen)
                    pairs.append(_pair(count, number, without=found[False], offered=found[True]))
        rows += [*pairs, _medians(pairs)]
        print(f"{count} sessions done", file=sys.stderr)
    return rows


def _pair(sessions: int, number: int, *, without: Result, offered: Result) -> dict[str, Cell]:
    return {
        "sessions": sessions,
        "pair": number,
        "p50 µs": without.seen.p50_us,
        "p50 µs, resume": offered.seen.p50_us,
        "p50 ratio": offered.seen.p50_us / without.seen.p50_us,
        "p99 ratio": offered.seen.p99_us / without.seen.p99_us,
        "TPDU/s": round(without.seen.rate),
        "TPDU/s, resume": round(offered.seen.rate),
        "rate ratio": offered.seen.rate / without.seen.rate,
        "CPU µs/TPDU": without.cpu_us,
        "CPU ratio": offered.cpu_us / max(without.cpu_us, LEAST_CPU_US),
    }


def _medians(pairs: Sequence[dict[str, Cell]]) -> dict[str, Cell]:
    """Of every column; the median of ratios is not the ratio of the medians."""
    columns = {name: [cell for row in pairs if isinstance(cell := row[name], int | float)] for name in pairs[0]}
    return {name: statistics.median(cells) for name, cells in columns.items()} | {
        "sessions": pairs[0]["sessions"],
        "pair": "median",
    }


def _main_resume(sessions: Sequence[int], rounds: int, options: Options, json: Path | None) -> int:
    rows = run(measure_resume(sessions, rounds, options))
    tables.show("TPDU round trip with resume offered, and without; cards that answer at once", rows)
    tables.save(json, {"bench": "roundtrip", "machine": tables.machine(), "length": options.length, "rows": rows})
    return 0


def main(arguments: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench roundtrip", description=__doc__)
    parser.add_argument("--sessions", type=int, nargs="+", default=list(SESSIONS), metavar="N")
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of one run (default: 3)")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each; the median counts (default: 1)")
    parser.add_argument("--length", type=int, default=7, help="bytes of the command TPDU (default: 7)")
    parser.add_argument("--no-pcsc", action="store_true", help="leave PC/SC out")
    parser.add_argument("--resume", action="store_true", help="compare sessions that can be resumed with others")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    if given.resume:
        # The generator in C knows nothing of resume.
        options = Options(OWN, given.seconds, given.length, None)
        return _main_resume(given.sessions, given.rounds, options, given.json)
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder:
        pcsc = None if given.no_pcsc else _stand_in_pcsc(Path(folder))
        options = Options(generator(Path(folder)), given.seconds, given.length, pcsc)
        rows = run(measure(given.sessions, given.rounds, options))
    tables.show(f"TPDU round trip, {given.length} bytes; ratios are to the bare echo", rows)
    tables.save(given.json, {"bench": "roundtrip", "machine": tables.machine(), "length": given.length, "rows": rows})
    return 0
