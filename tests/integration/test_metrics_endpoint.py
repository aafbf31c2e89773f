# SPDX-License-Identifier: Apache-2.0
"""The metrics endpoint on a real socket: scrapers, peers that are none, an occupied port, an orderly end."""

import asyncio
import contextlib
from contextlib import AsyncExitStack

import pytest

from remsim import metrics as metrics_module
from remsim.config import HostPort
from remsim.core.errors import StartError
from remsim.core.limits import LimitName
from remsim.metrics import ProgramMetrics, serve_metrics
from tests.doubles.link_world import dialled_raw
from tests.doubles.reaching import reaches

ANY_PORT = HostPort("127.0.0.1", 0)
SCRAPE = b"GET /metrics HTTP/1.1\r\n\r\n"


async def ask(address: HostPort, request: bytes, *, is_open: bool = False) -> bytes:
    """Send ``request`` and return all that comes, nothing if the link is cut; ``is_open``: more might follow."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(request)
        if not is_open:
            writer.write_eof()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_scraper_is_answered_also_in_pieces() -> None:
    async with await serve_metrics(ANY_PORT, ProgramMetrics("some")) as server:
        reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
        for piece in (b"GET /met", b"rics HTTP/1.1\r\n", b"\r\n"):
            writer.write(piece)
            await writer.drain()
        assert b"remsim_build_info" in await reader.read()
        writer.close()


@pytest.mark.parametrize("request_text", [b"", b"\x00\x01\xfe\x00", b"x" * 20_000, b"GET /metrics HTTP/1.1\r\n"])
async def test_anything_but_a_whole_request_is_dropped(request_text: bytes) -> None:
    async with await serve_metrics(ANY_PORT, ProgramMetrics("some")) as server:
        assert not await ask(server.address, request_text)
        assert b"200 OK" in await ask(server.address, b"GET /metrics HTTP/1.1\r\n\r\n")


@reaches(LimitName.METRICS_REQUEST)
async def test_request_that_is_too_long_is_dropped() -> None:
    metrics = ProgramMetrics("some")
    async with await serve_metrics(ANY_PORT, metrics) as server:
        assert not await ask(server.address, b"x" * 20_000)
        assert b'limit_reached_total{limit="metrics_request"} 1.0' in await ask(server.address, SCRAPE)


@reaches(LimitName.METRICS_TIME)
async def test_peer_that_neither_asks_nor_reads_is_dropped_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = ProgramMetrics("some")
    for number in range(20_000):
        metrics.refused_connections.labels(f"{number} {'x' * 400}")
    async with await serve_metrics(ANY_PORT, metrics) as server:
        monkeypatch.setattr(metrics_module, "REQUEST_DEADLINE_S", 0.01)
        assert not await ask(server.address, b"", is_open=True)
        monkeypatch.setattr(metrics_module, "REQUEST_DEADLINE_S", 1.0)
        async with dialled_raw(server.address.host, server.address.port, receive_buffer=4096) as deaf:
            await deaf.write(SCRAPE)
            while metrics.limits[LimitName.METRICS_TIME] < 2:
                await ask(server.address, b"GET /health HTTP/1.1\r\n\r\n")
    assert metrics.limits[LimitName.METRICS_TIME] == 2


@reaches(LimitName.METRICS_CONNECTIONS)
async def test_peers_that_ask_nothing_keep_no_scraper_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "MAX_CONNECTIONS", 3)
    metrics = ProgramMetrics("some")
    async with await serve_metrics(ANY_PORT, metrics) as server, AsyncExitStack() as stack:
        neighbour = await stack.enter_async_context(dialled_raw("127.0.0.1", server.address.port))
        silent = [
            await stack.enter_async_context(dialled_raw("127.0.0.1", server.address.port, source="127.0.0.2"))
            for _ in range(5)
        ]
        assert b'limit_reached_total{limit="metrics_connections"} 4.0' in await ask(server.address, SCRAPE)
        for peer in silent[:4]:
            assert await peer.read_to_end() == b""
        await neighbour.write(SCRAPE)
        assert (await neighbour.read(12)).endswith(b" 200")


async def test_occupied_port_is_told() -> None:
    async with await serve_metrics(ANY_PORT, ProgramMetrics("some")) as server:
        with pytest.raises(StartError, match="address already in use") as caught:
            await serve_metrics(server.address, ProgramMetrics("other"))
    assert caught.value.hint


async def test_name_that_does_not_resolve_is_told() -> None:
    with pytest.raises(StartError, match=r"cannot serve metrics on host\.invalid:1: "):
        await serve_metrics(HostPort("host.invalid", 1), ProgramMetrics("some"))


async def test_end_closes_open_connections() -> None:
    server = await serve_metrics(ANY_PORT, ProgramMetrics("some"))
    first, writer = await asyncio.open_connection(server.address.host, server.address.port)
    # Links are accepted in order: when a later one has its answer, the first one is known to the server.
    assert await ask(server.address, b"GET / HTTP/1.1\r\n\r\n")
    await server.stop()
    with contextlib.suppress(ConnectionError):
        assert not await first.read()
    writer.close()
