# SPDX-License-Identifier: Apache-2.0
"""Commands and reset statuses that are read in the wrong order, and those that only look like it."""

import pytest

from remsim.emulators.simtrace2.actions import Action, DropUnsent, Fact, FactKind, ForwardTpdu, SendBulk
from remsim.emulators.simtrace2.messages import StatusRequest, TxData
from remsim.emulators.simtrace2.order import SETTLE_S, CommandOrder
from remsim.emulators.simtrace2.t0 import T0Card, T0State

READ = bytes.fromhex("00b000000a")
UPDATE = bytes.fromhex("00d6000002")


def facts(actions: list[Action]) -> list[FactKind]:
    return [action.kind for action in actions if isinstance(action, Fact)]


class Bench:
    """An order with its card, and the time."""

    def __init__(self, interval_ms: int = 1, *, is_one_message: bool = True) -> None:
        self.t0 = T0Card(is_one_message=is_one_message)
        self.order = CommandOrder(self.t0, interval_ms=interval_ms)
        self.now = 10.0

    def header(self, header: bytes = READ, *, is_running: bool = True) -> list[Action]:
        return self.order.on_header(header, self.now, is_running=is_running)

    def after(self, duration_s: float) -> "Bench":
        self.now += duration_s
        return self

    def reset(self, *, is_answer: bool = False) -> list[Action]:
        return self.order.on_reset(self.now, is_answer=is_answer)

    def sent(self) -> None:
        """The device has taken a message of the newest command."""
        self.order.on_sent(self.t0.generation)

    def running(self) -> list[Action]:
        return self.order.on_running(self.now)

    def timer(self) -> list[Action]:
        return self.order.handle_timer(self.now)


class TestHeaderBeforeItsReset:
    """Rule 1."""

    def test_command_waits_until_the_lines_say_that_the_card_runs(self) -> None:
        bench = Bench()
        assert bench.header(is_running=False) == []
        assert bench.after(0.001).reset() == []
        assert bench.after(0.001).running() == [ForwardTpdu(1, READ)]
        assert bench.order.next_deadline() is None
        assert isinstance(bench.t0.answer(1, b"\x90\x00")[0], SendBulk)

    def test_data_are_asked_for_at_once_and_the_command_waits(self) -> None:
        bench = Bench()
        assert bench.header(UPDATE, is_running=False) == [SendBulk(TxData.acknowledge(0xD6), 1)]
        assert bench.order.on_data(b"\x01\x02", is_final=True) == []
        assert bench.running() == [ForwardTpdu(1, UPDATE + b"\x01\x02")]

    def test_lines_before_the_data_are_enough(self) -> None:
        bench = Bench()
        bench.header(UPDATE, is_running=False)
        assert bench.running() == []
        assert bench.order.on_data(b"\x01\x02", is_final=True) == [ForwardTpdu(1, UPDATE + b"\x01\x02")]

    def test_header_while_the_modem_waits_proves_a_reset(self) -> None:
        bench = Bench()
        bench.header()
        actions = bench.after(1.0).header(UPDATE)
        assert facts(actions) == [FactKind.COMMAND_REPLACED]
        assert bench.order.expects_status
        assert facts(bench.t0.answer(1, b"\x90\x00")) == [FactKind.LATE_ANSWER]

    def test_status_is_asked_for_when_none_comes(self) -> None:
        bench = Bench()
        bench.header(is_running=False)
        assert bench.after(0.001).timer() == []
        due = bench.order.next_deadline()
        assert due is not None
        bench.now = due
        assert bench.timer() == [SendBulk(StatusRequest())]
        assert bench.after(0.001).running() == [ForwardTpdu(1, READ)]

    def test_command_goes_on_without_any_status(self) -> None:
        bench = Bench()
        bench.header(is_running=False)
        bench.after(0.1).timer()
        assert bench.after(1.1).timer() == [ForwardTpdu(1, READ)]

    def test_status_that_shows_a_reset_cancels(self) -> None:
        bench = Bench()
        bench.header(is_running=False)
        bench.after(0.1).timer()
        assert facts(bench.after(0.001).reset(is_answer=True)) == [FactKind.COMMAND_CANCELLED]
        assert bench.running() == []

    def test_answer_that_shows_a_reset_cancels_although_nobody_asked(self) -> None:
        bench = Bench()
        bench.header(is_running=False)
        assert facts(bench.after(0.001).reset(is_answer=True)) == [FactKind.COMMAND_CANCELLED]
        assert bench.running() == []

    def test_line_change_that_is_late_cancels_nothing(self) -> None:
        bench = Bench()
        bench.header(is_running=False)
        bench.after(0.1).timer()
        assert bench.after(0.001).reset() == []
        assert bench.after(0.001).running() == [ForwardTpdu(1, READ)]

    def test_refused_command_has_nothing_to_wait(self) -> None:
        bench = Bench()
        (fact, answer) = bench.header(bytes.fromhex("80e0000010"), is_running=False)
        assert isinstance(fact, Fact)
        assert isinstance(answer, SendBulk)
        assert bench.running() == []


class TestResetRightBehindHeader:
    """Rule 2."""

    def test_command_that_was_newer_is_given_to_the_card_after_the_reset(self) -> None:
        bench = Bench()
        assert bench.header() == [ForwardTpdu(1, READ)]
        assert facts(bench.after(0.001).reset()) == [FactKind.COMMAND_IN_DOUBT]
        assert facts(bench.t0.answer(1, b"\x90\x00")) == [FactKind.LATE_ANSWER]
        assert bench.after(0.001).running() == []
        assert bench.after(SETTLE_S / 2).timer() == []
        actions = bench.after(SETTLE_S / 2).timer()
        assert facts(actions) == [FactKind.COMMAND_RESUMED]
        assert actions[-1] == ForwardTpdu(bench.t0.generation, READ)

    def test_several_statuses_are_older(self) -> None:
        bench = Bench(interval_ms=16)
        bench.header()
        for _ in range(3):
            bench.after(0.001).reset()
        bench.after(0.001).running()
        assert facts(bench.after(SETTLE_S).timer()) == [FactKind.COMMAND_RESUMED]

    def test_data_prove_that_the_command_was_newer(self) -> None:
        bench = Bench()
        bench.header(UPDATE)
        bench.sent()
        bench.after(0.001).reset()
        bench.after(0.001).running()
        assert bench.order.next_deadline() is None
        actions = bench.order.on_data(b"\x01\x02", is_final=True)
        assert facts(actions) == [FactKind.COMMAND_RESUMED]
        assert actions[-1] == ForwardTpdu(bench.t0.generation, UPDATE + b"\x01\x02")

    def test_data_for_a_command_without_any_are_still_unexpected(self) -> None:
        bench = Bench()
        bench.header()
        bench.after(0.001).reset()
        assert facts(bench.order.on_data(b"\x01", is_final=True)) == [FactKind.UNEXPECTED_DATA]

    def test_next_header_proves_a_real_reset(self) -> None:
        bench = Bench()
        bench.header()
        bench.after(0.001).reset()
        bench.after(0.001).running()
        assert bench.after(0.03).header(UPDATE) == [SendBulk(TxData.acknowledge(0xD6), bench.t0.generation)]
        assert bench.after(SETTLE_S).timer() == []

    def test_second_reset_proves_a_real_one(self) -> None:
        bench = Bench()
        bench.header()
        bench.after(0.001).reset()
        bench.after(0.001).running()
        assert bench.after(0.001).reset() == []
        assert bench.after(0.001).running() == []
        assert bench.after(SETTLE_S).timer() == []

    def test_card_that_stays_in_reset_was_really_reset(self) -> None:
        bench = Bench()
        bench.header()
        bench.after(0.001).reset()
        assert bench.after(0.5).running() == []
        assert bench.after(SETTLE_S).timer() == []
        assert bench.t0.state is T0State.WAITING_FOR_HEADER

    def test_answered_command_is_just_cancelled(self) -> None:
        bench = Bench()
        bench.header()
        bench.t0.answer(1, b"\x90\x00")
        bench.sent()
        assert bench.after(0.001).reset() == []
        assert bench.running() == []
        assert bench.order.next_deadline() is None

    def test_answer_that_the_device_has_not_taken_is_given_again(self) -> None:
        bench = Bench()
        bench.header()
        bench.t0.answer(1, b"\x90\x00")
        actions = bench.after(0.001).reset()
        assert actions[0] == DropUnsent(1)
        assert facts(actions) == [FactKind.COMMAND_IN_DOUBT]
        bench.after(0.001).running()
        actions = bench.after(SETTLE_S).timer()
        assert actions[-1] == ForwardTpdu(bench.t0.generation, READ)

    def test_answer_that_the_device_took_all_the_same_is_the_only_one(self) -> None:
        bench = Bench()
        bench.header()
        bench.t0.answer(1, b"\x90\x00")
        bench.after(0.001).reset()
        bench.order.on_sent(1)
        bench.after(0.001).running()
        assert bench.order.next_deadline() is None

    def test_refusal_that_the_device_has_not_taken_is_given_again(self) -> None:
        bench = Bench()
        (_, refusal) = bench.header(bytes.fromhex("80e0000010"))
        assert isinstance(refusal, SendBulk)
        bench.after(0.001).reset()
        bench.after(0.001).running()
        assert bench.after(SETTLE_S).timer()[-1] == SendBulk(refusal.message, bench.t0.generation)

    def test_data_are_asked_for_again_if_the_device_was_not_told(self) -> None:
        bench = Bench()
        bench.header(UPDATE)
        assert bench.after(0.001).reset()[0] == DropUnsent(1)
        bench.after(0.001).running()
        assert bench.after(SETTLE_S).timer()[-1] == SendBulk(TxData.acknowledge(0xD6), bench.t0.generation)
        assert bench.order.on_data(b"\x01\x02", is_final=True) == [
            ForwardTpdu(bench.t0.generation, UPDATE + b"\x01\x02")
        ]

    def test_acknowledge_that_the_device_took_all_the_same_is_not_repeated(self) -> None:
        bench = Bench()
        bench.header(UPDATE)
        bench.after(0.001).reset()
        bench.order.on_sent(1)
        bench.after(0.001).running()
        assert bench.order.next_deadline() is None
        assert bench.order.on_data(b"\x01\x02", is_final=True)[-1] == ForwardTpdu(
            bench.t0.generation, UPDATE + b"\x01\x02"
        )

    def test_data_prove_that_the_device_took_the_acknowledge(self) -> None:
        bench = Bench()
        bench.header(UPDATE)
        bench.after(0.001).reset()
        bench.after(0.001).running()
        actions = bench.order.on_data(b"\x01\x02", is_final=True)
        assert not [action for action in actions if isinstance(action, SendBulk)]
        assert actions[-1] == ForwardTpdu(bench.t0.generation, UPDATE + b"\x01\x02")

    def test_refused_data_are_refused_again(self) -> None:
        bench = Bench()
        bench.header(UPDATE)
        bench.sent()
        bench.order.on_data(b"\x01", is_final=True)
        bench.after(0.001).reset()
        bench.after(0.001).running()
        assert bench.after(SETTLE_S).timer()[-1] == SendBulk(TxData.status_word(b"\x67\x00"), bench.t0.generation)

    def test_half_an_answer_is_just_cancelled(self) -> None:
        bench = Bench(is_one_message=False)
        bench.header()
        bench.t0.answer(1, bytes(10) + b"\x90\x00")
        bench.sent()
        assert bench.after(0.001).reset() == [DropUnsent(1)]
        assert bench.running() == []
        assert bench.order.next_deadline() is None

    def test_card_that_is_said_to_run_again_changes_nothing(self) -> None:
        bench = Bench()
        bench.header()
        bench.after(0.001).reset()
        bench.after(0.001).running()
        bench.after(0.5).running()
        assert facts(bench.after(SETTLE_S).timer()) == [FactKind.COMMAND_RESUMED]
        assert bench.order.next_deadline() is None


class TestReset:
    """Rule 3."""

    @pytest.mark.parametrize("interval_ms", [1, 16])
    def test_later_reset_cancels(self, interval_ms: int) -> None:
        bench = Bench(interval_ms)
        bench.header()
        assert facts(bench.after(bench.order.overtaken_s + 0.001).reset()) == [FactKind.COMMAND_CANCELLED]
        assert bench.running() == []
        assert bench.order.next_deadline() is None

    def test_reset_without_command_changes_nothing(self) -> None:
        bench = Bench()
        assert bench.reset() == []
        assert bench.running() == []
        assert bench.timer() == []
