# SPDX-License-Identifier: Apache-2.0
"""BER-TLV."""

import pytest

from remsim.card.errors import TlvError
from remsim.card.tlv import Tlv, encode_tlv, parse_tlvs, read_tag


@pytest.mark.parametrize(
    ("tag", "length", "head"),
    [(0x62, 0, "6200"), (0x5F2D, 5, "5f2d05"), (0x80, 127, "807f"), (0x80, 128, "808180"), (0x80, 256, "80820100")],
)
def test_shortest_form_is_written_and_read(tag: int, length: int, head: str) -> None:
    encoded = encode_tlv(tag, bytes(length))
    assert encoded == bytes.fromhex(head) + bytes(length)
    assert parse_tlvs(encoded) == [Tlv(tag, bytes(length))]


def test_objects_follow_each_other() -> None:
    assert parse_tlvs(bytes.fromhex("8001AA 8102BBCC")) == [Tlv(0x80, b"\xaa"), Tlv(0x81, b"\xbb\xcc")]


@pytest.mark.parametrize("raw", ["80", "8002AA", "5F", "1F8080800100", "8080", "8084000000010A", "8081"])
def test_cut_or_unusual_object_is_refused(raw: str) -> None:
    with pytest.raises(TlvError):
        parse_tlvs(bytes.fromhex(raw))


def test_tag_behind_the_end_is_refused() -> None:
    with pytest.raises(TlvError, match="a tag is missing"):
        read_tag(b"\x80", 1)
