# SPDX-License-Identifier: Apache-2.0
"""Sends trace records as GSMTAP over UDP. Datagrams that are lost are not noticed: a trace delays no card."""

import asyncio
import socket
from typing import Self

from remsim.config import HostPort
from remsim.core.errors import StartError
from remsim.trace.gsmtap import Redactor, TraceRecord, encode_gsmtap, reveal_all


class GsmtapSender:
    """One UDP socket towards a host that runs Wireshark."""

    def __init__(self, sock: socket.socket, redact: Redactor) -> None:
        self._socket = sock
        self._redact = redact
        #: Datagrams that the system did not take.
        self.lost = 0

    @classmethod
    async def open(cls, address: HostPort, *, redact: Redactor = reveal_all) -> Self:
        """Resolve the host and make the socket. Raises StartError."""
        loop = asyncio.get_running_loop()
        sock: socket.socket | None = None
        try:
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
            family, kind, protocol, _, target = found[0]
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(0)
            sock.connect(target)
        except OSError as error:
            if sock is not None:
                sock.close()
            reason = error.strerror or str(error)
            raise StartError(f"cannot send GSMTAP to {address}: {reason}", hint="see --gsmtap HOST[:PORT]") from None
        return cls(sock, redact)

    def send(self, record: TraceRecord) -> None:
        """Send one record, or lose it."""
        shown = self._redact(record)
        if shown is None:
            return
        datagram = encode_gsmtap(shown)
        try:
            try:
                self._socket.send(datagram)
            except ConnectionRefusedError:
                # udp(7): this tells of an earlier datagram, for which nobody listened, and this one was not sent. Who
                # captures needs no listener, so send it now.
                self._socket.send(datagram)
        except OSError:
            # The network is gone, or the buffer is full.
            self.lost += 1

    def close(self) -> None:
        """Free the socket. Idempotent."""
        self._socket.close()
