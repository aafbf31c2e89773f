# SPDX-License-Identifier: Apache-2.0
"""Answers that came ahead are used in order, or not at all."""

from remsim.ahead.client_side import MAX_WAITING, AnswersAhead, Hit, SentAhead, Used
from remsim.ahead.pace import REPORT_INTERVAL

_BASE = 7


def _ahead(index: int, base: int = _BASE) -> SentAhead:
    return SentAhead(base, index, b"C%d" % index, b"A%d" % index)


def _hit(index: int, base: int = _BASE) -> Hit:
    return Hit(b"A%d" % index, None, base, index)


def _queue(*answers: SentAhead) -> AnswersAhead:
    """The bankd answered a command by itself, and others ahead."""
    queue = AnswersAhead()
    queue.on_sent(b"C0")
    queue.on_answer(_BASE)
    for answer in answers:
        assert queue.on_ahead(answer) is None
    return queue


def test_guessed_commands_are_answered_at_once() -> None:
    queue = _queue(_ahead(1), _ahead(2))
    assert queue.on_command(b"C1") == _hit(1)
    assert queue.on_command(b"C2") == _hit(2)
    assert queue.on_command(b"C3") is None
    assert queue.report() == Used(_BASE, 2)
    assert queue.report() is None
    assert (queue.hits, queue.misses) == (2, 0)


def test_another_command_drops_all() -> None:
    queue = _queue(_ahead(1), _ahead(2))
    assert queue.on_command(b"X") is None
    queue.on_sent(b"X")
    assert (len(queue), queue.misses, queue.report()) == (0, 1, None)
    # What was on its way for what the modem did not send is passed over, until the bankd answers.
    assert queue.on_ahead(_ahead(3)) is None
    queue.on_answer(8)
    assert queue.on_ahead(_ahead(4)) is None
    assert queue.on_ahead(_ahead(1, 8)) is None
    assert queue.on_command(b"C1") == _hit(1, 8)


def test_answer_ahead_meets_its_command_on_the_way() -> None:
    queue = _queue()
    assert queue.on_command(b"C1") is None
    queue.on_sent(b"C1")
    assert queue.on_ahead(_ahead(1)) == _hit(1)
    # The bankd answers by itself all the same, which is passed over; answers go on to be numbered as before.
    queue.on_answer(8)
    assert queue.on_ahead(_ahead(2)) is None
    assert queue.on_command(b"C2") == _hit(2)


def test_wrong_guess_for_a_command_on_its_way_is_passed_over_with_all_that_follow() -> None:
    queue = _queue()
    queue.on_command(b"X")
    queue.on_sent(b"X")
    assert queue.on_ahead(_ahead(1)) is None
    assert queue.on_ahead(_ahead(2)) is None
    queue.on_answer(8)
    assert len(queue) == 0


def test_gap_ends_it_until_the_bankd_answers() -> None:
    queue = _queue(_ahead(1), _ahead(3), _ahead(2))
    assert queue.on_command(b"C1") is not None
    assert queue.on_command(b"C2") is None


def test_nothing_from_before_a_reset_is_used() -> None:
    queue = _queue(_ahead(1))
    queue.on_reset()
    assert queue.on_command(b"C1") is None
    queue.on_sent(b"C1")
    assert queue.on_ahead(_ahead(1)) is None
    assert queue.on_ahead(_ahead(1, 0)) is None
    queue.on_answer(8)
    assert queue.on_ahead(_ahead(2)) is None
    assert queue.on_command(b"C2") is None


def test_what_is_here_stays_good_when_the_link_is_lost() -> None:
    queue = _queue(_ahead(1), _ahead(2))
    assert queue.on_command(b"C1") is not None
    assert queue.report() == Used(_BASE, 1)
    queue.on_link_lost()
    assert queue.report() is None
    queue.on_link_up()
    # The report may be lost, so it is made again; what was on its way is missing.
    assert queue.report() == Used(_BASE, 1)
    assert queue.on_ahead(_ahead(4)) is None
    assert queue.on_command(b"C2") == _hit(2)
    assert queue.on_command(b"C3") is None


def test_use_is_reported_in_intervals() -> None:
    queue = _queue(*(_ahead(index) for index in range(1, 1 + 2 * REPORT_INTERVAL)))
    hits = [queue.on_command(b"C%d" % index) for index in range(1, 1 + 2 * REPORT_INTERVAL)]
    assert [hit.report for hit in hits if hit is not None and hit.report] == [Used(_BASE, 16), Used(_BASE, 32)]


def test_more_than_a_bankd_may_send_is_not_kept() -> None:
    queue = _queue(*(_ahead(index) for index in range(1, MAX_WAITING + 10)))
    assert len(queue) == MAX_WAITING


def test_with_two_commands_under_way_nothing_is_used_until_both_are_answered() -> None:
    queue = _queue()
    queue.on_sent(b"C1")
    queue.on_sent(b"C2")
    assert queue.on_ahead(_ahead(1)) is None
    queue.on_answer(8)
    assert queue.on_ahead(_ahead(1, 8)) is None
    queue.on_answer(9)
    assert queue.on_ahead(_ahead(1, 9)) is None
    assert queue.on_command(b"C1") == _hit(1, 9)
