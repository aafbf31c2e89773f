# SPDX-License-Identifier: Apache-2.0
"""READ BINARY and UPDATE BINARY."""

import pytest

from tests.doubles.terminal import Terminal, pin


@pytest.fixture
def terminal() -> Terminal:
    terminal = Terminal.of()
    terminal.select_usim()
    return terminal


def test_wrong_length_is_corrected(terminal: Terminal) -> None:
    terminal.select("7FFF/6F07")
    assert terminal.raw("00B0000000") == ("", "6C09")
    assert terminal.raw("00B000000A") == ("", "6C09")
    assert terminal.raw("00B0000009") == ("080910100000000010", "9000")
    assert terminal.raw("00B0000803") == ("", "6C01")
    assert terminal.raw("00B0000102") == ("0910", "9000")


def test_offset_outside_is_refused(terminal: Terminal) -> None:
    terminal.select("7FFF/6F07")
    assert terminal.sw("00B0000901") == "6B00"
    terminal.select("7FFF/6F7E")
    assert terminal.sw("00D67FFF01AA") == "6B00"


def test_short_identifier_selects_the_file(terminal: Terminal) -> None:
    assert terminal.raw("00B0870009")[1] == "9000"
    assert terminal.raw("00B0000101")[1] == "9000"
    assert terminal.sw("00B09C0001") == "6A82"
    assert terminal.sw("00B0800001") == "6A86"
    assert terminal.sw("00B0A70001") == "6A86"


def test_without_a_file_or_with_another_structure_it_is_refused(terminal: Terminal) -> None:
    assert terminal.sw("00B0000001") == "6986"
    assert terminal.sw("00B0810001") == "6981"
    assert terminal.sw("00D6810001AA"[:8] + "01AA") == "6981"


def test_update_is_read_back_and_survives_reset_and_storage(terminal: Terminal) -> None:
    assert terminal.sw("00D68B000B" + "01" * 11) == "9000"
    assert terminal.sw("00D68B0A01FF") == "9000"
    expected = "01" * 10 + "FF"
    assert terminal.ok("00B08B000B") == expected
    terminal.uicc.cold_reset()
    terminal.select_usim()
    assert terminal.ok("00B08B000B") == expected
    again = terminal.stored_and_back()
    again.select_usim()
    assert again.ok("00B08B000B") == expected


def test_shared_file_changes_under_both_paths(terminal: Terminal) -> None:
    terminal.sw("00D68B000B" + "22" * 11)
    terminal.select("7F20/6F7E")
    assert terminal.ok("00B000000B") == "22" * 11


def test_update_beyond_the_end_is_refused(terminal: Terminal) -> None:
    assert terminal.sw("00D68B0102" + "0102") == "9000"
    assert terminal.sw("00D68B0A02" + "0102") == "6700"
    assert terminal.sw("00D68B0000") == "6700"


def test_access_conditions_are_kept(terminal: Terminal) -> None:
    assert terminal.sw("00D6870001AA") == "6982"
    assert terminal.sw("0020000A08" + pin("88888888")) == "9000"
    assert terminal.sw("00D6870001AA") == "9000"
    terminal.select("2FE2")
    assert terminal.sw("00D6000001AA") == "6982"


def test_update_without_change_is_nothing_to_store(terminal: Terminal) -> None:
    before = terminal.uicc.revision
    content = terminal.ok("00B08B000B")
    assert terminal.sw("00D68B000B" + content) == "9000"
    assert terminal.uicc.revision == before
