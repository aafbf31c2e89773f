# SPDX-License-Identifier: Apache-2.0
"""Capture files for tshark, made of GSMTAP datagrams."""

import struct
from collections.abc import Iterable


def pcap(datagrams: Iterable[bytes]) -> bytes:
    """A capture file (raw IPv4) with these UDP payloads to port 4729."""
    packets = b""
    for data in datagrams:
        udp = struct.pack(">HHHH", 4729, 4729, 8 + len(data), 0) + data
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), bytes(4)) + udp
        packets += struct.pack("<IIII", 0, 0, len(ip), len(ip)) + ip
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 228) + packets
