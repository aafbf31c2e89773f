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
from remsim.logs import get_logger
from remsim.policy.fields import PolicyError
from remsim.policy.presets import DEFAULT
from remsim.trace import AtrRecord, TpduRecord
from remsim.wire.additions import AuditInd

BANK, CLIENT = BankSlot(1, 0), ClientSlot(7, 0)
CHANGE_PIN = bytes.fromhex("0024000110") + b"1234\xff\xff\xff\xff5678\xff\xff\xff\xff"
SELECT_MF = bytes.fromhex("00a40004023f00")


def config(folder: Path, rules: str | None) -> BankdConfig:
    guard = None
    if rules is not None:
        guard = folder / "guard.toml"
        guard.write_text(rules)
    return BankdConfig(state_dir=folder, reader="sim", guard=guard)


def guard_of(
    folder: Path, rules: str | None, counts: BankdCounts, entries: list[AuditInd] | None = None
) -> SlotGuard | None:
    policy = read_guard_policy(config(folder, rules))
    taken = [] if entries is None else entries
    return guard_for(policy, BANK, CLIENT, counts=counts, log=get_logger("test"), report=taken.append)


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


def test_blocked_commands_are_counted_and_logged_until_it_is_too_much(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = BankdCounts()
    guard = guard_of(tmp_path, '[presets]\npin-change = "block"\n', counts)
    assert guard is not None
    assert all(guard.blocks(CHANGE_PIN) for _ in range(MAX_LINES + 5))
    assert counts.blocked_commands == MAX_LINES + 5
    assert capsys.readouterr().err.count("command_blocked") == MAX_LINES


def test_blocked_command_is_an_entry_with_its_header_and_file_and_never_its_data(tmp_path: Path) -> None:
    rules = (
        '[presets]\npin-change = "block"\n\n[[rule]]\nname = "Müllers EF"\naction = "block"\nins = "D6"\n'
        'file = "7F10/6F3A"\n\n[[rule]]\nname = "noted"\naction = "log"\nins = "A4"\n'
    )
    entries: list[AuditInd] = []
    guard = guard_of(tmp_path, rules, BankdCounts(), entries)
    assert guard is not None
    for select in ("3f00", "7f10", "6f3a"):
        command = bytes.fromhex("00a4000402" + select)
        assert not guard.blocks(command)
        guard.on_exchange(command, b"\x90\x00")
    assert guard.blocks(bytes.fromhex("00d600000411223344"))
    assert guard.blocks(CHANGE_PIN)
    assert [entry.detail for entry in entries] == [
        "rule M?llers EF: 00d6000004 file 3F00/7F10/6F3A",
        "rule pin-change: 0024000110 file 3F00/7F10/6F3A",
    ]
    first = entries[0]
    assert (first.action, first.is_refused, first.bank_slot, first.client_slot) == ("command.block", True, BANK, CLIENT)


def test_noted_commands_do_not_hide_a_blocked_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = '[[rule]]\nname = "noted"\naction = "log"\nins = "A4"\n\n[presets]\npin-change = "block"\n'
    entries: list[AuditInd] = []
    guard = guard_of(tmp_path, rules, BankdCounts(), entries)
    assert guard is not None
    assert not any(guard.blocks(SELECT_MF) for _ in range(MAX_LINES + 5))
    assert guard.blocks(CHANGE_PIN)
    lines = capsys.readouterr().err
    assert (lines.count("command_noted"), lines.count("command_blocked"), len(entries)) == (MAX_LINES, 1, 1)


def test_modem_that_repeats_itself_does_not_fill_the_audit_log(tmp_path: Path) -> None:
    counts, entries = BankdCounts(), list[AuditInd]()
    guard = guard_of(tmp_path, '[presets]\npin-change = "block"\n', counts, entries)
    assert guard is not None
    assert all(guard.blocks(CHANGE_PIN) for _ in range(1000))
    assert counts.blocked_commands == 1000
    assert len(entries) == MAX_LINES + 1
    assert len({entry.detail for entry in entries[:-1]}) == 1
    assert entries[-1].detail == "more than 100 commands of this session were blocked; the rest is counted only"


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
