# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy on loopback that delays, cuts or freezes everything that runs through it."""

import asyncio
import socket
import struct
from types import TracebackType
from typing import Self

from remsim.config import HostPort

_LINGER_NOT = struct.pack("ii", 1, 0)


class CuttingProxy:
    """``async with`` it; ``target`` is where it leads to, and may be set later."""

    def __init__(self, *, delay_s: float = 0.0) -> None:
        """``delay_s``: how long bytes take, in each direction."""
        self._delay_s = delay_s
        self.target: HostPort | None = None
        self.cuts = 0
        #: Links that were cut or frozen, one for each connection through the proxy.
        self.links_hit = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._frozen: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()
        await asyncio.gather(*self._serving)

    @property
    def address(self) -> HostPort:
        """Where it listens."""
        host, port = self._server.sockets[0].getsockname()[:2]
        return HostPort(host, port)

    @property
    def connections(self) -> int:
        """So many are open, both ends counted."""
        return len(self._writers)

    def cut(self) -> None:
        """Reset all connections, at both ends."""
        self.links_hit += len(self._writers - self._frozen) // 2
        for writer in self._writers | self._frozen:
            sock: socket.socket = writer.get_extra_info("socket")
            if sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            writer.transport.abort()
        self.cuts += bool(self._writers)
        self._writers.clear()
        self._frozen.clear()

    def freeze(self) -> None:
        """What runs through the present connections gets nowhere, and neither end is told. New ones work.

        Nor is an end told when the other one closes its connection.
        """
        self.links_hit += len(self._writers - self._frozen) // 2
        self._frozen |= self._writers

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self.target is not None
        try:
            far_reader, far_writer = await asyncio.open_connection(self.target.host, self.target.port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._writers -= pair
            self._frozen -= pair
            for one in pair:
                one.close()

    def _deliver(self, sink: asyncio.StreamWriter, data: bytes) -> None:
        if sink in self._writers and sink not in self._frozen:
            sink.write(data)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if self._delay_s:
                    asyncio.get_running_loop().call_later(self._delay_s, self._deliver, sink, data)
                elif sink not in self._frozen:
                    sink.write(data)
                    await sink.drain()
        except OSError:
            pass
        if sink not in self._frozen:
            self._writers.discard(sink)
            sink.close()
