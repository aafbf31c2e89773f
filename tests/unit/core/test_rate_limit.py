# SPDX-License-Identifier: Apache-2.0
"""How often something may happen, and when a flood is told of."""

from hypothesis import given
from hypothesis import strategies as st

from remsim.core.episode import LineVerdict
from remsim.core.rate_limit import FloodLimit, TokenBucket, TokenBuckets


def test_burst_then_one_in_each_interval() -> None:
    buckets = TokenBuckets(burst=3, interval_s=10.0)
    assert [buckets.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert not buckets.take("a", 9.9)
    assert buckets.take("a", 10.0)
    assert not buckets.take("a", 10.0)
    assert buckets.take("b", 10.0), "another key"


def test_whole_burst_is_given_however_its_intervals_add_up() -> None:
    for burst in (*range(1, 301), 8192):
        for now in (0.0, 0.1, 1e6 + 0.7):
            bucket = TokenBucket(burst=burst, interval_s=1 / burst)
            assert [bucket.take(now) for _ in range(burst + 1)] == [True] * burst + [False]


def test_flood_is_over_when_half_is_there_again() -> None:
    buckets = TokenBuckets(burst=4, interval_s=10.0)
    assert buckets.has_ebbed("a", 0.0)
    for _ in range(4):
        buckets.take("a", 0.0)
    assert not buckets.has_ebbed("a", 19.0)
    assert buckets.has_ebbed("a", 20.0)


def test_memory_is_bounded() -> None:
    buckets = TokenBuckets(burst=1, interval_s=10.0, most_keys=2)
    for key in ("a", "b", "a", "c"):
        buckets.take(key, 0.0)
    assert not buckets.take("a", 0.0)
    assert buckets.take("b", 0.0), "forgotten"


@given(st.lists(st.floats(0, 30), max_size=60))
def test_rate_is_bounded_whatever_is_tried(pauses: list[float]) -> None:
    buckets = TokenBuckets(burst=3, interval_s=10.0)
    now, taken = 0.0, 0
    for pause in pauses:
        now += pause
        taken += buckets.take("a", now)
    assert taken <= 3 + now / 10.0 + 1e-6


def test_what_has_happened_already_is_spent_and_empties_the_bucket_at_most() -> None:
    buckets = TokenBuckets(burst=2, interval_s=10.0)
    assert buckets.wait_s("a", 0.0) == 0.0
    for _ in range(9):
        buckets.spend("a", 0.0)
    assert buckets.wait_s("a", 0.0) == 10.0
    assert buckets.wait_s("a", 4.0) == 6.0
    assert not buckets.take("a", 9.9)
    assert buckets.take("a", 10.0)
    assert buckets.wait_s("b", 0.0) == 0.0, "to ask takes nothing"
    assert len(buckets) == 1


def test_forgotten_keys_are_counted_and_whole_ones_make_no_difference() -> None:
    forgotten: list[None] = []
    buckets = TokenBuckets(burst=2, interval_s=10.0, most_keys=2, on_forgotten=lambda: forgotten.append(None))
    for key in ("a", "b", "c"):
        buckets.spend(key, 0.0)
    assert len(forgotten) == 1
    buckets.spend("c", 1.0)
    buckets.forget_whole(10.0)
    assert len(buckets) == 1
    assert buckets.take("c", 10.0)
    assert len(forgotten) == 1, "forgetting what is whole costs nobody anything"


def test_overdrawn_bucket_is_paid_back_before_there_is_one_again() -> None:
    bucket = TokenBucket(burst=4, interval_s=0.5)
    assert bucket.overdraw(4, 0.0) == 0.0
    assert bucket.overdraw(3, 0.0) == 1.5
    assert bucket.wait_s(0.0) == 2.0
    assert not bucket.take(1.5)
    assert bucket.overdraw(0, 1.5) == 0.0
    assert bucket.take(2.0)
    assert not bucket.is_whole(3.9)
    assert bucket.is_whole(4.0)


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 20)), max_size=60))
def test_who_waits_as_told_gets_no_more_than_the_rate(turns: list[tuple[float, int]]) -> None:
    bucket = TokenBucket(burst=5, interval_s=0.25)
    now, used = 0.0, 0
    for pause, count in turns:
        now += pause + bucket.overdraw(count, now + pause)
        used += count
        assert used <= 5 + now / 0.25 + 1e-6


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
