# SPDX-License-Identifier: Apache-2.0
"""A collector of OpenTelemetry on loopback: takes spans by OTLP over HTTP, and notes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_PATIENCE_S: Final = 30.0
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True)
class SeenSpan:
    """One span, and the program that sent it."""

    program: str
    name: str
    trace_id: bytes
    span_id: bytes
    #: Empty: it begins a trace.
    parent_id: bytes
    seconds: float
    is_error: bool
    attributes: dict[str, str | int | bool]


@dataclass
class Collector:
    """``endpoint`` is for settings."""

    endpoint: str
    spans: list[SeenSpan] = field(default_factory=list)
    #: All bodies that came, as they were.
    raw: bytearray = field(default_factory=bytearray)
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def of(self, program: str, count: int) -> list[SeenSpan]:
        """So many spans of this program, once they are there."""
        async with asyncio.timeout(_PATIENCE_S), self._came:
            await self._came.wait_for(lambda: sum(span.program == program for span in self.spans) >= count)
        return [span for span in self.spans if span.program == program]

    async def take(self, body: bytes) -> None:
        """Note what came."""
        self.raw += body
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        SeenSpan(
                            named["service.name"],
                            span.name,
                            span.trace_id,
                            span.span_id,
                            span.parent_span_id,
                            (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                            span.status.code == span.status.STATUS_CODE_ERROR,
                            {
                                each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value")
                                for each in span.attributes
                            },
                        )
                    )
        async with self._came:
            self._came.notify_all()


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Listen on a free port."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                assert head.startswith(b"POST /v1/traces ")
                fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if line)
                await collector.take(await reader.readexactly(int(fields[b"content-length"])))
                writer.write(_ANSWER)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            # It has hung up.
            pass
        finally:
            writers.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    collector = Collector(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/traces")
    try:
        yield collector
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
