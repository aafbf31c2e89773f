# SPDX-License-Identifier: Apache-2.0
"""Those who wait look again after each change, and no longer than they want."""

import asyncio

import pytest

from remsim.server.changes import Changes


async def test_what_is_so_already_is_found_at_once() -> None:
    assert await Changes().until(lambda: 5, 0.0) == 5


async def test_each_change_is_looked_at() -> None:
    changes, looked, found = Changes(), asyncio.Event(), iter([None, None, "it"])

    def look() -> str | None:
        looked.set()
        return next(found)

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(changes.until(look, 20.0))
        for _ in range(2):
            await looked.wait()
            looked.clear()
            changes.happened()
    assert waiting.result() == "it"
    assert next(found, "none left") == "none left"


@pytest.mark.parametrize("is_closed", [True, False])
async def test_who_waits_in_vain_hears_so(is_closed: bool) -> None:
    changes = Changes()
    if is_closed:
        changes.close()

    def look() -> int | None:
        return None

    found = await changes.until(look, 20.0 if is_closed else 0.0)
    assert found is None
    assert changes.is_closed is is_closed
