# SPDX-License-Identifier: Apache-2.0
"""Recorded starts of modems in files: JSON lines of recordings and of traces, and packet captures with GSMTAP.

A file is read once, from its beginning to its end, and may be long: of a start no more is kept than is learnt of it.
Each reset begins a start. What is of no use is counted, with the reason.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from remsim.ahead.context_model import MAX_RECORDING
from remsim.ahead.return_path import INS_SEARCH
from remsim.ahead.symbols import symbol_of
from remsim.card.apdu_case import PreviousCommand
from remsim.card.tpdu import HEADER_LENGTH, MAX_TPDU
from remsim.config import TextError, decode_text
from remsim.emulators.script.recording import RecordedCommand, RecordingError, parse_line
from remsim.trace.packets import CapturedPacket, CaptureError, CutShortError, gsmtap_in, is_capture, read_packets
from remsim.trace.sim_frames import LeftOut, SeenReset, SimFrames, SimStep

#: A line with the longest command and answer in hex has some 1100 characters.
MAX_LINE: Final = 16_384
_BEYOND: Final = f"commands beyond the first {MAX_RECORDING} of a start"
_UNANSWERED: Final = "commands without an answer"
CUT_SHORT: Final = "the file ends in the middle of a packet; what comes before is used"


_TELL_EVERY: Final = 4096
#: What stands in the place of a byte that traces and GSMTAP hide.
_HIDDEN: Final = 0xFF
_READABLE: Final = "JSON lines and packet captures (pcapng, pcap) with GSMTAP can be read"


def _say_nothing() -> None:
    return


@dataclass(slots=True)
class RecordedFile:
    """What a file had, once all its starts are read."""

    path: Path
    #: ``json``, ``pcapng`` or ``pcap``.
    kind: str = "json"
    commands: int = 0
    #: What was left out: how often, by reason.
    left_out: Counter[str] = field(default_factory=Counter)
    #: Something else to be said; empty if there is nothing.
    remark: str = ""


def read_starts(
    stream: IO[bytes], file: RecordedFile, tell: Callable[[], None] = _say_nothing
) -> Iterator[tuple[bytes, ...]]:
    """The symbols of each start. ``file`` is filled meanwhile. Raises RecordingError and CaptureError.

    ``stream`` can be sought. ``tell`` is called now and then, for those who show how far it is.
    """
    beginning = stream.read(4)
    stream.seek(0)
    if is_capture(beginning):
        file.kind = "pcapng" if beginning == b"\x0a\x0d\x0d\x0a" else "pcap"
        yield from _of_capture(stream, file, tell)
    else:
        yield from _of_lines(stream, file, tell)


class _Start:
    """One start as far as it was read."""

    def __init__(self, file: RecordedFile) -> None:
        self._file = file
        self._symbols: list[bytes] = []
        self.previous: PreviousCommand | None = None

    def add(self, tpdu: bytes, *, is_masked: bool = False) -> None:
        """``is_masked``: bytes may be hidden, and then are FF."""
        self._file.commands += 1
        if len(self._symbols) < MAX_RECORDING:
            symbol = symbol_of(tpdu)
            # A pattern that is hidden looks like that of unused records.
            is_hidden = is_masked and tpdu[1] == INS_SEARCH and set(tpdu[HEADER_LENGTH:]) == {_HIDDEN}
            self._symbols.append(symbol[:HEADER_LENGTH] if is_hidden else symbol)
        else:
            self._file.left_out[_BEYOND] += 1

    def take(self) -> Iterator[tuple[bytes, ...]]:
        """The start, if it has a command, and begin the next one."""
        taken, self._symbols, self.previous = tuple(self._symbols), [], None
        if taken:
            yield taken


# JSON lines


def _of_lines(stream: IO[bytes], file: RecordedFile, tell: Callable[[], None]) -> Iterator[tuple[bytes, ...]]:
    name, start, number = str(file.path), _Start(file), 0
    while raw := stream.readline(MAX_LINE + 1):
        number += 1
        if number % _TELL_EVERY == 0:
            tell()
        if len(raw) > MAX_LINE:
            raise RecordingError(f"{name}, line {number}: longer than {MAX_LINE} bytes", hint=_READABLE)
        try:
            line = decode_text(raw)
        except TextError as error:
            raise RecordingError(f"{name}, line {number}: {error}", hint=_READABLE) from None
        if not line.strip():
            continue
        record = _trace_record(line)
        if record is not None:
            yield from _on_record(record, start, file, f"{name}, line {number}")
            continue
        step = parse_line(line, number, name=name)
        if isinstance(step, RecordedCommand):
            start.add(step.tpdu)
        else:
            yield from start.take()
    yield from start.take()


def _trace_record(line: str) -> dict[str, object] | None:
    """What ``remsim trace --json`` wrote; None if the line is no such record."""
    try:
        found: object = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) and "kind" in found else None


def _on_record(record: dict[str, object], start: _Start, file: RecordedFile, place: str) -> Iterator[tuple[bytes, ...]]:
    """One record of a trace. Raises RecordingError."""
    kind, command = record["kind"], record.get("command")
    if kind in ("cold_reset", "warm_reset"):
        yield from start.take()
    elif kind != "command":
        return
    elif record.get("origin") != "modem":
        file.left_out[LeftOut.GUESSES.value] += 1
    elif record.get("response") is None:
        file.left_out[_UNANSWERED] += 1
    else:
        try:
            tpdu = bytes.fromhex(command.replace("**", "ff")) if isinstance(command, str) else b""
        except ValueError:
            tpdu = b""
        if not HEADER_LENGTH <= len(tpdu) <= MAX_TPDU:
            raise RecordingError(f"{place}: its command is none", hint=_READABLE)
        start.add(tpdu, is_masked=True)


# CapturedPacket captures


def _of_capture(stream: IO[bytes], file: RecordedFile, tell: Callable[[], None]) -> Iterator[tuple[bytes, ...]]:
    reader = SimFrames()
    starts: dict[str, _Start] = {}
    for packet in _packets(stream, file):
        if packet.number % _TELL_EVERY == 0:
            tell()
        if packet.is_cut:
            reader.on_cut()
            continue
        for step in reader.on_datagram(packet.number, gsmtap_in(packet)):
            yield from _on_step(step, starts, file)
    for step in reader.finish():
        yield from _on_step(step, starts, file)
    for start in starts.values():
        yield from start.take()
    for reason in LeftOut:
        if count := reader.left_out[reason]:
            file.left_out[reason.value] += count


def _packets(stream: IO[bytes], file: RecordedFile) -> Iterator[CapturedPacket]:
    """All packets, those of a capture that was cut short, too."""
    try:
        yield from read_packets(stream)
    except CutShortError:
        file.remark = CUT_SHORT
    except CaptureError as error:
        raise CaptureError(f"{file.path}: {error}", hint=error.hint) from None


def _on_step(step: SimStep, starts: dict[str, _Start], file: RecordedFile) -> Iterator[tuple[bytes, ...]]:
    start = starts.setdefault(step.sender, _Start(file))
    if isinstance(step, SeenReset):
        yield from start.take()
        return
    if step.sw is None:
        # It may have been sent twice, or never have reached the card.
        file.left_out[_UNANSWERED] += 1
        return
    tpdu, start.previous = step.tpdu(start.previous)
    start.add(tpdu, is_masked=True)
