# SPDX-License-Identifier: Apache-2.0
"""SIMtrace2 messages and USB transfers: how messages are rebuilt from packets, and how one is sent (simtrace2.md, 6).

IN: a message begins on a packet boundary and ends with a short packet, but for those of 128, 192 and 256 bytes, which
have no end marker. So transfers of exactly one packet are read, and the length field alone says where a message ends.
OUT: the device collects packets until a short one; a message of n × 64 bytes needs a zero-length packet behind it.
Does no I/O.
"""

from typing import Final

from remsim.core.limits import LimitName
from remsim.core.values import dataclass
from remsim.emulators.errors import UnsafeFrameError
from remsim.emulators.simtrace2.header import HEADER_SIZE, MAX_MESSAGE, Message, message_length
from remsim.emulators.simtrace2.messages import MAX_ATR, BoardSetAtr, TpduFlag, TxData

#: wMaxPacketSize of all endpoints, and the size of every IN transfer.
PACKET_SIZE: Final = 64


@dataclass(frozen=True, slots=True)
class StreamFault:
    """Bytes that are no message. ``data`` was dropped; the next packet begins afresh."""

    reason: str
    data: bytes
    #: The limit that was reached, to be counted.
    limit: LimitName | None = None


class MessageReader:
    """Rebuilds the messages of one IN endpoint from its packets."""

    def __init__(self) -> None:
        self._buffer = b""

    def clear(self) -> None:
        """Forget a message that has begun: the device is gone or restarted."""
        self._buffer = b""

    def receive_packet(self, packet: bytes) -> list[bytes | StreamFault]:
        """Take one packet (or a longer transfer that ends with one) and return whole messages and faults, in order."""
        found: list[bytes | StreamFault] = []
        buffer = self._buffer + packet
        while len(buffer) >= HEADER_SIZE:
            length = message_length(buffer)
            if not HEADER_SIZE <= length <= MAX_MESSAGE:
                limit = LimitName.USB_MESSAGE if length > MAX_MESSAGE else None
                text = f"length field {length} is outside {HEADER_SIZE}..{MAX_MESSAGE}"
                found.append(StreamFault(text, buffer, limit))
                buffer = b""
            elif len(buffer) < length:
                break
            else:
                found.append(buffer[:length])
                buffer = buffer[length:]
        if buffer and packet and len(packet) % PACKET_SIZE:
            # A short packet ends a message; a rest means that bytes were lost.
            found.append(StreamFault("a short packet ends the transfer in the middle of a message", buffer))
            buffer = b""
        self._buffer = buffer
        return found


@dataclass(frozen=True, slots=True)
class OutTransfer:
    """One bulk OUT transfer."""

    data: bytes

    @property
    def has_zero_packet(self) -> bool:
        """Whether a zero-length packet must follow, without which the device would wait for more."""
        return len(self.data) % PACKET_SIZE == 0


def encode_transfer(message: Message) -> OutTransfer:
    """The transfer for one message. Raises UnsafeFrameError for what would hang or confuse a device (6.3)."""
    if isinstance(message, TxData):
        _check_tx_data(message)
    if isinstance(message, BoardSetAtr) and not 1 <= len(message.atr) <= MAX_ATR:
        raise UnsafeFrameError(f"ATR of {len(message.atr)} bytes: the device would keep another one silently")
    return OutTransfer(message.to_bytes())


def _check_tx_data(message: TxData) -> None:
    if not message.data:
        raise UnsafeFrameError("TxData without data: the device would send thousands of zero characters")
    if message.flags & TpduFlag.PB_AND_RX and (len(message.data) != 1 or message.flags != TpduFlag.PB_AND_RX):
        raise UnsafeFrameError(f"TxData asks for data with {len(message.data)} bytes and flags {message.flags:#x}")
    if not message.flags & (TpduFlag.PB_AND_RX | TpduFlag.PB_AND_TX):
        raise UnsafeFrameError(f"TxData with flags {message.flags:#x} says not what comes behind the procedure byte")
