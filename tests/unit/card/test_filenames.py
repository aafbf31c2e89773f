# SPDX-License-Identifier: Apache-2.0
"""Names of files and applications."""

from remsim.card.filenames import application_name, application_prefix, file_name, is_ambiguous_aid


def test_known_identifiers_have_names_and_others_their_digits() -> None:
    assert file_name(0x6F07) == "EF.IMSI"
    assert file_name(0x6FFF) == "6FFF"


def test_applications_are_known_by_the_beginning_of_their_aid() -> None:
    assert application_name(bytes.fromhex("A0000000871002FF49FFFF89")) == "ADF.USIM"
    assert application_name(bytes.fromhex("A0000000871004")) == "ADF.ISIM"
    assert application_name(b"\xa0\x01") == "AID A001"


def test_partial_aid_that_ends_before_a_known_one_is_ambiguous() -> None:
    assert all(is_ambiguous_aid(bytes.fromhex(aid)) for aid in ("", "A0", "A000000087", "A00000008710", "A000000343"))
    assert not any(is_ambiguous_aid(bytes.fromhex(aid)) for aid in ("A0000000871002", "A000000151", "F0", "A0FF"))


def test_digits_with_which_an_application_begins() -> None:
    assert application_prefix("ADF.ISIM") == "A0000000871004"
    assert application_prefix("ADF.NONE") is None
