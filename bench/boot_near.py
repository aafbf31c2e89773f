# SPDX-License-Identifier: Apache-2.0
"""What a modem that is next to its card notices of answers ahead, where there is nothing to gain.

Server, bankd and client are processes; bankd and client are connected directly. One bankd plays all starts of a row:
whether a session is answered ahead is the client's word, so starts with and without take turns. A second bankd predicts
wrong all the time, and answers nothing ahead that is of use.
"""

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.programs import open_server
from bench.tables import Cell
from tests.doubles.programs import Program, remsim
from tests.doubles.rest_calls import RestCalls

_START_S: Final = 60.0
_EXACT: Final = (sys.executable, "-m", "bench.exact_bankd")
_HOSTILE: Final = (sys.executable, "-m", "bench.hostile_bankd")


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for."""

    pairs: int
    card_time_ms: float


@asynccontextmanager
async def _bank(
    place: Path, rspro_port: int, profile: str, options: Options, *, is_hostile: bool
) -> AsyncIterator[None]:
    words = ["--server", f"127.0.0.1:{rspro_port}", "--listen", "127.0.0.1:0", "--slots", "1", "--reader", "sim"]
    words += ["--sim-profile", profile, "--card-time-ms", str(options.card_time_ms), "--ahead", "on", "--plaintext"]
    words += ["--resume", "always", "--state", str(place)]
    with Program([*(_HOSTILE if is_hostile else _EXACT), "bankd", *words]) as bankd:
        await asyncio.to_thread(bankd.wait_for, r"\bserver_connected\b", timeout_s=_START_S)
        yield


async def _start(recording: Path, rspro_port: int, *, ahead: bool) -> dict[str, Any]:
    words = ["script", str(recording), "--check", "--json", "--server", f"127.0.0.1:{rspro_port}"]
    words += ["--client", "7:0", "--plaintext", "--resume", "always", "--ahead", "on" if ahead else "off"]
    process = await asyncio.create_subprocess_exec(
        *remsim("client", *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, said = await process.communicate()
    if process.returncode not in (0, 1) or not out:
        raise SystemExit(f"client script ended with {process.returncode}: {said.decode(errors='replace')}")
    report: dict[str, Any] = json.loads(out)
    return report


async def _row(name: str, kind: str, recording: Path, rspro_port: int, pairs: int) -> dict[str, Cell]:
    alone: list[float] = []
    ahead: list[float] = []
    hits = misses = different = 0
    for number in range(pairs):
        for is_ahead in (False, True) if number % 2 else (True, False):
            report = await _start(recording, rspro_port, ahead=is_ahead)
            (ahead if is_ahead else alone).append(report["seconds"])
            different += report["mismatches"]["sw"] + report["mismatches"]["rlen"]
            hits, misses = hits + report["ahead"]["hits"], misses + report["ahead"]["misses"]
    return {
        "start": name,
        "predictions": kind,
        "pairs": pairs,
        "shortest, s": min(alone),
        "ahead, s": min(ahead),
        "ratio": round(min(ahead) / min(alone), 3),
        "median, s": statistics.median(alone),
        "ahead: median, s": statistics.median(ahead),
        "median ratio": round(statistics.median(ahead) / statistics.median(alone), 3),
        "hits": hits,
        "misses": misses,
        "not as recorded": different,
    }


async def measure(name: str, profile: str, recording: Path, options: Options) -> list[dict[str, Cell]]:
    """A row with what is learnt, one with predictions that are always wrong."""
    rows: list[dict[str, Cell]] = []
    with tempfile.TemporaryDirectory(prefix="remsim-boot-") as folder:
        async with open_server(Path(folder) / "server", None) as (_, rspro_port, rest_port):
            async with RestCalls(rest_port) as rest:
                mapping = {"bank": {"bankId": 1, "slotNr": 0}, "client": {"clientId": 7, "slotNr": 0}}
                await rest.post("/slotmaps", mapping)
            for kind in ("learnt", "always wrong"):
                is_hostile = kind != "learnt"
                async with _bank(Path(folder) / kind, rspro_port, profile, options, is_hostile=is_hostile):
                    rows.append(await _row(name, kind, recording, rspro_port, options.pairs))
    return rows
