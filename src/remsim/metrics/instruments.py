# SPDX-License-Identifier: Apache-2.0
"""Counters, gauges and histograms as plain numbers. What Prometheus sees is made of them when it asks."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, Self

#: From 50 µs (a card in memory) to the card deadline of 60 s.
DURATION_BUCKETS_S: Final = (
    *(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
)


class Metric:
    """One metric; with label names it is a family of those that ``labels`` gives."""

    def __init__(self, name: str, text: str, label_names: Sequence[str] = ()) -> None:
        self.name = name
        self.text = text
        self.label_names = tuple(label_names)
        self._children: dict[tuple[str, ...], Self] = {}

    def labels(self, *values: str) -> Self:
        """The member with these label values, made when it is first asked for."""
        child = self._children.get(values)
        if child is None:
            if len(values) != len(self.label_names):
                raise ValueError(f"{self.name} has the labels {self.label_names}, not {len(values)}")
            child = self._children[values] = self._child()
        return child

    def _child(self) -> Self:
        return type(self)(self.name, self.text)

    def forget(self, *values: str) -> None:
        """Drop the members whose first labels have these values."""
        self._children = {known: child for known, child in self._children.items() if known[: len(values)] != values}

    def members(self) -> list[tuple[tuple[str, ...], Self]]:
        """What is to be shown, with its label values."""
        return list(self._children.items()) if self.label_names else [((), self)]


class Counter(Metric):
    """Only grows. Prometheus shows its name with ``_total``."""

    _value = 0
    _read: Callable[[], int] | None = None

    def inc(self, number: int = 1) -> None:
        """Count one, or so many."""
        self._value += number

    def set_function(self, read: Callable[[], int]) -> None:
        """It is counted elsewhere, and read when it is shown."""
        self._read = read

    @property
    def value(self) -> int:
        """The number as it is now."""
        return self._value if self._read is None else self._read()


class Gauge(Metric):
    """Goes up and down."""

    _value = 0
    _read: Callable[[], int] | None = None

    def set(self, value: int) -> None:
        """It has this value now."""
        self._value = value

    def set_function(self, read: Callable[[], int]) -> None:
        """It is known elsewhere, and read when it is shown."""
        self._read = read

    @property
    def value(self) -> int:
        """The number as it is now."""
        return self._value if self._read is None else self._read()


class Histogram(Metric):
    """A distribution of durations in seconds. Cheap enough for every TPDU."""

    def __init__(self, name: str, text: str, label_names: Sequence[str] = ()) -> None:
        super().__init__(name, text, label_names)
        self._counts = [0] * (len(DURATION_BUCKETS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(DURATION_BUCKETS_S, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bounds, and how many were not longer."""
        bounds = (*map(str, DURATION_BUCKETS_S), "+Inf")
        return [(bound, float(total)) for bound, total in zip(bounds, accumulate(self._counts), strict=True)]
