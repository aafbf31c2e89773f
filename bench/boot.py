# SPDX-License-Identifier: Apache-2.0
"""How long a modem takes to start when its card is far away, with and without answering ahead.

Measured twice. With the real programs (``boot_programs``): server, bankd and client are processes, and a proxy between
client and bankd delays without loss. And by a simulated clock (``boot_clock``), which has the time of link and card and
not that of programs, and takes milliseconds for what else takes minutes: the table over all round trips comes from it.
Where both were measured, they are compared, the simulated clock with the round trip and the time of the card that the
programs had; the exit status is 1 if they are further apart than ``--tolerance``.

Ratios are to the same start without anything ahead. Of a long start, that one is played with the real programs for its
first commands only, and computed for the others from what these took.
"""

import argparse
import asyncio
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import boot_clock, boot_near, boot_others, boot_programs, tables
from bench.boot_clock import THINK_S
from bench.boot_programs import Start
from bench.loops import run
from bench.tables import Cell
from remsim.core.errors import ConfigError
from remsim.emulators.script.recording import RecordedCommand, load_recording
from remsim.uicc import Uicc
from tests.doubles.ahead_equivalence import PROFILES, TRACES, profile
from tests.reference import reference

ROUND_TRIPS_MS: Final = (0, 20, 100, 300, 600)
#: Played with the real programs where nothing else is asked for.
REAL_MS: Final = 300
#: Shares of packets that a link loses.
LOSSES: Final = (0.01, 0.03)
#: A start of more commands is played without answers ahead only for its first commands, so many.
_WHOLE: Final = 200
_PREFIX: Final = 100
_TOLERANCE: Final = 0.1
_SEED: Final = 4711


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded start, and the profile of the software card that answers as the recorded one did."""

    name: str
    path: Path
    profile: str
    commands: tuple[bytes, ...]


def read_start(path: Path, name: str | None = None) -> Recording:
    """A recorded start, JSON lines with ``cmd``. Raises ConfigError."""
    steps = [step for step in load_recording(path) if isinstance(step, RecordedCommand)]
    if not steps:
        raise ConfigError(f"{path} has no command", hint="give a recorded start, JSON lines with cmd")

    def differences(chosen: str) -> int:
        card = Uicc(profile(chosen))
        answers = [card.transmit(step.tpdu) for step in steps]
        return sum(
            step.sw not in (None, int.from_bytes(answer[-2:])) or step.length not in (None, len(answer) - 2)
            for step, answer in zip(steps, answers, strict=True)
        )

    return Recording(name or path.stem, path, min(PROFILES, key=differences), tuple(step.tpdu for step in steps))


# By a simulated clock


def simulated(recording: Recording, round_trips_ms: Sequence[int]) -> list[dict[str, Cell]]:
    """A row for each round trip."""
    return [
        {"start": recording.name, **boot_clock.measure(recording.profile, recording.commands, trip / 1000)}
        for trip in round_trips_ms
    ]


# With the real programs


@dataclass(frozen=True, slots=True)
class Measured:
    """All starts of one recording at one round trip; seconds of the one without answers ahead may be computed."""

    alone: Start
    alone_s: float
    cold: Start
    shipped: Start
    warm: Start
    restarted: Start
    changed: Start
    changed_alone_s: float


async def _measure_programs(recording: Recording, round_trip: float, folder: Path) -> Measured:
    lines = [line for line in recording.path.read_text(encoding="utf-8").splitlines() if line.strip()]
    count = len(recording.commands)
    prefix = lines if count <= _WHOLE else lines[: _PREFIX + 1]
    changed = boot_clock.changed(recording.commands, random.Random(_SEED))
    played = boot_programs.write_recording(folder / f"{recording.name}.jsonl", lines)
    first = boot_programs.write_recording(folder / f"{recording.name}-first.jsonl", prefix)
    other = boot_programs.write_recording(
        folder / f"{recording.name}-changed.jsonl", [json.dumps({"cmd": command.hex()}) for command in changed]
    )

    for what in ("alone", "cold", "ahead"):
        (folder / what).mkdir()

    async def slow(what: str) -> Start:
        # They wait for the link nearly all the time, and do not disturb each other.
        async with boot_programs.open_stage(folder / what, recording.profile, round_trip) as stage:
            return await (boot_programs.alone(stage, first) if what == "alone" else boot_programs.cold(stage, played))

    alone, cold = await asyncio.gather(slow("alone"), slow("cold"))
    async with boot_programs.open_stage(folder / "ahead", recording.profile, round_trip) as stage:
        shipped, warm, restarted, differing = await boot_programs.shipped_warm_restarted(stage, played, other)
    each = alone.seconds / alone.commands
    return Measured(
        alone, each * count, cold, shipped, warm, restarted, differing, changed_alone_s=each * differing.commands
    )


def programs(recording: Recording, round_trip_ms: int) -> Measured:
    """Play all starts with the real programs."""
    with tempfile.TemporaryDirectory(prefix="remsim-boot-") as folder:
        return run(_measure_programs(recording, round_trip_ms / 1000, Path(folder)))


def rows_of(recording: Recording, round_trip_ms: int, measured: Measured) -> list[dict[str, Cell]]:
    """A row for each kind of start, next to what the simulated clock says of it.

    That clock takes the round trip and the time of the card as they were: the programs and this machine add their share
    to each.
    """
    alone = measured.alone
    each = alone.seconds / alone.commands
    round_trip = each - alone.card_time - THINK_S

    def row(kind: str, start: Start, alone_s: float) -> dict[str, Cell]:
        commands = recording.commands[: start.commands] if kind == "alone" else recording.commands
        clock, _ = boot_clock.start(kind, recording.profile, commands, round_trip, start.card_time)
        return {
            "start": recording.name,
            "round trip, ms": round_trip_ms,
            "kind": kind,
            "commands": start.commands,
            "seconds": start.seconds,
            "round trips": start.round_trips,
            "hits": start.hits,
            "misses": start.misses,
            "not as recorded": start.differences,
            "alone, s": alone_s,
            "faster, ×": alone_s / start.seconds,
            "as measured: round trip, ms": round(1000 * round_trip, 1),
            "card, ms": round(1000 * start.card_time, 2),
            "simulated, s": clock.finished_at,
            "apart, %": round(100 * (start.seconds / clock.finished_at - 1), 1),
        }

    return [
        row("alone", alone, alone.seconds),
        row("cold", measured.cold, measured.alone_s),
        row("shipped", measured.shipped, measured.alone_s),
        row("warm", measured.warm, measured.alone_s),
        row("restarted", measured.restarted, measured.alone_s),
        row(boot_clock.CHANGED, measured.changed, measured.changed_alone_s),
    ]


def apart(rows: Sequence[dict[str, Cell]], tolerance: float) -> list[str]:
    """What the programs needed more or less time for than the simulated clock says."""
    found = []
    for row in rows:
        percent = row["apart, %"]
        if isinstance(percent, float) and abs(percent) > 100 * tolerance:
            found.append(f"{row['start']}, {row['kind']}: {percent:+.1f} %")
    return found


def _main_others(given: argparse.Namespace) -> int:
    rows: list[dict[str, Cell]] = []
    for card_time_ms in (boot_programs.CARD_TIME_MS, 0):
        options = boot_others.Options(given.others, given.rounds, card_time_ms, given.realtime)
        found = run(boot_others.measure(options))
        tables.show(f"{given.others} other sessions while a far modem is answered ahead, and while it is not", found)
        rows += found
    tables.save(given.json, {"machine": tables.machine(), "rows": rows})
    return 0


def _main_near(given: argparse.Namespace, starts: Sequence[Recording]) -> int:
    options = boot_near.Options(given.near, boot_programs.CARD_TIME_MS)
    rows: list[dict[str, Cell]] = []
    for start in starts:
        rows += run(boot_near.measure(start.name, start.profile, start.path, options))
    tables.show("Start of a modem next to its card, card at 3 ms a command, with answers ahead and without", rows)
    tables.save(given.json, {"machine": tables.machine(), "rows": rows})
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench boot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trace", type=Path, metavar="FILE", help="a recorded start to play instead of the two")
    parser.add_argument(
        "--rtt",
        type=int,
        action="append",
        metavar="MS",
        help=f"round trip, may be given several times; with the real programs, too (default: {REAL_MS} of them, "
        f"and {', '.join(map(str, ROUND_TRIPS_MS))} by the simulated clock)",
    )
    parser.add_argument(
        "--others", type=int, metavar="N", help="measure instead what N other sessions of the bank notice"
    )
    parser.add_argument(
        "--near", type=int, metavar="N", help="measure instead N starts next to the card with, and N without"
    )
    parser.add_argument("--rounds", type=int, default=3, help="pairs of windows for --others (default: 3)")
    parser.add_argument(
        "--realtime", action="store_true", help="with --others: real-time priority for what is measured (as root)"
    )
    parser.add_argument("--simulated", action="store_true", help="only by the simulated clock")
    parser.add_argument("--tolerance", type=float, default=_TOLERANCE, help="share (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Return the exit status: 1 if the programs and the simulated clock do not agree."""
    options = _parser().parse_args(arguments)
    if options.others is not None:
        return _main_others(options)
    if options.trace is not None:
        starts = [read_start(options.trace)]
    else:
        starts = [read_start(reference("traces", f"{name}-boot.jsonl"), name) for name in TRACES]
    if options.near is not None:
        return _main_near(options, starts)
    table = [row for start in starts for row in simulated(start, options.rtt or ROUND_TRIPS_MS)]
    tables.show("Start of a modem far from its card, card at 3 ms a command, simulated clock", table)
    lossy = [
        {"start": start.name, **boot_clock.over_loss(start.profile, start.commands, trip / 1000, loss)}
        for start in starts
        for trip in options.rtt or (REAL_MS,)
        for loss in LOSSES
    ]
    tables.show("The same over links that lose packets, simulated clock", lossy)
    left = {
        f"{start.name}, {kind}": boot_clock.remaining(start.profile, start.commands, kind, REAL_MS / 1000)
        for start in starts
        for kind in ("warm", "restarted")
    }
    for name, causes in left.items():
        tables.show(f"Commands that wait for a round trip, {name}: {sum(causes.values())}", [dict(causes)])
    rows: list[dict[str, Cell]] = []
    if not options.simulated:
        for start in starts:
            for trip in options.rtt or (REAL_MS,):
                rows += rows_of(start, trip, programs(start, trip))
                tables.show(f"The same with the real programs, {start.name}", rows[-6:])
    found = apart(rows, options.tolerance)
    for line in found:
        print(f"programs and simulated clock are apart: {line}")
    tables.save(
        options.json,
        {
            "machine": tables.machine(),
            "rows": table,
            "lossy": lossy,
            "programs": rows,
            "remaining": left,
            "apart": found,
        },
    )
    return 1 if found else 0
