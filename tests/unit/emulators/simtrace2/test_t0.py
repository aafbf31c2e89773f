# SPDX-License-Identifier: Apache-2.0
"""The T=0 side: all cases, lengths that do not fit, refusals, cancellation, and the table of transitions."""

import pytest

from remsim.card.apdu_case import Case, CaseOverride, CommandRules, Direction
from remsim.emulators.simtrace2.actions import Action, DropUnsent, Fact, FactKind, ForwardTpdu, SendBulk
from remsim.emulators.simtrace2.messages import TxData
from remsim.emulators.simtrace2.t0 import T0_TRANSITIONS, T0Card, T0Command, T0Event, T0State, fit_answer

READ = bytes.fromhex("00b000000a")
UPDATE = bytes.fromhex("00d6000007")
DATA = bytes(range(10))


def sent(actions: list[Action]) -> list[bytes]:
    return [
        action.message.data for action in actions if isinstance(action, SendBulk) and isinstance(action.message, TxData)
    ]


def facts(actions: list[Action]) -> list[FactKind]:
    return [action.kind for action in actions if isinstance(action, Fact)]


def state_of(card: T0Card) -> T0State:
    """The state now; a type checker would remember the one before."""
    return card.state


@pytest.fixture
def card() -> T0Card:
    return T0Card()


class TestCases:
    def test_case_1_and_2_forward_the_header(self, card: T0Card) -> None:
        assert card.on_header(READ) == [ForwardTpdu(1, READ)]
        assert state_of(card) is T0State.WAITING_FOR_CARD
        assert card.answer(1, DATA + b"\x90\x00") == [SendBulk(TxData.whole_answer(0xB0, DATA, b"\x90\x00"), 1)]
        assert state_of(card) is T0State.SENDING_ANSWER
        card.on_sent(1)
        assert state_of(card) is T0State.WAITING_FOR_HEADER

    def test_case_3_and_4_receive_the_data_first(self, card: T0Card) -> None:
        assert card.on_header(UPDATE) == [SendBulk(TxData.acknowledge(0xD6), 1)]
        assert state_of(card) is T0State.RECEIVING_DATA
        card.on_sent(1)
        assert state_of(card) is T0State.RECEIVING_DATA
        assert card.on_data(DATA[:7], is_final=True) == [ForwardTpdu(1, UPDATE + DATA[:7])]
        assert card.answer(1, b"\x61\x1f") == [SendBulk(TxData.status_word(b"\x61\x1f"), 1)]

    def test_data_may_come_in_parts(self, card: T0Card) -> None:
        card.on_header(UPDATE)
        assert card.on_data(DATA[:3], is_final=False) == []
        assert card.on_data(DATA[3:7], is_final=False) == [ForwardTpdu(1, UPDATE + DATA[:7])]

    def test_two_messages_like_a_classic_host(self) -> None:
        card = T0Card(is_one_message=False)
        card.on_header(READ)
        assert sent(card.answer(1, DATA + b"\x90\x00")) == [b"\xb0" + DATA, b"\x90\x00"]
        card.on_sent(1)
        assert state_of(card) is T0State.SENDING_ANSWER
        card.on_sent(1)
        assert state_of(card) is T0State.WAITING_FOR_HEADER

    def test_repeated_command_after_6c_is_forwarded_although_p3_is_not_zero(self, card: T0Card) -> None:
        card.on_header(bytes.fromhex("80cabf2000"))
        card.answer(1, b"\x6c\x0b")
        assert card.on_header(bytes.fromhex("80cabf200b"))[-1] == ForwardTpdu(2, bytes.fromhex("80cabf200b"))

    def test_reset_forgets_6c(self, card: T0Card) -> None:
        card.on_header(bytes.fromhex("80cabf2000"))
        card.answer(1, b"\x6c\x0b")
        card.cancel()
        assert sent(card.on_header(bytes.fromhex("80cabf200b"))) == [b"\xca"]

    def test_override_decides(self) -> None:
        card = T0Card(rules=CommandRules((CaseOverride(0x80, 0xFF, 0xE0, Case.FROM_CARD),)))
        assert card.on_header(bytes.fromhex("80e0000010")) == [ForwardTpdu(1, bytes.fromhex("80e0000010"))]


class TestAnswers:
    def command(self, header: bytes, direction: Direction = Direction.FORWARD) -> T0Command:
        return T0Command(header, direction, T0State.WAITING_FOR_CARD)

    @pytest.mark.parametrize("sw", [b"\x90\x00", b"\x62\x82", b"\x61\x10"])
    def test_exact_number_of_bytes_passes(self, sw: bytes) -> None:
        assert fit_answer(self.command(READ), DATA + sw) == (DATA, int.from_bytes(sw), None)

    def test_p3_zero_means_256(self) -> None:
        header = bytes.fromhex("00b0000000")
        data, sw, fact = fit_answer(self.command(header), bytes(256) + b"\x90\x00")
        assert (len(data), sw, fact) == (256, 0x9000, None)

    @pytest.mark.parametrize(("count", "sw"), [(4, 0x6C04), (11, 0x6C0B), (256, 0x6C00)])
    def test_other_number_of_bytes_becomes_6c(self, count: int, sw: int) -> None:
        data, found, fact = fit_answer(self.command(READ), bytes(count) + b"\x90\x00")
        assert (data, found) == (b"", sw)
        assert fact is not None
        assert fact.kind is FactKind.WRONG_ANSWER_LENGTH
        assert fact.data == READ

    @pytest.mark.parametrize("sw", [b"\x6c\x05", b"\x6a\x82"])
    def test_error_with_stray_data_passes_alone(self, sw: bytes) -> None:
        assert fit_answer(self.command(READ), b"\x01" + sw)[:2] == (b"", int.from_bytes(sw))

    def test_data_behind_a_command_with_data_cannot_be_sent(self) -> None:
        data, sw, fact = fit_answer(self.command(UPDATE, Direction.RECEIVE), DATA + b"\x90\x00")
        assert (data, sw) == (b"", 0x9000)
        assert fact is not None

    @pytest.mark.parametrize("length", [0, 1, 259])
    def test_answer_of_impossible_length_becomes_6f00(self, length: int) -> None:
        card = T0Card()
        card.on_header(READ)
        actions = card.answer(1, bytes(length))
        assert facts(actions) == [FactKind.BAD_ANSWER]
        assert sent(actions) == [b"\x6f\x00"]

    def test_second_answer_is_suppressed(self, card: T0Card) -> None:
        card.on_header(READ)
        card.answer(1, b"\x90\x00")
        assert facts(card.answer(1, b"\x90\x00")) == [FactKind.LATE_ANSWER]

    def test_answer_to_a_replaced_command_is_suppressed(self, card: T0Card) -> None:
        card.on_header(READ)
        card.on_header(UPDATE)
        assert facts(card.answer(1, b"\x90\x00")) == [FactKind.LATE_ANSWER]
        assert facts(card.answer(2, b"\x90\x00")) == [FactKind.LATE_ANSWER]

    def test_command_without_answer_gets_6f00(self, card: T0Card) -> None:
        card.on_header(READ)
        actions = card.abort(1, "the card is gone")
        assert facts(actions) == [FactKind.NO_CARD_ANSWER]
        assert sent(actions) == [b"\x6f\x00"]
        assert card.abort(1, "again") == []


class TestRefusal:
    def test_unknown_command_is_refused_without_its_data(self, card: T0Card) -> None:
        actions = card.on_header(bytes.fromhex("80e0000010"))
        assert sent(actions) == [b"\x6d\x00"]
        assert actions[0] == Fact(FactKind.UNKNOWN_COMMAND, data=bytes.fromhex("80e0000010"))
        assert state_of(card) is T0State.SENDING_ANSWER

    def test_header_of_wrong_length_is_refused(self, card: T0Card) -> None:
        actions = card.on_header(b"\x00\xa4")
        assert facts(actions) == [FactKind.BAD_HEADER]
        assert sent(actions) == [b"\x6f\x00"]

    @pytest.mark.parametrize("count", [6, 8, 0])
    def test_data_of_wrong_length_never_reach_the_card(self, card: T0Card, count: int) -> None:
        card.on_header(UPDATE)
        actions = card.on_data(bytes(count), is_final=True)
        assert facts(actions) == [FactKind.WRONG_DATA_LENGTH]
        assert sent(actions) == [b"\x67\x00"]

    def test_data_that_nobody_asked_for_are_dropped(self, card: T0Card) -> None:
        assert facts(card.on_data(b"\x01", is_final=True)) == [FactKind.UNEXPECTED_DATA]
        card.on_header(READ)
        assert facts(card.on_data(b"\x01", is_final=True)) == [FactKind.UNEXPECTED_DATA]
        assert state_of(card) is T0State.WAITING_FOR_CARD


class TestCancel:
    def test_cancelled_command_is_never_answered(self, card: T0Card) -> None:
        card.on_header(READ)
        assert facts(card.cancel()) == [FactKind.COMMAND_CANCELLED]
        assert facts(card.answer(1, b"\x90\x00")) == [FactKind.LATE_ANSWER]
        assert state_of(card) is T0State.WAITING_FOR_HEADER

    def test_transfers_that_the_device_has_not_taken_are_called_back(self, card: T0Card) -> None:
        card.on_header(READ)
        card.answer(1, b"\x90\x00")
        assert card.cancel() == [DropUnsent(1)]
        assert card.cancel() == []

    def test_new_header_calls_back_what_was_for_the_old_one(self, card: T0Card) -> None:
        card.on_header(UPDATE)
        assert card.on_header(READ) == [DropUnsent(1), ForwardTpdu(2, READ)]

    def test_transfers_of_old_commands_do_not_count(self, card: T0Card) -> None:
        card.on_header(READ)
        card.answer(1, b"\x90\x00")
        card.on_sent(7)
        assert state_of(card) is T0State.SENDING_ANSWER
        card.on_sent(1)
        card.on_sent(1)
        assert state_of(card) is T0State.WAITING_FOR_HEADER

    def test_suspended_command_is_resumed_as_a_new_one(self, card: T0Card) -> None:
        card.on_header(READ)
        command, actions = card.suspend()
        assert command is not None
        assert actions == []
        assert state_of(card) is T0State.WAITING_FOR_HEADER
        assert facts(card.answer(1, b"\x90\x00")) == [FactKind.LATE_ANSWER]
        (forward,) = card.resume(command)
        assert forward == ForwardTpdu(card.generation, READ)
        assert sent(card.answer(card.generation, b"\x90\x00")) == [b"\x90\x00"]

    def test_command_suspended_before_its_data_goes_on_to_wait_for_them(self, card: T0Card) -> None:
        card.on_header(UPDATE)
        card.on_sent(1)
        command, actions = card.suspend()
        assert command is not None
        assert actions == []
        assert card.resume(command) == []
        assert card.on_data(DATA[:7], is_final=True) == [ForwardTpdu(card.generation, UPDATE + DATA[:7])]

    def test_nothing_is_suspended_when_nobody_waits(self, card: T0Card) -> None:
        assert card.suspend() == (None, [])


def test_table_lets_a_header_and_a_cancellation_happen_in_every_state() -> None:
    always = (T0Event.HEADER, T0Event.HEADER_WITH_DATA, T0Event.HEADER_REFUSED, T0Event.CANCELLED)
    assert all(T0_TRANSITIONS.allows(state, event) for state in T0State for event in always)


def test_every_state_is_reached_and_left() -> None:
    reached = {to for _, _, to in T0_TRANSITIONS}
    assert reached == set(T0State)
    assert {state for state, _, _ in T0_TRANSITIONS} == set(T0State)
