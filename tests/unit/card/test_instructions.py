# SPDX-License-Identifier: Apache-2.0
"""Commands in words."""

import pytest

from remsim.card.apdu_case import look_up
from remsim.card.instructions import command_name, describe_command


@pytest.mark.parametrize(
    ("tpdu", "text"),
    [
        ("00A40004023F00", "SELECT MF"),
        ("00A4000400", "SELECT MF"),
        ("00A4030400", "SELECT parent"),
        ("00A40804047FFF6F07", "SELECT current ADF/EF.IMSI"),
        ("00A4040407A0000000871002", "SELECT ADF.USIM"),
        ("00A4040405A000000099", "SELECT AID A000000099"),
        ("00A4000401AA", "SELECT AA"),
        ("00B0000009", "READ BINARY, 9 bytes"),
        ("00B0010000", "READ BINARY from 256, 256 bytes"),
        ("00B0870001", "READ BINARY SFI 07, 1 byte"),
        ("00B2010428", "READ RECORD 1, 40 bytes"),
        ("00B202D408", "READ RECORD 2 of SFI 1A, 8 bytes"),
        ("00B2000204", "READ RECORD next, 4 bytes"),
        ("00B2000404", "READ RECORD current, 4 bytes"),
        ("00C0000035", "GET RESPONSE, 53 bytes"),
        ("0020000100", "VERIFY PIN 01 tries left?"),
        ("0020000108313233FFFFFFFFFF", "VERIFY PIN 01"),
        ("A020000108313233FFFFFFFFFF", "VERIFY CHV 01"),
        ("0070000001", "MANAGE CHANNEL open"),
        ("0070800100", "MANAGE CHANNEL close"),
        ("80F2000000", "STATUS"),
        ("00FF000000", "INS FF"),
        ("00FE000000", "TERMINATE CARD USAGE"),
        ("8012000010", "FETCH, 16 bytes"),
        ("C012000010", "FETCH, 16 bytes"),
        ("E010000024", "TERMINAL PROFILE"),
        ("A012000010", "FETCH, 16 bytes"),
        ("0012000000", "PERFORM TRANSACTION OPERATION"),
        ("8184000020", "GET RANDOM"),
        ("0084000008", "GET CHALLENGE"),
        ("80E40000034F0100", "DELETE"),
        ("00E40000026F07", "DELETE FILE"),
        ("80B0000003C30101", "READ FILE"),
        ("00B1000004540200000000", "READ BINARY"),
        ("81CA00FE02DF25", "GET DATA"),
        ("80CB008001E1", "RETRIEVE DATA"),
        ("00CB3FFF00", "GET DATA"),
        ("20AA000000", "TERMINAL CAPABILITY"),
        ("00A4", "2 bytes, no command"),
    ],
)
def test_command_is_described(tpdu: str, text: str) -> None:
    assert describe_command(bytes.fromhex(tpdu)) == text


def test_description_never_shows_a_pin() -> None:
    secret = "31323334FFFFFFFF"
    assert secret not in describe_command(bytes.fromhex("0020000108" + secret)).replace(" ", "")


def test_unknown_gsm_instruction_has_the_common_name() -> None:
    assert command_name(0xA0, 0xA4) == "SELECT"


@pytest.mark.parametrize("cla", [0x00, 0x80, 0xA0], ids=lambda cla: f"{cla:02x}")
def test_each_instruction_with_a_direction_has_a_name(cla: int) -> None:
    known = [ins for ins in range(256) if look_up(bytes((cla, ins, 0x00, 0x00, 0x02))) is not None]
    assert [ins for ins in known if command_name(cla, ins).startswith("INS ")] == []
