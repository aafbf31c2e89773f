# SPDX-License-Identifier: Apache-2.0
"""ATR parsing."""

import pytest

from remsim.card.atr import MAX_ATR, mend_atr, parse_atr
from remsim.card.errors import AtrError


def test_typical_uicc_atr_is_read() -> None:
    atr = parse_atr(bytes.fromhex("3B9F96801FC78031E073FE211B633A104E83009000A3"))
    assert atr.convention == "direct"
    assert (atr.f_index, atr.d_index, atr.fi, atr.di) == (9, 6, 512, 32)
    assert atr.protocols == (0,)
    assert atr.has_t0
    assert atr.interface == {"TA1": 0x96, "TD1": 0x80, "TD2": 0x1F, "TA3": 0xC7}
    assert atr.historical.hex() == "8031e073fe211b633a104e83009000"
    assert str(atr) == "3B9F96801FC78031E073FE211B633A104E83009000A3"


def test_shortest_atr_has_defaults() -> None:
    atr = parse_atr(b"\x3f\x00")
    assert (atr.convention, atr.fi, atr.di, atr.protocols, atr.specific_protocol) == ("inverse", 372, 1, (0,), None)


def test_t1_only_card_is_recognised() -> None:
    atr = parse_atr(bytes.fromhex("3B8001") + b"\x81")
    assert atr.protocols == (1,)
    assert not atr.has_t0


def test_specific_mode_wins_over_offer() -> None:
    # TD1 offers T=0, TA2 insists on T=1.
    body = bytes((0x80, 0x10, 0x01))
    atr = parse_atr(b"\x3b" + body)
    assert atr.specific_protocol == 1
    assert not atr.has_t0


def test_reserved_clock_rate_is_none() -> None:
    assert parse_atr(bytes((0x3B, 0x10, 0x70))).fi is None
    assert parse_atr(bytes((0x3B, 0x10, 0x10))).di is None


@pytest.mark.parametrize(
    ("atr", "reason"),
    [
        ("", "0 bytes"),
        ("3B", "1 bytes"),
        ("3BFF", "ends before its TA1"),
        ("3A00", "TS 3A"),
        ("3B02AA", "announces 2 historical"),
        ("3B0000", "instead of 2"),
        ("3B8001", "instead of 4"),
        ("3B800180", "fails its check byte"),
        ("3B" + "00" * MAX_ATR, "the most"),
    ],
)
def test_broken_atr_is_refused(atr: str, reason: str) -> None:
    with pytest.raises(AtrError, match=reason):
        parse_atr(bytes.fromhex(atr))


@pytest.mark.parametrize(
    ("delivered", "mended"),
    [
        # TCK is 00 instead of A5.
        ("3B9F96801FC78031A073BE2113674320071800000100", "3B9F96801FC78031A073BE21136743200718000001A5"),
        ("3B9F96801FC78031A073BE21136743200718000001", "3B9F96801FC78031A073BE21136743200718000001A5"),
        ("3B9F96801FC78031A073BE21136743200718000001A59000", "3B9F96801FC78031A073BE21136743200718000001A5"),
        ("3B9F96801FC78031A073BE21136743200718000001A5", "3B9F96801FC78031A073BE21136743200718000001A5"),
        # With T=0 alone there is none.
        ("3B02AABB11", "3B02AABB"),
        ("3B00", "3B00"),
        ("3F00" + "00" * MAX_ATR, "3F00"),
        ("3B800180", "3B800181"),
    ],
)
def test_atr_as_readers_deliver_it_is_mended(delivered: str, mended: str) -> None:
    assert mend_atr(bytes.fromhex(delivered)).hex().upper() == mended
    assert parse_atr(bytes.fromhex(mended)).raw.hex().upper() == mended


@pytest.mark.parametrize("atr", ["", "3B", "3A00", "3BFF", "3B02AA", "3B9F96801FC78031A073"])
def test_atr_that_lacks_more_than_its_check_byte_is_refused(atr: str) -> None:
    with pytest.raises(AtrError):
        mend_atr(bytes.fromhex(atr))


def test_atr_that_has_no_room_for_its_check_byte_is_refused() -> None:
    # 33 bytes without TCK: four groups of T=15 behind the first, and 15 historical bytes.
    raw = bytes.fromhex("3bff110000ff" + "010203ff" + "010203ff" + "01020300" + "00" * 15)
    assert len(raw) == MAX_ATR
    with pytest.raises(AtrError, match="34 bytes"):
        mend_atr(raw)
