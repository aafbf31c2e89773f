# SPDX-License-Identifier: Apache-2.0
"""Modems that boot again and again while the links between client and bankd are cut, or freeze without a word.

Server and bankd are processes of their own. The client with its slots is this process; its modems play the recorded
boots, on software cards that take the time of real ones and count what reaches them. A proxy stands in front of the
bankd and resets all links every second, or freezes them every ten. ``resume`` at both ends is ``always`` or ``off``.

A boot that began in the measuring time is played to its end, under the same faults.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from bench import counted_cards, tables
from bench.loops import run
from bench.programs import open_server
from bench.tables import Cell
from remsim.client.core.notices import Notice, NoticeKind
from remsim.client.metrics import ClientMetrics
from remsim.client.observer import CutCounter
from remsim.client.runner import SlotSpec
from remsim.client.service import ClientService
from remsim.config import ClientConfig, HostPort
from remsim.core.ids import ClientSlot
from remsim.emulators.driven import DrivenEmulator
from remsim.emulators.script.player import PlayError, ScriptOutcome, ScriptPlayer
from remsim.emulators.script.recording import Step, load_recording
from remsim.logs import setup_logging
from remsim.net.runtime.process import calm_garbage_collector, raise_open_file_limit
from tests.doubles.cutting_proxy import CuttingProxy
from tests.doubles.programs import Program, remsim
from tests.doubles.rest_calls import RestCalls
from tests.reference import reference

Resume = Literal["always", "off"]
Fault = Literal["cut", "freeze"]

_BANK: Final = 1
_CLIENT: Final = 7
#: Programs start one after the other on a machine that may have other things to do, and cards are given out then.
_START_S: Final = 60.0
#: Longer than any hold, and than any delay before the client dials again.
_CARD_WAIT_S: Final = 120.0
#: Card profile, and the boot that was recorded with such a card; the slots take them in turns.
_BOOTS: Final = (("iot-modem", "iot-modem-boot.jsonl"), ("phone", "phone-boot.jsonl"))
_LISTENING: Final = r"\blistening\b.* address=127\.0\.0\.1:(\d+)"


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for."""

    slots: int
    seconds: float
    card_time_ms: float
    #: How long a modem waits for an answer while its session is held; hardware makes it wait for any time.
    stall_limit_s: float
    every_s: dict[Fault, float]


@dataclass
class Seen:
    """What one modem saw."""

    begun: int = 0
    completed: int = 0
    answers: int = 0
    #: Commands without an answer.
    lost: int = 0
    #: Answers that are not as recorded.
    different: int = 0
    slowest_s: float = 0.0

    def add(self, outcome: ScriptOutcome) -> None:
        """One more boot, or what there was of it."""
        self.answers += outcome.commands
        self.different += outcome.different_answers
        times = outcome.timings()[-1:] if outcome.commands else []
        self.slowest_s = max([self.slowest_s, *(one.max_ms / 1000 for one in times)])


class Modem:
    """Boots until its time is over, and begins anew where it loses its card."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.emulator = DrivenEmulator()
        self.seen = Seen()
        self._steps = steps

    async def boot_until(self, deadline: float) -> None:
        """Begin boots until ``deadline``, a time of the loop. Raises NoCardError if no card comes for long."""
        loop = asyncio.get_running_loop()
        while loop.time() < deadline:
            player = ScriptPlayer(self.emulator, self._steps, card_wait_s=_CARD_WAIT_S)
            self.seen.begun += 1
            try:
                await player.run()
                self.seen.completed += 1
            except PlayError:
                self.seen.lost += 1
            self.seen.add(player.outcome)


class Holds(CutCounter):
    """Knows when no session is held any more."""

    def __init__(self) -> None:
        super().__init__()
        self._held: set[ClientSlot | None] = set()
        self._none_held = asyncio.Event()
        self._none_held.set()

    def on_notice(self, client_slot: ClientSlot | None, notice: Notice) -> None:
        """Count it, and note whose session is held."""
        super().on_notice(client_slot, notice)
        if notice.kind is NoticeKind.SESSION_HELD:
            self._held.add(client_slot)
            self._none_held.clear()
        elif notice.kind in (NoticeKind.SESSION_RESUMED, NoticeKind.CARD_REMOVED):
            self._held.discard(client_slot)
            if not self._held:
                self._none_held.set()

    async def all_resumed(self) -> None:
        """Wait until nothing is held: a hold ends within its time."""
        async with asyncio.timeout(_CARD_WAIT_S):
            await self._none_held.wait()


@dataclass
class _Run:
    """One row of the table while it comes into being."""

    resume: Resume
    fault: Fault
    options: Options
    folder: Path
    proxy: CuttingProxy
    counter: Holds = field(default_factory=Holds)
    metrics: ClientMetrics = field(default_factory=ClientMetrics)
    modems: list[Modem] = field(default_factory=list)

    async def take(self) -> dict[str, Cell]:
        """Start all, let the modems boot, end all, and compare the modems' counts with the cards'."""
        boots = [_BOOTS[number % len(_BOOTS)] for number in range(self.options.slots)]
        recordings = {name: load_recording(reference("traces", name)) for _, name in _BOOTS}
        self.modems = [Modem(recordings[name]) for _, name in boots]
        counts = self.folder / "counts.json"
        env = counted_cards.plug_in(
            self.folder,
            profiles=[profile for profile, _ in boots],
            card_time_s=self.options.card_time_ms / 1000,
            counts=counts,
        )
        async with open_server(self.folder / "server", None) as (_, rspro_port, rest_port):
            with Program(remsim("bankd", *self._bankd_words(rspro_port)), env=env) as bankd:
                said = await asyncio.to_thread(bankd.wait_for, _LISTENING, timeout_s=_START_S)
                self.proxy.target = HostPort("127.0.0.1", int(said[1]))
                await self._map(rest_port)
                lasted_s = await self._play(rspro_port)
                status = await asyncio.to_thread(bankd.stop)
                if status != 0:
                    raise SystemExit(f"the bankd did not end in good order\n{bankd.describe()}")
        return self._row(json.loads(counts.read_text(encoding="utf-8")), lasted_s)

    def _bankd_words(self, rspro_port: int) -> list[str]:
        config = self.folder / "bankd.toml"
        slots = "".join(
            f'[[slot]]\nslot = {n}\nreader = "{counted_cards.reader_name(n)}"\n' for n in range(self.options.slots)
        )
        config.write_text(f'reader = "{counted_cards.SOURCE}"\n{slots}', encoding="utf-8")
        words = ["--plaintext", "--server", f"127.0.0.1:{rspro_port}", "--listen", "127.0.0.1:0"]
        words += ["--bank-id", str(_BANK), "--slots", str(self.options.slots), "--config", str(config)]
        words += ["--advertise", str(self.proxy.address), "--resume", self.resume]
        # Commands that run ahead reach a card without a modem that gave them: they would be counted as doubled.
        return [*words, "--state", str(self.folder / "bankd"), "--ahead", "off"]

    async def _map(self, rest_port: int) -> None:
        async with RestCalls(rest_port) as rest:
            for number in range(self.options.slots):
                document = {
                    "bank": {"bankId": _BANK, "slotNr": number},
                    "client": {"clientId": _CLIENT, "slotNr": number},
                }
                status, body = await rest.post("/slotmaps", document)
                if status != 201:
                    raise SystemExit(f"POST of a mapping: {status} {body.decode(errors='replace')}")

    async def _play(self, rspro_port: int) -> float:
        """Return the seconds from the first boot to the end of the last one."""
        specs = [
            SlotSpec(
                ClientConfig.model_validate(
                    {
                        "server": HostPort("127.0.0.1", rspro_port),
                        "client": ClientSlot(_CLIENT, number),
                        "resume": self.resume,
                        "stall_limit_s": self.options.stall_limit_s,
                        "plaintext": True,
                    }
                ),
                modem.emulator,
                self.counter,
            )
            for number, modem in enumerate(self.modems)
        ]
        service = ClientService(specs, metrics=self.metrics)
        await service.start()
        try:
            for modem in self.modems:
                await modem.emulator.wait_card(_START_S)
            calm_garbage_collector()
            loop = asyncio.get_running_loop()
            began = loop.time()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one.boot_until(began + self.options.seconds)) for one in self.modems]
                await self._disturb(tasks)
            lasted_s = loop.time() - began
            await self.counter.all_resumed()
            self.counter.stop()
            return lasted_s
        finally:
            await service.stop()

    async def _disturb(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Until all modems are done. In a short measuring time the first fault comes at half of it."""
        act: Callable[[], None] = self.proxy.cut if self.fault == "cut" else self.proxy.freeze
        every_s = self.options.every_s[self.fault]
        pause_s = min(every_s, self.options.seconds / 2)
        pending = set(tasks)
        due = time.monotonic() + pause_s
        while pending:
            _, pending = await asyncio.wait(pending, timeout=max(0.0, due - time.monotonic()))
            if pending and time.monotonic() >= due:
                act()
                due += every_s

    def _row(self, counts: dict[str, int], lasted_s: float) -> dict[str, Cell]:
        seen = [modem.seen for modem in self.modems]
        # A command without an answer may have been executed, or not.
        doubled = sum(
            max(0, counts.get(counted_cards.reader_name(number), 0) - one.answers - one.lost)
            for number, one in enumerate(seen)
        )
        holds = [self._longest_hold_ms(number) for number in range(len(seen))]
        return {
            "fault": self.fault,
            "resume": self.resume,
            "s": round(lasted_s),
            "links hit": self.proxy.links_hit,
            "held": self.counter.cuts,
            "resumed": self.counter.resumes,
            "boots begun": sum(one.begun for one in seen),
            "boots complete": sum(one.completed for one in seen),
            "modem resets": self.counter.losses,
            "commands": sum(one.answers for one in seen),
            "lost": sum(one.lost for one in seen),
            "doubled": doubled,
            "not as recorded": sum(one.different for one in seen),
            "longest hold s": max(holds) / 1000 if self.counter.resumes else None,
            "slowest command s": max(one.slowest_s for one in seen),
        }

    def _longest_hold_ms(self, number: int) -> float:
        labels = {"client_slot": f"C{_CLIENT}:{number}"}
        return self.metrics.registry.get_sample_value("remsim_client_longest_hold_milliseconds", labels) or 0.0


async def measure(faults: Sequence[Fault], modes: Sequence[Resume], options: Options) -> list[dict[str, Cell]]:
    """A row for each fault and setting."""
    rows: list[dict[str, Cell]] = []
    for fault in faults:
        for resume in modes:
            with tempfile.TemporaryDirectory(prefix="remsim-bench-") as folder:
                async with CuttingProxy() as proxy:
                    rows.append(await _Run(resume, fault, options, Path(folder), proxy).take())
            print(f"{fault}, resume {resume}: done", file=sys.stderr)
    return rows


def main(arguments: Sequence[str]) -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench cuts", description=__doc__)
    parser.add_argument("--slots", type=int, default=64, metavar="N", help="modems with a card each (default: 64)")
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="in which boots begin, for each row (default: 120)"
    )
    parser.add_argument("--card-time-ms", type=float, default=30.0, metavar="MS", help="per command (default: 30)")
    parser.add_argument("--stall-limit", type=float, default=60.0, metavar="S", help="of the modems (default: 60)")
    parser.add_argument("--cut-every", type=float, default=1.0, metavar="S", help="reset all links (default: 1)")
    parser.add_argument("--freeze-every", type=float, default=10.0, metavar="S", help="freeze them (default: 10)")
    parser.add_argument("--fault", nargs="+", choices=get_args(Fault), default=get_args(Fault), help="default: both")
    parser.add_argument("--resume", nargs="+", choices=get_args(Resume), default=get_args(Resume), help="default: both")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    every_s: dict[Fault, float] = {"cut": given.cut_every, "freeze": given.freeze_every}
    options = Options(given.slots, given.seconds, given.card_time_ms, given.stall_limit, every_s)
    setup_logging(level="error", log_format="text")
    raise_open_file_limit()
    rows = run(measure(given.fault, given.resume, options))
    tables.show(f"{given.slots} modems that boot again and again while their links fail", rows)
    tables.save(given.json, {"bench": "cuts", "machine": tables.machine(), "slots": given.slots, "rows": rows})
    return 0
