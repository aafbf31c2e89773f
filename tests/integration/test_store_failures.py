# SPDX-License-Identifier: Apache-2.0
"""A database that goes away in the middle of something: at the start of a server, and within a batch of decisions."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from remsim.core.errors import StartError
from remsim.server.store.session import DatabaseAwayError, FileWriter, T, Work
from remsim.server.store.writer import StoreError
from tests.doubles.databases import sqlite_at
from tests.integration.test_server_store import opened


@pytest.mark.parametrize("lost_at", [1, 2, 3])
async def test_start_that_loses_its_database_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost_at: int
) -> None:
    run, tries = FileWriter.run, 0

    async def lose(file: FileWriter, work: Work[T], *, deadline_s: float | None = None) -> T:
        nonlocal tries
        tries += 1
        if tries == lost_at:
            raise DatabaseAwayError("it was lost")
        return await run(file, work, deadline_s=deadline_s)

    monkeypatch.setattr(FileWriter, "run", lose)
    with pytest.raises(StartError, match=r"server\.sqlite cannot be used: it was lost") as caught:
        async with opened(sqlite_at(tmp_path)):
            pass
    assert caught.value.hint


async def test_database_that_goes_while_a_batch_is_stored_one_by_one_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, is_gone, tries = FileWriter.run, False, 0

    async def gone(file: FileWriter, work: Work[T], *, deadline_s: float | None = None) -> T:
        nonlocal tries
        if not is_gone:
            return await run(file, work, deadline_s=deadline_s)
        tries += 1
        raise IntegrityError("", None, Exception("spoilt")) if tries == 1 else DatabaseAwayError("gone")

    monkeypatch.setattr(FileWriter, "run", gone)
    async with opened(sqlite_at(tmp_path)) as first:
        is_gone = True
        results = await asyncio.gather(*(first.create(f"1:{n}", f"7:{n}") for n in range(20)), return_exceptions=True)
        # All together, and the first of them alone.
        assert tries == 2
        is_gone = False
        assert {type(result) for result in results} == {StoreError}
        assert len(first.listener.failed) == 20
