# SPDX-License-Identifier: Apache-2.0
"""Logical channels, activation of files, and the toolkit."""

import pytest

from remsim.uicc import Uicc
from tests.doubles.terminal import Terminal, pin


@pytest.fixture
def terminal() -> Terminal:
    return Terminal.of()


def test_channels_have_their_own_selection(terminal: Terminal) -> None:
    terminal.select("2FE2")
    assert terminal.raw("0070000000") == ("", "6C01")
    assert terminal.raw("0070000001") == ("01", "9000")
    assert terminal.sw("01B0000001") == "6986"
    assert terminal.raw("01A4080C022F05") == ("", "9000")
    assert terminal.raw("01B0000002")[0] == "656E"
    assert terminal.raw("00B000000A")[1] == "9000"


def test_channels_are_limited_closed_and_used_again(terminal: Terminal) -> None:
    assert [terminal.raw("0070000001") for _ in range(3)] == [(f"0{n}", "9000") for n in (1, 2, 3)]
    assert terminal.sw("0070000001") == "6A81"
    assert terminal.sw("0070800200") == "9000"
    assert terminal.sw("02A4000C023F00") == "6881"
    assert terminal.sw("0070800200") == "6881"
    assert terminal.sw("0370800000") == "9000"
    assert terminal.sw("0070000200") == "9000"
    assert terminal.sw("0070000200") == "6881"
    assert terminal.sw("0070000301") == "6700"
    assert terminal.sw("0070000900") == "6881"
    assert terminal.sw("0070800000") == "6A86"
    assert terminal.sw("0070400000") == "6A86"


def test_channel_opened_from_another_begins_where_that_stands(terminal: Terminal) -> None:
    terminal.raw("0070000001")
    assert terminal.raw("01A4040C07A0000000871002")[1] == "9000"
    assert terminal.raw("0170000001") == ("02", "9000")
    assert terminal.raw("02B0870009")[1] == "9000"


def test_response_belongs_to_its_channel_and_to_the_next_command(terminal: Terminal) -> None:
    terminal.raw("0070000001")
    sw = terminal.sw("01A40004023F00")
    assert terminal.sw("00C00000" + sw[2:]) == "6985"
    assert terminal.raw("01C00000" + sw[2:])[1] == "9000"
    terminal.sw("00A40004023F00")
    terminal.sw("00A4000C023F00")
    assert terminal.sw("00C00000" + sw[2:]) == "6985"


def test_reset_closes_channels(terminal: Terminal) -> None:
    terminal.raw("0070000001")
    terminal.uicc.warm_reset()
    assert terminal.sw("01A4000C023F00") == "6881"


def test_deactivated_file_is_told_and_cannot_be_read(terminal: Terminal) -> None:
    terminal.select_usim()
    terminal.select("7FFF/6F7B")
    assert terminal.sw("0004000000") == "6982"
    assert terminal.sw("0020000A08" + pin("88888888")) == "9000"
    assert terminal.sw("0004000000") == "9000"
    assert terminal.sw("00B000000C") == "6984"
    again = terminal.stored_and_back()
    again.select_usim()
    fcp, sw = again.ask("00A40004026F7B")
    assert sw == "6283"
    assert "8A0104" in fcp
    assert again.raw("00A4000C026F7B") == ("", "6283")
    again.sw("0020000A08" + pin("88888888"))
    assert again.sw("0044000000") == "9000"
    assert again.raw("00B000000C")[1] == "9000"


def test_wrong_activation_is_refused(terminal: Terminal) -> None:
    assert terminal.sw("0044000000") == "6986"
    assert terminal.sw("0044010000") == "6A86"
    assert terminal.sw("0044000002") == "6700"
    assert terminal.sw("00440000022FE2") == "6700"


def test_activation_of_an_active_file_changes_nothing(terminal: Terminal) -> None:
    terminal.select_usim()
    terminal.select("7FFF/6F7B")
    terminal.sw("0020000A08" + pin("88888888"))
    before = terminal.uicc.revision
    assert terminal.sw("0044000000") == "9000"
    assert terminal.uicc.revision == before


def test_terminal_capability_is_checked_for_its_shape(terminal: Terminal) -> None:
    assert terminal.sw("80AA000005A903830107") == "9000"
    assert terminal.sw("80AA000003A90383") == "6A80"
    assert terminal.sw("80AA000003800101") == "6A80"
    assert terminal.sw("80AA000000") == "6A80"
    assert terminal.sw("80AA010000") == "6A86"


def _start_toolkit(uicc: Uicc) -> Terminal:
    terminal = Terminal(uicc)
    sw = terminal.sw("8010000001FF")
    assert sw.startswith("91")
    return terminal


def test_menu_is_offered_fetched_and_answered(terminal: Terminal) -> None:
    _start_toolkit(terminal.uicc)
    announced = terminal.raw("00B082000A")[1]
    assert announced.startswith("91")
    assert terminal.raw("8012000000") == ("", "6C" + announced[2:])
    menu, sw = terminal.raw("80120000" + announced[2:])
    assert sw == "9000"
    assert menu.startswith("D0")
    assert b"remsim".hex().upper() in menu
    assert terminal.raw("00B082000A")[1] == "9000"
    assert terminal.sw("8012000000") == "6985"
    assert terminal.sw("801400000C810301250082028281830100") == "9000"
    assert terminal.sw("801400000C810301250082028281830100") == "6985"


def test_chosen_menu_item_is_displayed(terminal: Terminal) -> None:
    _start_toolkit(terminal.uicc)
    terminal.ask("8012000000")
    terminal.sw("801400000C810301250082028281830100")
    assert terminal.sw("80C2000009D30782020181900102") == "9121"
    text = terminal.ok("8012000000")
    assert b"Test network 001/01".hex().upper() in text


@pytest.mark.parametrize("envelope", ["D30782020181900109", "D3", "D1020000", "00"])
def test_other_envelopes_are_taken_without_effect(terminal: Terminal, envelope: str) -> None:
    assert terminal.sw(f"80C20000{len(envelope) // 2:02X}{envelope}") == "9000"


def test_empty_envelope_and_wrong_parameters_are_refused(terminal: Terminal) -> None:
    assert terminal.sw("80C2000000") == "6700"
    assert terminal.sw("80C2010001FF") == "6A86"
    assert terminal.sw("8012000100") == "6A86"
    assert terminal.sw("8010010001FF") == "6A86"


def test_reset_ends_the_conversation(terminal: Terminal) -> None:
    _start_toolkit(terminal.uicc)
    terminal.uicc.warm_reset()
    assert terminal.sw("8012000000") == "6985"
    assert terminal.raw("00B082000A")[1] == "9000"
