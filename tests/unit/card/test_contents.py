# SPDX-License-Identifier: Apache-2.0
"""What well-known files say, in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.card.contents import describe_contents
from remsim.card.filenames import FILE_NAMES, NAMED_PATHS, application_aid, application_name
from remsim.card.selection import Path

MF = 0x3F00
USIM, ISIM, GSM = ("ADF.USIM",), ("ADF.ISIM",), (MF, 0x7F20)
DIR = "61184f10a0000000871002ff49ff0589000001ff50045553494dff"


@pytest.mark.parametrize(
    ("path", "data", "words"),
    [
        ((MF, 0x2FE2), "98684400000000000010", ["ICCID 89864400000000000001"]),
        ((MF, 0x2FE2), "ffffffffffffffffffff", []),
        ((MF, 0x2F00), DIR, ["ADF.USIM, AID A0000000871002FF49FF0589000001FF, 'USIM'"]),
        ((MF, 0x2F00), "ff" * 8, ["no application"]),
        ((MF, 0x2F00), "61ff", []),
        ((MF, 0x2F00), "6f024f00", []),
        ((*USIM, 0x6F07), "082926101132547698", ["IMSI 262011123456789"]),
        ((*USIM, 0x6F07), "0809101032547698ff", ["IMSI 0010123456789"]),
        ((*USIM, 0x6F07), "ffffffffffffffffff", []),
        ((*USIM, 0x6F07), "08a9", []),
        ((*USIM, 0x6F07), "04a9bbccdd", []),
        (
            (*GSM, 0x6F46),
            "014d79204e6574ffff",
            ["service provider name 'My Net', the network's name is shown at home"],
        ),
        (
            (*USIM, 0x6F46),
            "0080004d00fcffff",
            ["service provider name 'M\u00fc', the network's name is not shown at home"],
        ),
        ((*USIM, 0x6FAD), "00000002", ["normal operation, MNC of 2 digits"]),
        ((*GSM, 0x6FAD), "030000", ["mode 03"]),
        ((*USIM, 0x6F78), "8001", ["access classes 0, 15"]),
        ((*USIM, 0x6F78), "0000", ["access classes none"]),
        ((*USIM, 0x6F7B), "62f210130014ffffff", ["networks 262-01, 310-410"]),
        ((*USIM, 0x6F7B), "ffffff", ["networks none"]),
        (
            (*USIM, 0x6F38),
            "030000000800",
            [
                "service   1 local phone book",
                "service   2 fixed dialling numbers (FDN)",
                "service  36 depersonalisation control keys",
            ],
        ),
        ((*USIM, 0x6F38), "00", ["no service"]),
        ((*USIM, 0x6F38), "00" * 17 + "80", ["service 144"]),
        ((*USIM, 0x6F56), "05", ["service   1 fixed dialling numbers", "service   3 APN control list"]),
        (
            (*GSM, 0x6F38),
            "1300",
            ["service   1 CHV1 disable function", "allocated, not activated: 3"],
        ),
        ((*ISIM, 0x6F07), "81", ["service   1 P-CSCF address", "service   8 SM over IP, data download via SMS-PP"]),
        ((*USIM, 0x6F08), "07" * 33, []),
        ((MF, 0x7F10, 0x6F3A), "00", []),
        (None, "00", []),
        (USIM, "00", []),
        ((*USIM, 0x6F07), "", []),
    ],
)
def test_contents_in_words(path: Path | None, data: str, words: list[str]) -> None:
    assert describe_contents(path, bytes.fromhex(data)) == words


@given(
    st.sampled_from([(*directory, fid) for directory in ((MF,), USIM, ISIM, GSM) for fid in FILE_NAMES]),
    st.binary(max_size=300),
)
def test_any_content_has_few_words_or_none(path: Path, data: bytes) -> None:
    assert len(describe_contents(path, data)) <= 8 * len(data) + 2


def test_every_name_leads_somewhere() -> None:
    assert {*FILE_NAMES.values()} - {"current ADF"} <= NAMED_PATHS.keys()
    for name, paths in NAMED_PATHS.items():
        assert paths, name
        if name.startswith("ADF."):
            aid = application_aid(name)
            assert aid is not None
            assert application_name(aid) == name
    assert application_aid("EF.IMSI") is None
