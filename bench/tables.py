# SPDX-License-Identifier: Apache-2.0
"""How results are shown and kept, and on what kind of machine they were taken."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.loops import loop_name

#: What a cell holds; None is shown as a dash.
Cell = str | int | float | None


def machine() -> dict[str, Cell]:
    """What a reader needs to compare figures. The load average tells whether others were at work meanwhile."""
    return {
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "loop": loop_name(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def show(title: str, rows: Sequence[Mapping[str, Cell]]) -> None:
    """Print rows of equal keys as a table."""
    columns = list(rows[0]) if rows else []
    cells = [[_text(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [columns, *cells]) for i in range(len(columns))]
    print(f"\n{title}")
    for line in [columns, *cells]:
        first, *others = (text.ljust(width) if i == 0 else text.rjust(width) for i, (text, width) in _zip(line, widths))
        print("  " + "  ".join([first, *others]).rstrip())


def _zip(line: list[str], widths: list[int]) -> list[tuple[int, tuple[str, int]]]:
    return list(enumerate(zip(line, widths, strict=True)))


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return "-"
        case float():
            return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.2f}"
        case int():
            return f"{cell:,}"
    return cell


def save(path: Path | None, document: Mapping[str, object]) -> None:
    """Write the results as JSON, if a file was asked for."""
    if path is not None:
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
