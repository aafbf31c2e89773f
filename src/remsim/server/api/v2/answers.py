# SPDX-License-Identifier: Apache-2.0
"""What the resources of v2 share: pages of long lists, answers, and how routes are described in the schema."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from fastapi.responses import Response
from pydantic import BaseModel

from remsim.server.api.errors import PROBLEM_TYPE, V2
from remsim.server.api.v2.reading import Key, page_size, read_cursor, write_cursor

_TEXTS: Final = {
    400: "malformed",
    401: "no valid token",
    403: "not allowed",
    404: "unknown",
    405: "no such method here",
    409: "conflict",
    412: "a precondition does not hold",
    413: "too large",
    415: "not JSON",
    422: "the key was used for another request",
    429: "too many failed attempts",
    503: "the server is not ready, or its database fails",
}
_WAIT: Final[dict[str, object]] = {
    "Retry-After": {"schema": {"type": "integer", "minimum": 0}, "description": "seconds to wait"}
}
_HEADERS: Final[dict[int, dict[str, object]]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "how to prove who asks: Bearer"}},
    429: _WAIT,
    503: _WAIT,
}
_PROBLEM: Final = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_TAG: Final = {"ETag": {"schema": {"type": "string"}, "description": "for If-Match"}}

#: A portion takes about a millisecond.
_PORTION: Final = 16

T = TypeVar("T")
Responses = dict[int | str, dict[str, object]]


def problems(*statuses: int) -> Responses:
    """For the schema: with which statuses a route can say no, besides those of every route."""
    return {
        status: {"description": _TEXTS[status], "content": _PROBLEM, "headers": _HEADERS.get(status, {})}
        for status in sorted({401, 403, 429, 503, *statuses})
    }


def gives(model: type[BaseModel], *statuses: int, text: str = "", tagged: bool = False) -> Responses:
    """For the schema: with these statuses the model is answered."""
    answer = {"model": model, "description": text or "done", "headers": _TAG if tagged else {}}
    return {status: dict(answer) for status in statuses or (200,)}


def shown(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with this model; members that are None are left out."""
    return Response(model.model_dump_json(exclude_none=True), status, headers, "application/json")


def look(command: str, path: str) -> str:
    """A hint: where to look, for people at the command line and for programs."""
    return f"see remsim ctl {command}, or {V2}/{path}"


async def page(
    items: Sequence[T], *, key: Callable[[T], Key], show: Callable[[T], BaseModel], limit: str, cursor: str | None
) -> Response:
    """A part of ``items``, which are in the order of their keys, yielding to others in between. Raises ApiError."""
    size = page_size(limit)
    start = 0
    if cursor is not None:
        # An empty list has no key to compare with; any cursor that can be read will do.
        after = read_cursor(cursor, key(items[0])) if items else ()
        start = next((place for place, item in enumerate(items) if key(item) > after), len(items))
    chosen = items[start : start + size]
    parts: list[str] = []
    for begin in range(0, len(chosen), _PORTION):
        parts += [show(item).model_dump_json(exclude_none=True) for item in chosen[begin : begin + _PORTION]]
        await asyncio.sleep(0)
    return _listed(parts, key(chosen[-1]) if start + size < len(items) else None)


def listed(items: Sequence[BaseModel], behind: Key | None) -> Response:
    """A page that is complete; ``behind`` is the key of its last item if more follow."""
    return _listed([item.model_dump_json(exclude_none=True) for item in items], behind)


def _listed(items: Sequence[str], behind: Key | None) -> Response:
    more = "" if behind is None else f',"next":{json.dumps(write_cursor(behind))}'
    return Response(f'{{"items":[{",".join(items)}]{more}}}'.encode(), media_type="application/json")
