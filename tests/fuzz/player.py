# SPDX-License-Identifier: Apache-2.0
"""Holds one conversation over TCP."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final, cast

from tests.fuzz.script import End, Script

#: How long an answer is waited for; an answer on loopback takes a hundredth of it.
_ANSWER_S: Final = 0.05
#: Once an answer did not come, the next ones are hardly worth waiting for.
_LATER_ANSWER_S: Final = 0.003
#: How long the peer may take to hang up after the end of our stream.
_FAREWELL_S: Final = 0.1
_CONNECT_S: Final = 20.0


class ConnectError(AssertionError):
    """A program does not accept connections any more."""


class _Wire(asyncio.Protocol):
    def __init__(self) -> None:
        self.heard = asyncio.Event()
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.set()
        self.closed.set()


async def play(script: Script, port: int, source: str) -> None:
    """Hold the conversation with the program at ``port``, calling from address ``source``. Raises ConnectError."""
    loop = asyncio.get_running_loop()
    wire = _Wire()
    try:
        async with asyncio.timeout(_CONNECT_S):
            await loop.create_connection(lambda: wire, "127.0.0.1", port, local_addr=(source, 0))
    except (OSError, TimeoutError) as error:
        raise ConnectError(f"no connection to port {port}: {error!r}") from None
    try:
        await _speak(wire, script)
        await _leave(wire, script.end)
    finally:
        wire.transport.abort()


async def _speak(wire: _Wire, script: Script) -> None:
    patience_s = _ANSWER_S
    for step in script.steps:
        if wire.closed.is_set():
            break
        if step is not None:
            wire.heard.clear()
            wire.transport.write(step)
        elif not await _within(wire.heard, patience_s):
            patience_s = _LATER_ANSWER_S


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _leave(wire: _Wire, end: End) -> None:
    if wire.closed.is_set():
        return
    if end is End.HALF:
        with suppress(OSError):
            wire.transport.write_eof()
            await _within(wire.closed, _FAREWELL_S)
    elif end is End.RESET:
        sock: socket.socket = wire.transport.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.transport.abort()
    else:
        wire.transport.close()
    # A peer that does not read keeps ``close`` waiting; what is not gone by then is thrown away.
    await _within(wire.closed, _FAREWELL_S)
