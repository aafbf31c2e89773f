# SPDX-License-Identifier: Apache-2.0
"""Both readers of PC/SC in turns: ``pcsc``, a library and a thread for each card, and ``pcscd``, the event loop.

A real bankd process has cards behind the stand-in pcscd (``tests/reference/tools/null_pcscd.c``), which answer at once;
so what is measured is the bankd with its card layer, and pcscd's socket. A library before 2.5 has 16 readers in a
process: more sessions over ``pcsc`` are several bankds, each with a pcscd of its own. ``pcscd`` is measured in as many,
and ``in one`` bankd that has all of these pcscds. Several bankds use all processors, and one uses one. So beside the
rate stands what comes of a second of processor time: that compares them whatever the machine has left.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bench import tables
from bench.load import Seen, generator
from bench.loops import run
from bench.roundtrip import BANK, LISTENING, START_S, Options, Result, measure_load, median_run
from bench.scripted_server import ScriptedServer
from bench.tables import Cell
from remsim.readers.pcscd import PcscdDaemon, PcscdSource
from remsim.readers.pcscd.card import PcscdReader
from tests.doubles.pcscd import wait_for_socket
from tests.doubles.programs import Program, remsim
from tests.reference import reference

SESSIONS: Final = (1, 16, 240)
#: As they are measured in turns; the last where there are several pcscds.
TARGETS: Final = ("pcsc", "pcscd", "in one")
#: What a pcscd before 2.5 lists.
_TABLE: Final = 16
#: Rate of ``pcscd`` as a multiple of that of ``pcsc``, by sessions; and its p99 as a multiple of its p50. Several banks
#: together with what loads them take all processors, so that their rates tell less than those for processor time.
_RATE_AIMS: Final = {1: 1.5, 16: 3.0, 240: 3.0}
_TAIL_AIM: Final = 3.0
_TAIL_AT: Final = 240
#: p99 of a card beside cards that hang, as a multiple of its p99 alone.
_MUTE_AIM: Final = 1.2
_MUTE_COMMANDS: Final = 20_000
_READ: Final = bytes.fromhex("00B0000002")


@dataclass(frozen=True, slots=True)
class _Share:
    """The part of all sessions that one pcscd has."""

    socket: Path
    first: int
    count: int

    def names(self, prefix: str = "") -> list[str]:
        """Its readers."""
        return [f"{prefix}Null Reader {number:04d} 00" for number in range(self.first, self.first + self.count)]


@contextmanager
def _pcscds(program: Path, folder: Path, sessions: int, environment: dict[str, str]) -> Iterator[list[_Share]]:
    with ExitStack() as stack:
        shares = []
        for first in range(0, sessions, _TABLE):
            share = _Share(folder / f"{first}.comm", first, min(_TABLE, sessions - first))
            env = {**environment, "NULL_READERS": str(share.count), "NULL_FIRST": str(first)}
            running = stack.enter_context(Program([str(program), str(share.socket)], env=env))
            wait_for_socket(share.socket, running)
            shares.append(share)
        yield shares


@asynccontextmanager
async def _bank(reader: str, shares: Sequence[_Share], folder: Path) -> AsyncIterator[tuple[Program, int]]:
    """A bankd with a session for each reader of these pcscds: the process, and its port for clients."""
    names: list[str] = []
    lines = [f'reader = "{reader}"']
    for number, share in enumerate(shares, start=1):
        names += share.names(f"{number}/" if len(shares) > 1 else "")
        if reader == "pcscd":
            lines += ["[[pcscd]]", f'socket = "{share.socket}"']
    for slot, name in enumerate(names):
        lines += ["[[slot]]", f"slot = {slot}", f'reader = "{name}"']
    config = folder / f"{reader}-{shares[0].first}.toml"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    async with ScriptedServer() as server:
        arguments = {
            "--server": f"127.0.0.1:{server.port}",
            "--bank-id": BANK,
            "--slots": len(names),
            "--listen": "127.0.0.1:0",
            "--config": config,
            "--state": folder / f"state-{reader}-{shares[0].first}",
        }
        words = [str(word) for pair in arguments.items() for word in pair]
        env = {"PCSCLITE_CSOCK_NAME": str(shares[0].socket)}
        with Program(remsim("bankd", "--plaintext", "--no-read-numbers", *words), env=env) as program:
            said = await asyncio.to_thread(program.wait_for, LISTENING, timeout_s=START_S)
            await server.map_slots(BANK, len(names))
            yield program, int(said[1])


@dataclass(frozen=True, slots=True)
class _Run:
    """What one bank of several showed, and when its generator ended."""

    result: Result
    ended: float


def _together(name: str, runs: Sequence[_Run], seconds: float) -> Result:
    """Several banks at the same time as one: p50 is that of the middle one, p99 that of the worst.

    On a busy machine their times lie apart. The rate is that of all commands over the time of all banks, so it is
    rather too low.
    """
    results = [run.result for run in runs]
    seen = [result.seen for result in results]
    added = sum(one.rate for one in seen)
    apart = max(run.ended for run in runs) - min(run.ended for run in runs)
    rate = added * seconds / (seconds + apart)
    both = Seen(
        sessions=sum(one.sessions for one in seen),
        rate=rate,
        p50_us=statistics.median(one.p50_us for one in seen),
        p90_us=statistics.median(one.p90_us for one in seen),
        p99_us=max(one.p99_us for one in seen),
        p999_us=max(one.p999_us for one in seen),
        max_us=max(one.max_us for one in seen),
    )
    cpu_us = sum(result.cpu_us * result.seen.rate for result in results) / added
    return Result(name, both, cpu_us, statistics.mean(result.memory_kb for result in results))


async def _take(target: str, sessions: int, program: Path, environment: dict[str, str], options: Options) -> Result:
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as name:
        folder = Path(name)
        with _pcscds(program, folder, sessions, environment) as shares:
            banks = [shares] if target == "in one" else [[share] for share in shares]
            reader = "pcsc" if target == "pcsc" else "pcscd"
            async with AsyncExitStack() as stack:
                running = [await stack.enter_async_context(_bank(reader, bank, folder)) for bank in banks]
                async with asyncio.TaskGroup() as group:
                    works = [
                        group.create_task(_load(reader, bankd, port, sum(share.count for share in bank), options))
                        for (bankd, port), bank in zip(running, banks, strict=True)
                    ]
                return _together(target, [work.result() for work in works], options.seconds)


async def _load(reader: str, bankd: Program, port: int, sessions: int, options: Options) -> _Run:
    result = await measure_load(reader, bankd, port, sessions, options)
    return _Run(result, time.perf_counter())


async def measure(
    sessions: Sequence[int], rounds: int, program: Path, environment: dict[str, str], options: Options
) -> list[dict[str, Cell]]:
    """All rows; the readers are measured in turns, so that noise hits both."""
    rows: list[dict[str, Cell]] = []
    for count in sessions:
        targets = TARGETS if count > _TABLE else TARGETS[:-1]
        results: dict[str, list[Result]] = {target: [] for target in targets}
        for _ in range(rounds):
            for target in targets:
                results[target].append(await _take(target, count, program, environment, options))
        for found in results.values():
            pairs = list(zip(results["pcsc"], found, strict=True))
            ratio = statistics.median(new.seen.rate / old.seen.rate for old, new in pairs)
            cheaper = statistics.median(old.cpu_us / new.cpu_us for old, new in pairs)
            rows.append(_row(median_run(found), ratio, cheaper))
        print(f"{count} sessions done", file=sys.stderr)
    return rows


async def _p99_us(reader: PcscdReader, commands: int) -> float:
    times = []
    for _ in range(commands):
        began = time.perf_counter()
        await reader.transmit(_READ)
        times.append(time.perf_counter() - began)
    return sorted(times)[commands * 99 // 100] * 1e6


async def measure_beside_mute(rounds: int, commands: int, program: Path) -> dict[str, Cell]:
    """How long a card takes alone, and while 15 others of its pcscd hang in a command; in turns."""
    alone, beside, mute = [], [], range(1, _TABLE)
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as name:
        folder = Path(name)
        with _pcscds(program, folder, _TABLE, {**os.environ, "NULL_DIR": name}) as (share,):
            source = PcscdSource(daemons=[PcscdDaemon(share.socket)])
            readers = [source.reader(name) for name in share.names()]
            for reader in readers:
                await reader.open()
            for _ in range(rounds):
                alone.append(await _p99_us(readers[0], commands))
                for number in mute:
                    (folder / f"mute-{number}").touch()
                hanging = asyncio.gather(*(readers[number].transmit(_READ) for number in mute))
                await asyncio.sleep(0)
                beside.append(await _p99_us(readers[0], commands))
                for number in mute:
                    (folder / f"mute-{number}").unlink()
                await hanging
            for reader in readers:
                await reader.close()
    first, second = statistics.median(alone), statistics.median(beside)
    return {"mute cards": len(mute), "alone p99 µs": first, "beside them p99 µs": second, "ratio": second / first}


def _row(result: Result, ratio: float, cheaper: float) -> dict[str, Cell]:
    seen = result.seen
    is_first = result.target == "pcsc"
    return {
        "sessions": seen.sessions,
        "reader": result.target,
        "TPDU/s": round(seen.rate),
        "p50 µs": seen.p50_us,
        "p99 µs": seen.p99_us,
        "CPU µs/TPDU": result.cpu_us,
        "TPDU/CPU s": round(1e6 / result.cpu_us),
        "kB/slot": round(result.memory_kb),
        "rate ratio": None if is_first else ratio,
        "CPU ratio": None if is_first else cheaper,
        "p99/p50": seen.p99_us / seen.p50_us,
    }


def missed(rows: Sequence[dict[str, Cell]]) -> list[str]:
    """The aims that were not reached, in words."""
    found = []
    for row in rows:
        count, ratio, tail, cheaper = row["sessions"], row["rate ratio"], row["p99/p50"], row["CPU ratio"]
        if not isinstance(count, int) or not isinstance(ratio, float) or not isinstance(tail, float):
            continue
        aim = _RATE_AIMS.get(count)
        if aim is not None and ratio < aim:
            found.append(
                f"{row['reader']}, {count} sessions: {ratio:.2f} times the rate of pcsc, {cheaper:.2f} times for a"
                f" second of processor time; {aim:g} is the aim"
            )
        if count == _TAIL_AT and tail > _TAIL_AIM:
            found.append(f"{row['reader']}, {count} sessions: p99 is {tail:.1f} times p50; {_TAIL_AIM:g} is the aim")
    return found


def main(arguments: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench pcscd", description=__doc__)
    parser.add_argument("--sessions", type=int, nargs="+", default=list(SESSIONS), metavar="N")
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of one run (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the median counts (default: 3)")
    parser.add_argument("--length", type=int, default=7, help="bytes of the command TPDU (default: 7)")
    parser.add_argument("--split", action="store_true", help="answers come in two pieces, as from a real pcscd")
    parser.add_argument(
        "--mute-commands",
        type=int,
        default=_MUTE_COMMANDS,
        metavar="N",
        help=f"commands of a card beside mute ones (default: {_MUTE_COMMANDS})",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    compiler = shutil.which("gcc")
    if compiler is None or find_spec("smartcard") is None:
        print("no figures: they need gcc and pyscard")
        return 0
    with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder:
        program = Path(folder) / "null_pcscd"
        subprocess.run([compiler, "-O2", "-w", "-o", program, reference("tools", "null_pcscd.c")], check=True)
        options = Options(generator(Path(folder)), given.seconds, given.length, None)
        environment = {**os.environ, "NULL_SPLIT": "1" if given.split else "0"}
        rows = run(measure(given.sessions, given.rounds, program, environment, options))
        mute = run(measure_beside_mute(given.rounds, given.mute_commands, program))
    tables.show(f"PC/SC by a library and from the event loop, {given.length} bytes", rows)
    tables.show(f"A card of pcscd beside cards that hang; {_MUTE_AIM:g} is the aim", [mute])
    for text in missed(rows):
        print(f"  missed: {text}")
    found = {"bench": "pcscd", "machine": tables.machine(), "length": given.length, "rows": rows, "mute": mute}
    tables.save(given.json, found)
    return 0
