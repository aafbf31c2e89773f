# SPDX-License-Identifier: Apache-2.0
"""What a client sends when its session goes on."""

from remsim.card.reset import ResetKind
from remsim.session.outbox import Outbox, ReturnPlan

NOTHING = ReturnPlan(shows_lines=False, reset=None, sends_command=False, needs_new_tag=False)


def test_nothing_is_due_if_all_is_answered() -> None:
    outbox = Outbox()
    outbox.command_sent(1)
    assert outbox.command_answered(1)
    assert not outbox.command_answered(1)
    assert outbox.on_return(1) == NOTHING


def test_command_that_arrived_is_awaited() -> None:
    outbox = Outbox()
    outbox.command_sent(4)
    assert outbox.on_return(4) == NOTHING
    assert outbox.awaited == 4


def test_command_that_did_not_arrive_is_sent_again_under_its_tag() -> None:
    for last in (0, 3):
        outbox = Outbox()
        outbox.command_sent(4)
        assert outbox.on_return(last) == ReturnPlan(
            shows_lines=False, reset=None, sends_command=True, needs_new_tag=False
        )


def test_reset_while_away_goes_first() -> None:
    outbox = Outbox()
    outbox.command_sent(4)
    outbox.void()
    outbox.lines_not_sent(ResetKind.COLD)
    outbox.lines_not_sent(None)
    assert outbox.awaited is None
    assert outbox.on_return(4) == ReturnPlan(
        shows_lines=True, reset=ResetKind.COLD, sends_command=False, needs_new_tag=False
    )
    assert outbox.on_return(4) == NOTHING


def test_reset_and_command_behind_it_that_did_not_arrive_go_in_this_order() -> None:
    outbox = Outbox()
    outbox.lines_sent(5, ResetKind.WARM)
    outbox.lines_sent(6, None)
    outbox.command_sent(7)
    assert outbox.on_return(4) == ReturnPlan(
        shows_lines=True, reset=ResetKind.WARM, sends_command=True, needs_new_tag=True
    )


def test_reset_that_arrived_is_not_repeated() -> None:
    outbox = Outbox()
    outbox.lines_sent(5, ResetKind.COLD)
    outbox.lines_sent(6, None)
    assert outbox.on_return(5) == ReturnPlan(shows_lines=True, reset=None, sends_command=False, needs_new_tag=False)


def test_acknowledged_lines_are_forgotten() -> None:
    outbox = Outbox()
    outbox.lines_sent(5, ResetKind.COLD)
    outbox.lines_sent(6, None)
    outbox.lines_acknowledged(6)
    assert outbox.on_return(0) == NOTHING


def test_answer_acknowledges_what_was_sent_before_its_command() -> None:
    outbox = Outbox()
    outbox.lines_sent(5, ResetKind.COLD)
    outbox.command_sent(6)
    outbox.lines_sent(7, None)
    outbox.command_answered(6)
    assert outbox.on_return(6) == ReturnPlan(shows_lines=True, reset=None, sends_command=False, needs_new_tag=False)
