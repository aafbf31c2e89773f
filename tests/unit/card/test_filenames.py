# SPDX-License-Identifier: Apache-2.0
"""Names of files and applications."""

import pytest

from remsim.card.filenames import (
    NAMED_PATHS,
    application_name,
    application_prefix,
    file_name,
    is_ambiguous_aid,
    path_names,
)
from remsim.card.instructions import describe_command


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


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ((0x3F00, 0x7F20, 0x6F38), ["MF", "DF.GSM", "EF.SST"]),
        (("ADF.USIM", 0x6F38), ["ADF.USIM", "EF.UST"]),
        (("ADF.ISIM", 0x6F07), ["ADF.ISIM", "EF.IST"]),
        (("ADF.ISIM", 0x6F3C), ["ADF.ISIM", "EF.SMS"]),
        (("ADF.USIM", 0x5FC0, 0x4F07), ["ADF.USIM", "DF.5GS", "EF.SUCI_CALC_INFO"]),
        ((0x4F07,), ["4F07"]),
    ],
)
def test_name_is_that_of_the_directory(path: tuple[int | str, ...], names: list[str]) -> None:
    assert path_names(path) == names
    if len(path) > 1:
        assert path in NAMED_PATHS[names[-1]], "what is printed can be typed"


def test_command_names_the_file_of_the_directory_in_its_path() -> None:
    assert describe_command(bytes.fromhex("00a40804047f206f38")) == "SELECT DF.GSM/EF.SST"
    assert describe_command(bytes.fromhex("00a40804067fff5fc04f0a")) == "SELECT current ADF/DF.5GS/EF.ROUTING_INDICATOR"
