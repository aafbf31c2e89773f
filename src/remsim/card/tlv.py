# SPDX-License-Identifier: Apache-2.0
"""BER-TLV as cards use it: definite lengths, tags of one to three bytes (ISO/IEC 7816-4, clause 5.2.2)."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from remsim.card.errors import TlvError

#: Value lengths fit 81 xx, 82 xx xx or 83 xx xx xx.
_MAX_LENGTH_BYTES: Final = 3
_MAX_TAG_BYTES: Final = 3


class Tlv(NamedTuple):
    """One data object; ``tag`` is the number that the tag bytes form, such as 0x62 or 0x5F2D."""

    tag: int
    value: bytes


def encode_tlv(tag: int, value: bytes) -> bytes:
    """Tag, shortest length, value."""
    return encode_tag(tag) + encode_length(len(value)) + value


def encode_tag(tag: int) -> bytes:
    """The bytes of a tag number."""
    return tag.to_bytes(max(1, (tag.bit_length() + 7) // 8))


def encode_length(length: int) -> bytes:
    """The shortest BER length."""
    if length < 0x80:
        return bytes((length,))
    raw = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((0x80 | len(raw),)) + raw


def read_tag(data: bytes, position: int) -> tuple[int, int]:
    """Return tag and the position behind it. Raises TlvError."""
    if position >= len(data):
        raise TlvError("a tag is missing")
    tag = data[position]
    end = position + 1
    if tag & 0x1F == 0x1F:
        while True:
            if end >= len(data) or end - position >= _MAX_TAG_BYTES:
                raise TlvError(f"the tag at byte {position} is cut short or too long")
            tag = tag << 8 | data[end]
            end += 1
            if not data[end - 1] & 0x80:
                break
    return tag, end


def read_length(data: bytes, position: int) -> tuple[int, int]:
    """Return a definite length and the position behind it. Raises TlvError."""
    if position >= len(data):
        raise TlvError("a length is missing")
    first = data[position]
    if first < 0x80:
        return first, position + 1
    count = first & 0x7F
    end = position + 1 + count
    if not 1 <= count <= _MAX_LENGTH_BYTES or end > len(data):
        raise TlvError(f"the length at byte {position} is cut short, too long or indefinite")
    return int.from_bytes(data[position + 1 : end]), end


def iter_tlvs(data: bytes) -> Iterator[Tlv]:
    """Walk over the data objects of ``data``. Raises TlvError on reaching one that is cut short."""
    position = 0
    while position < len(data):
        tag, position = read_tag(data, position)
        length, position = read_length(data, position)
        if position + length > len(data):
            raise TlvError(f"tag {tag:X} announces {length} bytes and has {len(data) - position}")
        yield Tlv(tag, bytes(data[position : position + length]))
        position += length


def parse_tlvs(data: bytes) -> list[Tlv]:
    """All data objects of ``data``. Raises TlvError."""
    return list(iter_tlvs(data))
