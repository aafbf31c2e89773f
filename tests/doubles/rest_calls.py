# SPDX-License-Identifier: Apache-2.0
"""REST calls over one kept connection, with as little of our own time in them as possible."""

import asyncio
import json
from types import TracebackType
from typing import Final, Self

_PREFIX: Final = "/api/backend/v1"
_PATIENCE_S: Final = 30.0


class RestCalls:
    """One connection to the REST interface at 127.0.0.1; one call at a time."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body. Raises OSError, EOFError and TimeoutError."""
        return await self._call("GET", path, b"")

    async def post(self, path: str, document: object) -> tuple[int, bytes]:
        """Status and body. Raises OSError, EOFError and TimeoutError."""
        return await self._call("POST", path, json.dumps(document).encode())

    async def _call(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        head = f"{method} {_PREFIX}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        if body:
            head += "Content-Type: application/json\r\n"
        self._writer.write(head.encode() + b"\r\n" + body)
        async with asyncio.timeout(_PATIENCE_S):
            answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in answer[1:] if line)
            return int(answer[0].split()[1]), await self._reader.readexactly(int(headers.get("content-length", "0")))
