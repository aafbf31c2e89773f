# SPDX-License-Identifier: Apache-2.0
"""Counts, budgets, and how a limit's value is written."""

from hypothesis import given
from hypothesis import strategies as st

from remsim.core.limits import Limit, LimitCounts, LimitName, TokenBucket


def limit(value: float | None, unit: str) -> Limit:
    return Limit(LimitName.WRITE_BUFFER, value, unit, "reason", "effect")


def test_known_limits_are_counted_from_0_on() -> None:
    counts = LimitCounts([LimitName.RIVALS])
    assert counts.snapshot() == {LimitName.RIVALS: 0}
    counts.reached(LimitName.RIVALS)
    counts.reached(LimitName.UNSERVED)
    assert counts.snapshot() == {LimitName.RIVALS: 1, LimitName.UNSERVED: 1}
    assert (counts[LimitName.RIVALS], counts[LimitName.CONTENDERS]) == (1, 0)


def test_value_is_written_with_its_unit() -> None:
    assert limit(2048, "requests").value_text == "2048 requests"
    assert limit(0.5, "s").value_text == "0.5 s"
    assert limit(280, "bytes").value_text == "280 bytes"
    assert limit(1 << 16, "bytes").value_text == "64 KiB"
    assert limit(1 << 20, "bytes").value_text == "1 MiB"
    assert limit(None, "what there is").value_text == "what there is"


class TestBudget:
    def test_burst_then_one_in_each_interval(self) -> None:
        budget = TokenBucket(burst=3, interval_s=10.0)
        assert [budget.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
        assert not budget.take("a", 9.9)
        assert budget.take("a", 10.0)
        assert not budget.take("a", 10.0)
        assert budget.take("b", 10.0), "another key"

    def test_flood_is_over_when_half_is_there_again(self) -> None:
        budget = TokenBucket(burst=4, interval_s=10.0)
        assert budget.has_ebbed("a", 0.0)
        for _ in range(4):
            budget.take("a", 0.0)
        assert not budget.has_ebbed("a", 19.0)
        assert budget.has_ebbed("a", 20.0)

    def test_memory_is_bounded(self) -> None:
        budget = TokenBucket(burst=1, interval_s=10.0, most_keys=2)
        for key in ("a", "b", "a", "c"):
            budget.take(key, 0.0)
        assert not budget.take("a", 0.0)
        assert budget.take("b", 0.0), "forgotten"

    @given(st.lists(st.floats(0, 30), max_size=60))
    def test_rate_is_bounded_whatever_is_tried(self, pauses: list[float]) -> None:
        budget = TokenBucket(burst=3, interval_s=10.0)
        now, taken = 0.0, 0
        for pause in pauses:
            now += pause
            taken += budget.take("a", now)
        assert taken <= 3 + now / 10.0 + 1e-6
