# SPDX-License-Identifier: Apache-2.0
"""Answers that came ahead are used in order, or not at all."""

from remsim.ahead.client_side import MAX_WAITING, AnswersAhead, Hit, SentAhead
from remsim.ahead.pace import REPORT_INTERVAL


def _ahead(tag: int, name: bytes = b"") -> SentAhead:
    return SentAhead(tag, name or b"C%d" % tag, b"A%d" % tag)


def _queue(*answers: SentAhead) -> AnswersAhead:
    """Command 1 was answered by the bankd."""
    queue = AnswersAhead()
    queue.on_sent(1, b"C1")
    queue.on_answer(1)
    for answer in answers:
        assert queue.on_ahead(answer) is None
    return queue


def test_guessed_commands_are_answered_at_once() -> None:
    queue = _queue(_ahead(2), _ahead(3))
    assert queue.on_command(b"C2") == Hit(2, b"A2", None)
    assert queue.on_command(b"C3") == Hit(3, b"A3", None)
    assert queue.on_command(b"C4") is None
    assert (queue.hits, queue.misses) == (2, 0)


def test_another_command_drops_all() -> None:
    queue = _queue(_ahead(2), _ahead(3))
    assert queue.on_command(b"X") is None
    queue.on_sent(2, b"X")
    assert (len(queue), queue.misses) == (0, 1)
    # What was on its way for what the modem did not send is passed over, until the bankd answers.
    assert queue.on_ahead(_ahead(4)) is None
    queue.on_answer(2)
    assert queue.on_ahead(_ahead(3)) is None
    assert queue.on_command(b"C3") == Hit(3, b"A3", None)


def test_answer_ahead_meets_its_command_on_the_way() -> None:
    queue = _queue()
    assert queue.on_command(b"C2") is None
    queue.on_sent(2, b"C2")
    assert queue.on_ahead(_ahead(2)) == Hit(2, b"A2", None)
    assert queue.on_ahead(_ahead(3)) is None
    assert queue.on_command(b"C3") == Hit(3, b"A3", None)


def test_wrong_guess_for_a_command_on_its_way_is_passed_over_with_all_that_follow() -> None:
    queue = _queue()
    queue.on_command(b"X")
    queue.on_sent(2, b"X")
    assert queue.on_ahead(_ahead(2)) is None
    assert queue.on_ahead(_ahead(3)) is None
    queue.on_answer(2)
    assert len(queue) == 0


def test_gap_ends_it_until_the_bankd_answers() -> None:
    queue = _queue(_ahead(2), _ahead(4), _ahead(3))
    assert queue.on_command(b"C2") is not None
    assert queue.on_command(b"C3") is None


def test_nothing_from_before_a_reset_is_used() -> None:
    queue = _queue(_ahead(2))
    queue.on_reset()
    assert queue.on_command(b"C2") is None
    queue.on_sent(2, b"C2")
    assert queue.on_ahead(_ahead(2)) is None
    queue.on_answer(2)
    assert queue.on_ahead(_ahead(3)) is None
    assert queue.on_command(b"C3") is not None


def test_use_is_reported_in_intervals() -> None:
    queue = _queue(*(_ahead(tag) for tag in range(2, 2 + 2 * REPORT_INTERVAL)))
    hits = [queue.on_command(b"C%d" % tag) for tag in range(2, 2 + 2 * REPORT_INTERVAL)]
    assert [hit.report for hit in hits if hit is not None and hit.report is not None] == [17, 33]


def test_more_than_a_bankd_may_send_is_not_kept() -> None:
    queue = _queue(*(_ahead(tag) for tag in range(2, MAX_WAITING + 10)))
    assert len(queue) == MAX_WAITING
