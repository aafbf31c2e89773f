# SPDX-License-Identifier: Apache-2.0
"""Response APDUs."""

import pytest

from remsim.card.apdu import ResponseApdu
from remsim.card.errors import ApduError


def test_response_is_data_and_status_word() -> None:
    response = ResponseApdu.from_bytes(bytes.fromhex("0809106123"))
    assert (response.data, response.sw, response.sw1, response.sw2) == (b"\x08\x09\x10", 0x6123, 0x61, 0x23)
    assert response.to_bytes().hex() == "0809106123"


@pytest.mark.parametrize("length", [0, 1, 259])
def test_response_of_impossible_length_is_refused(length: int) -> None:
    with pytest.raises(ApduError):
        ResponseApdu.from_bytes(bytes(length))
