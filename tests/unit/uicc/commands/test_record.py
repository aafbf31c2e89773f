# SPDX-License-Identifier: Apache-2.0
"""READ, UPDATE, SEARCH RECORD and INCREASE."""

import pytest

from tests.doubles.terminal import Terminal, pin


@pytest.fixture
def terminal() -> Terminal:
    terminal = Terminal.of()
    terminal.select_usim()
    return terminal


def _fill(terminal: Terminal) -> None:
    """EF SMS: records 1..5 hold their number, the rest zeros and FF."""
    terminal.select("7FFF/6F3C")
    for number in range(1, 6):
        assert terminal.sw(f"00DC{number:02X}04B0" + f"{number:02X}" * 176) == "9000"


def test_absolute_access_leaves_the_pointer(terminal: Terminal) -> None:
    _fill(terminal)
    assert terminal.sw("00B20004B0") == "6A83"
    assert terminal.ok("00B20304B0") == "03" * 176
    assert terminal.ok("00B20002B0") == "01" * 176
    assert terminal.ok("00B20002B0") == "02" * 176
    assert terminal.ok("00B20004B0") == "02" * 176
    assert terminal.ok("00B20003B0") == "01" * 176
    assert terminal.sw("00B20003B0") == "6A83"


def test_previous_without_a_pointer_is_the_last(terminal: Terminal) -> None:
    terminal.select("7FFF/6FB7")
    last = terminal.ok("00B202040E")
    assert terminal.ok("00B200030E") == last
    assert terminal.sw("00B200020E") == "6A83"


def test_wrong_length_is_corrected_and_the_pointer_kept(terminal: Terminal) -> None:
    terminal.select("7FFF/6FB7")
    assert terminal.raw("00B2000200") == ("", "6C0E")
    assert terminal.ok("00B200020E") == terminal.ok("00B201040E")


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("00B203040E", "6A83"),
        ("00B2FF040E", "6A83"),
        ("00B201020E", "6A86"),
        ("00B201010E", "6A86"),
        ("00B201000E", "6A86"),
        ("00DC010403AABBCC", "6982"),
    ],
)
def test_wrong_parameters_are_refused(terminal: Terminal, command: str, sw: str) -> None:
    terminal.select("7FFF/6FB7")
    assert terminal.sw(command) == sw


def test_wrong_length_of_an_update_is_refused(terminal: Terminal) -> None:
    terminal.select("7FFF/6F3C")
    assert terminal.sw("00DC0104AF" + "00" * 175) == "6700"
    assert terminal.sw("00DC1504B0" + "00" * 176) == "6A83"


def test_short_identifier_reaches_records(terminal: Terminal) -> None:
    assert terminal.ok("00B2010C0E") == terminal.ok("00B201040E")
    assert terminal.sw("00B2013C01") == "6981"
    assert terminal.sw("00B201E401") == "6A82"


def test_update_next_moves_on(terminal: Terminal) -> None:
    terminal.select("7FFF/6F3C")
    assert terminal.sw("00DC0002B0" + "AA" * 176) == "9000"
    assert terminal.sw("00DC0002B0" + "BB" * 176) == "9000"
    assert terminal.ok("00B20204B0") == "BB" * 176


def test_cyclic_file_replaces_the_oldest(terminal: Terminal) -> None:
    terminal.select("7F10/6F44")
    assert terminal.sw("00DC01041C" + "01" * 28) == "6A86"
    assert terminal.sw("00DC00031B" + "01" * 27) == "6700"
    for number in range(1, 12):
        assert terminal.sw("00DC00031C" + f"{number:02X}" * 28) == "9000"
    assert terminal.ok("00B201041C") == "0B" * 28
    assert terminal.ok("00B20A041C") == "02" * 28
    assert terminal.ok("00B200041C") == "0B" * 28
    assert terminal.ok("00B200031C") == "02" * 28
    assert terminal.ok("00B200021C") == "0B" * 28


def test_simple_search_finds_all_matches_and_sets_the_pointer(terminal: Terminal) -> None:
    _fill(terminal)
    assert terminal.ok("00A20104020303") == "03"
    assert terminal.ok("00B20004B0") == "03" * 176
    assert terminal.ok("00A202040100")[:4] == "0607"
    assert terminal.ok("00A2050502" + "0202") == "02"
    assert terminal.ok("00A20005020101") == "01"
    assert terminal.sw("00A20204020101") == "6282"
    assert terminal.sw("00A21504020101") == "6A83"


def test_enhanced_search(terminal: Terminal) -> None:
    terminal.select("7F10/6F3A")
    assert terminal.sw("00DC02041C" + "00112233445566778899AABB" + "FF" * 16) == "9000"
    # From offset 3, forward from record 1.
    assert terminal.ok("00A2010604" + "0403" + "3344") == "02"
    assert terminal.sw("00A2010604" + "0404" + "3344") == "6282"
    # Behind the first byte of value 44, forward.
    assert terminal.ok("00A2010604" + "0C44" + "5566") == "02"
    assert terminal.sw("00A2010604" + "0C44" + "3344") == "6282"
    # Backward from a record, forward from the next, backward from the previous record.
    assert terminal.ok("00A2050604" + "0500" + "3344") == "02"
    assert terminal.sw("00A2000604" + "0600" + "3344") == "6282"
    assert terminal.ok("00A2000604" + "0700" + "5465") == "01"
    assert terminal.ok("00A2000604" + "0600" + "3344") == "02"


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("00A2010402", "6700"),
        ("00A2010400", "6700"),
        ("00A201041D" + "00" * 29, "6700"),
        ("00A20106020400", "6700"),
        ("00A201060403000000", "6A86"),
        ("00A20102020000", "6A86"),
    ],
)
def test_wrong_search_is_refused(terminal: Terminal, command: str, sw: str) -> None:
    terminal.select("7F10/6F3A")
    assert terminal.sw(command) == sw


def test_increase_adds_and_answers_both_values(terminal: Terminal) -> None:
    terminal.select("7FFF/6F39")
    assert terminal.ok("8032000003" + "000005") == "000005000005"
    assert terminal.ok("8032000003" + "000100") == "000105000100"
    assert terminal.ok("00B2010403") == "000105"
    assert terminal.ok("00B2020403") == "000005"
    assert terminal.sw("8032000003FFFFFF") == "9850"
    assert terminal.sw("803200000400000001") == "6700"
    assert terminal.sw("8032000000") == "6700"
    assert terminal.sw("8032000103000001") == "6A86"
    assert terminal.sw("8032400003000001") == "6A86"
    terminal.select("7FFF/6F3C")
    assert terminal.sw("8032000003000001") == "6981"


def test_increase_needs_its_right(terminal: Terminal) -> None:
    terminal.select("7F10/6F44")
    assert terminal.sw("803200001C" + "00" * 28) == "6982"
    terminal.verify("81", "5678")
    assert terminal.sw("8032000003" + "000001") == "6982"
    assert terminal.sw("0020008108" + pin("5678")) == "9000"
