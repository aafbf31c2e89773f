# SPDX-License-Identifier: Apache-2.0
"""The numbers themselves; how Prometheus sees them is tested in test_exposition."""

import pytest

from remsim.metrics.instruments import Counter, Gauge, Histogram


def test_member_is_the_same_each_time_it_is_asked_for() -> None:
    counter = Counter("tpdus", "TPDUs", ["slot", "kind"])
    counter.labels("C1:0", "read").inc()
    counter.labels("C1:0", "read").inc(2)
    counter.labels("C1:0", "write")
    found = {values: member.value for values, member in counter.members()}
    assert found == {("C1:0", "read"): 3, ("C1:0", "write"): 0}


@pytest.mark.parametrize("values", [(), ("C1:0",), ("C1:0", "read", "again")])
def test_labels_must_be_complete(values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="tpdus has the labels"):
        Counter("tpdus", "TPDUs", ["slot", "kind"]).labels(*values)


def test_members_of_one_slot_are_forgotten() -> None:
    gauge = Gauge("state", "State", ["slot", "state"])
    for slot in ("C1:0", "C1:1"):
        for state in ("init", "operational"):
            gauge.labels(slot, state).set(1)
    gauge.forget("C1:0")
    assert [values for values, _ in gauge.members()] == [("C1:1", "init"), ("C1:1", "operational")]


def test_number_that_is_kept_elsewhere_is_read_when_it_is_shown() -> None:
    numbers = [1]
    for metric in (Counter("links", "Links"), Gauge("links", "Links")):
        metric.set_function(lambda: len(numbers))
        numbers.append(0)
        assert [member.value for _, member in metric.members()] == [len(numbers)]


def test_durations_are_counted_up_to_each_bound() -> None:
    times = Histogram("seconds", "Seconds")
    for seconds in (0.00005, 0.001, 0.0015, 100.0):
        times.observe(seconds)
    buckets = dict(times.buckets())
    assert [buckets[bound] for bound in ("5e-05", "0.0005", "0.001", "0.002", "60.0", "+Inf")] == [1, 1, 2, 3, 3, 4]
    assert times.sum_s == pytest.approx(100.00255)
