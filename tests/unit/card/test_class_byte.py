# SPDX-License-Identifier: Apache-2.0
"""The meaning of class bytes, value by value where a specification draws a line."""

import pytest

from remsim.card.class_byte import ClassByte, Family, class_byte

ISO, OWN = Family.INTER_INDUSTRY, Family.PROPRIETARY


@pytest.mark.parametrize(
    ("cla", "family", "channel", "is_secured", "is_chained"),
    [
        (0x00, ISO, 0, False, False),
        (0x03, ISO, 3, False, False),
        (0x04, ISO, 0, True, False),
        (0x0C, ISO, 0, True, False),
        (0x12, ISO, 2, False, True),
        (0x1D, ISO, 1, True, True),
        (0x40, ISO, 4, False, False),
        (0x4F, ISO, 19, False, False),
        (0x51, ISO, 5, False, True),
        (0x6F, ISO, 19, True, False),
        (0x70, ISO, 4, True, True),
        (0x80, OWN, 0, False, False),
        (0x84, OWN, 0, True, False),
        (0x91, OWN, 1, False, True),
        (0xC1, OWN, 5, False, False),
        (0xD0, OWN, 4, False, True),
        (0xE0, OWN, 4, True, False),
        (0xFE, OWN, 18, True, True),
        (0xA0, Family.GSM, 0, False, False),
        (0xA1, None, 1, True, False),
        (0xB0, None, 0, True, True),
        (0x22, None, 2, True, False),
        (0x30, None, 0, True, True),
        (0xFF, None, 3, True, True),
    ],
)
def test_class_byte_says(cla: int, family: Family | None, channel: int, is_secured: bool, is_chained: bool) -> None:
    assert class_byte(cla) == ClassByte(family, channel, is_secured, is_chained)


def test_high_bit_separates_the_families_and_nothing_else() -> None:
    for cla in (*range(0x20), *range(0x40, 0x7F)):
        ours, theirs = class_byte(cla), class_byte(cla | 0x80)
        assert (ours.family, theirs.family) == (ISO, OWN)
        assert (ours.channel, ours.is_secured, ours.is_chained) == (
            theirs.channel,
            theirs.is_secured,
            theirs.is_chained,
        )
