# SPDX-License-Identifier: Apache-2.0
"""IPA framing: a byte stream to frames and back (rspro.md, section 2).

A frame is a big-endian length of 16 bits, a protocol byte and the payload. Two protocols are in use: CCM, and the
extension protocol whose first payload byte says RSPRO. Everything else ends the link.
"""

from typing import Final

from remsim.wire.errors import FrameError, FrameSizeError, LocalProtocolError
from remsim.wire.link.foreign import LOOKED_AT, foreign_protocol

CCM: Final = 0xFE
EXTENSION: Final = 0xEE
RSPRO: Final = 0x07

HEADER_SIZE: Final = 3
#: The length field has 16 bits.
MAX_PAYLOAD: Final = 0xFFFF
#: A classic server closes the link on a longer frame, a classic client dies of it.
MAX_CLASSIC_FRAME: Final = 1024


def encode_rspro(pdu: bytes) -> bytes:
    """The frame of one RSPRO PDU. Raises LocalProtocolError beyond MAX_PAYLOAD."""
    size = len(pdu) + 1
    if size > MAX_PAYLOAD:
        raise LocalProtocolError(f"a PDU of {len(pdu)} bytes does not fit into a frame")
    return b"%c%c\xee\x07%b" % (size >> 8, size & 0xFF, pdu)


def encode_ccm(payload: bytes) -> bytes:
    """The frame of one CCM message. Raises LocalProtocolError if empty or beyond MAX_PAYLOAD."""
    if not 0 < len(payload) <= MAX_PAYLOAD:
        raise LocalProtocolError(f"a CCM message of {len(payload)} bytes cannot be sent")
    return b"%c%c\xfe%b" % (len(payload) >> 8, len(payload) & 0xFF, payload)


class FrameReader:
    """Cuts a stream into frames, however the network cut it."""

    def __init__(self, *, max_payload: int = MAX_PAYLOAD) -> None:
        #: What has arrived and is not taken yet. Not to be changed.
        self.buffer = bytearray()
        #: Longer frames are refused as soon as their length is read.
        self.max_payload = max_payload

    def receive_data(self, data: bytes) -> None:
        """Take what arrived."""
        self.buffer += data

    def next_frame(self) -> tuple[bool, bytes] | None:
        """The next whole frame as (is it RSPRO, payload), else None. For RSPRO the payload is the PDU.

        Raises FrameError on an empty frame, an unknown protocol or one that is too long, as soon as it can be seen.
        """
        buffer = self.buffer
        if len(buffer) < HEADER_SIZE:
            return None
        length = buffer[0] << 8 | buffer[1]
        protocol = buffer[2]
        if protocol not in (EXTENSION, CCM):
            foreign = foreign_protocol(bytes(buffer[:LOOKED_AT]))
            raise FrameError(foreign or f"unknown IPA protocol {protocol:02X}")
        if length == 0:
            raise FrameError(f"empty frame of protocol {protocol:02X}")
        if length > self.max_payload:
            raise FrameSizeError(f"frame of {length} bytes, at most {self.max_payload} allowed")
        if protocol == EXTENSION and len(buffer) > HEADER_SIZE and buffer[HEADER_SIZE] != RSPRO:
            raise FrameError(f"unknown IPA extension protocol {buffer[HEADER_SIZE]:02X}")
        end = HEADER_SIZE + length
        if len(buffer) < end:
            return None
        is_rspro = protocol == EXTENSION
        payload = bytes(buffer[HEADER_SIZE + is_rspro : end])
        del buffer[:end]
        return is_rspro, payload
