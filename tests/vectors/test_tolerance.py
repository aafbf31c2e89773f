# SPDX-License-Identifier: Apache-2.0
"""Unknown elements behind the listed ones, and BER that is not DER, are accepted as the classic programs do."""

from typing import Any

import pytest

from remsim.wire.errors import DecodeError
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from tests.doubles import notation, vectors

DOCUMENT = vectors.document("tolerance.json")
ACCEPTED = [entry for entry in DOCUMENT["extensions"] if entry["c_decoder"] != "refuses"]
REFUSED = [entry for entry in DOCUMENT["extensions"] if entry["c_decoder"] == "refuses"]


@pytest.mark.parametrize("entry", ACCEPTED, ids=lambda e: str(e["where"]))
def test_unknown_element_is_skipped(entry: dict[str, Any]) -> None:
    pdu = decode_pdu(bytes.fromhex(entry["der"]))
    assert notation.to_json(pdu) == entry["decoded_without_extension"]
    if "canonical_der" in entry:
        assert encode_pdu(pdu).hex() == entry["canonical_der"]


@pytest.mark.parametrize("entry", REFUSED, ids=lambda e: str(e["where"]))
def test_unknown_element_in_a_closed_type_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        decode_pdu(bytes.fromhex(entry["der"]))


def test_closed_types_are_the_three_that_classic_programs_refuse() -> None:
    # interop.md b, last lines.
    assert [entry["where"].partition(" ")[0] for entry in REFUSED] == ["ResetStateReq", "IpPort", "RsproPDU"]


@pytest.mark.parametrize("entry", DOCUMENT["ber"], ids=lambda e: str(e["what"]))
def test_other_ber_means_the_same(entry: dict[str, Any]) -> None:
    expected = bytes.fromhex(entry["same_as_der"])
    pdu = decode_pdu(bytes.fromhex(entry["ber"]))
    assert pdu == decode_pdu(expected)
    assert encode_pdu(pdu) == expected
