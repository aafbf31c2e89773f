# SPDX-License-Identifier: Apache-2.0
"""How REST refuses: in v1 a status and ``{"error": {"code", "message", "hint"}}``, in v2 a problem (RFC 9457)."""

import math
import re
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Final, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from remsim.core.errors import RemsimError
from remsim.core.limits import LimitCounts, LimitName
from remsim.rest.complaints import uncapitalized
from remsim.server.core.slotmap import ConflictError
from remsim.server.runtime import (
    NoFreeCardError,
    PolicyRefusalError,
    TooManyLeasesError,
    UnknownLeaseError,
    UnknownMappingError,
)
from remsim.server.store.writer import CommitInDoubtError, StoreError

#: Paths of v2 begin with this.
V2: Final = "/api/v2"
PROBLEM_TYPE: Final = "application/problem+json"

#: When to ask again, in seconds, where something is not ready or the database takes nothing: nobody knows for how long.
RETRY_S: Final = 5.0


class ApiError(Exception):
    """Ends a request with ``status`` and a reason; ``code`` is for programs, the rest for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str = "",
        *,
        retry_after_s: float | None = None,
        limit: LimitName | None = None,
        is_last: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """``is_last``: the connection is closed behind the answer, because nobody knows where the request ends."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.retry_after_s = retry_after_s
        self.headers = headers or {}
        #: The limit that was reached, to be counted.
        self.limit = limit
        self.is_last = is_last or status == 413


class ErrorText(BaseModel):
    """Why a request was refused."""

    code: str
    message: str
    hint: str


class Problem(BaseModel):
    """Why v2 refused a request (RFC 9457). ``code`` is for programs, ``detail`` and ``hint`` for people."""

    type: Literal["about:blank"]
    title: str = Field(description="what the status means")
    status: int
    detail: str
    code: str
    hint: str = Field(description="what to do; may be empty")
    limit: str | None = Field(
        None, description="the limit that was reached, if one was; its name is that of the metric"
    )


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorText


def not_found(what: str, hint: str = "") -> ApiError:
    """404."""
    return ApiError(404, "not_found", what, hint)


def bad_request(message: str, hint: str = "") -> ApiError:
    """400."""
    return ApiError(400, "bad_request", message, hint)


def is_of_v2(path: str) -> bool:
    """Whether a path is one of v2, or would be."""
    return path == V2 or path.startswith(f"{V2}/")


def answer(error: ApiError, path: str) -> JSONResponse:
    """The answer that says it to who asked for ``path``."""
    headers = dict(error.headers)
    if error.is_last:
        headers["Connection"] = "close"
    if error.status == 401:
        # RFC 9110, 11.6.1: it says how to prove who asks.
        headers["WWW-Authenticate"] = "Bearer"
    wait_s = RETRY_S if error.status == 503 and error.retry_after_s is None else error.retry_after_s
    if wait_s is not None:
        headers["Retry-After"] = str(math.ceil(wait_s))
    if is_of_v2(path):
        problem = Problem(
            type="about:blank",
            title=HTTPStatus(error.status).phrase,
            status=error.status,
            detail=error.message,
            code=error.code,
            hint=error.hint,
            limit=None if error.limit is None else error.limit.value,
        )
        return JSONResponse(problem.model_dump(exclude_none=True), error.status, headers, PROBLEM_TYPE)
    body = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    return JSONResponse(body, error.status, headers)


#: Errors of the runtime's commands: status and code.
_KNOWN: dict[type[RemsimError], tuple[int, str]] = {
    PolicyRefusalError: (403, "policy"),
    ConflictError: (409, "conflict"),
    NoFreeCardError: (409, "no_free_card"),
    TooManyLeasesError: (409, "too_many"),
    UnknownMappingError: (404, "not_found"),
    UnknownLeaseError: (404, "not_found"),
    StoreError: (503, "not_stored"),
    CommitInDoubtError: (503, "in_doubt"),
}


@cache
def _pattern(path: str) -> re.Pattern[str]:
    """What matches a path of one of our own routes."""
    return compile_path(path)[0]


def _methods_at(request: Request) -> set[str]:
    """What may be asked of a path (RFC 9110, 10.2.1): each of its methods has a route of its own."""
    return {
        method
        for context in iter_route_contexts(request.app.routes)
        if _pattern(str(context.path)).match(request.scope["path"])
        for method in context.methods or ()
    }


def install(app: FastAPI, counts: LimitCounts | None = None) -> None:
    """Make ``app`` answer all errors in this form; ``counts`` are those of limits that are reached."""

    @app.exception_handler(ApiError)
    async def _on_api_error(request: Request, error: ApiError) -> JSONResponse:
        if error.limit is not None and counts is not None:
            counts.reached(error.limit)
        return answer(error, request.url.path)

    @app.exception_handler(RemsimError)
    async def _on_known_error(request: Request, error: RemsimError) -> JSONResponse:
        status, code = _KNOWN[type(error)]
        # It is counted already where it was reached.
        limit = LimitName.LEASES if isinstance(error, TooManyLeasesError) else None
        return answer(ApiError(status, code, str(error), error.hint, limit=limit), request.url.path)

    @app.exception_handler(HTTPException)
    async def _on_http_error(request: Request, error: HTTPException) -> JSONResponse:
        path = request.url.path
        text, hint = f"there is no {request.method} {path}", "see /openapi.json"
        if is_of_v2(path) and error.status_code == 405:
            allowed = {"Allow": ", ".join(sorted(_methods_at(request)))}
            return answer(ApiError(405, "bad_method", text, hint, headers=allowed), path)
        # rsres.md, 1: another method on a path that exists is not found, either.
        return answer(not_found(text, hint), path)

    @app.exception_handler(RequestValidationError)
    async def _on_validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        text = f"{first['loc'][-1]}: {uncapitalized(first['msg'])}"
        return answer(bad_request(text, "see /openapi.json"), request.url.path)

    @app.exception_handler(Exception)
    async def _on_our_own_error(request: Request, _error: Exception) -> JSONResponse:
        return answer(ApiError(500, "internal_error", "internal error", "see the server's log"), request.url.path)
