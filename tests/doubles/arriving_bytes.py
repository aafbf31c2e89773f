# SPDX-License-Identifier: Apache-2.0
"""Tells when bytes have arrived at a port whose program does not read them: looks at the packets of loopback.

``python -m tests.doubles.arriving_bytes PORT HEX`` says ``ready``, and ends when a segment with these bytes has come.
"""

import socket
import sys
from typing import Final

#: if_ether.h
_ETH_P_IP: Final = 0x0800
_TCP: Final = 6


def payload(packet: bytes, port: int) -> bytes:
    """What an IPv4 packet (RFC 791, 3.1) takes to this TCP port (RFC 9293, 3.1)."""
    if packet[9] != _TCP:
        return b""
    segment = packet[4 * (packet[0] & 15) : int.from_bytes(packet[2:4], "big")]
    return segment[4 * (segment[12] >> 4) :] if int.from_bytes(segment[2:4], "big") == port else b""


def main(port: int, wanted: bytes) -> None:
    """Look until they have come."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as packets:
        packets.bind(("lo", _ETH_P_IP))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while wanted not in payload(packets.recv(65536), port):
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]), bytes.fromhex(sys.argv[2]))
