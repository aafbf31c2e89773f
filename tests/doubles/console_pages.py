# SPDX-License-Identifier: Apache-2.0
"""What a page of documentation shows to be typed, and what it says comes of it. Pure: reads text, runs nothing.

A fenced block ``console`` holds commands: a line ``$ COMMAND``, continued by a backslash at its end, then lines of its
output in their order; ``…`` stands for anything, and lines between those shown are left out. A command that ends with
``&`` goes on running; what it says behind a line ``…`` comes later, when other commands have run. Output lines that
begin with a prompt (``C1:0> ``) are typed at the program. A fenced block whose language is followed by a name
(``toml server.toml``) is a file; other blocks hold no commands. Calls in running text, such as ``remsim bankd --auto``
in backquotes, are listed apart.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

#: What a span or a command may begin with to count as something to be typed.
PROGRAMS: Final = (
    *("remsim", "remsim-server", "remsim-bankd", "remsim-client-shell", "remsim-client-st2", "remsim-apitool"),
    *("make", "python3", "apt-get", "systemctl", "journalctl", "curl", "pcsc_scan", "tshark", "sqlite3", "tar"),
)
#: Folders of the project whose programs are called by path; a name alone is a call then.
_CALLED_BY_PATH: Final = ("tools/", ".ci/", ".venv/bin/")

_FENCE: Final = re.compile(r"(?P<indent> *)```(?P<info>[^`]*)")
_SPAN: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_PROMPT: Final = re.compile(r"(?P<prompt>(?:[A-Za-z0-9:]+)> )(?P<typed>.*)")
_ANYTHING: Final = "…"
#: FILE, HOST:PORT, FILE.toml
_STANDS_FOR: Final = re.compile(r"[A-Z]+(?:[:.][A-Za-z]+)*")


class PageError(AssertionError):
    """A page that cannot be read as described above."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where on which page."""

    page: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Typed:
    """A line typed at a running program, and the lines shown after it."""

    text: str
    output: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """A command line; ``dialogue`` is what is typed at it after ``output`` was seen."""

    place: Place
    text: str
    output: tuple[str, ...] = ()
    #: A daemon's output that other commands cause.
    later: tuple[str, ...] = ()
    dialogue: tuple[Typed, ...] = ()
    is_daemon: bool = False


@dataclass(frozen=True, slots=True)
class FileText:
    """A file that the page shows: ``kind`` is the block's language."""

    place: Place
    kind: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class _Block:
    place: Place
    info: str
    lines: tuple[str, ...]


Step = Command | FileText


def steps(text: str, page: str) -> list[Step]:
    """Commands and files of a page, in their order. Raises PageError."""
    found: list[Step] = []
    for block in _blocks(text, page):
        kind, _, name = block.info.partition(" ")
        if kind == "console":
            found.extend(_commands(block))
        elif kind in ("sh", "bash", "shell"):
            raise PageError(f"{block.place}: commands stand in blocks named console")
        elif name:
            found.append(FileText(block.place, kind, name, "\n".join(block.lines) + "\n"))
        elif any(line.startswith("$ ") for line in block.lines):
            raise PageError(f"{block.place}: a command outside of a console block")
    return found


def spans(text: str, page: str) -> list[tuple[Place, str]]:
    """Calls of programs that stand in running text or tables."""
    fenced = {block.place.line + offset for block in _blocks(text, page) for offset in range(-1, len(block.lines) + 1)}
    return [
        (Place(page, number), span)
        for number, line in enumerate(text.splitlines(), start=1)
        if number not in fenced
        for span in _SPAN.findall(line.replace("\\|", "|"))
        if _is_call(span)
    ]


def _is_call(span: str) -> bool:
    first, _, rest = span.partition(" ")
    return span.startswith(_CALLED_BY_PATH) or (first in PROGRAMS and bool(rest))


def words(command: str) -> list[str]:
    """The words of a command line, without the daemon's mark; ``--option=value`` counts as two."""
    parts = shlex.split(command.removesuffix("&"))
    return [piece for part in parts for piece in (part.split("=", 1) if part.startswith("--") else [part])]


def is_part_of(span: str, command: str) -> bool:
    """Whether ``command`` runs the same program with at least the words of ``span``; FILE and the like are any word."""
    run = words(command)
    return all(word in run for word in words(span) if not _STANDS_FOR.fullmatch(word))


def pattern(shown: str) -> re.Pattern[str]:
    """What a shown line stands for: blanks are as wide as they like, ``…`` is anything."""
    parts = [r"\s+".join(re.escape(word) for word in part.split()) for part in shown.split(_ANYTHING)]
    # Blanks beside the ellipsis were cut off by split(); they must not glue words together.
    joined = r".*".join(parts)
    return re.compile(rf"\s*{joined}\s*")


def first_gap(shown: Sequence[str], real: Iterable[str]) -> str | None:
    """The first shown line that does not occur in the output behind those before it; None if all do."""
    lines = iter(real)
    for line in shown:
        wanted = pattern(line)
        if not any(wanted.fullmatch(candidate) for candidate in lines):
            return line
    return None


def _blocks(text: str, page: str) -> Iterator[_Block]:
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        fence = _FENCE.fullmatch(lines[number])
        if fence is None:
            number += 1
            continue
        place, indent, inside = Place(page, number + 2), len(fence["indent"]), []
        number += 1
        while number < len(lines) and lines[number].strip() != "```":
            inside.append(lines[number][indent:])
            number += 1
        if number == len(lines):
            raise PageError(f"{place}: the block has no end")
        number += 1
        yield _Block(place, fence["info"].strip(), tuple(inside))


def _commands(block: _Block) -> Iterator[Command]:
    if not block.lines or not block.lines[0].startswith("$ "):
        raise PageError(f"{block.place}: a console block begins with $ and a command")
    starts = [number for number, line in enumerate(block.lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(block.lines)], strict=True):
        place = Place(block.place.page, block.place.line + start)
        parts = [block.lines[start].removeprefix("$ ")]
        rest = start + 1
        while parts[-1].endswith("\\"):
            if rest == end:
                raise PageError(f"{place}: the command goes on nowhere")
            parts[-1] = parts[-1].removesuffix("\\").strip()
            parts.append(block.lines[rest].strip())
            rest += 1
        text = " ".join(parts).strip()
        yield _command(place, text, block.lines[rest:end])


def _command(place: Place, text: str, lines: Sequence[str]) -> Command:
    """Sort out what is output and what is typed. Empty lines say nothing."""
    is_daemon = text.endswith("&")
    output: list[str] = []
    typed: list[tuple[str, list[str]]] = []
    later: list[str] = []
    target = output
    for line in lines:
        if match := _PROMPT.fullmatch(line):
            target = []
            typed.append((match["typed"], target))
        elif line.strip() == _ANYTHING and is_daemon:
            target = later
        elif line.strip() not in ("", _ANYTHING):
            target.append(line)
    dialogue = tuple(Typed(line, tuple(after)) for line, after in typed)
    return Command(place, text.removesuffix("&").strip(), tuple(output), tuple(later), dialogue, is_daemon)
