# SPDX-License-Identifier: Apache-2.0
"""How ``remsim trace`` shows records: lines for people, JSON, and captures."""

import os
import shutil
import sys
from pathlib import Path
from typing import IO, Final, Protocol, TextIO

from remsim.captures import RollingCapture
from remsim.core.errors import RemsimError
from remsim.rest.captures import packet_of
from remsim.rest.trace_lines import HEADING, Tone, line_of, tone_of
from remsim.rest.traces import TraceModel
from remsim.trace.pcapng import file_header, packet_block

_INDENT: Final = " " * 32
#: What the tone of a line is in a terminal.
_COLOURS: Final = {Tone.PLAIN: "", Tone.DIM: "2", Tone.MARKED: "36", Tone.WRONG: "31"}
_NO_LIMIT: Final = 1 << 20


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
        self._say(HEADING, Tone.DIM)

    def record(self, record: TraceModel) -> None:
        """One record, in one line; with bytes in up to three."""
        self._say(line_of(record), tone_of(record))
        if self._shows_bytes:
            for arrow, text in ((">", record.command), ("<", record.response)):
                if text is not None:
                    self._say(f"{_INDENT}{arrow} {text}", Tone.DIM)

    def close(self) -> None:
        """Nothing is kept back."""

    def _say(self, text: str, tone: Tone) -> None:
        colour = _COLOURS[tone]
        if len(text) > self._width:
            text = text[: self._width - 3] + "..."
        shown = f"\033[{colour}m{text}\033[0m" if self._has_colours and colour else text
        print(shown, file=self._out, flush=True)


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
