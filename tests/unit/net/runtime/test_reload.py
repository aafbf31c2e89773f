# SPDX-License-Identifier: Apache-2.0
"""Requests to reload: none is lost, those that wait together are one, and steps follow each other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from remsim.net.runtime.reload import Reload, Step
from tests.doubles.noted_log import NotedLog


@asynccontextmanager
async def running(reload: Reload, *steps: Step) -> AsyncIterator[None]:
    work = asyncio.gather(reload.run(*steps), return_exceptions=True)
    try:
        yield
    finally:
        work.cancel()
        await asyncio.wait([work])


async def test_request_before_the_beginning_is_kept_and_several_are_one() -> None:
    done: asyncio.Queue[str] = asyncio.Queue()

    async def later() -> None:
        await asyncio.sleep(0)
        done.put_nowait("second")

    log = NotedLog()
    reload = Reload(log=log.logger)
    reload.request()
    reload.request()
    async with running(reload, lambda: done.put_nowait("first"), later):
        assert [await done.get(), await done.get()] == ["first", "second"]
        await log.next("reloaded")
        assert done.empty()
        reload.request()
        assert [await done.get(), await done.get()] == ["first", "second"]


async def test_request_during_a_reload_makes_another_one() -> None:
    reload, turns = Reload(log=NotedLog().logger), asyncio.Semaphore(0)
    begun: asyncio.Queue[None] = asyncio.Queue()

    async def slow() -> None:
        begun.put_nowait(None)
        await turns.acquire()

    async with running(reload, slow):
        reload.request()
        await begun.get()
        reload.request()
        assert begun.empty()
        turns.release()
        await begun.get()
        turns.release()
