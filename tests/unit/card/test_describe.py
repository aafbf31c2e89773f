# SPDX-License-Identifier: Apache-2.0
"""Commands in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.card.describe import describe_command


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("00a40004023f00", "SELECT MF"),
        ("00a40804047fff6f07", "SELECT EF.IMSI"),
        ("00a40804047fff1234", "SELECT 7FFF/1234"),
        ("00a404040ca0000000871002ff49ffff89", "SELECT AID A0000000871002FF49FFFF89"),
        ("00a4040400", "SELECT next application"),
        ("00a40004013f", "SELECT 3F"),
        ("00b0000009", "READ BINARY"),
        ("00b0870009", "READ BINARY (SFI 07)"),
        ("00b2030428", "READ RECORD 3"),
        ("00b2000228", "READ RECORD next"),
        ("00b2000328", "READ RECORD previous"),
        ("00b2000428", "READ RECORD current"),
        ("00b2011428", "READ RECORD 1 (SFI 02)"),
        ("00dc0104021122", "UPDATE RECORD 1"),
        ("0020000100", "VERIFY (tries left?)"),
        ("00200001083132333435363738", "VERIFY"),
        ("a02000010831323334ffffffff", "VERIFY CHV"),
        ("a088000010" + "00" * 16, "RUN GSM ALGORITHM"),
        ("a0b0000009", "READ BINARY"),
        ("0070000001", "MANAGE CHANNEL open"),
        ("0070800100", "MANAGE CHANNEL close"),
        ("00c0000000", "GET RESPONSE (256 octets)"),
        ("8012000011", "FETCH (17 octets)"),
        ("00ff000000", "INS FF"),
        ("00a4", "00A4"),
    ],
)
def test_describe_command_says_what_it_is(command: str, words: str) -> None:
    assert describe_command(bytes.fromhex(command)) == words


@given(tpdu=st.binary(max_size=300))
def test_describe_command_takes_any_octets(tpdu: bytes) -> None:
    assert isinstance(describe_command(tpdu), str)


def test_describe_command_never_shows_a_pin() -> None:
    assert "3132" not in describe_command(bytes.fromhex("00200001083132333435363738"))
