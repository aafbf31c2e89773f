# SPDX-License-Identifier: Apache-2.0
"""Long lists made in short portions, so that ten thousand clients in one answer do not hold up their links."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from fastapi.responses import Response

from remsim.server.views import Json

T = TypeVar("T")

#: A portion takes about a millisecond.
_PORTION: Final = 32


async def listing(name: str, items: Iterable[T], show: Callable[[T], Json]) -> Response:
    """``{name: [...]}`` with what there is at the moment of the call, yielding to others in between."""
    everything = list(items)
    parts: list[str] = []
    for start in range(0, len(everything), _PORTION):
        portion = [show(item) for item in everything[start : start + _PORTION]]
        parts.append(json.dumps(portion, ensure_ascii=False, separators=(",", ":"))[1:-1])
        await asyncio.sleep(0)
    body = f'{{"{name}":[{",".join(parts)}]}}'
    return Response(body.encode(), media_type="application/json")
