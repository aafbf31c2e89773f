# SPDX-License-Identifier: Apache-2.0
"""Identities of software cards."""

import pytest

from remsim.uicc import ProfileError, SubscriberIdentity
from remsim.uicc.identity import bcd, luhn_digit


def test_derived_cards_differ_in_everything() -> None:
    cards = [SubscriberIdentity().derive(number) for number in range(4)]
    assert cards[0] == SubscriberIdentity()
    assert [card.imsi for card in cards] == [f"00101000000000{n}" for n in (1, 2, 3, 4)]
    assert len({card.iccid_digits for card in cards}) == 4
    assert len({card.msisdn for card in cards}) == 4


def test_codings_of_files() -> None:
    tokens = SubscriberIdentity().tokens()
    assert tokens["imsi"].hex() == "080910100000000010"
    assert tokens["iccid"].hex() == "980001010000000010f9"
    assert len(tokens["iccid"]) == 10
    assert len(tokens["msisdn"]) == 14
    assert bcd("123") == b"\x21\xf3"


def test_luhn_digit_is_that_of_the_standard() -> None:
    assert luhn_digit("7992739871") == "3"
    assert SubscriberIdentity().iccid_digits[:-1] == SubscriberIdentity().iccid


@pytest.mark.parametrize(
    "fields",
    [
        {"imsi": "00101"},
        {"imsi": "00101000000000x"},
        {"imsi": "262010000000001"},
        {"iccid": "89"},
        {"msisdn": ""},
        {"msisdn": "+49"},
        {"msisdn": "1" * 21},
    ],
)
def test_impossible_identity_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ProfileError):
        SubscriberIdentity(**fields)


@pytest.mark.parametrize("number", [-1, 10_000])
def test_impossible_number_is_refused(number: int) -> None:
    with pytest.raises(ProfileError, match="outside"):
        SubscriberIdentity().derive(number)
