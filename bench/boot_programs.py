# SPDX-License-Identifier: Apache-2.0
"""The start of a modem far from its card with the real programs: server, bankd and client, each a process of its own.

A proxy stands between client and bankd, and delays without loss. The client is ``remsim client script``, which tells
how long the recorded start took. Kinds of starts are those of ``boot_clock``.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from bench.programs import open_server
from remsim.config import HostPort
from tests.doubles.cutting_proxy import CuttingProxy
from tests.doubles.programs import Program, remsim
from tests.doubles.rest_calls import RestCalls

CARD_TIME_MS: Final = 3
_START_S: Final = 60.0
_METRICS: Final = r"\bmetrics_listening\b.* address=(127\.0\.0\.1:\d+)"
_LISTENING: Final = r"\blistening\b.* address=127\.0\.0\.1:(\d+)"
#: Starts ``remsim`` without the recordings that are shipped.
_BARE: Final = (sys.executable, "-m", "bench.bare_bankd")


@dataclass(frozen=True, slots=True)
class Start:
    """What the client told of one start."""

    commands: int
    seconds: float
    round_trips: int
    hits: int
    misses: int
    #: Answers that are not as recorded, as far as the recording tells.
    differences: int
    #: What the card took for a command, in seconds: its own time, and what the machine added.
    card_time: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where the parts of one stage are."""

    folder: Path
    rspro_port: int
    proxy: CuttingProxy


class Stage:
    """One bank of one card of ``profile``, a modem ``round_trip`` seconds away, and their server."""

    def __init__(self, place: Place, profile: str) -> None:
        self._place = place
        self._profile = profile
        self._metrics = ""

    @asynccontextmanager
    async def bank(self, *, ahead: bool, state: str, is_bare: bool = False) -> AsyncIterator[None]:
        """The bankd runs, with what it has learnt in the folder ``state``. ``is_bare``: nothing is shipped with it."""
        place = self._place
        words = ["--server", f"127.0.0.1:{place.rspro_port}", "--listen", "127.0.0.1:0", "--slots", "1"]
        words += ["--advertise", str(place.proxy.address), "--reader", "sim", "--sim-profile", self._profile]
        words += ["--card-time-ms", str(CARD_TIME_MS), "--ahead", "on" if ahead else "off"]
        words += ["--plaintext", "--resume", "always", "--state", str(place.folder / state), "--metrics", "127.0.0.1:0"]
        argv = [*_BARE, "bankd", *words] if is_bare else remsim("bankd", *words)
        with Program(argv) as bankd:
            self._metrics = (await asyncio.to_thread(bankd.wait_for, _METRICS, timeout_s=_START_S))[1]
            said = await asyncio.to_thread(bankd.wait_for, _LISTENING, timeout_s=_START_S)
            place.proxy.target = HostPort("127.0.0.1", int(said[1]))
            await asyncio.to_thread(bankd.wait_for, r"\bserver_connected\b", timeout_s=_START_S)
            yield
            await asyncio.to_thread(bankd.stop)

    async def start(self, recording: Path, *, ahead: bool) -> Start:
        """The modem starts. Raises SystemExit with what the client said if it fails."""
        words = ["script", str(recording), "--check", "--json", "--server", f"127.0.0.1:{self._place.rspro_port}"]
        words += ["--client", "7:0", "--plaintext", "--resume", "always", "--ahead", "on" if ahead else "off"]
        before = await asyncio.to_thread(self._card_seconds)
        process = await asyncio.create_subprocess_exec(
            *remsim("client", *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, said = await process.communicate()
        try:
            report = json.loads(out)
        except ValueError:
            raise SystemExit(
                f"client script ended with {process.returncode}: {said.decode(errors='replace')}"
            ) from None
        after = await asyncio.to_thread(self._card_seconds)
        card_s, count = after[0] - before[0], after[1] - before[1]
        return Start(
            report["commands"],
            report["seconds"],
            report["round_trips"],
            report["ahead"]["hits"],
            report["ahead"]["misses"],
            report["mismatches"]["sw"] + report["mismatches"]["rlen"],
            card_s / count if count else CARD_TIME_MS / 1000,
        )

    def _card_seconds(self) -> tuple[float, float]:
        """Seconds that the card took until now, and for how many commands."""
        with urlopen(f"http://{self._metrics}/metrics", timeout=_START_S) as answer:
            text: str = answer.read().decode()
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        name = "remsim_bankd_card_seconds"
        return float(values[f"{name}_sum"]), float(values[f"{name}_count"])


@asynccontextmanager
async def open_stage(folder: Path, profile: str, round_trip: float) -> AsyncIterator[Stage]:
    """Server and proxy run, and the card is mapped to the client."""
    async with open_server(folder / "server", None) as (_, rspro_port, rest_port):
        async with RestCalls(rest_port) as rest:
            mapping = {"bank": {"bankId": 1, "slotNr": 0}, "client": {"clientId": 7, "slotNr": 0}}
            status, body = await rest.post("/slotmaps", mapping)
            if status != 201:
                raise SystemExit(f"POST of a mapping: {status} {body.decode(errors='replace')}")
        async with CuttingProxy(delay_s=round_trip / 2) as proxy:
            yield Stage(Place(folder, rspro_port, proxy), profile)


def write_recording(path: Path, lines: Sequence[str]) -> Path:
    """A recording of these lines."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


async def alone(stage: Stage, recording: Path) -> Start:
    """Nothing is answered ahead."""
    async with stage.bank(ahead=False, state="alone"):
        return await stage.start(recording, ahead=False)


async def cold(stage: Stage, recording: Path) -> Start:
    """Nothing is known."""
    async with stage.bank(ahead=True, state="cold", is_bare=True):
        return await stage.start(recording, ahead=True)


async def shipped_warm_restarted(stage: Stage, recording: Path, other: Path) -> tuple[Start, Start, Start, Start]:
    """First start, second one, second one after a restart of the bankd, and ``other``, which differs from them."""
    async with stage.bank(ahead=True, state="ahead"):
        shipped = await stage.start(recording, ahead=True)
        warm = await stage.start(recording, ahead=True)
    async with stage.bank(ahead=True, state="ahead"):
        restarted = await stage.start(recording, ahead=True)
        return shipped, warm, restarted, await stage.start(other, ahead=True)
