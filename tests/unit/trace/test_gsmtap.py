# SPDX-License-Identifier: Apache-2.0
"""GSMTAP records: the header of rspro.md, section 14, and what follows it."""

import pytest

from remsim.trace.gsmtap import AtrRecord, TpduMark, TpduRecord, encode_gsmtap, reveal_all

HEADER = "02040400" + "00" * 8


def test_atr_has_its_sub_type() -> None:
    assert encode_gsmtap(AtrRecord(5, b"\x3b\x00")).hex() == HEADER + "01000000" + "3b00"


def test_command_and_response_are_joined() -> None:
    record = TpduRecord(5, bytes.fromhex("00b0000001"), bytes.fromhex("aa9000"))
    assert encode_gsmtap(record).hex() == HEADER + "00000000" + "00b0000001" + "aa9000"


MARKS = [("MODEM", "00"), ("GUESS", "47"), ("RESTORE", "52"), ("INVENTORY", "49")]


@pytest.mark.parametrize(("mark", "antenna"), MARKS)
def test_mark_is_the_antenna_number(mark: str, antenna: str) -> None:
    record = TpduRecord(5, bytes.fromhex("00b0000001"), bytes.fromhex("aa9000"), TpduMark[mark])
    assert encode_gsmtap(record).hex() == HEADER + "00" + antenna + "0000" + "00b0000001" + "aa9000"


def test_nothing_is_held_back_unless_asked() -> None:
    record = AtrRecord(0, b"\x3b\x00")
    assert reveal_all(record) is record
