# SPDX-License-Identifier: Apache-2.0
"""CCM, the control messages beside RSPRO: PING, PONG and the identity exchange (rspro.md, section 3)."""

from enum import IntEnum
from typing import Final

from remsim.wire import ipa


class CcmType(IntEnum):
    """First byte of a CCM message."""

    PING = 0x00
    PONG = 0x01
    ID_GET = 0x04
    ID_RESP = 0x05
    ID_ACK = 0x06
    ID_NACK = 0x07


PING: Final = ipa.encode_ccm(bytes((CcmType.PING,)))
PONG: Final = ipa.encode_ccm(bytes((CcmType.PONG,)))
ID_ACK: Final = ipa.encode_ccm(bytes((CcmType.ID_ACK,)))

_UNIT_ID: Final = 0x08
#: Tag to the value that every program answers; a value goes out with a final NUL.
_IDENTITY: Final[dict[int, bytes]] = {
    0x00: b"",  # serial number
    0x01: b"00-00-00-00-00-00",  # unit name
    0x02: b"",  # location 1
    0x03: b"",  # location 2
    0x04: b"",  # equipment version
    0x05: b"",  # software version
    0x06: b"",  # IP address
    0x07: b"00:00:00:00:00:00",  # MAC address
    _UNIT_ID: b"0/0/0",
}

#: Asks for the unit id only: a tag that a classic program does not know kills it.
ID_GET: Final = ipa.encode_ccm(bytes((CcmType.ID_GET, 0x01, _UNIT_ID)))


def answer_id_get(rest: bytes) -> bytes:
    """Frames that answer an ID_GET whose bytes behind the type are ``rest``: ID_RESP, then ID_ACK.

    ``rest`` repeats 01 and a tag. Tags that are not known, repeated ones, and half a tag at the end are skipped.
    """
    response = bytearray((CcmType.ID_RESP,))
    for tag in dict.fromkeys(rest[1::2]):
        value = _IDENTITY.get(tag)
        if value is not None:
            response += (len(value) + 2).to_bytes(2, "big") + bytes((tag,)) + value + b"\0"
    return ipa.encode_ccm(bytes(response)) + ID_ACK
