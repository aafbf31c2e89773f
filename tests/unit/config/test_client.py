# SPDX-License-Identifier: Apache-2.0
"""The client commands' settings: what they derive, and what they refuse."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from remsim.card.apdu_case import UnknownCommandPolicy
from remsim.card.atr_policy import AtrPart, AtrPolicy
from remsim.config import (
    AtrRules,
    ClientConfig,
    ClientRunConfig,
    ClientVpcdConfig,
    HostPort,
    VpcdSettings,
    load_config,
    parse_settings,
)
from remsim.core.errors import ConfigError
from remsim.core.ids import ClientSlot

SLOTS = """
server = "server.example"
name = "rack"
[keepalive]
interval_s = 5.0
[[slot]]
client = "7:0"
emulator = "simtrace2"
settings = { path = "2-1.4", interface = 0 }
event_script = "/etc/remsim/event"
[slot.atr_rules]
cap_ta1 = "94"
t0_only = true
strip = ["historical"]
[[slot]]
client = "7:1"
emulator = "vpcd"
atr = "3b9f00"
atr_ignore_rspro = true
"""


def load(tmp_path: Path, text: str) -> ClientRunConfig:
    path = tmp_path / "slots.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(ClientRunConfig, environ={}, file=path)


def test_each_slot_has_its_own_settings_and_those_of_all(tmp_path: Path) -> None:
    config = load(tmp_path, SLOTS)
    first, second = (config.of_slot(slot) for slot in config.slot)
    assert (first.server, first.name, first.keepalive.interval_s) == (HostPort("server.example", 9998), "rack", 5.0)
    assert (first.client, second.client) == (ClientSlot(7, 0), ClientSlot(7, 1))
    assert first.atr_rules.policy() == AtrPolicy(cap_ta1=0x94, is_t0_only=True, strip=frozenset({AtrPart.HISTORICAL}))
    assert (first.event_script, second.event_script) == ("/etc/remsim/event", None)
    assert (second.atr, second.atr_ignore_rspro) == (bytes.fromhex("3b9f00"), True)
    assert config.slot[0].settings == {"path": "2-1.4", "interface": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "slot: there is no slot to serve"),
        ("[[slot]]\n", "slot[0].emulator: is missing"),
        ('[[slot]]\nemulator="vpcd"\n[[slot]]\nemulator="vpcd"\n', "two slots have the same vpcd"),
        (
            '[[slot]]\nclient="7:0"\nemulator="a"\n[[slot]]\nclient="7:0"\nemulator="b"\n',
            "C7:0 is described more than once",
        ),
        ('[[slot]]\nemulater="vpcd"\n', "slot[0].emulater: unknown key"),
        ('[[slot]]\nemulator="vpcd"\nclient="5000:0"\n', "5000"),
        ('[[slot]]\nemulator="vpcd"\n[slot.atr_rules]\ncap_ta1=94\n', "slot[0].atr_rules.cap_ta1: 94 must be a string"),
        (
            '[[slot]]\nemulator="vpcd"\n[slot.atr_rules]\ncap_ta1="F0"\n',
            "slot[0].atr_rules: TA1 cannot be capped at F0",
        ),
        ('[[slot]]\nemulator="vpcd"\n[slot.atr_rules]\nstrip="tck"\n', "slot[0].atr_rules.strip[0]"),
        (
            '[[slot]]\nemulator="vpcd"\natr_ignore_rspro=true\n[slot.atr_rules]\nt0_only=true\n',
            "rules change the bank's ATR",
        ),
    ],
)
def test_wrong_file_is_told_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)


def test_rules_can_come_from_the_environment() -> None:
    environ = {"REMSIM_ATR_RULES_CAP_TA1": "11", "REMSIM_ATR_RULES_STRIP": "interface,historical"}
    config = load_config(ClientConfig, environ=environ)
    assert config.atr_rules.policy() == AtrPolicy(cap_ta1=0x11, strip=frozenset(AtrPart))
    assert AtrRules().policy() == AtrPolicy()


def test_virtual_reader_is_a_slot_with_a_reader() -> None:
    config = ClientVpcdConfig(client=ClientSlot(7, 0), auto_get_response=True)
    assert config.reader == VpcdSettings(auto_get_response=True)
    assert config.reader.vpcd == HostPort("127.0.0.1", 35963)
    assert config.client == ClientSlot(7, 0)


def test_emulators_read_their_settings_as_strictly() -> None:
    assert parse_settings(VpcdSettings, {"vpcd": "h:1"}, where="settings").vpcd == HostPort("h", 1)
    with pytest.raises(ConfigError, match=r"settings\.vpdc: unknown key") as caught:
        parse_settings(VpcdSettings, {"vpdc": "h:1"}, where="settings")
    assert caught.value.hint == "did you mean vpcd?"


def test_settings_that_exclude_each_other_are_refused_when_built_directly() -> None:
    with pytest.raises(ValidationError):
        ClientConfig(atr_ignore_rspro=True, atr_rules=AtrRules(t0_only=True))


def test_addresses_without_a_port_have_the_usual_one() -> None:
    """known-limits.md, 11."""
    config = load_config(ClientVpcdConfig, options={"server": "h", "vpcd": "h"}, environ={})
    assert (config.server, config.vpcd) == (HostPort("h", 9998), HostPort("h", 35963))


def test_cases_of_a_slot_come_before_those_of_all(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        command_cases = "80/F0 E0 = 3"
        unknown_commands = "receive"
        [[slot]]
        emulator = "simtrace2"
        command_cases = ["80 E0 = 2", "B0 12 01: 4"]
        [[slot]]
        emulator = "vpcd"
        unknown_commands = "refuse"
        """,
    )
    first, second = map(config.command_rules, config.slot)
    assert [str(case) for case in first.overrides] == ["80 E0 = 2", "B0 12 01 = 4", "80/F0 E0 = 3"]
    assert first.unknown is UnknownCommandPolicy.RECEIVE
    assert [str(case) for case in second.overrides] == ["80/F0 E0 = 3"]
    assert second.unknown is UnknownCommandPolicy.REFUSE


def test_cases_are_also_given_as_one_text() -> None:
    environ = {"REMSIM_COMMAND_CASES": "80/F0 E0 = 3, A0 FE = 1", "REMSIM_UNKNOWN_COMMANDS": "refuse"}
    config = load_config(ClientRunConfig, options={"auto": True}, environ=environ)
    assert [str(case) for case in config.command_cases] == ["80/F0 E0 = 3", "A0 FE = 1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('command_cases = ["80 E0 = 9"]', r"command_cases\[0\]: '80 E0 = 9' is not CLA\[/MASK\] INS \[P1\] = CASE"),
        ("command_cases = [4]", r"command_cases\[0\]: 4 must be a string such as"),
        ('unknown_commands = "guess"', r"unknown_commands: 'guess' is not one of 'refuse' or 'receive'"),
    ],
)
def test_case_that_cannot_be_read_says_what_is_expected(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, f"auto = true\n{text}")
