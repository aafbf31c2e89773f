# SPDX-License-Identifier: Apache-2.0
"""All 256 class bytes: direction tables, software card, guard and redaction read each of them alike."""

import re
from dataclasses import replace
from functools import cache

import pytest

from remsim.card.apdu_case import Case, Direction, decide, look_up
from remsim.card.class_byte import GSM_CLA, Family, class_byte
from remsim.policy.guard import PRESETS, Guard
from remsim.readers.sim.profiles import load_profile
from remsim.redaction import CardRedactor
from remsim.uicc import Uicc
from remsim.uicc.profile.model import Profile
from remsim.uicc.table import COMMANDS, CommandCase
from tests.reference import ROOT

every = pytest.mark.parametrize("cla", range(256), ids=lambda cla: f"{cla:02x}")

ICCID = 0x2FE2
GET_RESPONSE, GET_DATA = 0xC0, 0xCA
OK = b"\x90\x00"


@cache
def _profile() -> Profile:
    """All channels that class bytes can name."""
    return replace(load_profile("default"), channels=20)


def _select(cla: int) -> bytes:
    # P2 of class A0 is 00 always.
    return bytes((cla, 0xA4, 0x00, 0x00 if cla == GSM_CLA else 0x04, 0x02)) + ICCID.to_bytes(2)


def _card(channel: int) -> tuple[Uicc, Guard, CardRedactor]:
    """A card on which this channel is open, and who watches it."""
    card, guard, redactor = Uicc(_profile()), Guard(PRESETS), CardRedactor()
    if channel:
        command = bytes((0x00, 0x70, 0x00, channel, 0x00))
        answer = card.transmit(command)
        assert answer == OK
        guard.on_exchange(command, answer)
        redactor.exchange(command, answer)
    return card, guard, redactor


def _is_secured_by_iso(cla: int) -> bool:
    meaning = class_byte(cla)
    return meaning.is_secured and meaning.family is Family.INTER_INDUSTRY


@every
def test_card_serves_a_class_byte_if_its_meaning_is_known_and_plain(cla: int) -> None:
    meaning = class_byte(cla)
    card, _, _ = _card(meaning.channel)
    ins = 0x12 if meaning.family is Family.PROPRIETARY else 0xA4
    sw = int.from_bytes(card.transmit(bytes((cla, ins, 0x00, 0x00, 0x00)))[-2:])
    is_plain = meaning.family is not None and not meaning.is_chained
    assert (sw == 0x6E00) == (not is_plain)
    assert (sw == 0x6882) == (is_plain and meaning.is_secured)


@every
def test_each_command_of_the_card_has_a_direction_in_its_class(cla: int) -> None:
    meaning = class_byte(cla)
    for (family, ins), entry in COMMANDS.items():
        if family is not meaning.family:
            continue
        # An interindustry class may be told which file it is about; what the card takes is the form without data.
        brings = entry.case in (CommandCase.IN, CommandCase.IN_OUT) or (
            # In secure messaging, Le and checksum at least. GET RESPONSE is none of its commands.
            entry.case is CommandCase.OUT and _is_secured_by_iso(cla) and ins != GET_RESPONSE
        )
        p3 = 0 if entry.case is CommandCase.NONE else 2
        decision = decide(bytes((cla, ins, 0x00, 0x00, p3)))
        if meaning.is_chained and not brings:
            assert decision.direction is not Direction.RECEIVE
        else:
            assert decision.direction is (Direction.RECEIVE if brings else Direction.FORWARD), entry.name


@every
def test_tables_differ_by_family_and_chaining_only(cla: int) -> None:
    meaning = class_byte(cla)
    plain = {Family.GSM: 0xA0, Family.INTER_INDUSTRY: 0x00, Family.PROPRIETARY: 0x80, None: 0x20}[meaning.family]
    for ins in range(256):
        found = look_up(bytes((cla, ins, 0x00, 0x00, 0x02)))
        expected = look_up(bytes((plain, ins, 0x00, 0x00, 0x02)))
        is_fetching = expected is Case.FROM_CARD and ins != GET_RESPONSE
        if (_is_secured_by_iso(cla) and is_fetching) or (
            meaning.is_secured and meaning.family is not None and ins == GET_DATA
        ):
            # In secure messaging it brings a checksum.
            expected = Case.BOTH
        is_chainable = expected is not None and expected >= 3
        assert found == (expected if not meaning.is_chained or is_chainable or ins == GET_RESPONSE else None)


@every
def test_guard_and_card_select_on_the_same_channel(cla: int) -> None:
    meaning = class_byte(cla)
    card, guard, _ = _card(meaning.channel)
    command = _select(cla)
    answer = card.transmit(command)
    guard.on_exchange(command, answer)
    is_served = answer[0] in (0x61, 0x9F)
    is_plain = not meaning.is_secured and not meaning.is_chained
    assert is_served == (meaning.family in (Family.GSM, Family.INTER_INDUSTRY) and is_plain)
    for channel in (0, meaning.channel):
        read = bytes((channel if channel < 4 else 0x40 + channel - 4, 0xB0, 0x00, 0x00, 0x0A))
        number = card.transmit(read)
        is_selected = number[-2:] == OK
        assert is_selected == (is_served and channel == meaning.channel)
        path = guard.tracker.target(read)
        assert (path is not None and path[-1] == ICCID) == is_selected


@every
def test_redaction_fetches_from_the_same_channel_as_the_card(cla: int) -> None:
    meaning = class_byte(cla)
    card, _, redactor = _card(meaning.channel)
    command = _select(cla)
    answer = card.transmit(command)
    redactor.exchange(command, answer)
    for other in (0x00, 0x01, 0x43, 0xA0, cla & 0xBF, cla):
        fetch = bytes((other, 0xC0, 0x00, 0x00, 0x05))
        _, shown = redactor.exchange(fetch, bytes(5) + OK)
        is_rest = answer[0] in (0x61, 0x9F) and class_byte(other).channel == meaning.channel
        assert (shown.hidden == frozenset()) == is_rest
        redactor.exchange(command, answer)


@every
def test_toolkit_is_masked_and_guarded_alike_in_all_classes(cla: int) -> None:
    redactor, usual = CardRedactor(), CardRedactor()
    response = bytes.fromhex("14000010") + bytes.fromhex("810301250082028281830100") + b"\xab" * 4
    fetched = bytes.fromhex("d0128103012100820281028d07043132333435360000") + OK
    for rest, answer in ((response, OK), (bytes.fromhex("1200000016"), fetched)):
        ours = redactor.exchange(bytes((cla,)) + rest, answer)
        assert [one.hidden for one in ours] == [one.hidden for one in usual.exchange(b"\x80" + rest, answer)]
        assert any(one.hidden for one in ours)


@every
def test_management_of_applications_is_noted_in_all_proprietary_classes(cla: int) -> None:
    finding = Guard(PRESETS).check(bytes((cla, 0xE6, 0x0C, 0x00, 0x01, 0x00)))
    assert finding is not None
    family = class_byte(cla).family
    if family is Family.PROPRIETARY:
        assert finding.rule == "globalplatform"
    elif family is Family.INTER_INDUSTRY:
        assert finding.rule == "file-update"


@pytest.mark.parametrize("cla", [0x80, 0x81, 0x83, 0xC0, 0xC5, 0xCF])
def test_toolkit_of_the_card_answers_on_all_channels(cla: int) -> None:
    card, _, _ = _card(class_byte(cla).channel)
    announced = card.transmit(bytes((cla,)) + bytes.fromhex("10000004ffffffff"))
    assert announced[0] == 0x91
    fetched = card.transmit(bytes((cla, 0x12, 0x00, 0x00, announced[1])))
    assert len(fetched) == announced[1] + 2
    answer = bytes.fromhex("14000003830100")
    assert card.transmit(bytes((cla,)) + answer)[0] in (0x90, 0x91)


#: Bits of a class byte, looked at by hand.
_BY_HAND = re.compile(r"\b(?:cla|(?:tpdu|command|header|apdu|bytes)\[0\])\s*(?:&|>>)|\b_?GSM_CLA\b\s*(?::|=[^=])")
#: Both compare the whole byte with what an operator wrote.
_MASKS = {"card/class_byte.py"}


def test_nobody_else_reads_bits_of_a_class_byte() -> None:
    root = ROOT / "src" / "remsim"
    found = {
        str(path.relative_to(root))
        for part in ("card", "uicc", "policy", "emulators", "bankd", "client")
        for path in (root / part).rglob("*.py")
        if _BY_HAND.search(path.read_text(encoding="utf-8"))
    }
    assert found == _MASKS
