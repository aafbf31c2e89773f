# SPDX-License-Identifier: Apache-2.0
"""What ``remsim client script`` tells about a played recording: a table for people, JSON for programs."""

import json
from dataclasses import asdict
from typing import TextIO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from remsim.ahead.figures import LatencyFigures
from remsim.client.observer import CutCounter
from remsim.core.text import counted
from remsim.emulators.script.player import ScriptOutcome


def write_json(outcome: ScriptOutcome, cuts: CutCounter, *, file: str, output: TextIO, latency: LatencyFigures) -> None:
    """One JSON object on one line. ``latency`` tells how many commands had to wait for the bankd, and how long."""
    report = {
        "file": file,
        "atr": outcome.atr.hex(),
        "commands": outcome.commands,
        # Those of the recording, and those that the modem would have seen for the loss of its card.
        "resets": outcome.resets + cuts.losses,
        "cuts": cuts.cuts,
        "resumes": cuts.resumes,
        "mismatches": {"sw": outcome.sw_mismatches, "rlen": outcome.length_mismatches},
        "differences": [asdict(difference) for difference in outcome.differences],
        "card_after_s": round(outcome.card_after_s, 6),
        "played_s": round(outcome.played_s, 6),
        "seconds": round(outcome.played_s, 6),
        "round_trips": latency.round_trips,
        "waited_s": round(latency.waited_s or 0.0, 6),
        "held_s": round(latency.hold_s, 6),
        "ahead": {
            "hits": latency.ahead.hits,
            "misses": latency.ahead.misses,
            "saved_s": round(latency.ahead.saved_s, 6),
        },
        "kinds": [
            {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(timing).items()}
            for timing in outcome.timings()
        ],
    }
    output.write(json.dumps(report) + "\n")
    output.flush()


def write_table(
    outcome: ScriptOutcome, cuts: CutCounter, *, file: str, output: TextIO, latency: LatencyFigures
) -> None:
    """A table with one row per kind of command, and a sentence below it."""
    console = Console(file=output, highlight=False)
    table = Table(box=box.SIMPLE, title=file, title_justify="left")
    table.add_column("command")
    for name in ("count", "p50 ms", "p99 ms", "max ms", "total ms"):
        table.add_column(name, justify="right")
    *kinds, everything = outcome.timings()
    for timing in (*kinds, everything):
        if timing is everything:
            table.add_section()
        table.add_row(
            timing.kind,
            str(timing.count),
            f"{timing.p50_ms:.2f}",
            f"{timing.p99_ms:.2f}",
            f"{timing.max_ms:.2f}",
            f"{timing.total_ms:.1f}",
        )
    console.print(table)
    resets = f"{outcome.resets} reset{'' if outcome.resets == 1 else 's'}"
    console.print(f"{outcome.commands} commands and {resets} in {outcome.played_s:.2f} s.", soft_wrap=True)
    if (ahead := latency.ahead).hits:
        text = f"{counted(ahead.hits, 'command')} answered ahead, {ahead.saved_s:.2f} s saved"
        console.print(f"{text}; another one came {counted(ahead.misses, 'time')}.", soft_wrap=True)
    if cuts.cuts or cuts.losses:
        text = f"{counted(cuts.cuts, 'cut')} of the link, {cuts.resumes} resumed"
        lost = f"; the modem lost its card {counted(cuts.losses, 'time')}" if cuts.losses else ""
        console.print(f"{text}{lost}.", soft_wrap=True)
    if outcome.has_mismatch:
        console.print(
            f"Not as recorded: {outcome.sw_mismatches} status words, {outcome.length_mismatches} lengths.",
            soft_wrap=True,
        )
        for difference in outcome.differences:
            console.print(f"  {difference}", soft_wrap=True, markup=False)
        if (more := outcome.different_answers - len(outcome.differences)) > 0:
            console.print(f"  and {more} more", soft_wrap=True)
    else:
        console.print("All status words and lengths as recorded.", soft_wrap=True)


def progress_bar(output: TextIO) -> Progress:
    """A bar for a terminal; it vanishes when done."""
    return Progress(
        TextColumn("playing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(file=output),
        transient=True,
    )
