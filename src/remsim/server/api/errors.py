# SPDX-License-Identifier: Apache-2.0
"""How REST says no: a status and ``{"error": {"code", "message", "hint"}}``."""

import math
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from remsim.core.errors import RemsimError
from remsim.core.limits import LimitCounts, LimitName
from remsim.server.core.slotmap import ConflictError
from remsim.server.runtime import PolicyRefusalError, UnknownMappingError
from remsim.server.store.writer import StoreError

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
    ) -> None:
        """``is_last``: the connection is closed behind the answer, because nobody knows where the request ends."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.retry_after_s = retry_after_s
        #: The limit that was reached, to be counted.
        self.limit = limit
        self.is_last = is_last or status == 413


class ErrorText(BaseModel):
    """Why a request was refused."""

    code: str
    message: str
    hint: str


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorText


def not_found(what: str, hint: str = "") -> ApiError:
    """404."""
    return ApiError(404, "not_found", what, hint)


def bad_request(message: str, hint: str = "") -> ApiError:
    """400."""
    return ApiError(400, "bad_request", message, hint)


def answer(error: ApiError) -> JSONResponse:
    """The answer that says it."""
    body = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    headers: dict[str, str] = {}
    if error.is_last:
        headers["Connection"] = "close"
    if error.status == 401:
        # RFC 9110, 11.6.1: it says how to prove who asks.
        headers["WWW-Authenticate"] = "Bearer"
    wait_s = RETRY_S if error.status == 503 and error.retry_after_s is None else error.retry_after_s
    if wait_s is not None:
        headers["Retry-After"] = str(math.ceil(wait_s))
    return JSONResponse(body, error.status, headers)


#: Errors of the runtime's commands: status and code.
_KNOWN: dict[type[RemsimError], tuple[int, str]] = {
    PolicyRefusalError: (403, "policy"),
    ConflictError: (409, "conflict"),
    UnknownMappingError: (404, "not_found"),
    StoreError: (503, "not_stored"),
}


def install(app: FastAPI, counts: LimitCounts | None = None) -> None:
    """Make ``app`` answer all errors in this form; ``counts`` are those of limits that are reached."""

    @app.exception_handler(ApiError)
    async def _on_api_error(_request: Request, error: ApiError) -> JSONResponse:
        if error.limit is not None and counts is not None:
            counts.reached(error.limit)
        return answer(error)

    @app.exception_handler(RemsimError)
    async def _on_known_error(_request: Request, error: RemsimError) -> JSONResponse:
        status, code = _KNOWN[type(error)]
        return answer(ApiError(status, code, str(error), error.hint))

    @app.exception_handler(HTTPException)
    async def _on_http_error(request: Request, _error: HTTPException) -> JSONResponse:
        # rsres.md, 1: another method on a path that exists is not found, either.
        return answer(not_found(f"there is no {request.method} {request.url.path}", "see /openapi.json"))

    @app.exception_handler(RequestValidationError)
    async def _on_validation_error(_request: Request, _error: RequestValidationError) -> JSONResponse:
        return answer(bad_request("the request cannot be understood", "see /openapi.json"))

    @app.exception_handler(Exception)
    async def _on_our_own_error(_request: Request, _error: Exception) -> JSONResponse:
        return answer(ApiError(500, "internal_error", "internal error", "see the server's log"))
