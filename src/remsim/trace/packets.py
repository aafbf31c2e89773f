# SPDX-License-Identifier: Apache-2.0
"""CapturedPacket captures: the packets of a pcap or pcapng file, and the datagrams of GSMTAP in them.

Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, tcpdump.org's registry of link types; RFC 791, 8200, 768. A
file comes from outside and may be long: it is read once, from its beginning to its end, and no more of it is kept than
one packet. What does not fit is an error with its place.
"""

import struct
from collections.abc import Iterator
from typing import IO, Final

from remsim.core.errors import ConfigError
from remsim.core.values import dataclass

#: Wireshark's own limit for a packet; and what a block may have around one.
MAX_PACKET: Final = 1 << 18
_MAX_BLOCK: Final = 2 * MAX_PACKET
_MAX_INTERFACES: Final = 256
_SKIPPED_AT_ONCE: Final = 1 << 16

#: The first four bytes of a pcapng file; and those of a pcap file, with microseconds and with nanoseconds.
_PCAPNG: Final = b"\x0a\x0d\x0d\x0a"
_PCAP_ORDERS: Final = {
    b"\xa1\xb2\xc3\xd4": ">",
    b"\xd4\xc3\xb2\xa1": "<",
    b"\xa1\xb2\x3c\x4d": ">",
    b"\x4d\x3c\xb2\xa1": "<",
}
_PCAP_HEADER, _PCAP_RECORD = 24, 16
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_BYTE_ORDERS: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
#: Type, length, and the length once more.
_AROUND: Final = 12

_NULL_LINK, _ETHERNET, _RAW_IP, _LOOP, _COOKED, _COOKED_2 = 0, 1, 101, 108, 113, 276
_RAW_V4, _RAW_V6 = 228, 229
#: Raw IP as some systems have it in their files.
_RAW_OLD: Final = frozenset({12, 14})
_WITHOUT_HEAD: Final = frozenset({_RAW_IP, _RAW_V4, _RAW_V6}) | _RAW_OLD
#: Packets that are GSMTAP from their first byte on: two types of its own, and the first one for private use.
_BARE: Final = frozenset({217, 218, 147})
_VLAN: Final = frozenset({0x8100, 0x88A8})
_IPV4, _IPV6, _UDP = 0x0800, 0x86DD, 17
#: Headers that may stand between IPv6 and UDP, each with its length in units of eight bytes beyond the first.
_IPV6_OPTIONS: Final = frozenset({0, 43, 60})
_MAX_IPV6_OPTIONS: Final = 8
GSMTAP_PORT: Final = 4729

_COPY_AGAIN: Final = "was it copied as a whole, and has the program that wrote it ended?"


class CaptureError(ConfigError):
    """A capture that cannot be read; the message says where."""


class CutShortError(CaptureError):
    """The capture ends within a packet, as one does whose program was killed. What came before is good."""


@dataclass(frozen=True, slots=True)
class CapturedPacket:
    """``number`` counts from 1. ``is_cut``: the capture has only its beginning."""

    number: int
    link: int
    data: bytes
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Datagram:
    """The payload of a UDP datagram of GSMTAP's port. ``sender`` tells programs apart: address and port, in hex."""

    payload: bytes
    sender: str = ""


def is_capture(beginning: bytes) -> bool:
    """Whether a file that begins with these bytes is a packet capture."""
    return beginning[:4] == _PCAPNG or beginning[:4] in _PCAP_ORDERS


class _Input:
    """A file that is read from its beginning to its end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.at = 0

    def read(self, size: int) -> bytes:
        """Exactly so many bytes, or none at the end. Raises CutShortError."""
        raw = self._stream.read(size)
        if raw and len(raw) < size:
            raise CutShortError(f"it is cut short: byte {self.at + len(raw)} is its last", hint=_COPY_AGAIN)
        self.at += len(raw)
        return raw

    def must_read(self, size: int) -> bytes:
        """Exactly so many bytes. Raises CutShortError."""
        raw = self.read(size)
        if len(raw) < size:
            raise CutShortError(f"it is cut short: byte {self.at} is its last", hint=_COPY_AGAIN)
        return raw

    def skip(self, size: int) -> None:
        while size:
            size -= len(self.must_read(min(size, _SKIPPED_AT_ONCE)))


def read_packets(stream: IO[bytes]) -> Iterator[CapturedPacket]:
    """The packets of a capture, in their order. Raises CaptureError."""
    file = _Input(stream)
    beginning = file.read(4)
    if beginning == _PCAPNG:
        yield from _pcapng(file)
    elif (order := _PCAP_ORDERS.get(beginning)) is not None:
        yield from _pcap(file, order)
    else:
        raise CaptureError(
            "the beginning is not that of a pcap file, nor of a pcapng file", hint="is this a packet capture?"
        )


def _pcap(file: _Input, order: str) -> Iterator[CapturedPacket]:
    header = file.must_read(_PCAP_HEADER - 4)
    # The upper half says whether packets end with a checksum.
    link = int(struct.unpack_from(f"{order}I", header, 16)[0]) & 0xFFFF
    number = 0
    while head := file.read(_PCAP_RECORD):
        kept, whole = (int(size) for size in struct.unpack_from(f"{order}8xII", head))
        if kept > MAX_PACKET:
            raise CaptureError(
                f"the packet at byte {file.at - _PCAP_RECORD} has the length {kept}", hint="is the file damaged?"
            )
        number += 1
        yield CapturedPacket(number, link, file.must_read(kept) if kept else b"", kept < whole)


def _pcapng(file: _Input) -> Iterator[CapturedPacket]:
    """Block by block. ``file`` is behind the type of the first one."""
    order, links, number = "<", list[int](), 0
    kind_raw = _PCAPNG
    while kind_raw:
        start, body = file.at - 4, b""
        size_raw = file.must_read(4)
        if kind_raw == _PCAPNG:
            body = file.must_read(4)
            if (found := _BYTE_ORDERS.get(body)) is None:
                raise CaptureError(f"the section at byte {start} has no byte order", hint="is the file damaged?")
            order, links = found, []
        kind, size = struct.unpack(f"{order}II", kind_raw + size_raw)
        is_kept = kind in (_INTERFACE, _OLD_PACKET, _SIMPLE, _ENHANCED)
        if size < _AROUND + len(body) or size % 4 or (is_kept and size > _MAX_BLOCK):
            raise CaptureError(f"the block at byte {start} has the length {size}", hint="is the file damaged?")
        rest = size - _AROUND - len(body)
        if is_kept:
            body = file.must_read(rest) if rest else b""
        else:
            file.skip(rest)
        if file.must_read(4) != size_raw:
            raise CaptureError(f"the block at byte {start} has two lengths", hint="is the file damaged?")
        if kind == _INTERFACE and len(body) >= 8 and len(links) < _MAX_INTERFACES:
            links.append(int(struct.unpack_from(f"{order}H", body)[0]))
        elif (found_packet := _packet_in(kind, body, order, links)) is not None:
            number += 1
            link, data, is_cut = found_packet
            yield CapturedPacket(number, link, data, is_cut)
        kind_raw = file.read(4)


def _packet_in(kind: int, body: bytes, order: str, links: list[int]) -> tuple[int, bytes, bool] | None:
    """Link type, bytes, and whether they are cut, of a block with a packet; None if it has none that can be used."""
    if kind == _SIMPLE and len(body) >= 4 and links:
        (whole,) = struct.unpack_from(f"{order}I", body)
        data = body[4 : 4 + whole]
        return links[0], data, len(data) < whole
    if kind not in (_ENHANCED, _OLD_PACKET) or len(body) < 20:
        return None
    # The older kind has a shorter number of the interface, and a count of drops.
    form = "I8xII" if kind == _ENHANCED else "H2x8xII"
    interface, kept, whole = (int(word) for word in struct.unpack_from(f"{order}{form}", body))
    if interface >= len(links):
        return None
    data = body[20 : 20 + kept]
    return links[interface], data, len(data) < whole


def gsmtap_in(packet: CapturedPacket) -> Datagram | None:
    """The datagram of GSMTAP's port in a packet; None for everything else."""
    link, data = packet.link, packet.data
    if link in _BARE:
        return Datagram(data)
    if link == _ETHERNET:
        protocol, at = int.from_bytes(data[12:14]), 14
        while protocol in _VLAN and at < len(data):
            protocol, at = int.from_bytes(data[at + 2 : at + 4]), at + 4
    elif link == _COOKED:
        protocol, at = int.from_bytes(data[14:16]), 16
    elif link == _COOKED_2:
        protocol, at = int.from_bytes(data[:2]), 20
    elif link in _WITHOUT_HEAD or link in (_NULL_LINK, _LOOP):
        at = 0 if link in _WITHOUT_HEAD else 4
        protocol = {4: _IPV4, 6: _IPV6}.get(data[at] >> 4, 0) if len(data) > at else 0
    else:
        return None
    return _of_ip(data[at:], protocol)


def _of_ip(packet: bytes, protocol: int) -> Datagram | None:
    if protocol == _IPV4 and len(packet) >= 20:
        # Fragments but for a whole datagram are passed over: GSMTAP fits into one packet.
        is_part = int.from_bytes(packet[6:8]) & 0x3FFF != 0
        head = (packet[0] & 0x0F) * 4
        if packet[9] != _UDP or is_part or head < 20:
            return None
        return _of_udp(packet[12:16], packet[head:])
    if protocol == _IPV6 and len(packet) >= 40:
        source, following, at = packet[8:24], packet[6], 40
        for _ in range(_MAX_IPV6_OPTIONS):
            if following not in _IPV6_OPTIONS or len(packet) < at + 2:
                break
            following, at = packet[at], at + 8 * (packet[at + 1] + 1)
        return _of_udp(source, packet[at:]) if following == _UDP else None
    return None


def _of_udp(source: bytes, datagram: bytes) -> Datagram | None:
    if len(datagram) < 8:
        return None
    port, target, length = struct.unpack_from(">HHH", datagram)
    if GSMTAP_PORT not in (port, target) or not 8 <= length <= len(datagram):
        return None
    return Datagram(datagram[8:length], f"{source.hex()}:{port}")
