# SPDX-License-Identifier: Apache-2.0
"""Declaring metrics and answering a scraper's request; the socket is tested with the programs."""

import pytest

from remsim import __version__
from remsim.metrics import MetricsServer, ProgramMetrics


class SomeMetrics(ProgramMetrics):
    """Metrics of an imaginary program."""

    def __init__(self) -> None:
        super().__init__("some")
        self.tpdus = self.counter("tpdus", "TPDUs", ["kind"])
        self.links = self.gauge("links", "Links")
        self.delay = self.histogram("delay_seconds", "Delay")


def ask(metrics: ProgramMetrics, request: str) -> tuple[str, str]:
    head, _, body = MetricsServer(metrics)._answer(request.encode()).partition(b"\r\n\r\n")
    return head.decode(), body.decode()


def test_metrics_are_shown_with_program_and_build() -> None:
    metrics = SomeMetrics()
    metrics.tpdus.labels("case 2").inc()
    metrics.links.set(3)
    metrics.delay.observe(0.0001)
    head, body = ask(metrics, "GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=")
    assert f"Content-Length: {len(body)}" in head
    assert 'remsim_some_tpdus_total{kind="case 2"} 1.0' in body
    assert "remsim_some_links 3.0" in body
    assert 'remsim_some_delay_seconds_bucket{le="0.0001"} 1.0' in body
    assert f'version="{__version__}"' in body


def test_scraper_gets_the_format_it_asks_for() -> None:
    head, body = ask(SomeMetrics(), "GET / HTTP/1.1\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n")
    assert "application/openmetrics-text" in head
    assert body.endswith("# EOF\n")


def test_head_has_no_body() -> None:
    head, body = ask(SomeMetrics(), "HEAD /metrics HTTP/1.1\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK")
    assert not body


@pytest.mark.parametrize("request_line", ["GET /other HTTP/1.1", "POST /metrics HTTP/1.1", "nonsense", ""])
def test_anything_else_is_not_found(request_line: str) -> None:
    assert ask(SomeMetrics(), f"{request_line}\r\n\r\n")[0].startswith("HTTP/1.1 404 Not Found")


def test_two_programs_in_one_process_share_nothing() -> None:
    one, other = SomeMetrics(), SomeMetrics()
    one.links.set(5)
    assert "remsim_some_links 0.0" in ask(other, "GET /metrics HTTP/1.1\r\n\r\n")[1]


async def test_stop_before_start_does_nothing() -> None:
    await MetricsServer(SomeMetrics()).stop()
