# SPDX-License-Identifier: Apache-2.0
"""What the guard does about the commands of a session, however they arrive, and when its rules change."""

import pytest

from remsim.bankd.core.guarding import MAX_LINES
from remsim.card.reset import ResetKind
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.core.log_event import LogEvent
from remsim.policy.guard import DEFAULT, PRESETS, GuardPolicy, parse_guard_policy
from remsim.wire.link.actions import LinkId
from remsim.wire.messages import rspro
from remsim.wire.messages.extensions import AuditInd
from remsim.wire.messages.rspro import SlotPhysStatus
from tests.doubles.bank import Bank
from tests.doubles.reaching import reaches

BANK, CLIENT = BankSlot(1, 0), ClientSlot(1, 0)
CHANGE_PIN = bytes.fromhex("0024000110") + b"1234\xff\xff\xff\xff5678\xff\xff\xff\xff"
SELECT_MF = bytes.fromhex("00a40004023f00")
BLOCKED = b"\x69\x85"
OK = b"\x90\x00"

NO_PRESETS = '[presets]\npin-change = "off"\nfile-update = "off"\nglobalplatform = "off"\n'
NO_PIN = '[presets]\npin-change = "block"\n'
NO_READING = NO_PRESETS + '[[rule]]\nname = "no IMSI"\naction = "block"\nins = "B0"\nfile = "7F20/6F07"\n'
SELECT_IMSI = (bytes.fromhex("00a40004027f20"), bytes.fromhex("00a40004026f07"))
READ = bytes.fromhex("00b0000009")


def policy(rules: str) -> GuardPolicy:
    return parse_guard_policy(rules, "guard.toml", PRESETS)


class Guarded:
    """A client in service at a bank with rules; its card answers 9000."""

    def __init__(self, rules: str | GuardPolicy) -> None:
        self.bank = Bank(policy=policy(rules) if isinstance(rules, str) else rules)
        self.bank.cards.respond = lambda _tpdu: OK
        self.server = self.bank.server()
        self.bank.map(self.server)
        self.client = self.bank.connect()
        self.bank.cards.notices.clear()

    def submit(self, *commands: bytes) -> list[bytes | None]:
        return [self.bank.submit(self.client, command) for command in commands]

    def change(self, rules: str) -> LogEvent:
        """Let these rules hold; what is said about it."""
        self.bank.do(self.bank.coordinator.on_guard_policy(policy(rules)))
        return self.bank.cards.notices[-1]

    def said(self, name: str) -> list[LogEvent]:
        return [event for event in self.bank.cards.notices if event.name == name]

    def entries(self) -> list[AuditInd]:
        return [message for message in self.bank.sent[self.server] if isinstance(message, AuditInd)]

    def executed(self) -> list[str]:
        """The commands that the card saw."""
        return [what.removeprefix("transmit ") for _slot, what in self.bank.cards.log if what.startswith("transmit")]


def test_shipped_rules_only_note() -> None:
    guarded = Guarded(DEFAULT)
    assert guarded.submit(CHANGE_PIN, SELECT_MF) == [OK, OK]
    counts = guarded.bank.coordinator.counts
    assert (counts.noted_commands, counts.blocked_commands) == (1, 0)
    (event,) = guarded.said("command_noted")
    assert (event.level, event.bank_slot, event.client_slot) == ("info", BANK, CLIENT)
    assert event.fields["command"] == "0024000110"
    assert "31323334" not in repr(event)
    assert "1234" not in repr(event)


def test_blocked_command_is_answered_without_the_card_at_once_in_its_turn_and_as_a_message() -> None:
    guarded = Guarded(NO_PIN)
    bank = guarded.bank
    assert guarded.submit(CHANGE_PIN) == [BLOCKED]
    tag = bank.command(guarded.client, CHANGE_PIN.hex())
    bank.is_automatic = False
    assert guarded.submit(SELECT_MF, CHANGE_PIN) == [None, None]
    bank.let_cards_act()
    answers = [message.data for message in bank.sent[guarded.client] if isinstance(message, rspro.TpduCardToModem)]
    assert answers == [BLOCKED, OK, BLOCKED]
    assert tag in bank.reply_tags[guarded.client]
    assert guarded.executed() == [SELECT_MF.hex()]
    # Each was asked about once, and each is an answered command.
    assert (bank.coordinator.counts.blocked_commands, bank.coordinator.counts.tpdus) == (3, 4)


@reaches(LimitName.GUARD_LINES)
def test_blocked_commands_are_counted_and_logged_until_it_is_too_much() -> None:
    guarded = Guarded(NO_PIN)
    counts = guarded.bank.coordinator.counts
    assert guarded.submit(*[CHANGE_PIN] * (MAX_LINES + 5)) == [BLOCKED] * (MAX_LINES + 5)
    assert counts.blocked_commands == MAX_LINES + 5
    assert len(guarded.said("command_blocked")) == MAX_LINES
    assert counts.limits[LimitName.GUARD_LINES] == 5
    guarded.bank.map(guarded.server, "C2:0", "B1:1")
    neighbour = guarded.bank.connect("C2:0")
    assert guarded.bank.submit(neighbour, CHANGE_PIN) == BLOCKED
    assert len(guarded.said("command_blocked")) == MAX_LINES + 1


def test_blocked_command_is_an_entry_with_its_header_and_file_and_never_its_data() -> None:
    rules = (
        NO_PIN + '\n[[rule]]\nname = "Müllers EF"\naction = "block"\nins = "D6"\n'
        'file = "7F10/6F3A"\n\n[[rule]]\nname = "noted"\naction = "log"\nins = "A4"\n'
    )
    guarded = Guarded(rules)
    for select in ("3f00", "7f10", "6f3a"):
        assert guarded.submit(bytes.fromhex("00a4000402" + select)) == [OK]
    assert guarded.submit(bytes.fromhex("00d600000411223344"), CHANGE_PIN) == [BLOCKED, BLOCKED]
    entries = guarded.entries()
    assert [entry.detail for entry in entries] == [
        "rule M?llers EF: 00d6000004 file 3F00/7F10/6F3A",
        "rule pin-change: 0024000110 file 3F00/7F10/6F3A",
    ]
    first = entries[0]
    assert (first.action, first.is_refused, first.bank_slot, first.client_slot) == ("command.block", True, BANK, CLIENT)


def test_noted_commands_do_not_hide_a_blocked_one() -> None:
    guarded = Guarded('[[rule]]\nname = "noted"\naction = "log"\nins = "A4"\n\n' + NO_PIN)
    assert guarded.submit(*[SELECT_MF] * (MAX_LINES + 5)) == [OK] * (MAX_LINES + 5)
    assert guarded.submit(CHANGE_PIN) == [BLOCKED]
    lines = len(guarded.said("command_noted")), len(guarded.said("command_blocked"))
    assert (*lines, len(guarded.entries())) == (MAX_LINES, 1, 1)


def test_modem_that_repeats_itself_does_not_fill_the_audit_log() -> None:
    guarded = Guarded(NO_PIN)
    guarded.submit(*[CHANGE_PIN] * 1000)
    assert guarded.bank.coordinator.counts.blocked_commands == 1000
    entries = guarded.entries()
    assert len(entries) == MAX_LINES + 1
    assert len({entry.detail for entry in entries[:-1]}) == 1
    assert entries[-1].detail == "more than 100 commands of this session were blocked; the rest is counted only"


def test_mapping_without_rules_has_no_guard() -> None:
    guarded = Guarded(NO_PRESETS)
    session = guarded.bank.coordinator.clients.connections[LinkId(guarded.client)].session
    assert session is not None
    assert session.guard is None


def test_reset_takes_the_selection_back() -> None:
    guarded = Guarded(NO_READING)
    guarded.submit(*SELECT_IMSI)
    assert guarded.submit(READ) == [BLOCKED]
    status = SlotPhysStatus(reset_active=True, vcc_present=True)
    guarded.bank.say(guarded.client, rspro.ClientSlotStatusInd(CLIENT, BANK, status))
    assert guarded.bank.cards.log[-1] == (0, ResetKind.WARM.value)
    assert guarded.submit(READ) == [OK]


class TestChange:
    def test_session_goes_on_with_new_rules_and_what_is_selected(self) -> None:
        guarded = Guarded('[presets]\npin-change = "log"\n')
        assert guarded.submit(*SELECT_IMSI, READ) == [OK, OK, OK]
        told = guarded.change(NO_READING)
        assert (told.name, told.fields) == ("guard_reloaded", {"rules": 1, "sessions": 1})
        assert guarded.submit(READ) == [BLOCKED]
        assert guarded.submit(bytes.fromhex("00a40004026f7e"), READ) == [OK, OK]
        assert guarded.bank.coordinator.counts.blocked_commands == 1

    def test_session_that_nobody_watched_counts_as_any_file_until_it_selects(self) -> None:
        guarded = Guarded(NO_PRESETS)
        guarded.change(NO_READING)
        assert guarded.submit(READ) == [BLOCKED]
        assert guarded.said("command_blocked")[0].fields["file"] == "unknown"
        # The first SELECT may be the last part of one that began before.
        assert guarded.submit(SELECT_MF, SELECT_MF, bytes.fromhex("00a40004022fe2"), READ) == [OK] * 4

    def test_lines_about_a_session_stay_bounded_whatever_changes(self) -> None:
        guarded = Guarded(NO_PIN)
        for _ in range(2):
            guarded.submit(*[CHANGE_PIN] * MAX_LINES)
            guarded.change(NO_PIN)
        assert guarded.submit(CHANGE_PIN) == [BLOCKED]
        assert len(guarded.said("command_blocked")) == MAX_LINES
        assert guarded.bank.coordinator.counts.blocked_commands == 2 * MAX_LINES + 1

    def test_rules_that_are_gone_let_the_session_alone(self) -> None:
        guarded = Guarded(NO_READING)
        guarded.submit(*SELECT_IMSI)
        guarded.change(NO_PRESETS)
        assert guarded.submit(READ) == [OK]

    def test_session_that_ended_is_not_counted_and_a_new_one_gets_the_new_rules(self) -> None:
        guarded = Guarded(NO_PRESETS)
        guarded.bank.lose(guarded.client)
        assert guarded.change(NO_READING).fields["sessions"] == 0
        guarded.client = guarded.bank.connect()
        # The card was powered just now: it is at the MF, where this rule's file is not.
        assert guarded.submit(READ) == [OK]
        assert guarded.submit(*SELECT_IMSI, READ) == [OK, OK, BLOCKED]

    @pytest.mark.parametrize("is_watched", [False, True])
    def test_guard_that_comes_while_a_command_runs_hears_of_its_answer(self, is_watched: bool) -> None:
        guarded = Guarded(NO_READING if is_watched else NO_PRESETS)
        guarded.submit(SELECT_MF, SELECT_IMSI[0])
        guarded.bank.is_automatic = False
        guarded.submit(SELECT_IMSI[1])
        guarded.change(NO_READING)
        guarded.bank.let_cards_act()
        guarded.bank.is_automatic = True
        assert guarded.submit(READ) == [BLOCKED]

    def test_command_in_progress_is_not_judged_again(self) -> None:
        guarded = Guarded(NO_PRESETS)
        guarded.bank.is_automatic = False
        assert guarded.submit(CHANGE_PIN) == [None]
        guarded.change(NO_PIN)
        guarded.bank.let_cards_act()
        assert guarded.executed() == [CHANGE_PIN.hex()]
        assert guarded.bank.coordinator.counts.blocked_commands == 0
        assert guarded.submit(CHANGE_PIN) == [BLOCKED]
