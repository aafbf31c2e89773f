# SPDX-License-Identifier: Apache-2.0
"""Which files are nobody else's business, as the specifications name them."""

import pytest

from remsim.card.filenames import FILE_NAMES
from remsim.card.private_files import CONTACT_FILES, IDENTITY_FILES, KEY_FILES, PHONE_BOOK, PLACE_FILES, is_private

TABLES = (KEY_FILES, IDENTITY_FILES, CONTACT_FILES, PLACE_FILES)


def test_each_file_is_in_one_table_with_its_specification() -> None:
    files = [file for table in TABLES for file in table]
    assert len(files) == len(set(files))
    assert all(": EF." in text for table in TABLES for text in table.values())


def test_names_are_those_that_people_see() -> None:
    named = {file: clause for table in TABLES for file, clause in table.items() if file in FILE_NAMES}
    assert len(named) > 15
    for file, clause in named.items():
        name = clause.partition(": ")[2].partition(",")[0].upper()
        assert name == FILE_NAMES[file].upper(), clause


@pytest.mark.parametrize("file", ["EF.ICCID", "EF.IMSI", "EF.AD", "EF.UST", "EF.SPN", "EF.ACC", "EF.DIR", "EF.PBR"])
def test_what_says_nothing_of_a_person_or_is_shown_in_part_is_open(file: str) -> None:
    number = next(fid for fid, name in FILE_NAMES.items() if name == file)
    assert not is_private((0x3F00, PHONE_BOOK, number) if file == "EF.PBR" else ("ADF.USIM", number))


def test_everything_else_in_a_phone_book_is_private() -> None:
    assert is_private(("ADF.USIM", PHONE_BOOK, 0x4F3A))
    assert is_private((0x3F00, 0x7F10, PHONE_BOOK, 0x4F77))
    assert not is_private((0x3F00, 0x7F10, 0x4F77))
    assert not is_private((0x3F00, 0x7F10, PHONE_BOOK))


@pytest.mark.parametrize("file", [0x6FED, 0x6FEE])
def test_addresses_by_name_are_as_private_as_numbers(file: int) -> None:
    assert is_private(("ADF.USIM", file))
