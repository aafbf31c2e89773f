# SPDX-License-Identifier: Apache-2.0
"""The alarm clock of an object."""

import asyncio

from remsim.net.runtime.tasks import Alarm


async def test_alarm_rings_at_the_deadline_that_was_set_last() -> None:
    loop = asyncio.get_running_loop()
    rung: asyncio.Future[float] = loop.create_future()
    alarm = Alarm(lambda: rung.set_result(loop.time()))
    alarm.set(loop.time() + 3600)
    due = loop.time() + 0.01
    alarm.set(due)
    assert await rung >= due - 0.01


async def test_alarm_that_was_ended_never_rings_again() -> None:
    loop = asyncio.get_running_loop()
    rung: list[str] = []
    ended, other = Alarm(lambda: rung.append("ended")), Alarm(lambda: rung.append("other"))
    ended.set(loop.time())
    ended.end()
    ended.set(loop.time())
    after: asyncio.Future[None] = loop.create_future()
    other.set(loop.time())
    loop.call_later(0.01, after.set_result, None)
    await after
    assert rung == ["other"]
