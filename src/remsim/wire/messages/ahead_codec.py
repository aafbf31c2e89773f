# SPDX-License-Identifier: Apache-2.0
"""The two messages of answers ahead, fast: while a modem starts, there is one of each for nearly every command.

As ``fast_codec``: what is encoded is what the general codec gives, and decoding takes only that; anything else is left
to the general codec. No tables grow here.
"""

from typing import Final

from remsim.wire.messages import ber
from remsim.wire.messages.extensions import MAX_AHEAD, AheadInd, AheadUsedInd
from remsim.wire.messages.rspro import (
    MAX_COMMAND,
    MAX_OPERATION_TAG,
    MAX_RESPONSE,
    MIN_COMMAND,
    MIN_RESPONSE,
    RsproPdu,
)

AheadMessage = AheadInd | AheadUsedInd

_VERSION_AND_TAG: Final = b"\x80\x01\x02\x81"
#: Identifiers of the alternatives 50 and 51: context tags in the form of two bytes.
_AHEAD, _USED = b"\xbf\x32", b"\xbf\x33"
#: A PDU with both strings and all numbers at their longest is shorter; one with the shortest of all is no shorter.
_LONGEST: Final = 600
_SHORTEST: Final = 19
_LENGTHS: Final = tuple(ber.encode_length(length) for length in range(_LONGEST))
#: By the first byte of a length: of how many bytes it is.
_SIZE_OF_LENGTH: Final = {**dict.fromkeys(range(0x80), 1), 0x81: 2, 0x82: 3}


def _number(value: int) -> bytes:
    """A whole number from 0 on without its identifier."""
    size = value.bit_length() // 8 + 1
    return bytes((size,)) + value.to_bytes(size)


def encode(tag: int, message: AheadMessage) -> bytes | None:
    """DER of a PDU of the current version with this message; None if anything in it is out of range."""
    if not (0 <= tag <= MAX_OPERATION_TAG and 0 <= message.base <= MAX_OPERATION_TAG):
        return None
    if isinstance(message, AheadInd):
        command, response = message.command, message.response
        is_sound = MIN_COMMAND <= len(command) <= MAX_COMMAND and MIN_RESPONSE <= len(response) <= MAX_RESPONSE
        if not is_sound or not 1 <= message.index <= MAX_AHEAD:
            return None
        strings = (b"\x04", _LENGTHS[len(command)], command, b"\x04", _LENGTHS[len(response)], response)
        content = b"".join((b"\x02", _number(message.base), b"\x02", _number(message.index), *strings))
        alternative = _AHEAD
    else:
        if not 1 <= message.count <= MAX_AHEAD:
            return None
        content = b"".join((b"\x02", _number(message.base), b"\x02", _number(message.count)))
        alternative = _USED
    size = len(content)
    wrapper = b"".join((_VERSION_AND_TAG, _number(tag), b"\xa2", _LENGTHS[2 + len(_LENGTHS[size]) + size], alternative))
    return b"".join((b"\x30", _LENGTHS[len(wrapper) + len(_LENGTHS[size]) + size], wrapper, _LENGTHS[size], content))


def decode(pdu: bytes) -> RsproPdu | None:
    """The PDU if ``pdu`` is what ``encode`` gives, else None. Never raises."""
    if not _SHORTEST <= len(pdu) <= _LONGEST:
        return None
    try:
        return _decode(pdu)
    except (IndexError, KeyError):
        return None


def _decode(pdu: bytes) -> RsproPdu | None:
    """Raises IndexError and KeyError where it is no such PDU."""
    tag_at = 1 + _SIZE_OF_LENGTH[pdu[1]] + len(_VERSION_AND_TAG)
    tag, at = _read_number(pdu, tag_at)
    alternative_at = at + 1 + _SIZE_OF_LENGTH[pdu[at + 1]]
    alternative = pdu[alternative_at : alternative_at + 2]
    if alternative not in (_AHEAD, _USED):
        return None
    base, at = _read_number(pdu, alternative_at + 3 + _SIZE_OF_LENGTH[pdu[alternative_at + 2]])
    number, at = _read_number(pdu, at + 1)
    message: AheadMessage
    if alternative == _USED:
        message = AheadUsedInd(base, number)
    else:
        command, at = _read_string(pdu, at + 1)
        response, at = _read_string(pdu, at + 1)
        message = AheadInd(base, number, command, response)
    # Everything that was passed over stands as it has to.
    return RsproPdu(tag, message) if encode(tag, message) == pdu else None


def _read_number(pdu: bytes, length_at: int) -> tuple[int, int]:
    """A number whose length stands here, and the place behind it."""
    end = length_at + 1 + pdu[length_at]
    return int.from_bytes(pdu[length_at + 1 : end]), end


def _read_string(pdu: bytes, length_at: int) -> tuple[bytes, int]:
    """A string whose length stands here, and the place behind it."""
    size = _SIZE_OF_LENGTH[pdu[length_at]]
    start = length_at + size
    length = pdu[length_at] if size == 1 else int.from_bytes(pdu[length_at + 1 : start])
    return pdu[start : start + length], start + length
