# SPDX-License-Identifier: Apache-2.0
"""Newcomers that wait for their turn: sources in turn, and who makes room."""

import pytest

from remsim.net.accept.pending import Pending


def pending(most: int = 100, **of_sources: int) -> Pending[str]:
    """``a=2, b=1``: a1, a2 of source a, then b1 of source b."""
    found = Pending[str](most)
    for source, count in of_sources.items():
        for number in range(1, count + 1):
            found.add(source, f"{source}{number}")
    return found


def test_nobody_waits() -> None:
    nobody = pending()
    assert (len(nobody), nobody.some(5, most_per_source=5), nobody.drop()) == (0, [], None)


def test_sources_take_turns_and_their_oldest_comes_first() -> None:
    waiting = pending(a=5, b=1, c=2)
    assert waiting.some(4, most_per_source=2) == ["a1", "a2", "b1", "c1"]
    assert waiting.some(4, most_per_source=2) == ["a3", "a4", "c2"]
    assert waiting.some(4, most_per_source=2) == ["a5"]
    assert len(waiting) == 0


def test_source_that_had_no_turn_in_a_round_is_first_in_the_next() -> None:
    waiting = pending(a=9, b=9, c=1)
    assert waiting.some(2, most_per_source=1) == ["a1", "b1"]
    assert waiting.some(2, most_per_source=1) == ["c1", "a2"]


def test_oldest_of_the_source_with_most_makes_room() -> None:
    waiting = pending(4, a=3, b=1)
    assert waiting.add("c", "c1") == "a1"
    assert waiting.add("c", "c2") == "a2"
    assert len(waiting) == 4


@pytest.mark.parametrize("most", [1, 7])
def test_source_that_came_once_has_its_turn_however_many_others_come(most: int) -> None:
    waiting = Pending[int](most + 1)
    waiting.add("valid", 0)
    for number in range(1, 1000):
        surplus = waiting.add("flood", number)
        assert surplus is None or surplus > 0
    assert waiting.some(2, most_per_source=1)[0] == 0


def test_dropping_ends_when_nobody_is_left() -> None:
    waiting = pending(a=1, b=2)
    assert [waiting.drop() for _ in range(4)] == ["b1", "a1", "b2", None]
    assert waiting.some(5, most_per_source=5) == []
