# SPDX-License-Identifier: Apache-2.0
"""Metrics in the forms of Prometheus. The one module that imports ``prometheus_client``.

That import takes a twelfth of the time that a client needs to start.
"""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from remsim.metrics.instruments import Counter, Gauge, Histogram, Metric


class _Collector(Collector):
    """Shows the metrics of one program as they are when it is asked."""

    def __init__(self, shown: Callable[[], Iterator[Metric]]) -> None:
        self._shown = shown

    def describe(self) -> list[Family]:
        """Nothing: some names are known only once the program runs."""
        return []

    def collect(self) -> Iterator[Family]:
        """All metrics."""
        return map(_family, self._shown())


def _family(metric: Metric) -> Family:
    names = metric.label_names
    match metric:
        case Counter():
            counter = CounterMetricFamily(metric.name, metric.text, labels=names)
            for values, one in metric.members():
                counter.add_metric(values, one.value)
            return counter
        case Gauge():
            gauge = GaugeMetricFamily(metric.name, metric.text, labels=names)
            for values, number in metric.members():
                gauge.add_metric(values, number.value)
            return gauge
        case Histogram():
            histogram = HistogramMetricFamily(metric.name, metric.text, labels=names)
            for values, times in metric.members():
                histogram.add_metric(values, times.buckets(), times.sum_s)
            return histogram
    raise TypeError(f"{type(metric).__name__} has no form")


def registry_of(shown: Callable[[], Iterator[Metric]]) -> CollectorRegistry:
    """All metrics of a program, and those of its process."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    registry.register(_Collector(shown))
    return registry


def page(shown: Callable[[], Iterator[Metric]], accept: str) -> tuple[str, bytes]:
    """Content type and body for a scraper that sends this ``Accept``."""
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry_of(shown))
