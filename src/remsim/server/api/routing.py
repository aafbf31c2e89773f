# SPDX-License-Identifier: Apache-2.0
"""What the resource modules share: access to the server, how routes are described, long lists in portions."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Annotated, Final, TypeVar, cast

from fastapi import Depends, Query, Request
from fastapi.responses import Response

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.api.errors import ErrorBody
from remsim.server.api.v1.views import Json, MaySee
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.query import ServerQuery
from remsim.server.runtime import ServerRuntime

#: Paths of v1 begin with this.
V1: Final = "/api/backend/v1"

_TEXTS: Final = {
    400: "malformed",
    401: "no valid token",
    403: "not allowed",
    404: "unknown",
    409: "conflict",
    413: "too large",
    429: "too many failed attempts, or renewals",
    503: "the server is not ready, or its database or authority fails",
}


# Coroutines: FastAPI would call a plain function in a thread, for every request.


async def _runtime(request: Request) -> ServerRuntime:
    return cast(ServerRuntime, request.app.state.runtime)


async def _query(request: Request) -> ServerQuery:
    return (await _runtime(request)).query


#: What changes something, and what only looks, as arguments of a route.
TheRuntime = Annotated[ServerRuntime, Depends(_runtime)]
TheQuery = Annotated[ServerQuery, Depends(_query)]


#: Whether the caller wants more than v1 has. Strict decoders of v1 refuse members that they do not know.
TheMore = Annotated[bool, Query(alias="more", description="also members that the classic interface does not have")]


#: Headers that go with a refusal.
_HEADERS: Final = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "how to prove who asks: Bearer"}},
    429: {"Retry-After": {"schema": {"type": "integer", "minimum": 0}, "description": "seconds to wait"}},
    503: {"Retry-After": {"schema": {"type": "integer", "minimum": 0}, "description": "seconds to wait"}},
}


def refusals(*statuses: int) -> dict[int | str, dict[str, object]]:
    """For the schema: with which statuses a route can say no."""
    return {
        status: {"model": ErrorBody, "description": _TEXTS[status], "headers": _HEADERS.get(status, {})}
        for status in sorted(set(statuses))
    }


def guarded(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Like ``refusals``, for a route that needs a token; the database may fail while it is looked up."""
    return refusals(401, 403, 429, 503, *statuses)


def sight_of(grant: Grant) -> MaySee:
    """What the holder of a token may see of anything that is about a bank slot and a client slot."""

    def may_see(bank: BankSlot | None, client: ClientSlot | None) -> bool:
        bank_id, client_id = None if bank is None else bank.bank_id, None if client is None else client.client_id
        return grant.allows(TokenRole.VIEWER, bank_id=bank_id, client_id=client_id)

    return may_see


def done(status: int) -> Response:
    """Success without a body: Content-Length 0 and no Content-Type (rsres.md, 1)."""
    return Response(status_code=status)


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
