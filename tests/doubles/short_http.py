# SPDX-License-Identifier: Apache-2.0
"""One HTTP request a connection, its target sent as it is: libraries tidy paths before they send them."""

import asyncio
import ssl
from collections.abc import Mapping

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
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", "Content-Length: 0"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return await ask_raw(address, ("\r\n".join(lines) + "\r\n\r\n").encode(), tls=tls)
