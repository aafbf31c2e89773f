# SPDX-License-Identifier: Apache-2.0
"""SELECT and STATUS."""

import pytest

from remsim.card.tlv import parse_tlvs
from tests.doubles.terminal import USIM_AID, Terminal

_FULL_AID = "A0000000871002FFFFFFFF8906190000"


@pytest.fixture
def terminal() -> Terminal:
    return Terminal.of()


def _fcp(data: str) -> dict[int, str]:
    (outer,) = parse_tlvs(bytes.fromhex(data))
    assert outer.tag == 0x62
    return {tlv.tag: tlv.value.hex().upper() for tlv in parse_tlvs(outer.value)}


def test_select_announces_its_fcp_and_get_response_brings_it(terminal: Terminal) -> None:
    sw = terminal.sw("00A40004023F00")
    assert sw.startswith("61")
    data, sw2 = terminal.raw("00C00000" + sw[2:])
    assert sw2 == "9000"
    assert _fcp(data)[0x83] == "3F00"


def test_fcp_of_transparent_file(terminal: Terminal) -> None:
    terminal.select_usim()
    fcp = _fcp(terminal.ok("00A40004026F07"))
    assert fcp[0x82] == "4121"
    assert fcp[0x80] == "0009"
    assert fcp[0x88] == "38"
    assert fcp[0x8B] == "6F0603"
    assert fcp[0x8A] == "05"


def test_fcp_of_record_and_cyclic_files(terminal: Terminal) -> None:
    terminal.select_usim()
    assert _fcp(terminal.select("7FFF/6FB7"))[0x82] == "4221000E02"
    assert _fcp(terminal.select("7FFF/6F39"))[0x82] == "4621000305"
    assert _fcp(terminal.select("7FFF/6F39"))[0x88] == ""


def test_implicit_short_identifier_is_not_in_the_fcp(terminal: Terminal) -> None:
    assert 0x88 not in _fcp(terminal.select("2FE2"))
    terminal.ok("00A40004023F00")
    assert terminal.ok("00B082000A") == terminal.ok("00B082000A")


def test_p2_0c_returns_nothing(terminal: Terminal) -> None:
    assert terminal.raw("00A4000C023F00") == ("", "9000")


@pytest.mark.parametrize("aid", [_FULL_AID, USIM_AID, "A000000087"])
def test_application_is_selected_by_full_and_partial_aid(terminal: Terminal, aid: str) -> None:
    fcp = _fcp(terminal.ok(f"00A40404{len(aid) // 2:02X}{aid}"))
    assert fcp[0x84] == _FULL_AID
    assert fcp[0x83] == "7FFF"


@pytest.mark.parametrize(("p2", "found"), [("04", True), ("05", True), ("06", True), ("07", True), ("00", True)])
def test_every_occurrence_of_the_only_application_is_found_once(terminal: Terminal, p2: str, found: bool) -> None:
    command = f"00A404{p2}07{USIM_AID}"
    assert terminal.sw(command).startswith("61") is found
    terminal.select_usim()
    assert terminal.sw(command) == ("6A82" if p2 in ("06", "07") else terminal.sw(f"00A4040407{USIM_AID}"))


def test_unknown_and_empty_aid_are_not_found(terminal: Terminal) -> None:
    assert terminal.sw("00A4040405A0000000FF") == "6A82"
    assert terminal.sw("00A4040400") == "6A82"


def test_termination_leaves_the_application(terminal: Terminal) -> None:
    terminal.select_usim()
    assert terminal.sw(f"00A4044C07{USIM_AID}") == "9000"
    assert terminal.sw("00A4000C027FFF") == "6A82"
    assert terminal.sw("80F2000100") == "6A88"


def test_7fff_means_the_current_application_only_when_there_is_one(terminal: Terminal) -> None:
    assert terminal.sw("00A40804047FFF6F07") == "6A82"
    terminal.select_usim()
    terminal.ok("00A40004023F00")
    assert _fcp(terminal.ok("00A40004027FFF"))[0x84] == _FULL_AID
    assert _fcp(terminal.select("7FFF/6F07"))[0x83] == "6F07"


def test_file_identifier_reaches_children_parent_siblings_and_self(terminal: Terminal) -> None:
    terminal.ok("00A40004027F10")
    terminal.ok("00A40004025F3A")
    terminal.ok("00A40004025F3A")
    assert terminal.sw("00A4000C025F3B") == "9000"
    assert terminal.sw("00A4000C027F10") == "9000"
    assert terminal.sw("00A4000C027F20") == "9000"
    assert terminal.sw("00A4000C026F3A") == "6A82"
    assert terminal.sw("00A4000C023F00") == "9000"
    assert terminal.sw("00A4000C023F01") == "6A82"


def test_child_parent_and_relative_path(terminal: Terminal) -> None:
    assert terminal.sw("00A4010C027F10") == "9000"
    assert terminal.sw("00A4010C027F20") == "6A82"
    assert terminal.sw("00A4090C045F3A4F30") == "9000"
    assert terminal.sw("00A4030C00") == "9000"
    assert terminal.sw("00A4000C025F3A") == "9000"
    terminal.ok("00A4000400")
    assert terminal.sw("00A4030C00") == "6A82"


def test_failed_selection_changes_nothing(terminal: Terminal) -> None:
    imsi = terminal.select_usim() and terminal.select("7FFF/6F07") and terminal.ok("00B0000009")
    assert terminal.sw("00A40804047FFF6FFF") == "6A82"
    assert terminal.sw("00A40804042FE26F07") == "6A82"
    assert terminal.ok("00B0000009") == imsi


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("00A4020C023F00", "6A86"),
        ("00A40008023F00", "6A86"),
        ("00A40014023F00", "6A86"),
        ("00A40045023F00", "6A86"),
        ("00A4000C033F0000", "6700"),
        ("00A4080C033F0000", "6700"),
        ("00A4080C00", "6700"),
        ("00A4030C023F00", "6700"),
    ],
)
def test_wrong_parameters_are_refused(terminal: Terminal, command: str, sw: str) -> None:
    assert terminal.sw(command) == sw


def test_status_tells_of_the_directory_and_the_application(terminal: Terminal) -> None:
    assert terminal.sw("80F2000100") == "6A88"
    terminal.select_usim()
    terminal.select("7FFF/6F07")
    assert _fcp(terminal.ok("80F2000000"))[0x83] == "7FFF"
    assert terminal.raw("80F2000101") == ("", "6C12")
    assert terminal.ok("80F2000100") == "8410" + _FULL_AID
    assert terminal.raw("80F2000C00") == ("", "9000")
    assert terminal.sw("80F2030000") == "6A86"
    assert terminal.sw("80F2000200") == "6A86"
