# SPDX-License-Identifier: Apache-2.0
"""PINs and PUKs."""

import pytest

from tests.doubles.terminal import Terminal, pin

_PIN1 = pin("1234")
_PUK1 = pin("12345678")
_WRONG = pin("0000")


@pytest.fixture
def terminal() -> Terminal:
    """A card whose PIN1 was enabled, after the reset that makes it count."""
    terminal = Terminal.of()
    assert terminal.sw("0028000108" + _PIN1) == "9000"
    terminal.uicc.cold_reset()
    terminal.select_usim()
    return terminal


def test_file_opens_with_the_pin_and_closes_at_reset(terminal: Terminal) -> None:
    terminal.select("7FFF/6F07")
    assert terminal.sw("00B0000009") == "6982"
    assert terminal.verify("01", "1234") == "9000"
    assert terminal.raw("00B0000009")[1] == "9000"
    terminal.uicc.warm_reset()
    terminal.select_usim()
    assert terminal.sw("00B0870009") == "6982"


def test_wrong_pin_counts_down_blocks_and_persists(terminal: Terminal) -> None:
    assert terminal.sw("0020000100") == "63C3"
    assert terminal.verify("01", "0000") == "63C2"
    again = terminal.stored_and_back()
    assert again.verify("01", "0000") == "63C1"
    assert again.verify("01", "0000") == "63C0"
    assert again.verify("01", "1234") == "6983"
    assert again.sw("0020000100") == "63C0"
    assert again.stored_and_back().verify("01", "1234") == "6983"


def test_right_pin_restores_the_counter(terminal: Terminal) -> None:
    terminal.verify("01", "0000")
    assert terminal.verify("01", "1234") == "9000"
    assert terminal.sw("0020000100") == "63C3"


def test_wrong_pin_takes_an_earlier_verification_back(terminal: Terminal) -> None:
    terminal.verify("01", "1234")
    terminal.verify("01", "9999")
    assert terminal.sw("00B0870009") == "6982"


def test_change_needs_the_old_pin(terminal: Terminal) -> None:
    assert terminal.sw("0024000110" + _WRONG + pin("4321")) == "63C2"
    assert terminal.sw("0024000110" + _PIN1 + pin("4321")) == "9000"
    assert terminal.stored_and_back().verify("01", "4321") == "9000"


def test_puk_unblocks_sets_the_pin_and_counts_itself(terminal: Terminal) -> None:
    for _ in range(3):
        terminal.verify("01", "0000")
    assert terminal.sw("002C000100") == "63CA"
    assert terminal.sw("002C000110" + pin("00000000") + pin("7777")) == "63C9"
    assert terminal.sw("002C000110" + _PUK1 + pin("7777")) == "9000"
    assert terminal.sw("002C000100") == "63CA"
    assert terminal.raw("00B0870009")[1] == "9000"
    assert terminal.stored_and_back().verify("01", "7777") == "9000"


def test_puk_tried_out_is_the_end(terminal: Terminal) -> None:
    for left in range(9, -1, -1):
        assert terminal.sw("002C000110" + pin("00000000") + pin("7777")) == f"63C{left:X}"
    assert terminal.stored_and_back().sw("002C000110" + _PUK1 + pin("7777")) == "6983"


def test_disabled_pin_opens_everything_and_cannot_be_verified(terminal: Terminal) -> None:
    assert terminal.sw("0026000108" + _WRONG) == "63C2"
    assert terminal.sw("0026000108" + _PIN1) == "9000"
    assert terminal.raw("00B0870009")[1] == "9000"
    assert terminal.verify("01", "1234") == "6984"
    assert terminal.sw("0026000108" + _PIN1) == "6984"
    assert terminal.sw("0024000110" + _PIN1 + _PIN1) == "6984"
    assert terminal.sw("0028000108" + _PIN1) == "9000"
    assert terminal.sw("0028000108" + _PIN1) == "6985"


def test_pin_status_template_shows_what_is_enabled(terminal: Terminal) -> None:
    assert "C609900" + "1C0" in terminal.select_usim()
    terminal.sw("0026000108" + _PIN1)
    assert "C609900" + "140" in terminal.select_usim()


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("0020000208" + _PIN1, "6A88"),
        ("0020000200", "6A88"),
        ("0020010108" + _PIN1, "6A86"),
        ("0020010100", "6A86"),
        ("0020000104" + "31323334", "6700"),
        ("002400010831323334FFFFFFFF", "6700"),
        ("0024000100", "6700"),
        ("0024000110" + _PIN1 + "313233FFFFFFFFFF", "6A80"),
        ("0024000110" + _PIN1 + "41424344FFFFFFFF", "6A80"),
        ("002C010110" + _PUK1 + _PIN1, "6A86"),
        ("0026800108" + _PIN1, "6A86"),
        ("0028800108" + _PIN1, "6A86"),
    ],
)
def test_wrong_parameters_are_refused_without_a_try(terminal: Terminal, command: str, sw: str) -> None:
    assert terminal.sw(command) == sw
    assert terminal.sw("0020000100") == "63C3"
