# SPDX-License-Identifier: Apache-2.0
"""How long an answer may wait for its reader. The rest of the connection is tested on sockets."""

import asyncio

import pytest
import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable
from uvicorn.server import ServerState

from remsim.core.limits import LimitCounts, LimitName
from remsim.server.api import limits
from remsim.server.api.connection import RestConnection


class Pipe(asyncio.Transport):
    """A transport whose peer takes what it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.is_aborted = False

    def get_extra_info(self, _name: str, default: object = None) -> object:
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 1

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


async def _nothing(_scope: object, _receive: object, _send: object) -> None:
    return


async def test_reader_that_takes_something_is_waited_for_and_one_that_takes_nothing_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "ANSWER_TIME_S", 3600.0)
    config = uvicorn.Config(_nothing, lifespan="off", log_config=None)
    config.load()
    counts = LimitCounts()
    connection = RestConnection(config, ServerState(), counts=counts, on_closed=lambda: None, on_proven=lambda: None)
    pipe = Pipe()
    connection.connection_made(pipe)
    pipe.waiting = 1000
    connection.pause_writing()
    pipe.waiting = 999
    connection._on_slow_reader(1000)
    assert counts[LimitName.REST_ANSWER_TIME] == 0
    connection.resume_writing()
    connection.resume_writing()
    connection.pause_writing()
    connection._on_slow_reader(999)
    assert pipe.is_aborted
    assert counts[LimitName.REST_ANSWER_TIME] == 1
    connection.connection_lost(OSError())


async def test_dropped_connection_is_told_of_once_and_nothing_is_written_to_it() -> None:
    """uvloop closes what it is told to give up, and says nothing; asyncio says so later."""
    asked, is_over = asyncio.Event(), asyncio.Event()
    seen: list[object] = []

    async def answer(_scope: object, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        asked.set()
        await is_over.wait()
        seen.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": False})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    config = uvicorn.Config(answer, lifespan="off", log_config=None)
    config.load()
    state, ends = ServerState(), list[None]()
    connection = RestConnection(
        config, state, counts=LimitCounts(), on_closed=lambda: ends.append(None), on_proven=lambda: None
    )
    connection.on_dropped()
    assert not ends, "there was no peer yet"
    connection.connection_made(Pipe())
    connection.data_received(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await asked.wait()
    (task,) = state.tasks
    connection.on_dropped()
    connection.connection_lost(None)
    assert len(ends) == 1
    assert not state.connections
    is_over.set()
    # A Pipe has no write.
    await task
    assert seen == [{"type": "http.disconnect"}]
