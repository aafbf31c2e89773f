# SPDX-License-Identifier: Apache-2.0
"""Requests straight to an ASGI application: the scope is what uvicorn makes of a target that is sent as it is.

A tenth of what the same request costs over a socket, so that there can be tens of thousands.
"""

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope

#: No answer takes this long; a stream that does not end is a mistake of the test.
_PATIENCE_S: Final = 20.0


def scope_of(method: str, target: str, headers: Mapping[str, str]) -> Scope:
    """What an application gets of a request (ASGI 3.0)."""
    raw_path, _, query = target.encode("ascii").partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1024),
        "scheme": "http",
        "method": method,
        "root_path": "",
        "path": unquote(raw_path.decode("ascii")),
        "raw_path": raw_path,
        "query_string": query,
        "headers": [
            (name.lower().encode("ascii"), value.encode("ascii"))
            for name, value in {"Host": "127.0.0.1", "Content-Length": "0", **headers}.items()
        ],
        "state": {},
    }


async def ask_app(app: ASGIApp, method: str, target: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Send a request without a body; status and body."""
    scope = scope_of(method, target, headers)
    status, parts, was_asked = 0, [], False

    async def receive() -> Message:
        nonlocal was_asked
        if was_asked:
            # The caller stays until the answer is there.
            await asyncio.get_running_loop().create_future()
        was_asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    async with asyncio.timeout(_PATIENCE_S):
        await app(scope, receive, send)
    return status, b"".join(parts)
