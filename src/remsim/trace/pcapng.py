# SPDX-License-Identifier: Apache-2.0
"""Captures for Wireshark: GSMTAP in UDP in IPv4, in the format pcapng (draft-ietf-opsawg-pcapng). Bytes in, bytes out.

The GSMTAP part is byte for byte what ``gsmtap`` sends. Each packet carries a comment with what GSMTAP has no place for.
"""

import struct
from typing import Final

from remsim import __version__
from remsim.card.status import SwKind, describe_sw, sw_kind
from remsim.core.values import dataclass
from remsim.trace.gsmtap import TraceRecord, encode_gsmtap

#: SW1 and SW2.
SW_LENGTH: Final = 2

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER: Final = 0x1A2B3C4D
#: Raw IPv4 (the registry of link types of tcpdump.org).
_LINKTYPE_IPV4: Final = 228
#: Options: the end, a comment, and of a section the program that wrote it, of an interface its name.
_END, _COMMENT, _APPLICATION, _NAME = 0, 1, 4, 2
_MAX_COMMENT: Final = 1000
_LOOPBACK: Final = bytes((127, 0, 0, 1))
_GSMTAP_PORT: Final = 4729
_UDP: Final = 17
_IP_HEADER, _UDP_HEADER = 20, 8
#: Longer ones are not made here: an answer has at most 258 bytes.
MAX_PACKET: Final = 65535


@dataclass(frozen=True, slots=True)
class CapturePacket:
    """One record at its time, in seconds since 1970-01-01 UTC, with what else is to be said of it."""

    at: float
    record: TraceRecord
    comment: str = ""


def refusal_words(response: bytes) -> str:
    """What a card says that refuses a command: Wireshark does not show it where it expects data. Empty: it does not."""
    sw = int.from_bytes(response)
    is_refused = len(response) == SW_LENGTH and sw_kind(sw) is SwKind.ERROR
    return f"refused: {sw:04X} {describe_sw(sw)}" if is_refused else ""


def file_header(name: str) -> bytes:
    """What every file begins with: its section, and the one interface, called ``name``."""
    length_unknown = struct.pack("<q", -1)
    section = struct.pack("<IHH", _BYTE_ORDER, 1, 0) + length_unknown
    section += _option(_APPLICATION, f"remsim {__version__}") + _option(_END, "")
    interface = struct.pack("<HHI", _LINKTYPE_IPV4, 0, 0) + _option(_NAME, name) + _option(_END, "")
    return _block(_SECTION, section) + _block(_INTERFACE, interface)


def packet_block(packet: CapturePacket) -> bytes:
    """One packet, behind ``file_header``."""
    raw = _datagram(encode_gsmtap(packet.record))
    microseconds = max(0, round(packet.at * 1e6))
    head = struct.pack("<IIIII", 0, microseconds >> 32, microseconds & 0xFFFFFFFF, len(raw), len(raw))
    options = b""
    if packet.comment:
        options = _option(_COMMENT, packet.comment[:_MAX_COMMENT]) + _option(_END, "")
    return _block(_PACKET, head + _padded(raw) + options)


def _datagram(payload: bytes) -> bytes:
    length = _IP_HEADER + _UDP_HEADER + len(payload)
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, _UDP, 0, _LOOPBACK, _LOOPBACK)
    head = head[:10] + struct.pack(">H", _checksum(head)) + head[12:]
    # RFC 768: a checksum of 0 says that there is none.
    return head + struct.pack(">HHHH", _GSMTAP_PORT, _GSMTAP_PORT, _UDP_HEADER + len(payload), 0) + payload


def _checksum(head: bytes) -> int:
    """Of an IPv4 header (RFC 791, 3.1)."""
    total = sum(int.from_bytes(head[place : place + 2]) for place in range(0, len(head), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _option(code: int, text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    return struct.pack("<HH", code, len(raw)) + _padded(raw)


def _padded(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length
