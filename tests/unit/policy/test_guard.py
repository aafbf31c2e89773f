# SPDX-License-Identifier: Apache-2.0
"""Which commands reach a card."""

import json

import pytest

from remsim.card.instructions import command_name
from remsim.card.selection import Path
from remsim.core.ids import BankSlot, ClientSlot
from remsim.policy.fields import PolicyError
from remsim.policy.guard import (
    BLOCKED_RESPONSE,
    PRESETS,
    Action,
    ClassMask,
    Guard,
    GuardPolicy,
    Rule,
    RuleMatch,
    parse_guard_policy,
    parse_path,
)
from tests.reference import reference

BANK, CLIENT = BankSlot(1, 0), ClientSlot(23, 0)
OK = b"\x90\x00"


def policy(text: str) -> GuardPolicy:
    """Rules without presets unless the text says so."""
    return parse_guard_policy(text, "guard.toml", PRESETS)


def guard(text: str, *commands: str) -> Guard:
    """A guard that has seen these commands."""
    off = '[presets]\npin-change = "off"\nfile-update = "off"\nglobalplatform = "off"\n'
    found = policy(off + text).guard_for(BANK, CLIENT)
    for command in commands:
        found.on_exchange(bytes.fromhex(command), OK)
    return found


def action(found: Guard, command: str) -> Action | None:
    """What becomes of a command."""
    finding = found.check(bytes.fromhex(command))
    return None if finding is None else finding.action


BLOCK_PHONE_BOOK = '[[rule]]\nname = "pb"\naction = "block"\nins = ["B2", "dc"]\nfile = ["7F10/6F3A"]\n'
SELECT_PHONE_BOOK = ("00a40004027f10", "00a40004026f3a")
SELECT_IMSI = ("00a40004027f20", "00a40004026f07")
READ_RECORD = "00b2010410"


class TestRules:
    def test_class_and_mask(self) -> None:
        found = guard('[[rule]]\nname = "x"\naction = "block"\ncla = ["A0", "80/F0"]\n')
        assert action(found, "a0b0000001") is Action.BLOCK
        assert action(found, "8fb0000001") is Action.BLOCK
        assert action(found, "00b0000001") is None

    def test_file_by_the_end_of_its_path(self) -> None:
        assert action(guard(BLOCK_PHONE_BOOK, *SELECT_PHONE_BOOK), READ_RECORD) is Action.BLOCK
        assert action(guard(BLOCK_PHONE_BOOK, *SELECT_PHONE_BOOK), "00b0000010") is None
        assert action(guard(BLOCK_PHONE_BOOK, *SELECT_IMSI), READ_RECORD) is None

    def test_unknown_file_counts_as_any(self) -> None:
        found = guard(BLOCK_PHONE_BOOK, "00a4000403aabbcc")
        finding = found.check(bytes.fromhex(READ_RECORD))
        assert finding == RuleMatch(Action.BLOCK, "pb", bytes.fromhex(READ_RECORD), None)
        assert finding.is_blocked
        outside = '[[rule]]\nname = "x"\naction = "log"\nnot_file = ["6F7E"]\n'
        assert action(guard(outside, "00a4000403aabbcc"), "00d6000001aa") is Action.LOG

    def test_file_by_its_short_identifier(self) -> None:
        text = '[[rule]]\nname = "x"\naction = "block"\nfile = "ADF.USIM/6F07"\n'
        usim = "00a4040c07a0000000871002"
        assert action(guard(text, usim), "00b0870009") is Action.BLOCK
        assert action(guard(text, usim), "00b0840009") is None

    @pytest.mark.parametrize(
        ("file", "aid", "is_met"),
        [
            ("ADF.USIM/6F07", "a0000000871002ffffffff89", True),
            ("ADF.USIM/6F07", "a0000000871004", False),
            ("ADF.USIM/6F07", "a000000087", True),
            ("ADF.USIM/6F07", "a0", True),
            ("ADF/6F07", "a0000000871002", True),
            ("ADF/6F07", "f001", True),
            ("AID A0000000871002FFFFFFFF89/6F07", "a0000000871002", True),
            ("AID A000000087/6F07", "a0000000871004", True),
            ("AID F00102/6F07", "f001", True),
            ("AID F00102/6F07", "f0010203", True),
            ("AID F00102/6F07", "f00202", False),
            ("3F00/6F07", "f00202", False),
        ],
    )
    def test_application_by_name_or_by_aid(self, file: str, aid: str, is_met: bool) -> None:
        text = f'[[rule]]\nname = "x"\naction = "block"\nfile = "{file}"\n'
        select = f"00a4040c{len(aid) // 2:02x}{aid}"
        assert (action(guard(text, select, "00a40004026f07"), "00b0000009") is Action.BLOCK) is is_met

    def test_file_of_an_application_that_is_known_in_part_is_excused_only_if_it_must_be_that(self) -> None:
        text = '[[rule]]\nname = "x"\naction = "block"\nnot_file = "AID F00102/6F07"\n'
        assert action(guard(text, "00a4040c02f001", "00a40004026f07"), "00b0000009") is Action.BLOCK
        assert action(guard(text, "00a4040c04f0010203", "00a40004026f07"), "00b0000009") is None

    def test_every_file_but_these(self) -> None:
        text = '[[rule]]\nname = "x"\naction = "block"\nins = ["D6"]\nnot_file = ["6F7E", "6F73"]\n'
        assert action(guard(text, "00a40004026f7e"), "00d6000001aa") is None
        assert action(guard(text, "00a40004026f07"), "00d6000001aa") is Action.BLOCK

    def test_file_and_not_file_together(self) -> None:
        text = '[[rule]]\nname = "x"\naction = "log"\nfile = ["6F07"]\nnot_file = ["7F20/6F07"]\n'
        assert action(guard(text, *SELECT_IMSI), "00b0000009") is None
        assert action(guard(text, "00a40004027f10", "00a40004026f07"), "00b0000009") is Action.LOG

    def test_length_of_what_the_command_brings(self) -> None:
        found = guard('[[rule]]\nname = "x"\naction = "block"\nlength = "2-3"\n')
        assert action(found, "00d600000412345678") is None
        assert action(found, "00d6000002aabb") is Action.BLOCK
        assert action(found, "00b0000002") is None
        assert action(guard('[[rule]]\nname = "x"\naction = "block"\nlength = 0\n'), "00b0000002") is Action.BLOCK

    def test_first_rule_decides(self) -> None:
        text = '[[rule]]\nname = "a"\naction = "allow"\ncla = "00"\n[[rule]]\nname = "b"\naction = "block"\n'
        assert action(guard(text), "00b0000001") is None
        assert action(guard(text), "a0b0000001") is Action.BLOCK

    def test_rule_may_hold_for_some_mappings_only(self) -> None:
        rules = policy('[[rule]]\nname = "x"\naction = "block"\nbanks = ["1:0"]\nclients = ["23"]\n')
        command = bytes.fromhex("00b0000001")
        assert rules.guard_for(BANK, CLIENT).check(command) is not None
        assert rules.guard_for(BankSlot(1, 1), CLIENT).check(command) is None
        assert rules.guard_for(BANK, ClientSlot(22, 0)).check(command) is None

    def test_reset_brings_the_selection_back_to_the_mf(self) -> None:
        found = guard(BLOCK_PHONE_BOOK, *SELECT_PHONE_BOOK)
        found.on_reset()
        assert action(found, READ_RECORD) is None

    def test_what_is_no_command_is_passed_over(self) -> None:
        assert action(guard('[[rule]]\nname = "x"\naction = "block"\n'), "00b0") is None

    def test_blocked_command_gets_conditions_not_satisfied(self) -> None:
        assert bytes.fromhex("6985") == BLOCKED_RESPONSE


class TestPresets:
    @pytest.mark.parametrize(
        ("commands", "rule"),
        [
            (["002400011031323334ffffffff35363738ffffffff"], "pin-change"),
            (["002c00011031323334ffffffff35363738ffffffff"], "pin-change"),
            (["002500010a" + "31" * 10], "pin-change"),
            (["002d00010a" + "31" * 10], "pin-change"),
            (["812d80010a" + "31" * 10], None),
            (["0020000108" + "ff" * 8], None),
            (["00a40004026f07", "00d6000001aa"], "file-update"),
            (["00a40004026f7e", "00d6000001aa"], None),
            (["00e0000002aabb"], "file-update"),
            (["00e40000026f07"], "file-update"),
            (["00a40004026f7e", "00d0000001aa"], "file-update"),
            (["00a40004026f3c", "00e2000001aa"], "file-update"),
            (["00a40004026f7e", "80d400000783026f7e80020100"], "file-update"),
            (["c1d400000783026f7e80020100"], "file-update"),
            (["00a40004026f7e", "000e000000"], "file-update"),
            (["00a40004026f7e", "000f0000035403000000"], "file-update"),
            (["00a40004026f7e", "000c010400"], "file-update"),
            (["00da5f5001aa"], "file-update"),
            (["40d8000001aa"], "file-update"),
            (["00df000001aa"], "file-update"),
            (["00cf000001aa"], "file-update"),
            (["00ee000001aa"], "file-update"),
            (["00ea000001aa"], "globalplatform"),
            (["41ec000001aa"], "globalplatform"),
            (["0040000001aa"], "globalplatform"),
            (["0048000001aa"], "globalplatform"),
            (["80ea000001aa"], "globalplatform"),
            (["80e400000a4f08a000000003000000"], "globalplatform"),
            (["90e8000002aabb"], "globalplatform"),
            (["a0e8000002aabb"], "globalplatform"),
            (["d0e8000002aabb"], "globalplatform"),
            (["80e2910003bf2d00"], "globalplatform"),
            (["80c2000002aabb"], None),
            (["0088008110" + "00" * 16], None),
            (["a0b0000009"], None),
        ],
    )
    def test_default_rules_note_what_a_modem_does_not_do(self, commands: list[str], rule: str | None) -> None:
        found = policy("").guard_for(BANK, CLIENT)
        for command in commands[:-1]:
            found.on_exchange(bytes.fromhex(command), OK)
        finding = found.check(bytes.fromhex(commands[-1]))
        assert (None if finding is None else finding.rule) == rule
        assert finding is None or finding.action is Action.LOG

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("7fff6f7e", "LOCI"),
            ("7fff6f73", "PSLOCI"),
            ("7fff6fe3", "EPSLOCI"),
            ("7fff6f7b", "FPLMN"),
            ("7fff6f65", "RPLMNAcT"),
            ("7fff6fca", "MWIS"),
            ("7fff6fcb", "CFIS"),
            ("7fff6fcc", "EXT7, of CFIS"),
            ("7fff6fce", "MMSN"),
            ("7fff6fcf", "EXT8, of MMSN"),
            ("7fff6f82", "ICT"),
            ("7fff6f83", "OCT"),
            ("7fff6f4e", "EXT5, of ICI and OCI"),
            ("7fff6fd6", "GBABP"),
            ("7fff5fc04f05", "5GAUTHKEYS"),
            ("7fff5f3b4f63", "CPBCCH"),
            ("7fff5f404f41", "Pseudo"),
            ("7fff5f404f46", "WRI"),
            ("7fff5f404f4a", "WLRPLMN"),
            ("7fff5f504f81", "ACSGL"),
        ],
    )
    def test_what_a_modem_writes_by_itself_is_no_update(self, path: str, name: str) -> None:
        assert self._of_update(path) is None, name

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("7fff6f07", "IMSI"),
            ("7fff6f40", "MSISDN"),
            ("7fff6f42", "SMSP"),
            ("7fff6f60", "PLMNwAcT"),
            ("7fff6fc7", "MBDN"),
            ("7fff6fd7", "MSK"),
            ("7fff6fda", "GBANL, which only the card writes"),
            ("7fff6fd5", "GBABP of an ISIM, in a USIM"),
            ("7fff5f3a4f41", "a file of the phone book with the number of Pseudo"),
            ("7fff5f3a4f63", "a file of the phone book with the number of CPBCCH"),
            ("7fff5f404f42", "UPLMNWLAN, which a person sets"),
            ("7fff5fc04f07", "SUCI_Calc_Info"),
        ],
    )
    def test_what_a_person_or_an_operator_sets_is_an_update(self, path: str, name: str) -> None:
        assert self._of_update(path) == "file-update", name

    def test_isim_has_bootstrapping_parameters_of_its_own(self) -> None:
        assert self._of_update("7fff6fd5", "a0000000871004") is None
        assert self._of_update("7fff6f04", "a0000000871004") == "file-update"

    def _of_update(self, path: str, aid: str = "a0000000871002") -> str | None:
        """The rule about UPDATE BINARY of a file in an application, selected by its path."""
        found = policy("").guard_for(BANK, CLIENT)
        for data, how in ((aid, "0404"), (path, "0804")):
            found.on_exchange(bytes.fromhex(f"00a4{how}{len(data) // 2:02x}{data}"), OK)
        finding = found.check(bytes.fromhex("00d6000001aa"))
        return None if finding is None else finding.rule

    def test_preset_can_block_or_be_switched_off(self) -> None:
        change = bytes.fromhex("0024000110" + "31" * 16)
        blocking = policy('[presets]\npin-change = "block"').guard_for(BANK, CLIENT).check(change)
        assert blocking is not None
        assert blocking.is_blocked
        assert policy('[presets]\npin-change = "off"').guard_for(BANK, CLIENT).check(change) is None

    def test_own_rule_goes_before_the_presets(self) -> None:
        text = '[[rule]]\nname = "x"\naction = "allow"\nins = ["24"]\n'
        assert policy(text).guard_for(BANK, CLIENT).check(bytes.fromhex("0024000110" + "31" * 16)) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[rule]]\naction = "log"', "guard.toml: rule 1: name is missing"),
        ('[[rule]]\nname = ""\naction = "log"', "guard.toml: rule 1: name must have 1..64 characters"),
        ('[[rule]]\nname = "x"', "guard.toml: rule 1: action is missing"),
        ('[[rule]]\nname = "x"\naction = "drop"', "guard.toml: rule 1: action 'drop' is not one of block, log, allow"),
        ('[[rule]]\nname = "x"\naction = "log"\ncla = "0"', "guard.toml: rule 1: cla: '0' is no class byte"),
        ('[[rule]]\nname = "x"\naction = "log"\nins = "GG"', "guard.toml: rule 1: ins: 'GG' is no instruction"),
        ('[[rule]]\nname = "x"\naction = "log"\nlength = "5-1"', "guard.toml: rule 1: length: '5-1' is no length"),
        ('[[rule]]\nname = "x"\naction = "log"\nlength = "x"', "guard.toml: rule 1: length: 'x' is no length"),
        ('[[rule]]\nname = "x"\naction = "log"\nlength = [1, 2]', "guard.toml: rule 1: length is one number or range"),
        (
            '[[rule]]\nname = "x"\naction = "log"\nfile = "IMSI"',
            "guard.toml: rule 1: file: 'IMSI' is neither a file identifier nor an application",
        ),
        ('[[rule]]\nname = "x"\naction = "log"\nfiles = "6F07"', "guard.toml: rule 1: unknown key 'files'"),
        ('[presets]\npin = "log"', "guard.toml: presets: unknown key 'pin'"),
        ('[presets]\npin-change = "allow"', "guard.toml: presets: pin-change 'allow' is not one of log, block, off"),
        ("rules = 1", "guard.toml: unknown key 'rules'"),
    ],
)
def test_mistake_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("6F07", (0x6F07,)),
        ("7F20/6f07", (0x7F20, 0x6F07)),
        ("ADF.USIM", ("ADF.USIM",)),
        ("AID A0000001", ("AID A0000001",)),
    ],
)
def test_path_is_read(text: str, path: Path) -> None:
    assert parse_path(text) == path


def test_class_mask_looks_at_its_bits_only() -> None:
    assert ClassMask(0x80, 0xF0).has(0x8F)
    assert not ClassMask(0x80, 0xF0).has(0x9F)
    rule = Rule("x", Action.LOG, instructions=frozenset({0xB0}))
    assert rule.concerns(BANK, CLIENT)
    assert not rule.matches(bytes.fromhex("00d6000000"), lambda: None)


class TestNormalStarts:
    """A modem that starts as the recorded ones did loses no command to a preset.

    Neither of them does what the presets are about: a change of a PIN, a write to another file than those that a modem
    keeps, or management of applications.
    """

    @pytest.mark.parametrize("preset", ["pin-change", "file-update", "globalplatform"])
    @pytest.mark.parametrize("trace", ["iot-modem-boot", "phone-boot"])
    def test_each_preset_lets_a_recorded_start_pass(self, trace: str, preset: str) -> None:
        found = policy(f'[presets]\n{preset} = "block"\n').guard_for(BANK, CLIENT)
        blocked: list[str] = []
        instructions: set[int] = set()
        for line in reference("traces", f"{trace}.jsonl").read_text(encoding="utf-8").splitlines():
            step = json.loads(line)
            if "event" in step:
                found.on_reset()
                continue
            command = bytes.fromhex(step["cmd"])
            instructions.add(command[1])
            finding = found.check(command)
            if finding is not None:
                blocked.append(f"{finding.rule}: {step['cmd']}")
            found.on_exchange(command, bytes(step["rlen"]) + bytes.fromhex(step["sw"]))
        assert blocked == []
        # Or there would be nothing that a preset could have taken for what it is about.
        assert {0x2C, 0xD6} <= instructions

    def test_a_pin_change_is_what_the_tables_of_instructions_name_so(self) -> None:
        found = policy('[presets]\npin-change = "block"\n').guard_for(BANK, CLIENT)
        for ins in (0x24, 0x26, 0x28, 0x2C):
            for cla in range(256):
                command = bytes((cla, ins, 0x00, 0x01, 0x01, 0x31))
                is_pin = command_name(cla, ins).split()[0] in ("CHANGE", "DISABLE", "ENABLE", "UNBLOCK")
                assert (found.check(command) is not None) is is_pin, command.hex()

    def test_commands_of_iot_safe_are_no_change_of_a_pin(self) -> None:
        found = policy('[presets]\npin-change = "block"\n').guard_for(BANK, CLIENT)
        # PUT PUBLIC KEY and VERIFY SIGNATURE, on channels 0, 1 and 4 (GSMA IoT.05).
        for command in ("802400000185", "812c000001aa", "c024000001aa", "842c000001aa"):
            assert action(found, command) is None

    @pytest.mark.parametrize("command", ["002c000100", "002c008100", "0024000100", "0026000100", "a02c000000"])
    def test_asking_how_many_tries_are_left_is_no_change(self, command: str) -> None:
        assert action(policy('[presets]\npin-change = "block"\n').guard_for(BANK, CLIENT), command) is None

    @pytest.mark.parametrize(
        "command",
        [
            "002c000110" + "31" * 16,
            "002c0001003132",  # data without a length
            "002c000110",  # a length without data
            "002c030100",  # the counter is reset without a PUK (ISO/IEC 7816-4, clause 11.5.10)
            "0026010100",  # a PIN is disabled without it
            "102c000108" + "31" * 8,
        ],
    )
    def test_everything_else_is_a_change(self, command: str) -> None:
        found = policy('[presets]\npin-change = "block"\n').guard_for(BANK, CLIENT)
        assert action(found, command) is Action.BLOCK


def test_mappings_with_the_same_rules_share_their_table() -> None:
    rules = policy('[[rule]]\nname = "a"\naction = "block"\nins = ["B2"]\nclients = ["7"]\n')
    one, other = rules.guard_for(BANK, CLIENT), rules.guard_for(BankSlot(1, 1), CLIENT)
    assert one._rules is other._rules
    assert rules.guard_for(BANK, ClientSlot(7, 0))._rules is not one._rules
