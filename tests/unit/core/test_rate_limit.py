# SPDX-License-Identifier: Apache-2.0
"""How often something may happen, and when a flood is told of."""

from hypothesis import given
from hypothesis import strategies as st

from remsim.core.episode import LineVerdict
from remsim.core.rate_limit import FloodLimit, TokenBucket


def test_burst_then_one_in_each_interval() -> None:
    bucket = TokenBucket(burst=3, interval_s=10.0)
    assert [bucket.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take("a", 9.9)
    assert bucket.take("a", 10.0)
    assert not bucket.take("a", 10.0)
    assert bucket.take("b", 10.0), "another key"


def test_flood_is_over_when_half_is_there_again() -> None:
    bucket = TokenBucket(burst=4, interval_s=10.0)
    assert bucket.has_ebbed("a", 0.0)
    for _ in range(4):
        bucket.take("a", 0.0)
    assert not bucket.has_ebbed("a", 19.0)
    assert bucket.has_ebbed("a", 20.0)


def test_memory_is_bounded() -> None:
    bucket = TokenBucket(burst=1, interval_s=10.0, most_keys=2)
    for key in ("a", "b", "a", "c"):
        bucket.take(key, 0.0)
    assert not bucket.take("a", 0.0)
    assert bucket.take("b", 0.0), "forgotten"


@given(st.lists(st.floats(0, 30), max_size=60))
def test_rate_is_bounded_whatever_is_tried(pauses: list[float]) -> None:
    bucket = TokenBucket(burst=3, interval_s=10.0)
    now, taken = 0.0, 0
    for pause in pauses:
        now += pause
        taken += bucket.take("a", now)
    assert taken <= 3 + now / 10.0 + 1e-6


def test_what_has_happened_already_is_spent_and_empties_the_bucket_at_most() -> None:
    bucket = TokenBucket(burst=2, interval_s=10.0)
    assert bucket.wait_s("a", 0.0) == 0.0
    for _ in range(9):
        bucket.spend("a", 0.0)
    assert bucket.wait_s("a", 0.0) == 10.0
    assert bucket.wait_s("a", 4.0) == 6.0
    assert not bucket.take("a", 9.9)
    assert bucket.take("a", 10.0)
    assert bucket.wait_s("b", 0.0) == 0.0, "to ask takes nothing"
    assert len(bucket) == 1


def test_forgotten_keys_are_counted_and_whole_ones_make_no_difference() -> None:
    forgotten: list[None] = []
    bucket = TokenBucket(burst=2, interval_s=10.0, most_keys=2, on_forgotten=lambda: forgotten.append(None))
    for key in ("a", "b", "c"):
        bucket.spend(key, 0.0)
    assert len(forgotten) == 1
    bucket.spend("c", 1.0)
    bucket.forget_whole(10.0)
    assert len(bucket) == 1
    assert bucket.take("c", 10.0)
    assert len(forgotten) == 1, "forgetting what is whole costs nobody anything"


def test_flood_is_told_of_once_until_it_has_ebbed() -> None:
    limit = FloodLimit(burst=2, interval_s=10.0)
    assert [limit.check("a", 0.0) for _ in range(4)] == [
        LineVerdict.PASS,
        LineVerdict.PASS,
        LineVerdict.FIRST_HELD_BACK,
        LineVerdict.HELD_BACK,
    ]
    assert limit.check("b", 0.0) is LineVerdict.PASS
    assert limit.check("a", 10.0) is LineVerdict.PASS
    assert limit.check("a", 10.0) is LineVerdict.FIRST_HELD_BACK, "half of the burst was there again"
    assert limit.check("a", 15.0) is LineVerdict.HELD_BACK
