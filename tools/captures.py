# SPDX-License-Identifier: Apache-2.0
"""Recorded APDU logs of several makes as one list of commands, each with the way its data went.

JSON lines are those of ``remsim client script`` and its ``--dump``; packet captures (pcapng or pcap) hold GSMTAP in UDP
or bare; text is that of SIMtrace 2's sniffer, or Qualcomm's log 0x19B7 as QXDM and QCAT export it. All of it comes from
outside: work and memory are bounded by the length of the input, and what cannot be read is an error or is counted.
"""

import codecs
import json
import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

from remsim.card.tpdu import HEADER_LENGTH, MAX_TPDU
from remsim.trace.packets import CaptureError, gsmtap_in, is_capture, read_packets
from remsim.trace.sim_frames import LeftOut, SeenData, SeenReset, SimFrames, SimStep, seen_of_joined

MAX_CAPTURE: Final = 64 << 20
#: A line of text: header, 256 bytes in hex with blanks, and what stands before them.
MAX_LINE: Final = 4096

_STATUS: Final = 2
_SW1_LENGTH: Final = 0x6C
_PCAPNG: Final = b"\x0a\x0d\x0d\x0a"
_SW1_ERROR: Final = frozenset(range(0x64, 0x70)) - {_SW1_LENGTH}
_HINT: Final = "JSON lines, pcapng or pcap with GSMTAP, SIMtrace text and Qualcomm 0x19B7 text are read"


@dataclass(frozen=True, slots=True)
class Reset:
    """The card was reset. ``place`` is the line or packet, counted from 1."""

    place: int
    card: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command. ``card`` tells the slots of one capture apart; ``sw`` is None where the answer is missing."""

    place: int
    header: bytes
    seen: SeenData
    sw: int | None
    card: str = ""


Step = Reset | Exchange


@dataclass(slots=True)
class Capture:
    """What was read, and how many lines or packets of the right kind were no commands that could be used."""

    kind: str
    steps: list[Step] = field(default_factory=list)
    skipped: int = 0


def seen_of_answer(brought: int, answered: int, sw: int) -> SeenData:
    """The way of a command's data where the recorder told data of the command and of the answer apart."""
    if brought:
        return SeenData.TO_CARD
    if not answered and sw >> 8 in _SW1_ERROR:
        # Refused before anybody had to send data.
        return SeenData.UNDECIDED
    return SeenData.FROM_CARD


def _of_joined(place: int, raw: bytes) -> Exchange | None:
    """Header, data of either way and status word in a row; None if it is too short or too long for a command."""
    if not HEADER_LENGTH + _STATUS <= len(raw) <= MAX_TPDU + 256 + _STATUS:
        return None
    header, sw = raw[:HEADER_LENGTH], int.from_bytes(raw[-_STATUS:])
    return Exchange(place, header, seen_of_joined(header, len(raw) - HEADER_LENGTH - _STATUS, sw), sw)


# Which format it is


def read_capture(raw: bytes, kind: str | None = None) -> Capture:
    """Read a whole capture; without ``kind`` its beginning says what it is. Raises CaptureError."""
    if len(raw) > MAX_CAPTURE:
        raise CaptureError(f"the capture is larger than {MAX_CAPTURE >> 20} MiB", hint="cut it into parts")
    if kind in ("pcapng", "pcap") or (kind is None and is_capture(raw)):
        return _read_packets(raw)
    lines = _as_text(raw).splitlines()
    kind = kind or _kind_of(lines)
    match kind:
        case "json":
            return _read_json(lines)
        case "simtrace":
            return _read_simtrace(lines)
        case "qualcomm":
            return _read_qualcomm(lines)
    raise CaptureError("this is no capture of a known format", hint=_HINT)


def _as_text(raw: bytes) -> str:
    """Exports and redirected output of Windows programs are UTF-16, or begin with a byte order mark."""
    is_wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return raw.decode("utf-16" if is_wide else "utf-8-sig", "replace")


def _kind_of(lines: list[str]) -> str:
    for line in lines:
        if line.lstrip().startswith("{"):
            return "json"
        if _SNIFFED.fullmatch(line[:MAX_LINE]):
            return "simtrace"
        if "19B7" in line[:MAX_LINE]:
            return "qualcomm"
    return ""


# JSON lines


def _read_json(lines: list[str]) -> Capture:
    capture = Capture("json")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            capture.steps.append(_json_step(number, line))
        except ValueError as error:
            raise CaptureError(f"line {number}: {error}", hint='write {"cmd": HEX, "sw": "9000", "rlen": 0}') from None
    return capture


def _json_step(number: int, line: str) -> Step:
    if len(line) > MAX_LINE:
        raise ValueError(f"longer than {MAX_LINE} characters")
    try:
        entry: object = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg}") from None
    if not isinstance(entry, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  # one error type for all that is wrong with a line
    if "event" in entry:
        return Reset(number)
    tpdu = _json_hex(entry.get("cmd"), "cmd")
    if not HEADER_LENGTH <= len(tpdu) <= MAX_TPDU:
        raise ValueError(f"cmd has {len(tpdu)} bytes; a command has {HEADER_LENGTH}..{MAX_TPDU}")
    header, brought = tpdu[:HEADER_LENGTH], len(tpdu) - HEADER_LENGTH
    if entry.get("sw") is None:
        return Exchange(number, header, SeenData.TO_CARD if brought else SeenData.UNDECIDED, None)
    sw = _json_hex(entry["sw"], "sw")
    if len(sw) != _STATUS:
        raise ValueError("sw is no status word in hex")
    length = entry.get("rlen")
    answered = length if type(length) is int else len(_json_hex(entry.get("data", ""), "data"))
    word = int.from_bytes(sw)
    return Exchange(number, header, seen_of_answer(brought, answered, word), word)


def _json_hex(value: object, name: str) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{name} is missing or no string")  # noqa: TRY004  # as above
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise ValueError(f"{name} is not hex") from None


# SIMtrace text

#: Flags in brackets mark a line as damaged.
_SNIFFED: Final = re.compile(r"\s*(TPDU|APDU|ATR|Card state change)\s*(\([^)]{1,80}\))?\s*:(.*)")


def _read_simtrace(lines: list[str]) -> Capture:
    capture = Capture("simtrace")
    for number, line in enumerate(lines, start=1):
        found = _SNIFFED.fullmatch(line[:MAX_LINE])
        if found is None:
            continue
        if found[1] in ("ATR", "Card state change"):
            if found[1] == "ATR" or "reset" in found[3] or "card" in found[3]:
                capture.steps.append(Reset(number))
            continue
        raw = None if found[2] else _hex(found[3])
        step = None if raw is None else _of_joined(number, raw)
        if step is None:
            capture.skipped += 1
        else:
            capture.steps.append(step)
    return capture


def _hex(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


# Qualcomm text

#: QXDM: all in one line. QCAT: a heading, then a line with the slot and one with the data.
_SLOT: Final = re.compile(r"\bSLOT_(\d{1,2})\b|\bSlot Id\s*=\s*(\d{1,2})\b")
_DATA: Final = re.compile(r"\b(?:Type\s*=\s*)?(TX|RX) Data\s*=\s*\{([0-9A-Fa-fx,\s]*)\}?")
_NULL: Final = b"\x60"
_PPS_START: Final = b"\xff"
_ATR_STARTS: Final = frozenset({b"\x3b", b"\x3f"})
_MAX_ANSWER: Final = 256 + _STATUS


def _read_qualcomm(lines: list[str]) -> Capture:
    capture = Capture("qualcomm")
    talks: dict[str, _Talk] = {}
    slot = ""
    for number, line in enumerate(lines, start=1):
        text = line[:MAX_LINE]
        if found := _SLOT.search(text):
            slot = found[1] or found[2]
        if (data := _DATA.search(text)) is None:
            continue
        raw = _hex(data[2].replace("0x", "").replace(",", " "))
        if raw is None:
            capture.skipped += 1
            continue
        talk = talks.setdefault(slot, _Talk(slot, capture))
        if data[1] == "TX":
            talk.on_sent(number, raw)
        else:
            talk.on_received(number, raw)
    for talk in talks.values():
        talk.finish()
    return capture


class _Talk:
    """The bytes between one modem and its card: the modem sends header and data, the card procedure bytes and answers.

    Either may come in several lines, or a command with its data in one.
    """

    def __init__(self, card: str, capture: Capture) -> None:
        self._card = card
        self._capture = capture
        self._place = 0
        self._header = b""
        self._brought = 0
        self._answer = bytearray()
        self._is_acknowledged = False

    def on_sent(self, place: int, raw: bytes) -> None:
        """The modem's bytes."""
        if self._is_waiting_for_data and self._brought + len(raw) <= self._header[4]:
            self._brought += len(raw)
            return
        self.finish()
        if raw[:1] == _PPS_START:
            return
        if len(raw) == HEADER_LENGTH or (len(raw) > HEADER_LENGTH and len(raw) == HEADER_LENGTH + raw[4]):
            self._place, self._header, self._brought = place, raw[:HEADER_LENGTH], len(raw) - HEADER_LENGTH
        else:
            self._capture.skipped += 1

    @property
    def _is_waiting_for_data(self) -> bool:
        return self._is_acknowledged and not self._answer

    @property
    def _is_fetching(self) -> bool:
        """The card has said that it goes on, and the modem has sent nothing: the next bytes are data."""
        return self._is_acknowledged and not self._brought

    def on_received(self, place: int, raw: bytes) -> None:
        """The card's bytes."""
        if not self._header:
            if raw[:1] in _ATR_STARTS:
                self._capture.steps.append(Reset(place, self._card))
            return
        if not self._answer and not self._is_fetching:
            raw = raw.lstrip(_NULL)
            if raw and raw[0] in (self._header[1], self._header[1] ^ 0xFF):
                self._is_acknowledged = True
                raw = raw[1:]
        if len(self._answer) + len(raw) <= _MAX_ANSWER:
            self._answer += raw
        if len(self._answer) == (self._header[4] or 256) * self._is_fetching + _STATUS:
            self.finish()

    def finish(self) -> None:
        """The command is over, answered or not."""
        answered = len(self._answer) - _STATUS
        if self._header and answered >= 0:
            sw = int.from_bytes(self._answer[-_STATUS:])
            seen = seen_of_answer(self._brought, answered, sw)
            if self._is_fetching and not answered:
                # Data were about to pass, and the log has lost them.
                seen = SeenData.UNDECIDED
            self._capture.steps.append(Exchange(self._place, self._header, seen, sw, self._card))
        elif self._header:
            self._capture.skipped += 1
        self._header, self._brought, self._is_acknowledged = b"", 0, False
        self._answer.clear()


# Packet captures


def _read_packets(raw: bytes) -> Capture:
    """GSMTAP of SIMs; a packet that has none is passed over, a frame that is no command is counted."""
    capture = Capture("pcapng" if raw[:4] == _PCAPNG else "pcap")
    reader = SimFrames()
    for packet in read_packets(BytesIO(raw)):
        if not packet.is_cut:
            capture.steps += map(_of_frames, reader.on_datagram(packet.number, gsmtap_in(packet)))
    capture.steps += map(_of_frames, reader.finish())
    capture.skipped = reader.left_out[LeftOut.NO_COMMANDS]
    return capture


def _of_frames(step: SimStep) -> Step:
    if isinstance(step, SeenReset):
        return Reset(step.place, step.sender)
    return Exchange(step.place, step.header, step.seen, step.sw, step.sender)
