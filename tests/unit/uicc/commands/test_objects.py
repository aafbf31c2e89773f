# SPDX-License-Identifier: Apache-2.0
"""RETRIEVE DATA and SET DATA."""

import pytest

from tests.doubles.terminal import Terminal


@pytest.fixture
def terminal() -> Terminal:
    terminal = Terminal.of()
    terminal.select("7F10/5F3B/4F48")
    return terminal


def test_object_is_retrieved_with_tag_and_length(terminal: Terminal) -> None:
    assert terminal.sw("80CB00800180") == "6108"
    assert terminal.raw("00C0000008") == ("800672656D73696D", "9000")
    assert terminal.ok("80CB00820180") == "800672656D73696D"


def test_object_is_created_replaced_and_deleted(terminal: Terminal) -> None:
    assert terminal.sw("80DB0080045F2D01AA") == "9000"
    assert terminal.ok("80CB0080025F2D") == "5F2D01AA"
    assert terminal.sw("80DB0080045F2D01BB") == "9000"
    again = terminal.stored_and_back()
    again.select("7F10/5F3B/4F48")
    assert again.ok("80CB0080025F2D") == "5F2D01BB"
    assert again.sw("80DB0080025F2D") == "9000"
    assert again.sw("80CB0080025F2D") == "6A88"
    assert again.sw("80DB0080025F2D") == "6A88"


def test_long_object_travels_in_blocks(terminal: Terminal) -> None:
    value = bytes(range(256)) * 2
    whole = bytes.fromhex("81820200") + value
    assert terminal.sw("80DB0080FA" + whole[:250].hex()) == "63F1"
    assert terminal.sw("80DB0000FA" + whole[250:500].hex()) == "63F1"
    assert terminal.sw(f"80DB0000{len(whole) - 500:02X}" + whole[500:].hex()) == "9000"
    first, sw = terminal.ask("80CB00800181")
    assert (sw, len(first)) == ("62F1", 510)
    second, sw = terminal.ask("80CB000000")
    assert (sw, len(second)) == ("62F1", 510)
    repeated, sw = terminal.ask("80CB004000")
    assert (repeated, sw) == (second, "62F1")
    third, sw = terminal.ask("80CB000000")
    assert sw == "9000"
    assert bytes.fromhex(first + second + third) == whole
    assert terminal.sw("80CB000000") == "6985"


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("80CB01800180", "6A86"),
        ("80CB00C000", "6985"),
        ("80CB000000", "6985"),
        ("80CB0080028081", "6A80"),
        ("80CB008000", "6A80"),
        ("80CB00800199", "6A88"),
        ("80DB0000028000", "6985"),
        ("80DB004002800A", "6A86"),
        ("80DB0080048001AABB", "6A80"),
        ("80DB00800280FF", "6A80"),
        ("80DB00800480821001", "6A84"),
        ("80CB009F0180", "6A82"),
    ],
)
def test_wrong_command_is_refused(terminal: Terminal, command: str, sw: str) -> None:
    assert terminal.sw(command) == sw


def test_block_parameter_is_checked_while_retrieving(terminal: Terminal) -> None:
    terminal.ok("80CB00800180")
    assert terminal.sw("80CB00C000") == "6A86"


def test_full_file_takes_no_more(terminal: Terminal) -> None:
    terminal.select("7F10/5F3B/4F47")
    for tag in ("80", "81"):
        assert terminal.sw(f"80DB0080FA{tag}81F7" + "00" * 247) == "9000"
    assert terminal.sw("80DB00801082" + "0E" + "00" * 14) == "6A84"


def test_other_structures_are_refused(terminal: Terminal) -> None:
    terminal.select("2FE2")
    assert terminal.sw("80CB00800180") == "6981"
