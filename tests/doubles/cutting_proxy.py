# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy on loopback that cuts or freezes everything that runs through it."""

import asyncio
import socket
import struct
from types import TracebackType
from typing import Self

from remsim.config import HostPort

_LINGER_NOT = struct.pack("ii", 1, 0)


class CuttingProxy:
    """``async with`` it; ``target`` is where it leads to, and may be set later."""

    def __init__(self) -> None:
        self.target: HostPort | None = None
        self.cuts = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._frozen: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    @property
    def address(self) -> HostPort:
        """Where it listens."""
        host, port = self._server.sockets[0].getsockname()[:2]
        return HostPort(host, port)

    def cut(self) -> None:
        """Reset all connections, at both ends."""
        for writer in tuple(self._writers):
            sock: socket.socket = writer.get_extra_info("socket")
            if sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            writer.transport.abort()
        self.cuts += bool(self._writers)
        self._writers.clear()

    def freeze(self) -> None:
        """What runs through the present connections gets nowhere, and neither end is told. New ones work."""
        self._frozen |= self._writers

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self.target is not None
        try:
            far_reader, far_writer = await asyncio.open_connection(self.target.host, self.target.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if sink not in self._frozen:
                    sink.write(data)
                    await sink.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(sink)
            self._frozen.discard(sink)
            sink.close()
