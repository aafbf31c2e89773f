# SPDX-License-Identifier: Apache-2.0
"""The pictures of docs/architecture.md: packages and imports, drawn from the code; paths, drawn from the page's lists.

The levels are the table of tests/unit/test_imports.py, the imports are those of the sources. Each path is a numbered
list of the page, so that picture and text cannot differ.
"""

import ast
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from tests import sources

_ROOT: Final = Path(__file__).resolve().parent.parent
_LEVEL_TABLE: Final = _ROOT / "tests" / "unit" / "test_imports.py"
_PAGE: Final = _ROOT / "docs" / "architecture.md"

#: What the packages of a level have in common.
_MEANINGS: Final = {
    8: "the command line",
    7: "around the programs",
    6: "the programs",
    5: "sockets, devices",
    4: "keys",
    3: "logs, metrics",
    2: "settings, rules",
    1: "messages and cards",
    0: "shared by all",
}

_WIDTH: Final = 960
_MARGIN: Final = 20
_LABEL_WIDTH: Final = 150
_GAP: Final = 12
_LINE: Final = 15
_TEXT_WIDTH_PX: Final = 6.3
_COLOURS: Final = ("#f1f5f9", "#e0e7ff", "#dbeafe", "#ccfbf1", "#dcfce7", "#fef3c7", "#ffe4e6")


def levels() -> dict[str, int]:
    """The level of each package, as the test of imports has it."""
    table: dict[str, int] = ast.literal_eval(_value("LEVELS"))
    return table


def highest_level_without_io() -> int:
    """Packages up to this level know nothing of the outside."""
    level: int = ast.literal_eval(_value("HIGHEST_LEVEL_WITHOUT_IO"))
    return level


def _value(name: str) -> ast.expr:
    """What ``name`` is assigned in the test. It is read, not imported: it needs pytest."""
    for node in ast.parse(_LEVEL_TABLE.read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                return value
            case ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value) if found == name:
                return value
    raise LookupError(f"{_LEVEL_TABLE.name} has no {name}")


def imports_of_packages() -> dict[str, set[str]]:
    """What each package imports of the others."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in sources.imports():
        importer, imported = (_package(name) for name in (one.importer, one.module))
        if one.top == "remsim" and importer and imported and importer != imported:
            found[importer].add(imported)
    return found


def _package(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__main__" else ""


@dataclass(frozen=True, slots=True)
class _Box:
    name: str
    lines: list[str]


def _boxes(names: Sequence[str], level_of: dict[str, int], width: float) -> Iterator[_Box]:
    imports = imports_of_packages()
    for name in names:
        below = sorted(imports[name] - {"core"}, key=lambda other: (-level_of[other], other))
        text = ", ".join(below) if below else "nothing else"
        yield _Box(name, textwrap.wrap(text, int((width - 16) / _TEXT_WIDTH_PX)) if level_of[name] else [])


def packages_picture() -> str:
    """The text of docs/pictures/packages.svg."""
    level_of = levels()
    rows: list[str] = []
    top = float(_MARGIN)
    pure = highest_level_without_io()
    for level in sorted(set(level_of.values()), reverse=True):
        if level == pure:
            rows.append(_divider(top, "below this line: no I/O, no clock, no thread"))
            top += 2 * _LINE
        names = sorted(name for name in level_of if level_of[name] == level)
        room = _WIDTH - 2 * _MARGIN - _LABEL_WIDTH
        width = (room - _GAP * (len(names) - 1)) / len(names)
        boxes = list(_boxes(names, level_of, width))
        height = 34 + _LINE * max(len(box.lines) for box in boxes)
        rows.append(_text(_MARGIN, top + height / 2 + 5, _MEANINGS[level], colour="#64748b"))
        for index, box in enumerate(boxes):
            left = _MARGIN + _LABEL_WIDTH + index * (width + _GAP)
            rows += _box(box, left, top, width, height, _COLOURS[level % len(_COLOURS)])
        top += height + _GAP
    caption = "Small print: the packages that a package imports; core, which all import, is left out."
    rows.append(_text(_MARGIN, top + _LINE, caption, colour="#64748b"))
    return _picture(rows, top + 2 * _LINE + 6, "The packages of remsim by level, and what each imports")


def _box(box: _Box, left: float, top: float, width: float, height: float, colour: str) -> Iterator[str]:
    yield (
        f'  <rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6" fill="{colour}" '
        'stroke="#334155"/>'
    )
    centre = left + width / 2
    yield _text(centre, top + 22, box.name, weight="bold", anchor="middle")
    for number, line in enumerate(box.lines):
        yield _text(centre, top + 40 + number * _LINE, line, size=12, anchor="middle", colour="#334155")


def _divider(top: float, text: str) -> str:
    y = top + 6
    line = f"M{_MARGIN} {y:.1f} H{_WIDTH - _MARGIN}"
    return "\n".join(
        [
            f'  <path d="{line}" stroke="#0f766e" stroke-width="2" stroke-dasharray="6 5"/>',
            _text(_WIDTH - _MARGIN, y + 16, text, size=12, anchor="end", colour="#0f766e"),
        ]
    )


def _text(  # the attributes of one SVG element
    x: float,
    y: float,
    text: str,
    *,
    size: int = 14,
    weight: str = "normal",
    anchor: str = "start",
    colour: str = "#0f172a",
) -> str:
    return (
        f'  <text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(text)}</text>'
    )


def _picture(rows: Sequence[str], height: float, label: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
        f'font-family="Helvetica, Arial, sans-serif" role="img" aria-label="{escape(label)}">'
    )
    note = "  <!-- Generated by tools/generate_docs.py; a test compares. Do not edit. -->"
    ground = f'  <rect width="{_WIDTH}" height="{height:.0f}" rx="10" fill="#f8fafc"/>'
    return "\n".join([head, note, ground, *rows, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop of a path: a file below src/remsim, and what happens there."""

    file: str
    text: str


def stops(title: str) -> list[Stop]:
    """The numbered list below the heading ``title`` of docs/architecture.md."""
    page = _PAGE.read_text(encoding="utf-8")
    section = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\d+\. `([^`]+)`: (.+(?:\n   .+)*)", section, re.MULTILINE)
    return [Stop(file, " ".join(text.split())) for file, text in found]


def _programs(found: Sequence[Stop]) -> list[str]:
    """The place of each stop: the program that it belongs to, or both ends."""
    places = {"emulators": "client", "client": "client", "bankd": "bankd", "server": "server"}
    return [places.get(stop.file.partition("/")[0], "both ends") for stop in found]


_PLACE_COLOURS: Final = {"client": "#ccfbf1", "bankd": "#fef3c7", "server": "#e0e7ff", "both ends": "#f1f5f9"}


def path_picture(title: str) -> str:
    """The picture of a path: its stops from top to bottom, coloured by program."""
    rows: list[str] = []
    found = stops(title)
    step, height = 62, 46
    for index, (stop, place) in enumerate(zip(found, _programs(found), strict=True)):
        top = _MARGIN + index * step
        rows.append(
            f'  <rect x="{_MARGIN + 90}" y="{top}" width="330" height="{height}" rx="6" '
            f'fill="{_PLACE_COLOURS[place]}" stroke="#334155"/>'
        )
        rows.append(_text(_MARGIN, top + 28, place, colour="#64748b"))
        rows.append(_text(_MARGIN + 255, top + 28, f"{index + 1}  {stop.file}", weight="bold", anchor="middle"))
        for number, line in enumerate(textwrap.wrap(_short(stop.text), 72)[:2]):
            rows.append(_text(_MARGIN + 436, top + 20 + number * 17, line, size=13))
        if index + 1 < len(found):
            x, y = _MARGIN + 255, top + height
            rows.append(f'  <path d="M{x} {y} v{step - height - 4} m-4 -5 l4 5 l4 -5" fill="none" stroke="#334155"/>')
    return _picture(rows, _MARGIN + len(found) * step + 4, f"{title}, in {len(found)} stops")


def _short(text: str) -> str:
    """The first sentence, without marks of code."""
    return re.split(r"(?<=[.;]) ", text.replace("`", ""))[0].rstrip(".;")
