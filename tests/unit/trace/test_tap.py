# SPDX-License-Identifier: Apache-2.0
"""A slot that is watched: what its records say and hide, how many there are, and when they are told."""

from remsim.card.reset import ResetKind
from remsim.core.ids import BankSlot
from remsim.trace import tap
from remsim.trace.tap import CommandId, SlotTap, hidden_places
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from remsim.wire.messages.extensions import MAX_TRACE_RECORDS, TraceInd, TraceKind, TraceOrigin
from remsim.wire.messages.rspro import MAX_RESPONSE, RsproPdu

OK = bytes.fromhex("9000")
BANK = BankSlot(1, 3)


def command(text: str) -> bytes:
    return bytes.fromhex(text)


def taken(one: SlotTap, now: float = 1.0) -> TraceInd:
    """What is told, as it comes out at the other end of a link."""
    message = one.take(now, bank_slot=BANK)
    assert message is not None
    raw = encode_pdu(RsproPdu(1, message))
    assert len(raw) < 65535
    assert decode_pdu(raw).msg == message
    return message


def watched() -> SlotTap:
    return SlotTap(30.0)


def test_command_has_its_words_times_and_id() -> None:
    one = watched()
    one.on_reset(ResetKind.COLD, 0.0)
    one.on_atr(bytes.fromhex("3b00"), 0.1)
    one.on_command(command("00a40004022fe2"), OK, 0.5, command_id=CommandId(b"sessio", 7, 2), spent_s=0.012345)
    reset, atr, record = taken(one).records
    assert (reset.kind, reset.words, reset.age_us) == (TraceKind.COLD_RESET, "cold reset", 1_000_000)
    assert (atr.kind, atr.response) == (TraceKind.ATR, bytes.fromhex("3b00"))
    assert (record.session, record.tag, record.index, record.spent_us) == (b"sessio", 7, 2, 12345)
    assert (record.words, record.age_us) == ("SELECT EF.ICCID", 500_000)
    assert one.take(2.0) is None


def test_what_files_hold_is_hidden_until_one_is_selected_in_sight() -> None:
    one = watched()
    # By short identifier, EF.PL at the MF is open; in a USIM it would be the emergency numbers, or a key in another
    # application: nobody knows where the card is.
    one.on_command(command("00b0850004"), b"\1\2\3\4" + OK, 0.0)
    one.on_command(command("00a40004022fe2"), OK, 0.0)
    one.on_command(command("00b000000a"), bytes(range(10)) + OK, 0.0)
    first, _, second = taken(one).records
    assert hidden_places(first.hidden_response) == {0, 1, 2, 3}
    assert first.response == b"\xff\xff\xff\xff" + OK
    assert first.words == "READ BINARY SFI 05, 4 bytes"
    # An ICCID is shown in part, as everywhere; after the SELECT of an unknown directory nothing is.
    assert hidden_places(second.hidden_response) >= set(range(3, 8))


def test_pins_and_malformed_commands_say_nothing() -> None:
    one = watched()
    one.on_command(command("0020000108") + b"1234\xff\xff\xff\xff", OK, 0.0)
    one.on_command(b"123412341234", bytes.fromhex("6f00"), 0.0)
    pin, malformed = taken(one).records
    assert pin.words == "VERIFY PIN 01"
    assert pin.command == command("0020000108") + b"\xff" * 8
    assert hidden_places(pin.hidden_command) == set(range(5, 13))
    assert malformed.words == "malformed command"
    assert malformed.command == b"\xff" * 12


def test_after_a_command_without_answer_nothing_is_known_of_the_card() -> None:
    one = watched()
    one.on_reset(ResetKind.COLD, 0.0)
    one.on_command(command("00b0850004"), b"\1\2\3\4" + OK, 0.0)
    one.on_command(command("00a40004027f20"), None, 0.0, failure="the card failed")
    one.on_command(command("00b0850004"), b"\1\2\3\4" + OK, 0.0)
    _, before, lost, after = taken(one).records
    assert before.hidden_response is None
    assert (lost.response, lost.words) == (None, "SELECT DF.GSM: the card failed")
    assert hidden_places(after.hidden_response) == {0, 1, 2, 3}


def test_guesses_follow_the_card_and_used_ones_the_modem() -> None:
    one = watched()
    one.on_reset(ResetKind.COLD, 0.0)
    # The bankd selects ahead; the modem, which has not, reads at the MF.
    one.on_command(command("00a40004022f05"), OK, 0.0, origin=TraceOrigin.GUESS)
    one.on_command(command("00b0000004"), b"\1\2\3\4" + OK, 0.0, origin=TraceOrigin.GUESS)
    one.on_command(command("00b0820004"), b"\1\2\3\4" + OK, 0.0, was_run=False)
    _, _, guess, modem = taken(one).records
    assert (guess.words, guess.hidden_response) == ("READ BINARY, 4 bytes [EF.PL]", None)
    assert (modem.words, modem.origin) == ("READ BINARY SFI 02, 4 bytes [EF.ICCID]", TraceOrigin.MODEM)


def test_more_than_the_rate_is_counted_and_left_out() -> None:
    left_out: list[int] = []
    one = SlotTap(30.0, on_left_out=lambda: left_out.append(1))
    for _ in range(tap.RATE + 50):
        one.on_command(command("00c0000002"), b"\1\2" + OK, 5.0)
    assert one.left_out == len(left_out) == 50
    told = [taken(one, 5.0) for _ in range(tap.RATE // MAX_TRACE_RECORDS)]
    assert [len(message.records) for message in told] == [MAX_TRACE_RECORDS] * 4
    assert {message.left_out for message in told} == {50}
    assert one.take(5.0) is None
    # A second later so many more.
    for _ in range(tap.RATE + 1):
        one.on_command(command("00c0000002"), b"\1\2" + OK, 6.01)
    assert one.left_out in (50, 51)


def test_only_what_was_left_out_is_told_too() -> None:
    one = watched()
    for _ in range(tap.RATE):
        one.on_command(command("00c0000002"), OK, 5.0)
    while one.take(5.0) is not None:
        pass
    one.on_command(command("00c0000002"), OK, 5.0)
    assert one.next_deadline() == 5.0 + tap.FLUSH_S
    assert taken(one, 5.1).records == ()


def test_longest_commands_fit_into_a_frame() -> None:
    one = watched()
    one.on_reset(ResetKind.COLD, 0.0)
    for _ in range(MAX_TRACE_RECORDS):
        one.on_command(
            command("00dc0104ff") + bytes(255),
            bytes(MAX_RESPONSE - 2) + OK,
            0.0,
            command_id=CommandId(b"sessio", 2**31 - 1, 2**31 - 1),
            spent_s=3000.0,
            failure="x" * 300,
        )
    assert len(taken(one).records) == MAX_TRACE_RECORDS


def test_it_is_due_soon_after_the_first_record_and_at_its_end() -> None:
    one = watched()
    assert one.next_deadline() == 30.0
    one.on_command(command("00c0000002"), OK, 5.0)
    one.on_command(command("00c0000002"), OK, 5.05)
    assert one.next_deadline() == 5.1
    one.take(5.1)
    assert one.next_deadline() == 30.0
    for _ in range(MAX_TRACE_RECORDS):
        one.on_command(command("00c0000002"), OK, 6.0)
    assert one.next_deadline() == 6.0
