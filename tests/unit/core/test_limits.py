# SPDX-License-Identifier: Apache-2.0
"""Counts, and how a limit's value is written."""

from remsim.core.limits import Limit, LimitCounts, LimitName


def limit(value: float | None, unit: str) -> Limit:
    return Limit(LimitName.WRITE_BUFFER, value, unit, "reason", "effect")


def test_known_limits_are_counted_from_0_on() -> None:
    counts = LimitCounts([LimitName.CHALLENGERS])
    assert counts.snapshot() == {LimitName.CHALLENGERS: 0}
    counts.reached(LimitName.CHALLENGERS)
    counts.reached(LimitName.UNSERVED)
    assert counts.snapshot() == {LimitName.CHALLENGERS: 1, LimitName.UNSERVED: 1}
    assert (counts[LimitName.CHALLENGERS], counts[LimitName.UNSERVED_PER_SOURCE]) == (1, 0)


def test_value_is_written_with_its_unit() -> None:
    assert limit(2048, "requests").value_text == "2048 requests"
    assert limit(0.5, "s").value_text == "0.5 s"
    assert limit(280, "bytes").value_text == "280 bytes"
    assert limit(1 << 16, "bytes").value_text == "64 KiB"
    assert limit(1 << 20, "bytes").value_text == "1 MiB"
    assert limit(None, "what there is").value_text == "what there is"
