# SPDX-License-Identifier: Apache-2.0
"""Names of files and applications."""

from remsim.card.filenames import application_name, file_name


def test_known_identifiers_have_names_and_others_their_digits() -> None:
    assert file_name(0x6F07) == "EF.IMSI"
    assert file_name(0x6FFF) == "6FFF"


def test_applications_are_known_by_the_beginning_of_their_aid() -> None:
    assert application_name(bytes.fromhex("A0000000871002FF49FFFF89")) == "ADF.USIM"
    assert application_name(bytes.fromhex("A0000000871004")) == "ADF.ISIM"
    assert application_name(b"\xa0\x01") == "AID A001"
