# SPDX-License-Identifier: Apache-2.0
"""Recorded APDU logs of several makes as one list of commands, each with the way its data went.

JSON lines are those of ``remsim client script`` and its ``--dump``; packet captures (pcapng or pcap) hold GSMTAP in UDP
or bare; text is that of SIMtrace 2's sniffer, or Qualcomm's log 0x19B7 as QXDM and QCAT export it. All of it comes from
outside: work and memory are bounded by the length of the input, and what cannot be read is an error or is counted.
"""

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from remsim.card.tpdu import HEADER_LENGTH, MAX_TPDU
from remsim.core.errors import ConfigError

MAX_CAPTURE: Final = 64 << 20
#: A line of text: header, 256 bytes in hex with blanks, and what stands before them.
MAX_LINE: Final = 4096

_STATUS: Final = 2
_INS_GET_RESPONSE: Final = 0xC0
_SW1_MORE: Final = frozenset({0x61, 0x9F})
_SW1_LENGTH: Final = 0x6C
_SW1_ERROR: Final = frozenset(range(0x64, 0x70)) - {_SW1_LENGTH}
_HINT: Final = "JSON lines, pcapng or pcap with GSMTAP, SIMtrace text and Qualcomm 0x19B7 text are read"


class CaptureError(ConfigError):
    """A capture that cannot be read; the message says where."""


class Seen(Enum):
    """Which way the data of a command really went."""

    TO_CARD = "data to the card"
    FROM_CARD = "no data to the card"
    #: The capture does not tell: P3 bytes and a status word may be either, and so may a refusal alone.
    UNDECIDED = "not told"


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
    seen: Seen
    sw: int | None
    card: str = ""


Step = Reset | Exchange


@dataclass(slots=True)
class Capture:
    """What was read, and how many lines or packets of the right kind were no commands that could be used."""

    kind: str
    steps: list[Step] = field(default_factory=list)
    skipped: int = 0


def seen_of_answer(brought: int, answered: int, sw: int) -> Seen:
    """The way of a command's data where the recorder told data of the command and of the answer apart."""
    if brought:
        return Seen.TO_CARD
    if not answered and sw >> 8 in _SW1_ERROR:
        # Refused before anybody had to send data.
        return Seen.UNDECIDED
    return Seen.FROM_CARD


def seen_of_joined(header: bytes, behind: int, sw: int) -> Seen:
    """The way of a command's data where all that follows the header is one row of ``behind`` bytes and a status word.

    P3 bytes and a status word may be either; 61xx and 9Fxx behind them speak of an answer still to be fetched.
    """
    p3 = header[4]
    if behind == 0:
        return Seen.FROM_CARD if sw >> 8 == _SW1_LENGTH else Seen.UNDECIDED
    if p3 == 0 or behind < p3:
        return Seen.FROM_CARD
    if behind > p3:
        return Seen.TO_CARD
    return Seen.TO_CARD if sw >> 8 in _SW1_MORE and header[1] != _INS_GET_RESPONSE else Seen.UNDECIDED


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
    kind = kind or _kind_of(raw)
    if kind in ("pcapng", "pcap"):
        return _read_packets(raw, kind)
    lines = raw.decode("utf-8", "replace").splitlines()
    match kind:
        case "json":
            return _read_json(lines)
        case "simtrace":
            return _read_simtrace(lines)
        case "qualcomm":
            return _read_qualcomm(lines)
    raise CaptureError("this is no capture of a known format", hint=_HINT)


def _kind_of(raw: bytes) -> str:
    if raw[:4] == _PCAPNG:
        return "pcapng"
    if raw[:4] in _PCAP_ORDERS:
        return "pcap"
    for line in raw[: 1 << 20].decode("utf-8", "replace").splitlines():
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
        return Exchange(number, header, Seen.TO_CARD if brought else Seen.UNDECIDED, None)
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
                seen = Seen.UNDECIDED
            self._capture.steps.append(Exchange(self._place, self._header, seen, sw, self._card))
        elif self._header:
            self._capture.skipped += 1
        self._header, self._brought, self._is_acknowledged = b"", 0, False
        self._answer.clear()


# Packet captures

_PCAPNG: Final = b"\x0a\x0d\x0d\x0a"
_PCAP_ORDERS: Final = {
    b"\xa1\xb2\xc3\xd4": ">",
    b"\xd4\xc3\xb2\xa1": "<",
    b"\xa1\xb2\x3c\x4d": ">",
    b"\x4d\x3c\xb2\xa1": "<",
}
_SECTION, _INTERFACE, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 3, 6
_BYTE_ORDER: Final = 0x1A2B3C4D
_MAX_INTERFACES: Final = 256

_NULL_LINK, _ETHERNET, _RAW_IP, _LOOP, _COOKED, _COOKED_2 = 0, 1, 101, 108, 113, 276
_RAW_V4, _RAW_V6 = 228, 229
#: Packets that are GSMTAP from their first byte on: two types of its own, and the first one for private use.
_BARE: Final = frozenset({217, 218, 147})
_VLAN: Final = frozenset({0x8100, 0x88A8})
_IPV4, _IPV6, _UDP = 0x0800, 0x86DD, 17
_GSMTAP_PORT: Final = 4729
_GSMTAP_VERSION, _GSMTAP_SIM = 2, 4
_SUB_APDU, _SUB_ATR = 0, 1
_GSMTAP_HEADER: Final = 16
_GSMTAP_SUB_TYPE: Final = 12


def _read_packets(raw: bytes, kind: str) -> Capture:
    capture = Capture(kind)
    packets = _pcapng_packets(raw) if kind == "pcapng" else _pcap_packets(raw)
    for number, (link, packet) in enumerate(packets, start=1):
        payload = packet if link in _BARE else _udp_payload(link, packet)
        if payload is None or len(payload) < _GSMTAP_HEADER or payload[0] != _GSMTAP_VERSION:
            continue
        length = payload[1] * 4
        if payload[2] != _GSMTAP_SIM or not _GSMTAP_HEADER <= length <= len(payload):
            continue
        body = payload[length:]
        step: Step | None = None
        if payload[_GSMTAP_SUB_TYPE] == _SUB_ATR:
            step = Reset(number)
        elif payload[_GSMTAP_SUB_TYPE] == _SUB_APDU:
            step = _of_joined(number, body)
        if step is None:
            capture.skipped += 1
        else:
            capture.steps.append(step)
    return capture


def _pcap_packets(raw: bytes) -> Iterator[tuple[int, bytes]]:
    order = _PCAP_ORDERS.get(raw[:4])
    if order is None or len(raw) < 24:
        raise CaptureError("the beginning is not that of a pcap file", hint=_HINT)
    (link,) = struct.unpack_from(f"{order}I", raw, 20)
    at = 24
    while at < len(raw):
        if len(raw) - at < 16:
            raise CaptureError(f"the packet at byte {at} is cut short", hint="copy the file again")
        (size,) = struct.unpack_from(f"{order}I", raw, at + 8)
        if size > len(raw) - at - 16:
            raise CaptureError(f"the packet at byte {at} is cut short", hint="copy the file again")
        yield link & 0xFFFF, raw[at + 16 : at + 16 + size]
        at += 16 + size


def _pcapng_packets(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Link type and bytes of each packet, block by block."""
    order, links, at = "<", list[int](), 0
    while at < len(raw):
        if len(raw) - at < 12:
            raise CaptureError(f"the block at byte {at} is cut short", hint="copy the file again")
        if raw[at : at + 4] == _PCAPNG:
            order = "<" if raw[at + 8 : at + 12] == _BYTE_ORDER.to_bytes(4, "little") else ">"
            links = []
        kind, size = struct.unpack_from(f"{order}II", raw, at)
        if size < 12 or size % 4 or size > len(raw) - at:
            raise CaptureError(f"the block at byte {at} has the length {size}", hint="copy the file again")
        body = raw[at + 8 : at + size - 4]
        if kind == _INTERFACE and len(body) >= 8 and len(links) < _MAX_INTERFACES:
            links.append(int(struct.unpack_from(f"{order}H", body)[0]))
        elif kind == _ENHANCED and len(body) >= 20:
            number, length = (int(word) for word in struct.unpack_from(f"{order}I8xI", body))
            if number < len(links):
                yield links[number], body[20 : 20 + length]
        elif kind == _SIMPLE and len(body) >= 4 and links:
            (length,) = struct.unpack_from(f"{order}I", body)
            yield links[0], body[4 : 4 + length]
        at += size


def _udp_payload(link: int, packet: bytes) -> bytes | None:
    """The payload of a UDP datagram of GSMTAP's port; None for everything else."""
    if link == _ETHERNET:
        protocol, at = int.from_bytes(packet[12:14]), 14
        while protocol in _VLAN and at < len(packet):
            protocol, at = int.from_bytes(packet[at + 2 : at + 4]), at + 4
    elif link == _COOKED:
        protocol, at = int.from_bytes(packet[14:16]), 16
    elif link == _COOKED_2:
        protocol, at = int.from_bytes(packet[:2]), 20
    elif link in (_RAW_IP, _RAW_V4, _RAW_V6, _NULL_LINK, _LOOP):
        at = 4 if link in (_NULL_LINK, _LOOP) else 0
        protocol = {4: _IPV4, 6: _IPV6}.get(packet[at] >> 4, 0) if len(packet) > at else 0
    else:
        return None
    return _of_ip(packet[at:], protocol)


def _of_ip(packet: bytes, protocol: int) -> bytes | None:
    if protocol == _IPV4 and len(packet) >= 20:
        # Fragments but for a whole datagram are passed over: GSMTAP fits into one packet.
        is_part = int.from_bytes(packet[6:8]) & 0x3FFF != 0
        return None if packet[9] != _UDP or is_part else _of_udp(packet[(packet[0] & 0x0F) * 4 :])
    if protocol == _IPV6 and len(packet) >= 40 and packet[6] == _UDP:
        return _of_udp(packet[40:])
    return None


def _of_udp(datagram: bytes) -> bytes | None:
    if len(datagram) < 8:
        return None
    source, target, length = struct.unpack_from(">HHH", datagram)
    if _GSMTAP_PORT not in (source, target) or not 8 <= length <= len(datagram):
        return None
    return datagram[8:length]
