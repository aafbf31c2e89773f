# SPDX-License-Identifier: Apache-2.0
"""Messages between vsmartcard's vpcd, a virtual reader, and the card that has connected to it.

Each message is a length of two bytes, big-endian, and a body. From vpcd, a body of one byte is a control (power off,
power on, reset, tell the ATR; only the last is answered), any other a command APDU, answered with the response. Knows
neither socket nor card.
"""

from enum import IntEnum
from typing import Final

from remsim.card.errors import ApduError

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
