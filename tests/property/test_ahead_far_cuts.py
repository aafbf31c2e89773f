# SPDX-License-Identifier: Apache-2.0
"""Answers ahead over slow links that are lost in any manner; ``tests.doubles.ahead_far_cuts`` has the long run."""

from collections.abc import Callable

import pytest

from remsim.ahead.client_side import AnswersAhead
from tests.doubles.ahead_far_cuts import FAILURES, Tally, play

#: Enough that links fail in every manner, and clients return while the bankd still believes in the old link.
SESSIONS = 40


def _run(sessions: int) -> Tally:
    tally = Tally()
    for seed in range(sessions):
        try:
            play(seed, tally)
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
    return tally


def test_cuts_at_any_time_change_nothing() -> None:
    tally = _run(SESSIONS)
    assert set(tally.kinds) == {failure.name.lower() for failure in FAILURES}
    assert tally.resumed >= 30
    assert tally.taken_over >= 3
    assert tally.hits >= 300


def test_report_that_is_lost_with_its_link_and_not_repeated_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client used before the cut would not be known to the bankd: the card would be somewhere else."""
    keep: Callable[[AnswersAhead], None] = AnswersAhead.on_link_lost

    def forgetful(answers: AnswersAhead) -> None:
        reported = answers._reported
        keep(answers)
        answers._reported = reported

    monkeypatch.setattr(AnswersAhead, "on_link_lost", forgetful)
    with pytest.raises(AssertionError):
        _run(SESSIONS)
