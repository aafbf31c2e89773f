# SPDX-License-Identifier: Apache-2.0
"""The guard in front of a card, its rules that may change, and the mask over its trace."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remsim.bankd.core.session import BankdCounts
from remsim.bankd.driver import CardDriver
from remsim.bankd.guard import MAX_LINES, Guards, SlotGuard, TraceMask, guard_for, read_guard_policy
from remsim.config import BankdConfig
from remsim.core.errors import StartError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.logs import get_logger
from remsim.net.runtime.tasks import TaskOwner
from remsim.policy.fields import PolicyError
from remsim.policy.guard import DEFAULT
from remsim.readers.errors import ReaderError
from remsim.trace.gsmtap import AtrRecord, TpduRecord
from remsim.wire.messages.extensions import AuditInd
from tests.doubles.noted_log import NotedLog
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


class Deaf:
    """Hears how operations ended, of which there are none here."""

    def on_opened(self, slot_nr: int, atr: bytes) -> None:
        """See SlotEvents."""

    def on_response(self, slot_nr: int, response: bytes) -> None:
        """See SlotEvents."""

    def on_reset(self, slot_nr: int, atr: bytes) -> None:
        """See SlotEvents."""

    def on_closed(self, slot_nr: int) -> None:
        """See SlotEvents."""

    def on_number(self, slot_nr: int, iccid: str | None, reason: str) -> None:
        """See SlotEvents."""

    def on_failed(self, slot_nr: int, error: ReaderError) -> None:
        """See SlotEvents."""


NO_PRESETS = '[presets]\npin-change = "off"\nfile-update = "off"\nglobalplatform = "off"\n'
NO_READING = NO_PRESETS + '[[rule]]\nname = "no IMSI"\naction = "block"\nins = "B0"\nfile = "7F20/6F07"\n'
SELECT_IMSI = (bytes.fromhex("00a40004027f20"), bytes.fromhex("00a40004026f07"))
READ = bytes.fromhex("00b0000009")


class Stand:
    """A bank's guards, whose file the test writes."""

    def __init__(self, folder: Path, rules: str, tasks: TaskOwner) -> None:
        self.config = config(folder, rules)
        self.log = NotedLog()
        self.counts = BankdCounts()
        self.reported: list[AuditInd] = []
        self.guards = Guards(self.config, counts=self.counts, log=self.log.logger, report=self.reported.append)
        self.slot = CardDriver(0, events=Deaf(), tasks=tasks, observe=lambda _seconds: None)

    def write(self, rules: str) -> None:
        """Change the file."""
        assert self.config.guard is not None
        self.config.guard.write_text(rules)

    def blocks(self, tpdu: bytes) -> bool:
        """What the guard of the session says; without one, everything passes."""
        return self.slot.guard is not None and self.slot.guard.blocks(tpdu)

    def exchange(self, *commands: bytes) -> None:
        """The card answers these, watched by whoever watches."""
        for command in commands:
            if self.slot.guard is not None:
                self.slot.guard.on_exchange(command, b"\x90\x00")


@pytest.fixture
async def tasks() -> AsyncIterator[TaskOwner]:
    """For slots that never start one."""
    async with TaskOwner("test") as owner:
        yield owner


class TestReload:
    async def test_session_goes_on_with_new_rules_and_what_is_selected(self, tmp_path: Path, tasks: TaskOwner) -> None:
        stand = Stand(tmp_path, '[presets]\npin-change = "log"\n', tasks)
        stand.guards.begin(stand.slot, BANK, CLIENT)
        stand.exchange(*SELECT_IMSI)
        assert not stand.blocks(READ)
        stand.write(NO_READING)
        await stand.guards.reload()
        told = await stand.log.next("guard_reloaded")
        assert (told["rules"], told["sessions"]) == (1, 1)
        assert stand.blocks(READ)
        stand.exchange(bytes.fromhex("00a40004026f7e"))
        assert not stand.blocks(READ)
        assert stand.counts.blocked_commands == 1

    async def test_session_that_nobody_watched_counts_as_any_file_until_it_selects(
        self, tmp_path: Path, tasks: TaskOwner
    ) -> None:
        stand = Stand(tmp_path, NO_PRESETS, tasks)
        stand.guards.begin(stand.slot, BANK, CLIENT)
        assert stand.slot.guard is None
        stand.write(NO_READING)
        await stand.guards.reload()
        assert stand.blocks(READ)
        assert (await stand.log.next("command_blocked"))["file"] == "unknown"
        # The first SELECT may be the last part of one that began before.
        select_mf = bytes.fromhex("00a40004023f00")
        stand.exchange(select_mf, select_mf, bytes.fromhex("00a40004022fe2"))
        assert not stand.blocks(READ)

    async def test_lines_about_a_session_stay_bounded_whatever_changes(self, tmp_path: Path, tasks: TaskOwner) -> None:
        rules = '[presets]\npin-change = "block"\n'
        stand = Stand(tmp_path, rules, tasks)
        stand.guards.begin(stand.slot, BANK, CLIENT)
        for _ in range(2):
            assert all(stand.blocks(CHANGE_PIN) for _ in range(MAX_LINES))
            await stand.guards.reload()
            await stand.log.next("guard_reloaded")
        assert stand.blocks(CHANGE_PIN)
        assert stand.log.is_empty()
        assert stand.counts.blocked_commands == 2 * MAX_LINES + 1

    async def test_rules_that_are_gone_let_the_session_alone(self, tmp_path: Path, tasks: TaskOwner) -> None:
        stand = Stand(tmp_path, NO_READING, tasks)
        stand.guards.begin(stand.slot, BANK, CLIENT)
        stand.write(NO_PRESETS)
        await stand.guards.reload()
        assert stand.slot.guard is None

    async def test_session_that_ended_gets_no_guard_and_a_new_one_the_new_rules(
        self, tmp_path: Path, tasks: TaskOwner
    ) -> None:
        stand = Stand(tmp_path, NO_PRESETS, tasks)
        stand.guards.begin(stand.slot, BANK, CLIENT)
        stand.guards.end(stand.slot)
        stand.guards.end(stand.slot)
        stand.write(NO_READING)
        await stand.guards.reload()
        assert (await stand.log.next("guard_reloaded"))["sessions"] == 0
        assert stand.slot.guard is None
        stand.guards.begin(stand.slot, BANK, CLIENT)
        # The card was powered just now: it is at the MF, where this rule's file is not.
        assert not stand.blocks(READ)
        stand.exchange(*SELECT_IMSI)
        assert stand.blocks(READ)

    @pytest.mark.parametrize("rules", ['[presets]\npin-chance = "block"\n', None])
    async def test_file_that_cannot_be_used_changes_nothing(
        self, tmp_path: Path, tasks: TaskOwner, rules: str | None
    ) -> None:
        stand = Stand(tmp_path, NO_READING, tasks)
        stand.guards.begin(stand.slot, BANK, CLIENT)
        guard = stand.slot.guard
        assert stand.config.guard is not None
        if rules is None:
            stand.config.guard.unlink()
        else:
            stand.write(rules)
        await stand.guards.reload()
        told = await stand.log.next("guard_not_reloaded")
        assert "guard.toml" in told["error"]
        assert told["hint"]
        assert stand.slot.guard is guard

    async def test_without_a_file_there_is_nothing_to_read(self, tmp_path: Path) -> None:
        log = NotedLog()
        reported: list[AuditInd] = []
        guards = Guards(config(tmp_path, None), counts=BankdCounts(), log=log.logger, report=reported.append)
        await guards.reload()
        assert log.is_empty()


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
