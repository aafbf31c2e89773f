# SPDX-License-Identifier: Apache-2.0
"""One socket of pcscd whose other end does not read at once, or sends what cannot be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remsim.readers.errors import ReaderUnavailableError
from remsim.readers.pcscd import protocol
from remsim.readers.pcscd.channel import Answer, PcscdChannel

_CARD = 0x20001
_LONG = bytes(60_000)
_REQUEST = protocol.HEADER.size + protocol.TRANSMIT.size + len(_LONG)
_VERSION = protocol.HEADER.size + protocol.VERSION.size


class SlowEnd:
    """Agrees to 4:6 and then reads nothing until ``goes_on``; answers each command with 9000, or ``garbage``."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.garbage = b""

    async def serve(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stream.readexactly(_VERSION)
        writer.write(protocol.VERSION.pack(4, 6, 0))
        await self.goes_on.wait()
        try:
            while True:
                await stream.readexactly(_REQUEST)
                reply = protocol.TRANSMIT.pack(_CARD, 1, 16, len(_LONG), 1, 16, 2, 0) + b"\x90\0"
                writer.write(self.garbage or reply)
        except asyncio.IncompleteReadError:
            writer.close()


@asynccontextmanager
async def opened(path: Path, end: SlowEnd) -> AsyncIterator[PcscdChannel]:
    server = await asyncio.start_unix_server(end.serve, path, limit=1 << 20)
    channel = PcscdChannel(path, deadline_s=20.0)
    try:
        await channel.open()
        yield channel
    finally:
        channel.close()
        channel.close()
        end.goes_on.set()
        server.close()
        await server.wait_closed()


def pour(channel: PcscdChannel, count: int) -> list["asyncio.Future[Answer]"]:
    futures: list[asyncio.Future[Answer]] = [asyncio.get_running_loop().create_future() for _ in range(count)]
    for future in futures:
        channel.send(channel.client.transmit(_CARD, 1, _LONG), future.set_result)
    return futures


async def test_requests_that_do_not_fit_into_the_socket_wait_their_turn(tmp_path: Path) -> None:
    end = SlowEnd()
    async with opened(tmp_path / "s", end) as channel:
        answers = pour(channel, 6)
        assert channel.is_busy
        end.goes_on.set()
        assert [await answer for answer in answers] == [b"\x90\0"] * 6
        assert not channel.is_busy


async def test_end_that_never_reads_is_given_up(tmp_path: Path) -> None:
    async with opened(tmp_path / "s", SlowEnd()) as channel:
        for answer in pour(channel, 20):
            assert isinstance(await answer, ReaderUnavailableError)
        assert not channel.is_open
        with pytest.raises(ReaderUnavailableError, match="broke"):
            await channel.ask(channel.client.transmit(_CARD, 1, b""), bytes)


async def test_reply_that_cannot_be_ends_the_connection_with_its_reason(tmp_path: Path) -> None:
    end = SlowEnd()
    end.garbage = b"HTTP/1.1 400 Bad Request\r\n\r\n and so on"
    end.goes_on.set()
    async with opened(tmp_path / "s", end) as channel:
        lost: list[str] = []
        channel.on_lost = lambda error: lost.append(str(error))
        (answer,) = pour(channel, 1)
        assert isinstance(await answer, ReaderUnavailableError)
        assert lost == [str(answer.result())]
        assert "pcscd a" in lost[0]
