# SPDX-License-Identifier: Apache-2.0
"""Prometheus metrics of one program, as plain numbers, and a small HTTP endpoint that shows them.

``instruments`` has the kinds of numbers, ``exposition`` their form for Prometheus.

Each program declares all its metrics in one class derived from ``ProgramMetrics``, so that an operator finds them in
one place. Nothing is registered globally: a test or the demo runs several programs in one process. Knows no program.
"""

import asyncio
import json
import os
import platform
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Self, TypeVar

from remsim import __version__
from remsim.config import HostPort
from remsim.core.errors import StartError
from remsim.core.fairness import oldest_of_busiest
from remsim.core.limits import Limit, LimitCounts, LimitName
from remsim.metrics.instruments import Counter, Gauge, Histogram, Metric

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

M = TypeVar("M", bound=Metric)

#: A scraper's request is a few hundred bytes; this also bounds what an unknown peer can make us keep.
MAX_REQUEST_BYTES: Final = 8192
#: From the connection to the last byte of the answer: a peer that is slower does not read metrics.
REQUEST_DEADLINE_S: Final = 10.0
#: Prometheus uses one connection; more are people looking. Beyond this the oldest makes room.
MAX_CONNECTIONS: Final = 32


#: Whether the process lives, and whether it can do its work.
_HEALTH: Final = "/health"
_READY: Final = "/ready"

#: Limits of the endpoint itself.
LIMITS: Final = (
    Limit(
        LimitName.METRICS_CONNECTIONS,
        MAX_CONNECTIONS,
        "connections",
        "Prometheus uses one; more are people looking",
        "of the source that has most, the oldest is closed; the newcomer gets its place",
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
        self._declared: list[Metric] = []
        #: How often each limit was reached.
        self.limits = LimitCounts(limit.name for limit in limits)
        build = Gauge("remsim_build_info", "Always 1; which build this is", ("program", "version", "python"))
        build.labels(program, __version__, platform.python_version()).set(1)
        self._declared.append(build)
        #: Connections that never became links.
        self.refused_connections = self.counter(
            "refused_connections", "Connections refused before a word of RSPRO", ["reason"]
        )

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """Declare a counter."""
        return self._declare(Counter(f"remsim_{self.program}_{name}", text, labels))

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        """Declare a value that goes up and down."""
        return self._declare(Gauge(f"remsim_{self.program}_{name}", text, labels))

    def histogram(self, name: str, text: str, labels: Sequence[str] = ()) -> Histogram:
        """Declare a distribution of durations in seconds."""
        return self._declare(Histogram(f"remsim_{self.program}_{name}", text, labels))

    def _declare(self, metric: M) -> M:
        self._declared.append(metric)
        return metric

    def shown(self) -> Iterator[Metric]:
        """All metrics as they are now."""
        reached = Counter(
            "remsim_limit_reached", "How often a limit was reached; docs/limits.md explains each", ["limit"]
        )
        for name, number in self.limits.snapshot().items():
            reached.labels(name.value).inc(number)
        yield reached
        yield from self._declared

    def missing(self) -> list[str]:
        """In words, what the program lacks to do its work; empty: it is ready. A program that does some says more."""
        return []

    @property
    def registry(self) -> "CollectorRegistry":
        """All metrics as ``prometheus_client`` has them, which is imported only when somebody asks."""
        from remsim.metrics.exposition import registry_of

        return registry_of(self.shown)


class OutletMetrics:
    """Of programs that keep or send what passes at their slots; all 0 where they do not."""

    def __init__(self, metrics: ProgramMetrics) -> None:
        self.captured = metrics.counter("captured_packets", "Packets written to captures")
        self.captured_lost = metrics.counter("captured_packets_lost", "Packets that no capture has")
        self.spans = metrics.counter("spans", "Spans that a collector took")
        self.spans_lost = metrics.counter("spans_lost", "Spans that no collector took")


class MetricsServer:
    """The endpoint, as long as it runs. ``address`` has the real port if 0 was asked for."""

    def __init__(self, metrics: ProgramMetrics) -> None:
        self._metrics = metrics
        self._server: asyncio.Server | None = None
        # What is answered, with its source, the oldest first.
        self._writers: dict[asyncio.StreamWriter, Hashable] = {}
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
            self._make_room()
        # A connection that was reset before anybody looked has no address any more.
        self._writers[writer] = (writer.get_extra_info("peername") or ("",))[0]
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
            self._writers.pop(writer, None)
            writer.close()

    def _make_room(self) -> None:
        oldest = oldest_of_busiest((source, writer) for writer, source in self._writers.items())
        del self._writers[oldest]
        oldest.transport.abort()

    def _answer(self, request: bytes) -> bytes:
        lines = request.decode("latin-1").split("\r\n")
        method, _, rest = lines[0].partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in ("GET", "HEAD") or path not in ("/metrics", "/", _HEALTH, _READY):
            return _response("404 Not Found", "text/plain; charset=utf-8", b"metrics are at /metrics\n", method)
        if path == _HEALTH:
            return _json("200 OK", {"status": "ok"}, method)
        if path == _READY:
            missing = self._metrics.missing()
            if not missing:
                return _json("200 OK", {"status": "ready"}, method)
            return _json("503 Service Unavailable", {"status": "not ready", "reasons": missing}, method)
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        from remsim.metrics.exposition import page

        content_type, body = page(self._metrics.shown, headers.get("accept", ""))
        return _response("200 OK", content_type, body, method)


def _reason(error: OSError) -> str:
    # Name resolution has numbers below 0 and texts of its own; for the others asyncio repeats the address in its text.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return error.strerror or str(error)


def _json(status: str, value: dict[str, object], method: str) -> bytes:
    return _response(status, "application/json", json.dumps(value).encode() + b"\n", method)


def _response(status: str, content_type: str, body: bytes, method: str) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)


async def serve_metrics(listen: HostPort, metrics: ProgramMetrics) -> MetricsServer:
    """Serve ``metrics`` at ``http://listen/metrics``, and ``/health`` and ``/ready``, until ``stop``.

    Raises StartError.
    """
    server = MetricsServer(metrics)
    await server.start(listen)
    return server
