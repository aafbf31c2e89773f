# SPDX-License-Identifier: Apache-2.0
"""The watch on what a test leaves behind sees each kind of it."""

import asyncio
import socket
import threading

from tests import leftovers


def test_nothing_new_is_nothing_left() -> None:
    assert leftovers.since(leftovers.snapshot()) == []


def test_open_socket_is_seen_until_closed() -> None:
    before = leftovers.snapshot()
    with socket.socket():
        assert [name.partition(":")[0] for name in leftovers.since(before)] == ["socket"]
    assert leftovers.since(before) == []


def test_thread_that_is_about_to_end_is_given_the_time() -> None:
    before = leftovers.snapshot()
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    release.set()
    assert leftovers.since(before) == []


async def test_unfinished_task_is_named() -> None:
    before = leftovers.tasks()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(asyncio.Event().wait(), name="waits for ever")
        left = await leftovers.unfinished_tasks(before)
        task.cancel()
    assert len(left) == 1
    assert left[0].startswith("waits for ever")
    assert await leftovers.unfinished_tasks(before) == []
