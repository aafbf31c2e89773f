# SPDX-License-Identifier: Apache-2.0
"""What is learnt of a command: nothing secret, nothing personal."""

import pytest

from remsim.ahead.symbols import command_of, is_symbol, symbol_of


@pytest.mark.parametrize(
    ("tpdu", "symbol"),
    [
        ("00a40004023f00", "00a40004023f00"),
        ("00a404040ca0000000871002ff49ffff89", "00a404040ca0000000871002ff49ffff89"),
        ("00b000000a", "00b000000a"),
        ("00a20104026f07", "00a20104026f07"),
        # A number that is looked for in a phone book, a PIN, contents, a challenge.
        ("00a201040491214365", "00a2010404"),
        # Unused records are looked for.
        ("00a2010404ffffffff", "00a2010404ff"),
        ("00a201040300" + "0000", "00a201040300"),
        ("a0a2000004ffffffff", "a0a2000004ff"),
        ("00a20104031111" + "11", "00a2010403"),
        ("0ca2010404ffffffff", "0ca2010404"),
        ("002000010831323334ffffffff", "0020000108"),
        ("00d6000003010203", "00d6000003"),
        ("008800810210ab", "0088008102"),
        ("80c2000002d100", "80c2000002"),
        # Data may be wrapped, or a part of something.
        ("0ca40004023f00", "0ca4000402"),
        ("10a40004023f00", "10a4000402"),
        ("00a40404111122334455667788991011121314151617", "00a4040411"),
        ("0102", "02"),
    ],
)
def test_symbol_of_a_command(tpdu: str, symbol: str) -> None:
    assert symbol_of(bytes.fromhex(tpdu)).hex() == symbol


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        *[("00b000000a", True), ("00a20104026f07", True), ("02", True), ("00d6000003010203", False), ("0102", False)],
        *[("00a2010404ff", True), ("00a201040400", True), ("00a201040401", False), ("00a2010404ffff", False)],
        *[("0ca2010404ff", False), ("00a2010404ffffffff", False), ("00a2010404", True)],
    ],
)
def test_what_a_file_may_hold(raw: str, *, expected: bool) -> None:
    assert is_symbol(bytes.fromhex(raw)) is expected


@pytest.mark.parametrize(
    "tpdu", ["00a40004023f00", "00b000000a", "00a20104026f07", "00a2010404ffffffff", "00a20104b0" + "00" * 0xB0]
)
def test_command_is_made_again_of_its_symbol(tpdu: str) -> None:
    assert command_of(symbol_of(bytes.fromhex(tpdu))) == bytes.fromhex(tpdu)


@pytest.mark.parametrize("tpdu", ["00a201040491214365", "0102"])
def test_what_is_not_in_a_symbol_is_not_made_up(tpdu: str) -> None:
    assert command_of(symbol_of(bytes.fromhex(tpdu))) is None
