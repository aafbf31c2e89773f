# SPDX-License-Identifier: Apache-2.0
"""The guard in front of a card, and the mask over its trace."""

from pathlib import Path

import pytest

from remsim.bankd.counts import BankdCounts
from remsim.bankd.guards import MAX_LINES, SlotGuard, guard_for, read_guard_policy
from remsim.bankd.masking import TraceMask
from remsim.config import BankdConfig
from remsim.errors import StartError
from remsim.ids import BankSlot, ClientSlot
from remsim.limits import LimitName
from remsim.logs import get_logger
from remsim.policy.fields import PolicyError
from remsim.policy.presets import DEFAULT
from remsim.trace import AtrRecord, TpduRecord
from tests.doubles.reaching import reaches

BANK, CLIENT = BankSlot(1, 0), ClientSlot(7, 0)
CHANGE_PIN = bytes.fromhex("0024000110") + b"1234\xff\xff\xff\xff5678\xff\xff\xff\xff"
SELECT_MF = bytes.fromhex("00a40004023f00")


def config(folder: Path, rules: str | None) -> BankdConfig:
    guard = None
    if rules is not None:
        guard = folder / "guard.toml"
        guard.write_text(rules)
    return BankdConfig(state_dir=folder, reader="sim", guard=guard)


def guard_of(folder: Path, rules: str | None, counts: BankdCounts) -> SlotGuard | None:
    policy = read_guard_policy(config(folder, rules))
    return guard_for(policy, BANK, CLIENT, counts=counts, log=get_logger("test"))


def test_shipped_rules_only_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_guard_policy(config(tmp_path, None)) is DEFAULT
    counts = BankdCounts()
    guard = guard_of(tmp_path, None, counts)
    assert guard is not None
    assert not guard.blocks(CHANGE_PIN)
    assert not guard.blocks(SELECT_MF)
    assert (counts.noted_commands, counts.blocked_commands) == (1, 0)
    line = capsys.readouterr().err
    assert "command_noted [B1:0 C7:0]" in line
    assert "command=0024000110" in line
    assert "31323334" not in line


@reaches(LimitName.GUARD_LINES)
def test_blocked_commands_are_counted_and_logged_until_it_is_too_much(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = BankdCounts()
    guard = guard_of(tmp_path, '[presets]\npin-change = "block"\n', counts)
    assert guard is not None
    assert all(guard.blocks(CHANGE_PIN) for _ in range(MAX_LINES + 5))
    assert counts.blocked_commands == MAX_LINES + 5
    assert capsys.readouterr().err.count("command_blocked") == MAX_LINES
    assert counts.limits[LimitName.GUARD_LINES] == 5
    neighbour = guard_of(tmp_path, '[presets]\npin-change = "block"\n', counts)
    assert neighbour is not None
    assert neighbour.blocks(CHANGE_PIN)
    assert capsys.readouterr().err.count("command_blocked") == 1


def test_mapping_without_rules_has_no_guard(tmp_path: Path) -> None:
    rules = '[presets]\npin-change = "off"\nfile-update = "off"\nglobalplatform = "off"\n'
    assert guard_of(tmp_path, rules, BankdCounts()) is None


def test_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="pin-chance"):
        read_guard_policy(config(tmp_path, '[presets]\npin-chance = "block"\n'))
    missing = BankdConfig(state_dir=tmp_path, reader="sim", guard=tmp_path / "none")
    with pytest.raises(StartError, match="cannot be read"):
        read_guard_policy(missing)


def test_trace_hides_pins_and_authentication() -> None:
    mask = TraceMask()
    verify = TpduRecord(0, bytes.fromhex("0020000108") + b"1234\xff\xff\xff\xff", b"\x90\x00")
    assert mask(verify) == TpduRecord(0, bytes.fromhex("0020000108") + b"\xff" * 8, b"\x90\x00")
    authenticate = TpduRecord(0, bytes.fromhex("0088008110") + bytes(16), bytes(4) + b"\x90\x00")
    assert mask(authenticate) == TpduRecord(0, bytes.fromhex("0088008110") + b"\xff" * 16, b"\xff" * 4 + b"\x90\x00")
    plain = TpduRecord(0, SELECT_MF, b"\x61\x20")
    assert mask(plain) == plain
    assert mask(AtrRecord(0, b"\x3b\x00")) == AtrRecord(0, b"\x3b\x00")


def test_trace_follows_each_card_and_its_resets() -> None:
    mask = TraceMask()
    select = [bytes.fromhex("00a40004023f00"), bytes.fromhex("00a40004022fe2")]
    read = bytes.fromhex("00b000000a")
    number = bytes.fromhex("98100101000000000019") + b"\x90\x00"
    for command in select:
        mask(TpduRecord(0, command, b"\x61\x20"))
    shown = mask(TpduRecord(0, read, number))
    assert isinstance(shown, TpduRecord)
    assert shown.response == bytes.fromhex("981001ffffffffff0019") + b"\x90\x00"
    mask.on_reset(0)
    again = mask(TpduRecord(0, read, number))
    assert isinstance(again, TpduRecord)
    # The MF is selected, of which nothing is secret.
    assert again.response == number
