# SPDX-License-Identifier: Apache-2.0
"""BER identifiers, lengths and values (ITU-T X.690); nothing about messages.

Identifiers are kept as the integer of their bytes: ``0x30`` is a SEQUENCE, ``0xA2`` context tag 2 in constructed
form, ``0xBF28`` context tag 40 in constructed form. The reader accepts all of BER, the writer emits DER.
"""

from typing import Final

from remsim.wire.errors import DecodeError

#: Constructed elements nested deeper than this are refused: no message nests deeper than eight, and a legal extension
#: hardly more. It bounds what a hostile peer can make us walk through.
MAX_DEPTH: Final = 256

#: X.690, 8.3 allows any number of bytes; eight hold every number of this protocol with room for leading zeros.
MAX_INTEGER_BYTES: Final = 8

#: More identifier bytes than this give a tag number beyond 2^28, which nobody uses.
_MAX_IDENTIFIER_BYTES: Final = 5

CONSTRUCTED: Final = 0x20
_END_OF_CONTENTS: Final = 0x00


class Element:
    """One element: ``value`` holds the content bytes of a primitive one, ``children`` those of a constructed one."""

    __slots__ = ("children", "identifier", "value")

    def __init__(self, identifier: int, value: bytes, children: "list[Element] | None") -> None:
        self.identifier = identifier
        self.value = value
        self.children = children


def read_identifier(data: bytes, pos: int, end: int) -> tuple[int, int]:
    """Read identifier bytes at ``pos`` (X.690, 8.1.2); return (identifier, next position). Raises DecodeError."""
    if pos >= end:
        raise DecodeError(f"byte {pos}: identifier missing")
    identifier = data[pos]
    pos += 1
    if identifier & 0x1F == 0x1F:
        first = pos
        while True:
            if pos >= end:
                raise DecodeError(f"byte {pos}: identifier cut short")
            if pos - first >= _MAX_IDENTIFIER_BYTES - 1:
                raise DecodeError(f"byte {first}: tag number too large")
            byte = data[pos]
            pos += 1
            identifier = identifier << 8 | byte
            if not byte & 0x80:
                break
    return identifier, pos


def read_length(data: bytes, pos: int, end: int) -> tuple[int, int]:
    """Read length bytes at ``pos`` (X.690, 8.1.3); return (length, next position), length -1 = indefinite form.

    Raises DecodeError if the length is cut short, reserved, or reaches beyond ``end``.
    """
    if pos >= end:
        raise DecodeError(f"byte {pos}: length missing")
    length = data[pos]
    pos += 1
    if length == 0x80:
        return -1, pos
    if length & 0x80:
        count = length & 0x7F
        if count == 0x7F:
            raise DecodeError(f"byte {pos - 1}: reserved length byte FF")
        if pos + count > end:
            raise DecodeError(f"byte {pos}: length cut short")
        length = int.from_bytes(data[pos : pos + count], "big")
        pos += count
    if length > end - pos:
        raise DecodeError(f"byte {pos}: element of {length} bytes in {end - pos}")
    return length, pos


def parse(data: bytes) -> tuple[Element, int]:
    """Read one element with everything inside it; return it and the position behind it.

    Iterative, so that depth costs no stack. Raises DecodeError on anything that is not BER, and below MAX_DEPTH.
    """
    top: list[Element] = []
    # One entry per open constructed element: its children, its end, and whether it is of indefinite form.
    stack = [(top, len(data), False)]
    pos = 0
    while True:
        siblings, end, is_indefinite = stack[-1]
        if len(stack) == 1 and top:
            return top[0], pos
        if pos == end and not is_indefinite and len(stack) > 1:
            stack.pop()
            continue
        identifier, pos = read_identifier(data, pos, end)
        length, pos = read_length(data, pos, end)
        if is_indefinite and identifier == _END_OF_CONTENTS:
            if length != 0:
                raise DecodeError(f"byte {pos}: end-of-contents with content")
            stack.pop()
            continue
        element = _element(data, pos, identifier, length)
        siblings.append(element)
        if element.children is None:
            pos += length
        elif len(stack) > MAX_DEPTH:
            raise DecodeError(f"byte {pos}: nested deeper than {MAX_DEPTH}")
        else:
            stack.append((element.children, end if length < 0 else pos + length, length < 0))


def _element(data: bytes, pos: int, identifier: int, length: int) -> Element:
    first = identifier
    while first > 0xFF:
        first >>= 8
    if first & CONSTRUCTED:
        return Element(identifier, b"", [])
    if length < 0:
        # X.690, 8.1.3.2: only constructed encodings may be of indefinite form.
        raise DecodeError(f"byte {pos}: indefinite length of a primitive element")
    return Element(identifier, data[pos : pos + length], None)


def decode_integer(value: bytes) -> int:
    """Read content bytes of INTEGER or ENUMERATED (X.690, 8.3). Redundant leading bytes are accepted."""
    if not 0 < len(value) <= MAX_INTEGER_BYTES:
        raise DecodeError(f"integer of {len(value)} bytes")
    return int.from_bytes(value, "big", signed=True)


def encode_integer(value: int) -> bytes:
    """Content bytes of INTEGER or ENUMERATED, the shortest form."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def encode_length(length: int) -> bytes:
    """Length bytes in the shortest definite form (X.690, 10.1)."""
    if length < 0x80:
        return bytes((length,))
    raw = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(raw),)) + raw


def encode_identifier(identifier: int) -> bytes:
    """Identifier bytes of an identifier in the integer form of this module."""
    return identifier.to_bytes((identifier.bit_length() + 7) // 8 or 1, "big")


def encode(identifier: int, value: bytes) -> bytes:
    """One element with definite length."""
    return encode_identifier(identifier) + encode_length(len(value)) + value
