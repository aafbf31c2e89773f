# SPDX-License-Identifier: Apache-2.0
"""T=0 command TPDUs."""

import pytest

from remsim.card.errors import TpduError
from remsim.card.tpdu import CommandTpdu, is_well_formed, tpdu_of_apdu


def test_header_and_data_are_read_and_written() -> None:
    raw = bytes.fromhex("00A40804047FFF6F07")
    tpdu = CommandTpdu.from_bytes(raw)
    assert (tpdu.ins, tpdu.p3, tpdu.data.hex()) == (0xA4, 4, "7fff6f07")
    assert tpdu.to_bytes() == raw


def test_p3_of_zero_expects_256_bytes() -> None:
    assert CommandTpdu.from_bytes(bytes.fromhex("00B0000000")).le == 256


@pytest.mark.parametrize("raw", ["", "00A4", "00A4000C", "00A4000C023F", "00A4000C023F0000"])
def test_impossible_length_is_refused(raw: str) -> None:
    with pytest.raises(TpduError):
        CommandTpdu.from_bytes(bytes.fromhex(raw))


@pytest.mark.parametrize(
    ("apdu", "tpdu"),
    [
        ("00440000", "0044000000"),
        ("00B000000A", "00B000000A"),
        ("00A4000C023F00", "00A4000C023F00"),
        ("00A40004023F0000", "00A40004023F00"),
        ("00A40004023F00FF", "00A40004023F00"),
        ("00A40004033F00", "00A40004033F00"),
        ("00B0000000FF", "00B0000000FF"),
        ("00", "00"),
    ],
)
def test_reader_makes_tpdu_of_apdu(apdu: str, tpdu: str) -> None:
    assert tpdu_of_apdu(bytes.fromhex(apdu)).hex().upper() == tpdu


@pytest.mark.parametrize(
    ("tpdu", "is_good"),
    [("00B0000000", True), ("00D60000021122", True), ("00D600000211", False), ("00D6000000FF", False), ("00A4", False)],
)
def test_length_fits_the_header_or_not(tpdu: str, is_good: bool) -> None:
    assert is_well_formed(bytes.fromhex(tpdu)) is is_good
