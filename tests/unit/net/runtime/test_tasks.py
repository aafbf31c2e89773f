# SPDX-License-Identifier: Apache-2.0
"""Owners of tasks: who ends whom."""

import asyncio
import inspect

import pytest

from remsim.core.errors import StartError
from remsim.net.runtime.tasks import TaskOwner, when_done


async def forever() -> None:
    await asyncio.Event().wait()


async def crash(error: Exception) -> None:
    raise error


async def answer() -> bytes:
    return b"ok"


async def test_outcome_of_work_that_ends_by_itself_is_told_in_the_loop() -> None:
    told: asyncio.Queue[object] = asyncio.Queue()
    when_done(answer(), told.put_nowait, name="answer")
    assert told.empty()
    assert await told.get() == b"ok"
    when_done(crash(ValueError("reason")), told.put_nowait, name="crash")
    assert isinstance(await told.get(), ValueError)


async def test_crash_of_a_session_is_logged_and_ends_nobody_else(capsys: pytest.CaptureFixture[str]) -> None:
    crashed: list[str] = []
    async with TaskOwner("bankd", on_crash=crashed.append) as owner:
        other = owner.session(forever(), name="B1:0")
        faulty = owner.session(crash(ValueError("reason")), name="B1:1")
        assert other is not None
        assert faulty is not None
        await asyncio.wait([faulty])
        assert not other.done()
        assert len(owner) == 1
        owner.cancel()
    assert crashed == ["B1:1"]
    assert "task_crashed task=B1:1" in capsys.readouterr().err
    assert other.cancelled()


async def test_crash_of_a_session_without_counter_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    async with TaskOwner("bankd") as owner:
        owner.session(crash(ValueError("reason")), name="B1:1")
    assert "ValueError: reason" in capsys.readouterr().err


async def test_crash_of_a_vital_task_ends_all() -> None:
    sessions: list[asyncio.Task[None] | None] = []

    async def own() -> None:
        async with TaskOwner("server") as owner:
            sessions.append(owner.session(forever(), name="B1:0"))
            owner.vital(crash(StartError("port in use")), name="listen")

    with pytest.raises(ExceptionGroup) as caught:
        await own()
    assert caught.group_contains(StartError)
    assert [session is not None and session.cancelled() for session in sessions] == [True]


async def test_result_of_a_vital_task_can_be_awaited() -> None:
    async def answer() -> int:
        return 42

    async with TaskOwner("server") as owner:
        task = owner.vital(answer(), name="ask")
        assert task is not None
        assert await task == 42
        assert task.get_name() == "server:ask"


async def test_error_in_the_block_ends_the_tasks() -> None:
    tasks: list[asyncio.Task[None] | None] = []

    async def own() -> None:
        async with TaskOwner("server") as owner:
            tasks.append(owner.vital(forever(), name="x"))
            raise ValueError("reason")

    with pytest.raises(ExceptionGroup) as caught:
        await own()
    assert caught.group_contains(ValueError)
    assert [task is not None and task.cancelled() for task in tasks] == [True]


async def test_closing_owner_takes_no_task() -> None:
    async with TaskOwner("server") as owner:
        owner.cancel()
        assert owner.session(forever(), name="late") is None
        assert owner.vital(forever(), name="late") is None
    assert owner.session(forever(), name="later") is None


async def test_session_cancelled_before_its_first_step_leaves_no_coroutine() -> None:
    async with TaskOwner("server") as owner:
        work = forever()
        owner.session(work, name="x")
        owner.cancel()
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED
