# SPDX-License-Identifier: Apache-2.0
"""How long an answer may wait for its reader. The rest of the connection is tested on sockets."""

import asyncio

import pytest
import uvicorn
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
