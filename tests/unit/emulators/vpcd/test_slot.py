# SPDX-License-Identifier: Apache-2.0
"""What each message of vpcd means for the slot."""

import pytest

from remsim.emulators.driven import POWERED_OFF, RST_ACTIVE, RUNNING
from remsim.emulators.vpcd.slot import CloseReader, Forward, Odd, Reply, ShowContacts, VpcdSlot
from remsim.vpcd import Control

ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")
SELECT = bytes.fromhex("00a40004023f0000")
ON, OFF, RESET = (bytes((control,)) for control in (Control.POWER_ON, Control.POWER_OFF, Control.RESET))


@pytest.fixture
def slot() -> VpcdSlot:
    slot = VpcdSlot()
    slot.atr = ATR
    return slot


def test_atr_is_answered_without_the_card(slot: VpcdSlot) -> None:
    assert slot.on_message(b"\x04") == [Reply(ATR)]


def test_power_cycle_is_a_cold_reset_and_reset_a_warm_one(slot: VpcdSlot) -> None:
    assert slot.on_message(ON) == [ShowContacts(RUNNING)]
    assert slot.on_message(RESET) == [ShowContacts(RST_ACTIVE), ShowContacts(RUNNING)]
    assert slot.on_message(OFF) == [ShowContacts(POWERED_OFF)]
    assert slot.on_message(ON) == [ShowContacts(RUNNING)]


def test_power_that_does_not_change_is_not_reported(slot: VpcdSlot) -> None:
    assert slot.on_message(OFF) == []
    slot.on_message(ON)
    assert slot.on_message(ON) == []


def test_status_words_are_the_programs_to_follow(slot: VpcdSlot) -> None:
    assert slot.on_message(SELECT) == [Forward(SELECT[:-1])]
    assert slot.on_response(b"\x61\x1c") == [Reply(b"\x61\x1c")]
    assert slot.on_message(bytes.fromhex("00b0000000")) == [Forward(bytes.fromhex("00b0000000"))]
    assert slot.on_response(b"\x6c\x0a") == [Reply(b"\x6c\x0a")]


def test_status_words_are_followed_on_demand() -> None:
    slot = VpcdSlot(auto_get_response=True)
    assert slot.on_message(SELECT) == [Forward(SELECT[:-1])]
    assert slot.on_response(b"\x61\x02") == [Forward(bytes.fromhex("00c0000002"))]
    assert slot.is_busy
    assert slot.on_response(b"\xaa\xbb\x90\x00") == [Reply(b"\xaa\xbb\x90\x00")]
    assert not slot.is_busy


@pytest.mark.parametrize("apdu", ["00a4", "00a400", "00a400040a3f00", "00d6000000000100" + "00" * 256])
def test_what_is_no_short_apdu_is_answered_without_the_card(slot: VpcdSlot, apdu: str) -> None:
    odd, reply = slot.on_message(bytes.fromhex(apdu))
    assert isinstance(odd, Odd)
    assert reply == Reply(b"\x67\x00")
    assert odd.size == len(bytes.fromhex(apdu))


def test_empty_message_is_told_and_not_answered(slot: VpcdSlot) -> None:
    (odd,) = slot.on_message(b"")
    assert isinstance(odd, Odd)
    assert odd.size == 0


@pytest.mark.parametrize("body", [b"\x03", b"\xff", b"\x00\xa4", b"\x00\xa4\x00"])
def test_command_that_is_too_short_is_answered(slot: VpcdSlot, body: bytes) -> None:
    """A program sent it, and vpcd waits for the answer: without one the reader hangs."""
    odd, reply = slot.on_message(body)
    assert isinstance(odd, Odd)
    assert reply == Reply(b"\x67\x00")
    assert not slot.is_busy


@pytest.mark.parametrize("control", [OFF, RESET])
@pytest.mark.parametrize("auto_get_response", [False, True])
def test_reset_makes_the_command_in_progress_void(control: bytes, auto_get_response: bool) -> None:
    slot = VpcdSlot(auto_get_response=auto_get_response)
    slot.on_message(ON)
    slot.on_message(SELECT)
    assert slot.on_message(control)
    assert slot.on_response(b"\x90\x00") == []


def test_peer_that_does_not_wait_for_its_answer_is_no_vpcd(slot: VpcdSlot) -> None:
    slot.on_message(SELECT)
    assert [type(step) for step in slot.on_message(b"\x04")] == [Odd, CloseReader]
    assert slot.is_busy


def test_lost_connection_takes_the_power_away(slot: VpcdSlot) -> None:
    assert slot.on_lost() == []
    slot.on_message(ON)
    slot.on_message(SELECT)
    assert slot.on_lost() == [ShowContacts(POWERED_OFF)]
    assert slot.on_response(b"\x90\x00") == []
    slot.on_message(SELECT)
    assert slot.on_lost() == [ShowContacts(POWERED_OFF)]


@pytest.mark.parametrize("auto_get_response", [False, True])
def test_commands_are_answered_until_vpcd_looks_whether_the_card_is_there(auto_get_response: bool) -> None:
    """vpcd reports the end of its connection to the program as a success without a single byte."""
    slot = VpcdSlot(auto_get_response=auto_get_response)
    slot.on_message(ON)
    slot.on_message(SELECT)
    assert slot.leave() == [Reply(b"\x6f\x00")]
    assert slot.leave() == []
    assert slot.on_response(b"\x90\x00") == []
    assert slot.on_message(SELECT) == [Reply(b"\x6f\x00")]
    assert slot.on_message(OFF) == slot.on_message(ON) == []
    assert slot.on_message(b"\x04") == [CloseReader()]
    assert slot.on_lost() == [ShowContacts(POWERED_OFF)]
    assert slot.on_message(b"\x04") == [Reply(slot.atr)]


def test_answer_that_a_message_cannot_hold_is_a_failure_of_the_card() -> None:
    slot = VpcdSlot(auto_get_response=True)
    steps = slot.on_message(bytes.fromhex("00a404000000023f000000"))
    while isinstance(steps[0], Forward):
        steps = slot.on_response(bytes(256) + b"\x61\x00" if len(steps[0].tpdu) == 5 else b"\x61\x00")
    assert steps == [Odd("answer too long for vpcd", 65538), Reply(b"\x6f\x00")]
    assert slot.on_message(bytes.fromhex("00a40000")) == [Forward(bytes.fromhex("00a4000000"))]
