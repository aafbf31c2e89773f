# SPDX-License-Identifier: Apache-2.0
"""GSMTAP datagrams: received from a bankd, and as capture files for tshark."""

import socket
import struct
import threading
from collections.abc import Iterable


def pcap(datagrams: Iterable[bytes]) -> bytes:
    """A capture file (raw IPv4) with these UDP payloads to port 4729."""
    packets = b""
    for data in datagrams:
        udp = struct.pack(">HHHH", 4729, 4729, 8 + len(data), 0) + data
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), bytes(4)) + udp
        packets += struct.pack("<IIII", 0, 0, len(ip), len(ip)) + ip
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 228) + packets


class Datagrams:
    """A UDP socket that collects in a thread of its own, so that nothing is lost while the test works."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.received: list[bytes] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while data := self._socket.recv(2048):
            self.received.append(data)

    def close(self) -> None:
        """What was sent before is received."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()
