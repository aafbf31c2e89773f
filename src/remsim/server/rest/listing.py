# SPDX-License-Identifier: Apache-2.0
"""Long lists made in short portions, so that ten thousand clients in one answer do not hold up their links."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from remsim.server.views import Json

T = TypeVar("T")

#: A portion takes about a millisecond.
_PORTION: Final = 64


async def listed(items: Iterable[T], show: Callable[[T], Json]) -> list[Json]:
    """Show what there is at the moment of the call, yielding to others in between."""
    shown: list[Json] = []
    for index, item in enumerate(list(items), start=1):
        shown.append(show(item))
        if index % _PORTION == 0:
            await asyncio.sleep(0)
    return shown
