# SPDX-License-Identifier: Apache-2.0
"""HTTP requests whose target is sent as it is: libraries tidy paths before they send them."""

import asyncio
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from remsim.config import HostPort


async def ask_raw(address: HostPort, request: bytes, *, tls: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """Send these bytes and read until the server closes; status (0: no answer) and body."""
    host = address.host or "127.0.0.1"
    reader, writer = await asyncio.open_connection(host, address.port, ssl=tls)
    try:
        writer.write(request)
        answer = await reader.read(-1)
    except ConnectionError:
        return 0, b""
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/") else 0), body


async def ask(
    address: HostPort, method: str, target: str, headers: Mapping[str, str], *, tls: ssl.SSLContext | None = None
) -> tuple[int, bytes]:
    """Send a request without a body."""
    return await ask_raw(address, _request(method, target, {"Connection": "close", **headers}), tls=tls)


def _request(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 0"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Caller:
    """Sends one request after another on one connection, and opens a new one when the server has closed it."""

    def __init__(self, address: HostPort) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hang_up()

    async def ask(self, method: str, target: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Send a request without a body; status (0: no answer) and body."""
        request = _request(method, target, headers)
        was_used = self._streams is not None
        answer = await self._exchange(request)
        # A connection that was used before may have been closed for a reason that is not this request's.
        return await self._exchange(request) if answer[0] == 0 and was_used else answer

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._address.host or "127.0.0.1", self._address.port)
        reader, writer = self._streams
        try:
            writer.write(request)
            status, headers = _read_head(await reader.readuntil(b"\r\n\r\n"))
            length = headers.get("content-length")
            body = await (reader.read(-1) if length is None else reader.readexactly(int(length)))
        except (ConnectionError, asyncio.IncompleteReadError):
            self._hang_up()
            return 0, b""
        if length is None or headers.get("connection", "").lower() == "close":
            self._hang_up()
        return status, body

    def _hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _read_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines if line)
    return int(first.split(" ", 2)[1]), {name.strip().lower(): value.strip() for name, _, value in fields}
