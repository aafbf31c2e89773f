# SPDX-License-Identifier: Apache-2.0
"""Command and response APDUs."""

import pytest

from remsim.card.apdu import CommandApdu, ResponseApdu
from remsim.card.errors import ApduError


@pytest.mark.parametrize(
    ("raw", "case", "data", "le"),
    [
        ("00440000", 1, "", None),
        ("00B000000A", 2, "", 10),
        ("00B0000000", 2, "", 256),
        ("00A4000C023F00", 3, "3F00", None),
        ("00A40004023F0000", 4, "3F00", 256),
    ],
)
def test_all_cases_are_read_and_written(raw: str, case: int, data: str, le: int | None) -> None:
    apdu = CommandApdu.from_bytes(bytes.fromhex(raw))
    assert (apdu.case, apdu.data.hex().upper(), apdu.le) == (case, data, le)
    assert apdu.to_bytes() == bytes.fromhex(raw)


@pytest.mark.parametrize("raw", ["", "00A400", "00A400000000", "00A4000C033F00", "00A4000C023F000000"])
def test_impossible_length_is_refused(raw: str) -> None:
    with pytest.raises(ApduError):
        CommandApdu.from_bytes(bytes.fromhex(raw))


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ApduError, match="P1 256"):
        CommandApdu(0, 0xA4, 256, 0)
    with pytest.raises(ApduError, match="255 are the most"):
        CommandApdu(0, 0xD6, 0, 0, bytes(256))
    with pytest.raises(ApduError, match="Le 257"):
        CommandApdu(0, 0xB0, 0, 0, le=257)


def test_response_is_data_and_status_word() -> None:
    response = ResponseApdu.from_bytes(bytes.fromhex("0809106123"))
    assert (response.data, response.sw, response.sw1, response.sw2) == (b"\x08\x09\x10", 0x6123, 0x61, 0x23)
    assert response.to_bytes().hex() == "0809106123"


@pytest.mark.parametrize("length", [0, 1, 259])
def test_response_of_impossible_length_is_refused(length: int) -> None:
    with pytest.raises(ApduError):
        ResponseApdu.from_bytes(bytes(length))
