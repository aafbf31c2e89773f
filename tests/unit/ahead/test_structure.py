# SPDX-License-Identifier: Apache-2.0
"""What comes next as a rule: what waits is fetched, what was selected is read, and on it goes."""

import pytest

from remsim.ahead.structure import Exchanged, Shape, expected, fcp_shape, gsm_shape
from remsim.ahead.view import CardView
from remsim.card.tlv import encode_tlv


def _fcp(descriptor: str, size: str = "") -> str:
    inner = encode_tlv(0x82, bytes.fromhex(descriptor)) + encode_tlv(0x83, b"\x6f\x07")
    return encode_tlv(0x62, inner + (encode_tlv(0x80, bytes.fromhex(size)) if size else b"")).hex()


_TRANSPARENT = _fcp("4121", "012c")
_LINEAR = _fcp("4221002803", "0078")
_DIRECTORY = _fcp("7821")


def _expect(*exchanges: tuple[str, str]) -> str | None:
    view, situation = CardView(), Exchanged()
    for tpdu, response in exchanges:
        view.on_exchange(bytes.fromhex(tpdu), bytes.fromhex(response))
        situation = situation.after(bytes.fromhex(tpdu), bytes.fromhex(response))
    found = expected(situation, view)
    return None if found is None else found.tpdu.hex()


_SELECT = ("00a40004026f07", "611b")


@pytest.mark.parametrize(
    ("exchanges", "expected_next"),
    [
        ([], None),
        ([_SELECT], "00c000001b"),
        ([("a0a40000026f07", "9f0f")], "a0c000000f"),
        ([("80c20000020000", "6105")], "00c0000005"),
        ([("00b0000000", "6c0a")], "00b000000a"),
        ([("00b0000000", "6a82")], None),
        ([_SELECT, ("00c000001b", _TRANSPARENT + "9000")], "00b00000ff"),
        ([_SELECT, ("00c000001b", _LINEAR + "9000")], "00b2010428"),
        ([_SELECT, ("00c000001b", _DIRECTORY + "9000")], None),
        ([_SELECT, ("00c000001b", "ffffff9000")], None),
        ([_SELECT, ("00c000001b", _TRANSPARENT + "9000"), ("00b00000ff", "00" * 255 + "9000")], "00b000ff2d"),
        ([_SELECT, ("00c000001b", _TRANSPARENT + "9000"), ("00b000ff2d", "00" * 45 + "9000")], None),
        ([_SELECT, ("00c000001b", _LINEAR + "9000"), ("00b2010428", "00" * 40 + "9000")], "00b2020428"),
        ([_SELECT, ("00c000001b", _LINEAR + "9000"), ("00b2030428", "00" * 40 + "9000")], None),
        ([("00b2016c04", "000000009000")], "00b2026c04"),
        ([("00b2ff6c04", "000000009000")], None),
        ([("0070000001", "019000")], None),
    ],
)
def test_next_as_a_rule(exchanges: list[tuple[str, str]], expected_next: str | None) -> None:
    assert _expect(*exchanges) == expected_next


def test_shapes() -> None:
    assert fcp_shape(bytes.fromhex(_TRANSPARENT)) == Shape(size=300)
    assert fcp_shape(bytes.fromhex(_LINEAR)) == Shape(record_length=40, records=3)
    assert fcp_shape(bytes.fromhex(_DIRECTORY)) is None
    assert fcp_shape(b"\x62\x05") is None
    assert gsm_shape(bytes.fromhex("000000096f070400010004010200" + "00")) == Shape(size=9)
    assert gsm_shape(bytes.fromhex("000000646f3a040001000401020114")) == Shape(record_length=20, records=5)
    assert gsm_shape(bytes(22)) is None
