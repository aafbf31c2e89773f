# SPDX-License-Identifier: Apache-2.0
"""Prometheus metrics of one program: a registry of its own, and a small HTTP endpoint that shows it.

Each program declares all its metrics in one class derived from ``ProgramMetrics``, so that an operator finds them in
one place. Nothing is registered globally: a test or the demo runs several programs in one process. Knows no program.
"""

import asyncio
import os
import platform
from collections.abc import Iterator, Sequence
from typing import Final, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from remsim import __version__
from remsim.config import HostPort
from remsim.core.errors import StartError
from remsim.core.limits import Limit, LimitCounts, LimitName

#: From 50 µs (a card in memory) to the card deadline of 60 s.
DURATION_BUCKETS_S: Final = (
    *(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
)

#: A scraper's request is a few hundred bytes; this also bounds what an unknown peer can make us keep.
MAX_REQUEST_BYTES: Final = 8192
#: From the connection to the last byte of the answer: a peer that is slower does not read metrics.
REQUEST_DEADLINE_S: Final = 10.0
#: Prometheus uses one connection; more are people looking. Beyond this a newcomer is dropped.
MAX_CONNECTIONS: Final = 32


#: Limits of the endpoint itself.
LIMITS: Final = (
    Limit(
        LimitName.METRICS_CONNECTIONS,
        MAX_CONNECTIONS,
        "connections",
        "Prometheus uses one; more are people looking",
        "a newcomer at the metrics port is dropped",
    ),
    Limit(
        LimitName.METRICS_REQUEST,
        MAX_REQUEST_BYTES,
        "bytes",
        "a scraper's request has a few hundred",
        "the connection is closed",
    ),
    Limit(
        LimitName.METRICS_TIME,
        REQUEST_DEADLINE_S,
        "s",
        "the page is made at once; a peer that neither asks nor reads is no scraper",
        "the connection is closed",
    ),
)


class _LimitCollector(Collector):
    """Shows how often each limit was reached."""

    def __init__(self, counts: LimitCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "remsim_limit_reached", "How often a limit was reached; docs/limits.md explains each", labels=["limit"]
        )
        for name, number in self._counts.snapshot().items():
            family.add_metric([name.value], number)
        yield family


class ProgramMetrics:
    """The metrics of one program. Names get the prefix ``remsim_<program>_``. ``limits`` are those of the program.

    Derive, and declare every metric in ``__init__``::

        class BankdMetrics(ProgramMetrics):
            def __init__(self) -> None:
                super().__init__("bankd")
                self.tpdus = self.counter("tpdus", "TPDUs answered by a card")
    """

    def __init__(self, program: str, *, limits: Sequence[Limit] = LIMITS) -> None:
        self.program = program
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        #: How often each limit was reached.
        self.limits = LimitCounts(limit.name for limit in limits)
        self.registry.register(_LimitCollector(self.limits))
        build = Gauge(
            "remsim_build_info",
            "Always 1; which build this is",
            ["program", "version", "python"],
            registry=self.registry,
        )
        #: Connections that never became links.
        self.refused_connections = self.counter(
            "refused_connections", "Connections refused before a word of RSPRO", ["reason"]
        )
        build.labels(program, __version__, platform.python_version()).set(1)

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """Declare a counter; Prometheus shows its name with ``_total``."""
        return Counter(f"remsim_{self.program}_{name}", text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        """Declare a value that goes up and down."""
        return Gauge(f"remsim_{self.program}_{name}", text, labels, registry=self.registry)

    def histogram(
        self, name: str, text: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = DURATION_BUCKETS_S
    ) -> Histogram:
        """Declare a distribution; by default of durations in seconds."""
        return Histogram(f"remsim_{self.program}_{name}", text, labels, registry=self.registry, buckets=buckets)


class MetricsServer:
    """The endpoint, as long as it runs. ``address`` has the real port if 0 was asked for."""

    def __init__(self, metrics: ProgramMetrics) -> None:
        self._metrics = metrics
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.address = HostPort("", 0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    async def start(self, listen: HostPort) -> None:
        """Listen. Raises StartError if that is not possible."""
        try:
            self._server = await asyncio.start_server(
                self._on_connection, listen.host or None, listen.port, limit=MAX_REQUEST_BYTES
            )
        except OSError as error:
            raise StartError(
                f"cannot serve metrics on {listen}: {error.strerror or error}",
                hint="choose another --metrics HOST:PORT",
            ) from None
        self.address = listen.with_port(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and close all connections."""
        if self._server is None:
            return
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._writers) >= MAX_CONNECTIONS:
            self._metrics.limits.reached(LimitName.METRICS_CONNECTIONS)
            writer.transport.abort()
            return
        self._writers.add(writer)
        # With nothing kept here, the end of ``drain`` is that of the answer.
        writer.transport.set_write_buffer_limits(high=0)
        try:
            async with asyncio.timeout(REQUEST_DEADLINE_S):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(request))
                await writer.drain()
        except (TimeoutError, asyncio.LimitOverrunError) as error:
            is_late = isinstance(error, TimeoutError)
            self._metrics.limits.reached(LimitName.METRICS_TIME if is_late else LimitName.METRICS_REQUEST)
            writer.transport.abort()
        except (OSError, asyncio.IncompleteReadError):
            # The peer does not speak HTTP, or left; there is nobody to tell.
            writer.transport.abort()
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, request: bytes) -> bytes:
        lines = request.decode("latin-1").split("\r\n")
        method, _, rest = lines[0].partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in ("GET", "HEAD") or path not in ("/metrics", "/"):
            return _response("404 Not Found", "text/plain; charset=utf-8", b"metrics are at /metrics\n", method)
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        encode, content_type = choose_encoder(headers.get("accept", ""))
        return _response("200 OK", content_type, encode(self._metrics.registry), method)


def _reason(error: OSError) -> str:
    # Name resolution has numbers below 0 and texts of its own; for the others asyncio repeats the address in its text.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return error.strerror or str(error)


def _response(status: str, content_type: str, body: bytes, method: str) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)


async def serve_metrics(listen: HostPort, metrics: ProgramMetrics) -> MetricsServer:
    """Serve ``metrics`` at ``http://listen/metrics`` until ``stop``. Raises StartError."""
    server = MetricsServer(metrics)
    await server.start(listen)
    return server
