# SPDX-License-Identifier: Apache-2.0
"""Recorded command sequences: reading them, and sending them again as a modem would.

One JSON object a line: ``{"cmd": "00a40004023f00", "sw": "6135", "rlen": 0}`` is a command TPDU with the status word
and the number of data bytes that were answered, ``{"event": "reset"}`` a reset of the card. Pure: no card, no clock.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from remsim.card.tpdu import HEADER_LENGTH, MAX_TPDU
from remsim.config.files import TextError, read_text
from remsim.core.errors import ConfigError
from remsim.core.values import dataclass

_INS_FETCH: Final = 0x12
_INS_GET_RESPONSE: Final = 0xC0


class RecordingError(ConfigError):
    """A recording that cannot be read; the message has file and line."""


@dataclass(frozen=True, slots=True)
class RecordedReset:
    """The card was reset. ``line`` counts from 1."""

    line: int


@dataclass(frozen=True, slots=True)
class RecordedCommand:
    """A command TPDU, and what the card answered then; None where the recording does not say."""

    line: int
    tpdu: bytes
    sw: int | None = None
    length: int | None = None


Step = RecordedReset | RecordedCommand


def load_recording(path: Path) -> list[Step]:
    """Read a recording. Raises RecordingError, with the number of the first bad line."""
    try:
        text = read_text(path)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}") from None
    except TextError as error:
        raise RecordingError(f"{path}: {error}", hint="is this a recording?") from None
    steps = parse_recording(text.splitlines(), name=str(path))
    if not any(isinstance(step, RecordedCommand) for step in steps):
        raise RecordingError(f"{path} has no command", hint="write one JSON object per line, with a member cmd")
    return steps


def parse_recording(lines: Iterable[str], *, name: str) -> list[Step]:
    """Read the lines of a recording; empty ones are skipped. Raises RecordingError, which calls it ``name``."""
    return [parse_line(line, number, name=name) for number, line in enumerate(lines, start=1) if line.strip()]


def parse_line(line: str, number: int, *, name: str) -> Step:
    """Read one line, which is not empty. Raises RecordingError, which calls the recording ``name``."""
    try:
        return _parse_line(line, number)
    except ValueError as error:
        raise RecordingError(f"{name}, line {number}: {error}", hint=_FORM) from None


_FORM: Final = 'write {"cmd": HEX, "sw": "9000", "rlen": 0} or {"event": "reset"}'


def _parse_line(line: str, number: int) -> Step:
    try:
        entry: object = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(entry, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  # one error type for all that is wrong with a line
    if "event" in entry:
        if entry["event"] != "reset":
            raise ValueError(f"unknown event {entry['event']!r}")
        return RecordedReset(number)
    return RecordedCommand(number, _tpdu(entry.get("cmd")), _status_word(entry.get("sw")), _length(entry.get("rlen")))


def _tpdu(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("cmd is missing or not a string")  # noqa: TRY004  # as above
    try:
        tpdu = bytes.fromhex(value)
    except ValueError:
        raise ValueError("cmd is not hex") from None
    if not HEADER_LENGTH <= len(tpdu) <= MAX_TPDU:
        raise ValueError(f"cmd has {len(tpdu)} bytes; a command TPDU has {HEADER_LENGTH}..{MAX_TPDU}")
    return tpdu


def _status_word(value: object) -> int | None:
    if value is None:
        return None
    try:
        raw = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        raw = b""
    if len(raw) != 2:
        raise ValueError("sw is not a status word in hex")
    return int.from_bytes(raw)


def _length(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 256:
        raise ValueError("rlen is no number in 0..256")
    return value


class Modem:
    """What a modem adds to a recording: lengths that only the card knows.

    After 61xx or 9Fxx the GET RESPONSE that follows asks for SW2 bytes (TS 102 221, 7.3.1.1.4); after 91xx so does the
    next FETCH (TS 102 223, 6.2), whatever is in between; after 6Cxx the repetition of the same header has P3 = SW2.
    """

    def __init__(self) -> None:
        self._last: tuple[bytes, int] | None = None
        self._proactive_length: int | None = None

    def prepare(self, recorded: bytes) -> bytes:
        """The command to send where ``recorded`` was sent."""
        length = self._expected_length(recorded) if len(recorded) == HEADER_LENGTH else None
        return recorded if length is None else recorded[:4] + bytes((length,))

    def _expected_length(self, recorded: bytes) -> int | None:
        if recorded[1] == _INS_FETCH:
            length, self._proactive_length = self._proactive_length, None
            return length
        if self._last is None:
            return None
        before, sw = self._last
        if sw >> 8 in (0x61, 0x9F) and recorded[1] == _INS_GET_RESPONSE:
            return sw & 0xFF
        if sw >> 8 == 0x6C and recorded[:4] == before[:4]:
            return sw & 0xFF
        return None

    def on_answer(self, sent: bytes, sw: int) -> None:
        """The card answered ``sent`` with ``sw``."""
        self._last = (sent, sw)
        if sw >> 8 == 0x91:
            self._proactive_length = sw & 0xFF

    def on_reset(self) -> None:
        """The card was reset: it holds nothing to fetch."""
        self._last = None
        self._proactive_length = None
