# SPDX-License-Identifier: Apache-2.0
"""The BER reader and writer: every form that X.690 allows, and what is refused."""

import pytest

from remsim.wire.errors import DecodeError
from remsim.wire.messages import ber
from remsim.wire.messages.ber import Element


def shape(element: Element) -> object:
    """An element as nested tuples: (identifier, bytes) or (identifier, [children])."""
    if element.children is None:
        return element.identifier, element.value.hex()
    return element.identifier, [shape(child) for child in element.children]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("0500", (0x05, "")),
        ("020105", (0x02, "05")),
        ("3003020105", (0x30, [(0x02, "05")])),
        ("3000", (0x30, [])),
        ("30050201050400", (0x30, [(0x02, "05"), (0x04, "")])),
        ("3081030201ff", (0x30, [(0x02, "ff")])),
        ("30840000000302017f", (0x30, [(0x02, "7f")])),
        # Indefinite form, alone and within another.
        ("30800201050000", (0x30, [(0x02, "05")])),
        ("308030800000020105" + "0000", (0x30, [(0x30, []), (0x02, "05")])),
        # High tag numbers keep all their identifier bytes.
        ("bf2803020105", (0xBF28, [(0x02, "05")])),
        ("9f814801aa", (0x9F8148, "aa")),
        ("9fffffff7f00", (0x9FFFFFFF7F, "")),
    ],
)
def test_parse_reads_every_form(raw: str, expected: object) -> None:
    data = bytes.fromhex(raw)
    element, end = ber.parse(data + b"rest")
    assert shape(element) == expected
    assert end == len(data)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "identifier missing"),
        ("30", "length missing"),
        ("9f", "identifier cut short"),
        ("9f81", "identifier cut short"),
        ("9fffffffff7f00", "tag number too large"),
        ("3081", "length cut short"),
        ("308201", "length cut short"),
        ("30ff", "reserved length"),
        ("0402aa", "element of 2 bytes in 1"),
        ("3003040200", "element of 2 bytes in 1"),
        ("3002" + "0402", "element of 2 bytes in 0"),
        ("308002", "length missing"),
        ("30800101", "element of 1 bytes in 0"),
        ("3080", "identifier missing"),
        ("30800001aa", "end-of-contents with content"),
        ("0480aabb0000", "indefinite length of a primitive"),
    ],
)
def test_parse_refuses_what_is_no_ber(raw: str, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        ber.parse(bytes.fromhex(raw))


def nested(depth: int) -> bytes:
    """``depth`` SEQUENCEs one in another, in indefinite form."""
    return b"\x30\x80" * depth + b"\0\0" * depth


def test_parse_accepts_nesting_up_to_the_limit() -> None:
    element, end = ber.parse(nested(ber.MAX_DEPTH))
    assert end == 4 * ber.MAX_DEPTH
    depth = 1
    while element.children:
        (element,) = element.children
        depth += 1
    assert depth == ber.MAX_DEPTH


@pytest.mark.parametrize("depth", [ber.MAX_DEPTH + 1, 15_000])
def test_parse_refuses_deeper_nesting(depth: int) -> None:
    with pytest.raises(DecodeError, match="nested deeper than 256"):
        ber.parse(nested(depth))


def test_parse_refuses_deeper_nesting_of_definite_form() -> None:
    data = b""
    for _ in range(ber.MAX_DEPTH + 1):
        data = ber.encode(0x30, data)
    with pytest.raises(DecodeError, match="nested deeper than 256"):
        ber.parse(data)


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "0080"),
        (255, "00ff"),
        (256, "0100"),
        (2**31 - 1, "7fffffff"),
        (-1, "ff"),
    ],
)
def test_integers_have_the_shortest_form(value: int, raw: str) -> None:
    assert ber.encode_integer(value).hex() == raw
    assert ber.decode_integer(bytes.fromhex(raw)) == value


def test_integers_may_have_redundant_bytes_up_to_the_limit() -> None:
    assert ber.decode_integer(bytes(7) + b"\x05") == 5
    assert ber.decode_integer(b"\xff" * 8) == -1


@pytest.mark.parametrize("size", [0, 9])
def test_integers_of_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(DecodeError, match=f"integer of {size} bytes"):
        ber.decode_integer(bytes(size))


@pytest.mark.parametrize(
    ("length", "raw"), [(0, "00"), (127, "7f"), (128, "8180"), (255, "81ff"), (256, "820100"), (65535, "82ffff")]
)
def test_lengths_have_the_shortest_form(length: int, raw: str) -> None:
    assert ber.encode_length(length).hex() == raw
    data = bytes.fromhex(raw)
    assert ber.read_length(data + bytes(length), 0, len(data) + length) == (length, len(data))


@pytest.mark.parametrize("identifier", [0x00, 0x02, 0x30, 0xBF28, 0x9F8148])
def test_identifiers_go_both_ways(identifier: int) -> None:
    data = ber.encode_identifier(identifier)
    assert ber.read_identifier(data, 0, len(data)) == (identifier, len(data))


def test_element_is_identifier_length_and_value() -> None:
    assert ber.encode(0xBF28, b"\x01\x02").hex() == "bf28020102"
