# SPDX-License-Identifier: Apache-2.0
"""Rules, guard and redaction under arbitrary input: no error but ours, no secret in sight, a block is never evaded."""

import contextlib
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from remsim.card.tlv import encode_length
from remsim.core.ids import BankSlot, ClientSlot
from remsim.policy.fields import PolicyError
from remsim.policy.guard import PRESETS, Guard, Rule, parse_guard_policy
from remsim.policy.guard import Action as GuardAction
from remsim.policy.mapping import parse_mapping_policy
from remsim.readers.sim.profiles import load_profile
from remsim.redaction import CardRedactor
from remsim.uicc import Uicc

_VALUES = st.recursive(
    st.sampled_from(['"1"', '"1-5"', '"x"', "1", "-1", "true", "1.5", '"6F07"', '"block"', '"80/F0"', '"*"']),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    max_leaves=4,
)
_KEYS = st.sampled_from(
    ["client", "banks", "slots", "numbers", "default", "name", "action", "cla", "ins", "file", "not_file", "length"]
)
_HEADS = st.sampled_from(["[[client]]", "[[rule]]", "[presets]", "[client]", "[[presets]]"])
_RULES = st.lists(st.tuples(_KEYS, _VALUES).map(" = ".join) | _HEADS, max_size=8).map("\n".join)


@given(_RULES | st.text(max_size=60))
def test_rules_are_read_or_refused(text: str) -> None:
    with contextlib.suppress(PolicyError):
        policy = parse_mapping_policy(text, "f")
        assert policy.decide(ClientSlot(1, 0), BankSlot(1, 0), "8900").reason
    with contextlib.suppress(PolicyError):
        parse_guard_policy(text, "f", PRESETS).guard_for(BankSlot(1, 0), ClientSlot(1, 0)).check(bytes(5))


_FIDS = st.sampled_from(
    [0x3F00, 0x7F20, 0x7F10, 0x7FFF, 0x5F3B, 0x5FC0, 0x6F07, 0x2FE2, 0x6F08, 0x6F7E, 0x6F3A, 0x4F20]
)
_CLASSES = st.sampled_from([0x00, 0x01, 0x80, 0xA0, 0x41])


def _command(cla: int, ins: int, p1: int, p2: int, data: bytes) -> bytes:
    return bytes((cla, ins, p1, p2, len(data))) + data


_SELECTS = st.builds(
    lambda cla, p1, fid: _command(cla, 0xA4, p1, 0x04, fid.to_bytes(2)),
    _CLASSES,
    st.sampled_from([0, 1, 2, 8, 9]),
    _FIDS,
)
_APPLICATIONS = st.sampled_from(["a0000000871002", "a0000000871004", "a0000000", "a000000151"]).map(
    lambda aid: _command(0, 0xA4, 0x04, 0x04, bytes.fromhex(aid))
)
_OTHERS = st.builds(
    _command,
    _CLASSES,
    st.sampled_from([0xB0, 0xB2, 0xD6, 0xDC, 0xA2, 0xC0, 0x70, 0x20, 0x88, 0xF2, 0xB1, 0xCB, 0x32, 0xE0]),
    st.sampled_from([0x00, 0x01, 0x80, 0x82, 0x84, 0x87, 0x88]),
    st.sampled_from([0x00, 0x01, 0x04, 0x14, 0x3C, 0x81]),
    st.sampled_from([b"", b"\x31\x32\x33\x34", b"\xab" * 16]),
)
_ANSWERS = st.sampled_from(
    [b"\x90\x00", b"\x61\x0c", b"\x01\x90\x00", b"\x6a\x82", b"\x69\x82", b"\x6c\x09", b"", b"\x90"]
)
_TALK = st.lists(st.tuples(_SELECTS | _APPLICATIONS | _OTHERS | st.binary(max_size=8), _ANSWERS), max_size=12)


@given(_TALK)
def test_whatever_passes_by_keeps_its_length_and_status(talk: list[tuple[bytes, bytes]]) -> None:
    redactor, guard = CardRedactor(), Guard(PRESETS)
    for command, answer in talk:
        guard.check(command)
        guard.on_exchange(command, answer)
        masked_command, masked_answer = redactor.exchange(command, answer)
        assert len(masked_command.to_bytes()) == len(command)
        assert masked_answer.to_bytes()[-2:] == answer[-2:]
        if len(command) > 5 and command[1] in (0x20, 0x88):
            assert masked_command.to_bytes()[5:] == b"\xff" * (len(command) - 5)


_PROFILE = load_profile("default")
#: Numbers whose digits appear nowhere else on the card.
_IDENTITY = replace(_PROFILE.identity, imsi="001018675309421", iccid="890101975318642086")
_IMSI = _IDENTITY.tokens()["imsi"]
#: Digits that only the whole number has.
_HIDDEN = _IMSI[3:7]
_HIDDEN_ICCID = _IDENTITY.tokens()["iccid"][3:8]
_READS = st.builds(
    lambda cla, ins, p1, p2, p3: bytes((cla, ins, p1, p2, p3)),
    _CLASSES,
    st.sampled_from([0xB0, 0xB2, 0xC0, 0xCB]),
    st.sampled_from([0x00, 0x01, 0x82, 0x87, 0x88]),
    st.sampled_from([0x00, 0x04, 0x3C]),
    st.sampled_from([0, 9, 10]),
)
_VERIFY = bytes.fromhex("0020000108") + b"1234" + b"\xff" * 4
_OPEN = bytes.fromhex("0070000001")
_STEPS = st.lists(_SELECTS | _APPLICATIONS | _READS | _OTHERS, max_size=12)


def _card() -> Uicc:
    """A card that lets its IMSI be read, with a second channel open."""
    card = Uicc(_PROFILE, None, _IDENTITY)
    card.cold_reset()
    card.transmit(_VERIFY)
    return card


def test_card_would_give_its_imsi() -> None:
    """Or the two tests below would show nothing."""
    card = _card()
    card.transmit(bytes.fromhex("00a4040c07a0000000871002"))
    assert _HIDDEN in card.transmit(bytes.fromhex("00b0870009"))


@given(_STEPS)
def test_blocked_file_of_a_real_card_is_never_read(steps: list[bytes]) -> None:
    card, guard = _card(), Guard([Rule("imsi", GuardAction.BLOCK, files=((0x6F07,),))])
    for command in [_OPEN, *steps]:
        # The guard may let nothing pass by which the file could be read, whatever the selection was before.
        if guard.check(command) is None:
            answer = card.transmit(command)
            guard.on_exchange(command, answer)
            assert _HIDDEN not in answer


@given(_STEPS)
@example([bytes.fromhex("00b0820000"), bytes.fromhex("00b0000009")])  # 6Cxx, and the file is selected
def test_numbers_of_a_real_card_are_never_shown_whole(steps: list[bytes]) -> None:
    card, redactor = _card(), CardRedactor()
    for command in [_OPEN, *steps]:
        _, masked = redactor.exchange(command, card.transmit(command))
        assert _HIDDEN not in masked.to_bytes()
        assert _HIDDEN_ICCID not in masked.to_bytes()


#: A toolkit object: its tag, and its value, whose bytes a mask may nowhere show.
_OBJECTS = st.lists(
    st.tuples(st.sampled_from([b"\x8b", b"\x06", b"\x0d", b"\xb6", b"\x7f\x0a\x01"]), st.binary(max_size=60)),
    max_size=5,
)
_KIND = bytes.fromhex("8103012300" + "82028281")
_RESULT = bytes.fromhex("830100")


def _object(tag: bytes, value: bytes) -> bytes:
    return tag + encode_length(len(value)) + value


@given(_OBJECTS, st.sampled_from([0x12, 0x14, 0xC2]), st.sampled_from([0x80, 0x81, 0xA0, 0xC1]))
def test_masked_toolkit_data_keep_their_structure_and_no_value(
    objects: list[tuple[bytes, bytes]], ins: int, cla: int
) -> None:
    plain = b"".join(_object(tag, value) for tag, value in objects)
    masked = b"".join(_object(tag, b"\xff" * len(value)) for tag, value in objects)
    if len(plain) > 230:
        return
    redactor = CardRedactor()
    if ins == 0x14:
        command, _ = redactor.exchange(_command(cla, ins, 0, 0, _KIND + _RESULT + plain), b"\x90\x00")
        assert command.to_bytes()[5:] == _KIND + _RESULT + masked
    elif ins == 0xC2:
        command, _ = redactor.exchange(_command(cla, ins, 0, 0, _object(b"\xd1", plain)), b"\x90\x00")
        assert command.to_bytes()[5:] == _object(b"\xd1", masked)
    else:
        fetched = _object(b"\xd0", _KIND + plain)
        _, answer = redactor.exchange(bytes((cla, ins, 0, 0, len(fetched) & 0xFF)), fetched + b"\x90\x00")
        assert answer.to_bytes() == _object(b"\xd0", _KIND + masked) + b"\x90\x00"


@given(_OBJECTS.filter(bool), st.sampled_from([0x90, 0x9C, 0x8C, 0x84, 0xD1, 0xE1]))
def test_toolkit_data_in_parts_or_in_secure_messaging_show_no_structure(
    objects: list[tuple[bytes, bytes]], cla: int
) -> None:
    """What looks like tags and lengths is somewhere in the middle there, or enciphered."""
    redactor = CardRedactor()
    part = b"".join(_object(tag, value) for tag, value in objects)[:255]
    # The last part has the class of any other command.
    classes = [0x90, 0x80] if cla == 0x90 else [0xD1, 0xC1] if cla == 0xD1 else [cla]
    for each in classes:
        command, _ = redactor.exchange(_command(each, 0x14, 0, 0, part), b"\x90\x00")
        assert command.to_bytes()[5:] == b"\xff" * len(part)


def test_object_that_does_not_fit_shows_no_structure() -> None:
    for data in ("8b05aabb", "8b", "8b8205", "8b84000000", "7f0a", "d1", "8b00ff"):
        command, _ = CardRedactor().exchange(_command(0x80, 0x14, 0, 0, bytes.fromhex(data)), b"\x90\x00")
        assert command.to_bytes()[5:] == b"\xff" * (len(data) // 2)
    fetched = bytes.fromhex("d0058b03aabbcc9000")
    _, answer = CardRedactor().exchange(bytes((0x90, 0x12, 0, 0, 7)), fetched)
    assert answer.to_bytes() == b"\xd0\x05" + b"\xff" * 5 + b"\x90\x00"
    # The template ends before the data do.
    command, _ = CardRedactor().exchange(_command(0x80, 0xC2, 0, 0, bytes.fromhex("d1028b00aabb")), b"\x90\x00")
    assert command.to_bytes()[5:] == bytes.fromhex("d102ffffffff")
