# SPDX-License-Identifier: Apache-2.0
"""Work in threads, and several things at the same time."""

import asyncio
import threading

import pytest

from remsim.net.runtime.tasks import all_of, in_thread


async def test_blocking_work_is_done_in_another_thread() -> None:
    def where(text: str, *, suffix: str) -> tuple[str, bool]:
        return text + suffix, threading.current_thread() is threading.main_thread()

    assert await in_thread(where, "a", suffix="b") == ("ab", False)


async def test_several_things_run_at_the_same_time_and_keep_their_order() -> None:
    both = asyncio.Barrier(2)

    async def meet(name: str) -> str:
        await both.wait()
        return name

    assert await all_of(meet("first"), meet("second")) == ["first", "second"]


async def test_error_of_one_is_the_error_of_all() -> None:
    async def fail() -> None:
        raise OSError("broken")

    async def end() -> None:
        return

    with pytest.raises(OSError, match="broken"):
        await all_of(end(), fail())
