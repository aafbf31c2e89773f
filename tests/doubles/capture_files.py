# SPDX-License-Identifier: Apache-2.0
"""Small captures, written from what the formats say: pcapng and pcap with GSMTAP, and Qualcomm's texts."""

import struct
from collections.abc import Sequence

GSMTAP_SIM_APDU = bytes.fromhex("02040400000000000000000000000000")
BARE, ETHERNET, NULL_LINK, RAW_IP, LOOP, COOKED, COOKED_2 = 217, 1, 0, 101, 108, 113, 276


def joined(*commands: str) -> list[bytes]:
    """GSMTAP datagrams of commands with all that follows their header."""
    return [GSMTAP_SIM_APDU + bytes.fromhex(command) for command in commands]


def in_udp(payload: bytes, *, port: int = 4729, is_v6: bool = False, fragment: int = 0) -> bytes:
    """An IP packet with this datagram from port 40000; ``fragment`` as in the IPv4 header."""
    datagram = struct.pack(">HHHH", 40000, port, 8 + len(payload), 0) + payload
    if is_v6:
        return (
            struct.pack(">IHBB", 6 << 28, len(datagram), 17, 64) + bytes(15) + b"\x01" + bytes(15) + b"\x01" + datagram
        )
    address = b"\x7f\0\0\1"
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, fragment, 64, 17, 0)
    return head + address + address + datagram


def on_link(link: int, packet: bytes) -> bytes:
    """The packet with the head that its link type puts before it."""
    protocol = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    heads = {
        ETHERNET: bytes(12) + protocol,
        NULL_LINK: b"\x02\0\0\0",
        LOOP: b"\0\0\0\x02",
        COOKED: bytes(14) + protocol,
        COOKED_2: protocol + bytes(18),
    }
    return heads.get(link, b"") + packet


def block(order: str, kind: int, body: bytes) -> bytes:
    """One block of pcapng."""
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + size + body + size


def pcapng(
    link: int, packets: Sequence[bytes], *, order: str = "<", is_simple: bool = False, options: bytes = b""
) -> bytes:
    """One section with one interface that has these options, a block that nobody knows, and the packets."""
    out = block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += block(order, 1, struct.pack(f"{order}HHI", link, 0, 0) + options) + block(order, 0xBAD, b"abc")
    for packet in packets:
        if is_simple:
            out += block(order, 3, struct.pack(f"{order}I", len(packet)) + packet)
        else:
            head = struct.pack(f"{order}IIIII", 0, 0, 0, len(packet), len(packet))
            out += block(order, 6, head + packet)
    return out


def pcap(link: int, packets: Sequence[bytes], *, order: str = "<") -> bytes:
    """The older format."""
    out = struct.pack(f"{order}IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    for packet in packets:
        out += struct.pack(f"{order}IIII", 0, 0, len(packet), len(packet)) + packet
    return out


def qxdm(*lines: tuple[str, str], slot: int = 1) -> str:
    """Qualcomm's log 0x19B7 as QXDM shows it: (TX or RX, bytes in hex) a line."""
    return "\n".join(
        f"[0x19B7]  07:18:00.539235  UIM APDU  {slot}  SLOT_{slot} Type = {way} Data = {{ {_spaced(raw)}  }}"
        for way, raw in lines
    )


def qcat(*lines: tuple[str, str], slot: int = 1) -> str:
    """The same as QCAT exports it: a heading and four lines each."""
    return "\n".join(
        f"2026 Apr 14  00:02:24.427  [70]  0x19B7  UIM APDU\nSubscription ID = {slot}\nSlot Id = SLOT_{slot}\n"
        f"Message Type = {way}\n{way} Data = {{ {_spaced(raw)}  }}\n"
        for way, raw in lines
    )


def _spaced(raw: str) -> str:
    return bytes.fromhex(raw).hex(" ").upper()
