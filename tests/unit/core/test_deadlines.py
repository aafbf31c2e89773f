# SPDX-License-Identifier: Apache-2.0
"""Deadlines by key."""

from remsim.core.deadlines import Deadlines


def test_earliest_deadline_is_next_whatever_was_moved_or_cancelled() -> None:
    timers: Deadlines[str] = Deadlines()
    timers.set("a", 5.0)
    timers.set("b", 3.0)
    timers.set("a", 2.0)
    timers.set("c", 1.0)
    timers.cancel("c")
    timers.cancel("nobody")
    assert timers.next() == 2.0
    assert timers.pop_due(1.9) is None
    assert timers.pop_due(9.0) == "a"
    assert timers.pop_due(9.0) == "b"
    assert timers.pop_due(9.0) is None
    assert timers.next() is None
