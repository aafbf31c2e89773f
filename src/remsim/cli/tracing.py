# SPDX-License-Identifier: Apache-2.0
"""How ``remsim trace`` shows records: lines for people, JSON, and captures."""

import os
import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import IO, Final, Protocol, TextIO

from remsim.captures import RollingCapture
from remsim.core.errors import RemsimError
from remsim.core.text import counted, escape
from remsim.rest.captures import packet_of
from remsim.rest.traces import TraceEndsModel, TraceModel
from remsim.trace.pcapng import file_header, packet_block

#: What stands before a command that is not simply the modem's.
_MARKS: Final = {"guess": "g", "restore": "r", "inventory": "i"}
#: A command of the modem that the bankd had answered ahead.
_AHEAD: Final = "*"
_HEADING: Final = "time (UTC)       card  network    ms; g guess, r restore, i inventory, * answered ahead"
_INDENT: Final = " " * 32
_CYAN, _RED, _DIM = "36", "31", "2"
_NO_LIMIT: Final = 1 << 20
#: Status words that are no error, by their first byte.
_GOOD: Final = frozenset({"90", "91", "92", "9F", "61", "62", "63", "6C"})


class TraceOutput(Protocol):
    """Takes records."""

    def heading(self, slot: str) -> None:
        """The trace begins."""
        ...

    def record(self, record: TraceModel) -> None:
        """One record."""
        ...

    def close(self) -> None:
        """The trace is over."""
        ...


class LineOutput:
    """A line for each record, cut to the width of a terminal; colours only there."""

    def __init__(self, out: TextIO, *, shows_bytes: bool) -> None:
        self._out = out
        self._shows_bytes = shows_bytes
        is_terminal = out.isatty()
        self._has_colours = is_terminal and not os.environ.get("NO_COLOR")
        self._width = shutil.get_terminal_size((80, 24)).columns if is_terminal else _NO_LIMIT

    def heading(self, slot: str) -> None:
        """What the columns are."""
        self._say(_HEADING, _DIM)

    def record(self, record: TraceModel) -> None:
        """One record, in one line; with bytes in up to three."""
        self._say(line_of(record), _colour(record))
        if self._shows_bytes:
            for arrow, text in ((">", record.command), ("<", record.response)):
                if text is not None:
                    self._say(f"{_INDENT}{arrow} {text}", _DIM)

    def close(self) -> None:
        """Nothing is kept back."""

    def _say(self, text: str, colour: str) -> None:
        if len(text) > self._width:
            text = text[: self._width - 3] + "..."
        shown = f"\033[{colour}m{text}\033[0m" if self._has_colours and colour else text
        print(shown, file=self._out, flush=True)


def line_of(record: TraceModel) -> str:
    """``20:21:00.824     13.2      1.8  READ BINARY, 10 bytes [EF.ICCID]: 9000 ok, 10 bytes``."""
    clock = datetime.fromisoformat(record.at).strftime("%H:%M:%S.%f")[:12]
    if record.kind == "left_out":
        return f"{clock}{'':20}({counted(record.left_out or 0, 'record')} of {record.source} left out: too many)"
    is_ahead = record.origin == "modem" and "+" in (record.command_id or "")
    mark = _AHEAD if is_ahead else _MARKS.get(record.origin or "", " ")
    times = "".join(f"{'' if value is None else f'{value:.1f}':>9}" for value in (record.card_ms, record.network_ms))
    words = escape(record.words or record.kind)
    if record.kind == "command":
        words += f": {escape(record.answer or 'no answer')}"
    elif record.kind == "atr":
        words += f" {record.response or ''}"
    return f"{clock}{times} {mark} {words}"


def _colour(record: TraceModel) -> str:
    if record.kind != "command":
        return _CYAN
    if record.answer is None or record.answer[:2] not in _GOOD:
        return _RED
    return "" if record.origin == "modem" else _DIM


def ends_text(ends: TraceEndsModel) -> str:
    """Who tells, and who does not and why."""
    telling = [end.slot for end in ends.ends if end.traces]
    silent = [end.problem or f"{end.slot} does not" for end in ends.ends if not end.traces]
    said = f"tracing {' and '.join(telling)}" if telling else f"nobody traces {ends.slot} now"
    return "; ".join([said, *silent])


class JsonOutput:
    """A JSON object in each line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def heading(self, slot: str) -> None:
        """Programs know."""

    def record(self, record: TraceModel) -> None:
        """One record."""
        print(record.model_dump_json(exclude_none=True), file=self._out, flush=True)

    def close(self) -> None:
        """Nothing is kept back."""


class FileOutput:
    """A capture in a file, or into a pipe."""

    def __init__(self, target: Path | None, *, has_guesses: bool = False) -> None:
        """``target`` None: standard output. ``has_guesses``: as for ``packet_of``. Raises RemsimError."""
        self._has_guesses = has_guesses
        self._file: IO[bytes] = sys.stdout.buffer if target is None else _created(target)
        self._is_own = target is not None

    def heading(self, slot: str) -> None:
        """What every capture begins with; a reader need not wait for a command."""
        self._write(file_header(slot))

    def record(self, record: TraceModel) -> None:
        """One packet, if GSMTAP has one for it."""
        packet = packet_of(record, has_guesses=self._has_guesses)
        if packet is not None:
            self._write(packet_block(packet))

    def close(self) -> None:
        """The file is whole at any time; it is closed."""
        if self._is_own:
            self._file.close()

    def _write(self, raw: bytes) -> None:
        self._file.write(raw)
        self._file.flush()


class RollingOutput:
    """Captures in a folder, a new file by size or age."""

    def __init__(self, files: RollingCapture, folder: Path, *, has_guesses: bool = False) -> None:
        self._has_guesses = has_guesses
        self._files = files
        self._folder = folder

    def heading(self, slot: str) -> None:
        """A file begins with its first packet."""

    def record(self, record: TraceModel) -> None:
        """One packet. Raises RemsimError."""
        packet = packet_of(record, has_guesses=self._has_guesses)
        if packet is None:
            return
        try:
            self._files.write(packet)
        except OSError as error:
            raise RemsimError(
                f"cannot write to {self._folder}: {error.strerror or error}", hint="is there room, and may we write?"
            ) from None

    def close(self) -> None:
        """End the present file."""
        self._files.close()


def _created(target: Path) -> IO[bytes]:
    """For its owner only: a capture is for few eyes."""
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RemsimError(f"cannot write {target}: {error.strerror or error}", hint="see --pcapng FILE") from None
    return os.fdopen(handle, "wb")
