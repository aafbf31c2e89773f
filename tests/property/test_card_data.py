# SPDX-License-Identifier: Apache-2.0
"""Arbitrary bytes raise nothing but the one error of each parser."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from remsim.card.apdu import ResponseApdu
from remsim.card.atr import parse_atr
from remsim.card.errors import ApduError, AtrError, TlvError, TpduError
from remsim.card.instructions import describe_command
from remsim.card.t0_exchange import mend_tpdu
from remsim.card.tlv import encode_tlv, parse_tlvs
from remsim.card.tpdu import CommandTpdu, tpdu_of_apdu

_ATR_LIKE = st.builds(lambda ts, rest: bytes((ts,)) + rest, st.sampled_from((0x3B, 0x3F)), st.binary(max_size=40))


@given(st.binary(max_size=40) | _ATR_LIKE)
def test_atr_is_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(AtrError):
        atr = parse_atr(raw)
        assert atr.raw == raw
        assert atr.protocols


@given(st.binary(max_size=300))
def test_apdu_and_tpdu_are_read_or_refused_and_written_back(raw: bytes) -> None:
    with contextlib.suppress(ApduError):
        assert ResponseApdu.from_bytes(raw).to_bytes() == raw
    with contextlib.suppress(TpduError):
        assert CommandTpdu.from_bytes(raw).to_bytes() == raw
    assert describe_command(raw)
    assert len(raw) - 1 <= len(tpdu_of_apdu(raw)) <= len(raw) + 1


@given(st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=255), st.sampled_from(["", "00", "10"]))
def test_apdu_in_place_of_a_tpdu_is_mended_and_a_tpdu_left_alone(header: bytes, data: bytes, le: str) -> None:
    sent = header + bytes((len(data),)) + data
    assert mend_tpdu(sent + bytes.fromhex(le)) == sent
    extended = header + b"\x00" + len(data).to_bytes(2) + data
    assert mend_tpdu(extended + bytes(2)) == mend_tpdu(extended) == sent
    assert mend_tpdu(sent[:-1]) == sent[:-1]


@given(st.binary(max_size=300))
def test_tlv_is_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(TlvError):
        parse_tlvs(raw)


@given(st.lists(st.tuples(st.sampled_from((0x62, 0x80, 0xA5, 0x5F2D, 0x7F49)), st.binary(max_size=300)), max_size=4))
def test_tlv_comes_back(objects: list[tuple[int, bytes]]) -> None:
    raw = b"".join(encode_tlv(tag, value) for tag, value in objects)
    assert parse_tlvs(raw) == objects
