# SPDX-License-Identifier: Apache-2.0
"""The card as a whole: classes, cases, reset."""

import pytest

from remsim.card.atr import parse_atr
from remsim.readers.sim.profiles import load_profile, profile_names
from remsim.uicc import Uicc
from remsim.uicc.table import COMMANDS
from tests.doubles.terminal import Terminal


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("", "6700"),
        ("00A4", "6700"),
        ("00A4000C", "6700"),
        ("00A4000C023F", "6700"),
        ("00A4000C023F0000", "6700"),
        ("10A4000C023F00", "6E00"),
        ("A1A40000023F00", "6E00"),
        ("FFA4000C023F00", "6E00"),
        ("80A4000C023F00", "6E00"),
        ("00F2000000", "6E00"),
        ("A0AA000000", "6E00"),
        ("00FE000000", "6D00"),
        ("80FE000000", "6D00"),
        ("A0FE000000", "6D00"),
        ("04A4000C023F00", "6882"),
        ("84F2000000", "6882"),
        ("60A4000C023F00", "6882"),
        ("E0F2000000", "6882"),
        ("01A4000C023F00", "6881"),
        ("40A4000C023F00", "6881"),
        ("C0F2000000", "6881"),
        ("00C0000000", "6985"),
        ("00C0010000", "6A86"),
        ("00C000000100", "6700"),
        ("00B0000001FF", "6700"),
        ("00A4000C02", "6700"),
        ("0044000001", "6700"),
    ],
)
def test_wrong_command_gets_its_status_word(command: str, sw: str) -> None:
    assert Terminal.of().sw(command) == sw


def test_partial_get_response_leaves_the_rest() -> None:
    terminal = Terminal.of()
    sw = terminal.sw("00A40004023F00")
    (length,) = bytes.fromhex(sw[2:])
    first, sw = terminal.raw("00C0000010")
    assert (len(first), sw) == (32, f"61{length - 16:02X}")
    assert terminal.sw(f"00C00000{length:02X}") == f"6C{length - 16:02X}"
    rest, sw = terminal.raw(f"00C00000{length - 16:02X}")
    assert sw == "9000"
    assert len(first + rest) == 2 * length


def test_reset_forgets_selection_and_response() -> None:
    terminal = Terminal.of()
    terminal.select("2FE2")
    sw = terminal.sw("00A40004023F00")
    assert terminal.uicc.warm_reset() == terminal.uicc.profile.atr
    assert terminal.sw("00C00000" + sw[2:]) == "6985"
    assert terminal.sw("00B000000A") == "6986"


@pytest.mark.parametrize("name", profile_names())
def test_shipped_profile_makes_a_card_that_can_be_walked(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert parse_atr(Uicc(profile).cold_reset()).has_t0
    terminal = Terminal(Uicc(profile))
    terminal.select_usim()
    for path in profile.files.efs:
        steps = ["7FFF" if step == "USIM" else step for step in path.split("/")[1:]]
        assert terminal.select("/".join(steps)).startswith("62")


def test_every_command_has_a_name_and_each_class_its_select() -> None:
    assert all(entry.name for entry in COMMANDS.values())
    assert sum(entry.name == "SELECT" for entry in COMMANDS.values()) == 2


def test_quiet_commands_hide_a_waiting_proactive_command() -> None:
    terminal = Terminal.of("iot-modem")
    assert terminal.sw("8010000001FF") == "9111"
    assert terminal.raw("0070000001") == ("01", "9000")
    assert terminal.sw("00A4000C023F00") == "9111"
    assert terminal.sw("00A4040C07A0000000871002") == "9000"
