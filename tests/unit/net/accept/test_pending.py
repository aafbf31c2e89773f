# SPDX-License-Identifier: Apache-2.0
"""Newcomers that wait for their turn: sources in turn, and who makes room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_source_for_which_nothing_was_left_of_a_round_is_first_in_the_next() -> None:
    waiting = pending(a=9, b=9, c=9, d=9, valid=1)
    # Few sources, each with its whole share of a round, take turns with one that came once.
    rounds = [waiting.some(16, most_per_source=4) for _ in range(2)]
    assert [who[0] for who in rounds[0]] == [*"aaaabbbbccccdddd"]
    assert rounds[1][0] == "valid1"


@given(
    flooding=st.integers(1, 20), most=st.integers(1, 20), most_per_source=st.integers(1, 20), before=st.integers(0, 20)
)
def test_each_source_has_its_turn_before_any_has_two(
    flooding: int, most: int, most_per_source: int, before: int
) -> None:
    waiting = Pending[str](10_000)
    sources = [f"flood{number}" for number in range(flooding)]
    sources.insert(min(before, flooding), "valid")
    for source in sources:
        for _ in range(1 if source == "valid" else most_per_source * 3):
            waiting.add(source, source + str(len(waiting)))
    taken: list[str] = []
    while not any(who.startswith("valid") for who in taken):
        taken += waiting.some(most, most_per_source=most_per_source)
    ahead = taken[: next(place for place, who in enumerate(taken) if who.startswith("valid"))]
    assert len(ahead) <= flooding * most_per_source


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
