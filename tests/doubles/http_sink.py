# SPDX-License-Identifier: Apache-2.0
"""An HTTP end on loopback, with or without TLS, that notes what it is told and answers every request alike."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

_ANSWER: Final = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{"banks": []}'
_NO_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_PATIENCE_S: Final = 20.0


@dataclass
class Ear:
    """``heard`` gives what each connection brought, in the order in which they ended."""

    port: int
    heard: "asyncio.Queue[bytes]" = field(default_factory=asyncio.Queue)

    async def next(self) -> bytes:
        """What the next connection brought, empty if nothing."""
        async with asyncio.timeout(_PATIENCE_S):
            return await self.heard.get()


@asynccontextmanager
async def listening(tls: ssl.SSLContext | None, *, answer: bytes = _ANSWER) -> AsyncIterator[Ear]:
    """Listen on a free port. ``answer`` is what every request gets."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = b""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if tls is not None:
                    await writer.start_tls(tls)
                while raw := await reader.read(65536):
                    said += raw
                    if not said.startswith(b"GET ") or said.endswith(b"\r\n\r\n"):
                        break
            if said:
                writer.write(answer if said.startswith(b"GET ") else _NO_REQUEST)
                await writer.drain()
        except OSError:
            # A handshake that fails, or a peer that leaves: what was said until then counts.
            pass
        finally:
            writer.close()
            heard.put_nowait(said)

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with server:
        yield Ear(server.sockets[0].getsockname()[1], heard)
