# SPDX-License-Identifier: Apache-2.0
"""The protocol of vsmartcard's virtual reader vpcd, at its card's end: messages, and one TCP connection.

Each message is a length of two bytes, big-endian, and a body. From vpcd, a body of one byte is a control (power off,
power on, reset, tell the ATR; only the last is answered), any other a command APDU, answered with the response. vpcd
waits for one card per reader. Used by the bank side's software card and the client side's virtual reader. Knows no
card.
"""

import asyncio
import socket
from collections.abc import Callable
from enum import IntEnum
from typing import Final, cast

from remsim.card.errors import ApduError
from remsim.config import HostPort

_LENGTH_BYTES: Final = 2
MAX_BODY: Final = 0xFFFF


class Control(IntEnum):
    """vpcd's one-byte messages."""

    POWER_OFF = 0x00
    POWER_ON = 0x01
    RESET = 0x02
    GET_ATR = 0x04


def encode_message(body: bytes) -> bytes:
    """Length and body. Raises ApduError if the body is too long for the length field."""
    if len(body) > MAX_BODY:
        raise ApduError(f"message of {len(body)} bytes; {MAX_BODY} are the most")
    return len(body).to_bytes(_LENGTH_BYTES) + body


class MessageDecoder:
    """Bodies out of a stream, in whatever pieces it comes. Holds at most one message that is not whole yet."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take what was read; return the bodies that are whole now, empty ones included."""
        self._buffer += data
        bodies = []
        start = 0
        while len(self._buffer) - start >= _LENGTH_BYTES:
            body_at = start + _LENGTH_BYTES
            end = body_at + int.from_bytes(self._buffer[start:body_at])
            if len(self._buffer) < end:
                break
            bodies.append(bytes(self._buffer[body_at:end]))
            start = end
        del self._buffer[:start]
        return bodies


#: Linux's number; the constant is missing from the module on other systems.
_TCP_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_CONNECT_DEADLINE_S: Final = 5.0

#: Takes a message of vpcd; what it returns, if anything, is sent at once.
MessageHandler = Callable[[bytes], bytes | None]


class VpcdLink(asyncio.Protocol):
    """One connection, from ``connect`` to ``wait_closed``."""

    def __init__(self, handler: MessageHandler) -> None:
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handler = handler
        self._decoder = MessageDecoder()
        self._transport: asyncio.Transport | None = None
        self._is_unwanted = False
        self._socket: socket.socket | None = None

    async def connect(self, address: HostPort) -> None:
        """Be the card of the reader at ``address``. Raises OSError, of which TimeoutError is one."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_DEADLINE_S):
                await loop.create_connection(lambda: self, address.host, address.port)
        except BaseException:
            # uvloop drops the connection of an attempt that is given up at the last moment, without a word to its
            # protocol; a caller that waits for its end would wait for ever.
            self.connection_lost(None)
            raise

    async def wait_closed(self) -> None:
        """Return when the connection is gone, whichever side ended it, or if there never was one."""
        if self._transport is not None:
            # Shielded, so that a waiter who is cancelled does not cancel it for the others.
            await asyncio.shield(self._closed)

    def send(self, body: bytes) -> None:
        """Send one message; nothing happens if the connection is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode_message(body))

    def close(self) -> None:
        """Hang up: vpcd sees its card pulled. Messages that are not handled yet are dropped."""
        self._is_unwanted = True
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up."""
        # uvloop's transports have the methods of asyncio.Transport and are no subclass.
        self._transport = cast(asyncio.Transport, transport)
        self._socket = transport.get_extra_info("socket")
        if self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._acknowledge_quickly()
        if self._is_unwanted:
            # uvloop finishes an attempt that was cancelled too late; nobody else knows of this connection.
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Handle what is whole."""
        self._acknowledge_quickly()
        for body in self._decoder.feed(data):
            if self._transport is None or self._transport.is_closing():
                return
            answer = self._handler(body)
            if answer is not None:
                self.send(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is down."""
        if not self._closed.done():
            self._closed.set_result(None)

    def _acknowledge_quickly(self) -> None:
        # vpcd sends length and body separately; with delayed acknowledgements each command would take 40 ms. The
        # kernel forgets this option, so it is set again after every read (tcp(7)).
        if self._socket is not None and _TCP_QUICKACK is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _TCP_QUICKACK, 1)
