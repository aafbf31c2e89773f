# SPDX-License-Identifier: Apache-2.0
"""Every request passes here: what is not answered when the server stops."""

import asyncio

from starlette.types import Message, Receive, Scope, Send

from remsim.server.api.app import RequestMiddleware
from remsim.server.changes import Changes
from remsim.server.metrics import ServerMetrics

SCOPE: Scope = {"type": "http", "method": "GET", "path": "/api/v2/codes", "query_string": b"", "headers": []}


class Caller:
    """A request that is never answered, unless it has begun to be."""

    def __init__(self, *, begins: bool = False) -> None:
        self.changes = Changes()
        self.sent: list[Message] = []
        self._begins = begins
        self._is_there = asyncio.Event()

    async def _app(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        if self._begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        self._is_there.set()
        await asyncio.Event().wait()

    async def _receive(self) -> Message:
        raise AssertionError("it has no body")

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    async def is_cancelled(self) -> bool:
        """What uvicorn does at the end; whether the request ends as one that is cancelled."""
        middleware = RequestMiddleware(self._app, ServerMetrics(), self.changes)
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(middleware(SCOPE, self._receive, self._send))
            await self._is_there.wait()
            asked.cancel()
        return asked.cancelled()


async def test_request_that_is_not_answered_when_the_server_stops_may_be_made_again() -> None:
    caller = Caller()
    caller.changes.close()
    assert not await caller.is_cancelled()
    assert caller.sent[0]["status"] == 503
    assert any(name == b"retry-after" for name, _ in caller.sent[0]["headers"])
    assert b"stopping" in caller.sent[1]["body"]


async def test_answer_that_has_begun_is_left_as_it_is() -> None:
    caller = Caller(begins=True)
    caller.changes.close()
    assert not await caller.is_cancelled()
    assert [message["type"] for message in caller.sent] == ["http.response.start"]


async def test_request_that_is_cancelled_while_the_server_runs_is_cancelled() -> None:
    caller = Caller()
    assert await caller.is_cancelled()
    assert caller.sent == []
