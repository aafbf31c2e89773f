# SPDX-License-Identifier: Apache-2.0
"""Waiting for what changes in the test's own event loop, and tells nobody."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool]) -> None:
    """Look in each round of the loop. The caller bounds the time."""
    while not condition():  # noqa: ASYNC110  # there is no event: that is what this is for
        await asyncio.sleep(0)
