# SPDX-License-Identifier: Apache-2.0
"""Work on the authority's files: one piece at a time, and nobody waits for long."""

import asyncio
import threading

import pytest

from remsim.net.runtime.tasks import in_thread
from remsim.pki.errors import AuthorityError
from remsim.server.authority import turns as module
from remsim.server.authority.turns import AuthorityTurns

#: More than a pool of threads has on a machine with few processors.
CALLERS = 40


async def test_pieces_are_done_one_after_the_other() -> None:
    turns, has_begun, may_end = AuthorityTurns(), threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        has_begun.set()
        assert may_end.wait(20)
        done.append("first")

    async with asyncio.TaskGroup() as group:
        try:
            group.create_task(turns.do(first))
            assert await in_thread(has_begun.wait, 20)
            group.create_task(turns.do(done.append, "second"))
            # The pool of threads takes its work in order: what it was given before this has begun.
            for _ in range(2):
                await in_thread(lambda: None)
            assert done == []
        finally:
            may_end.set()
    assert done == ["first", "second"]


async def test_files_that_another_program_holds_take_no_threads_and_nobodys_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.01)
    turns, is_free = AuthorityTurns(), threading.Event()

    async def ask() -> str:
        try:
            await turns.do(is_free.wait, 30)
        except AuthorityError as error:
            return error.hint
        return "done"

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask()) for _ in range(CALLERS)]
        try:
            async with asyncio.timeout(20):
                assert await in_thread(lambda: "a page") == "a page"
                await asyncio.wait(asked[1:])
        finally:
            is_free.set()
    assert asked[0].result() == "done"
    assert all("ledger.sqlite" in each.result() for each in asked[1:])
    assert await turns.do(lambda: "again") == "again"


async def test_work_that_fails_gives_its_turn_back() -> None:
    turns = AuthorityTurns()
    with pytest.raises(ZeroDivisionError):
        await turns.do(lambda: 1 // 0)
    assert await turns.do(lambda: 1) == 1
