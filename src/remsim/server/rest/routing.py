# SPDX-License-Identifier: Apache-2.0
"""What the resource modules share: the way to the desk, and how routes are described."""

from typing import Annotated, Final, cast

from fastapi import Depends, Query, Request
from fastapi.responses import Response

from remsim.server.desk import Desk
from remsim.server.rest.errors import ErrorBody

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


async def _desk(request: Request) -> Desk:  # FastAPI would call a plain function in a thread, for every request.
    return cast(Desk, request.app.state.desk)


#: The desk, as an argument of a route.
TheDesk = Annotated[Desk, Depends(_desk)]


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


def done(status: int) -> Response:
    """Success without a body: Content-Length 0 and no Content-Type (rsres.md, 1)."""
    return Response(status_code=status)
