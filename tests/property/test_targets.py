# SPDX-License-Identifier: Apache-2.0
"""Every target of the fuzzer, without it: over the captured vectors, over earlier finds, and over what is drawn."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.doubles import strategies
from tests.fuzz import keeping
from tests.fuzz.seeds import FOUND, found, seeds
from tests.fuzz.target import Target, cut, joined, portions
from tests.fuzz.targets import TARGETS


@cache
def _drawn(name: str) -> st.SearchStrategy[bytes]:
    """Seeds that are damaged, and anything."""
    damaged = st.sampled_from(seeds(name, TARGETS[name].longest)).flatmap(strategies.mutated)
    return damaged | st.binary(max_size=64)


every = pytest.mark.parametrize("name", TARGETS)


@every
def test_seeds_and_earlier_finds_are_read_or_refused(name: str) -> None:
    target = TARGETS[name]
    begun = seeds(name, target.longest)
    assert begun, "a fuzzer that begins with nothing finds little"
    for raw in begun:
        target.accepts(raw)


# There are many targets, and the fuzzer itself plays each thousands of times.
@every
@settings(max_examples=settings().max_examples // 3)
@given(data=st.data())
def test_drawn_bytes_are_read_or_refused(name: str, data: st.DataObject) -> None:
    TARGETS[name].accepts(data.draw(_drawn(name)))


@every
def test_kept_inputs_are_few_and_small(name: str) -> None:
    kept = found(name)
    assert len(set(kept)) == len(kept)
    assert sum(map(len, kept)) <= keeping.MOST_BYTES
    assert all(len(raw) <= TARGETS[name].longest for raw in kept)


def test_every_kept_file_is_of_a_target() -> None:
    assert {path.stem for path in FOUND.iterdir()} <= set(TARGETS)


@given(st.lists(st.binary(max_size=255)))
def test_joined_portions_come_apart_again(parts: list[bytes]) -> None:
    assert list(portions(joined(*parts))) == parts


@given(st.binary(max_size=300))
def test_cut_loses_nothing_of_the_stream(raw: bytes) -> None:
    assert raw.endswith(b"".join(cut(raw)))


def test_target_tells_refusals_from_finds() -> None:
    def play(raw: bytes) -> None:
        if not raw:
            raise KeyError("silly")
        if raw == b"refused":
            raise ValueError("no")

    target = Target(play, (ValueError,))
    assert target.accepts(b"accepted")
    assert not target.accepts(b"refused")
    with pytest.raises(KeyError):
        target.accepts(b"")
