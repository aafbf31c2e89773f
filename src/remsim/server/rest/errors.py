# SPDX-License-Identifier: Apache-2.0
"""How REST says no: a status and ``{"error": {"code", "message", "hint"}}``."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from remsim.errors import RemsimError
from remsim.server.desk import UnknownMappingError
from remsim.server.store import StoreError
from remsim.slotmap import ConflictError


class ApiError(Exception):
    """Ends a request with ``status`` and a reason; ``code`` is for programs, the rest for people."""

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint


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


def _answer(error: ApiError) -> JSONResponse:
    body = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    headers = {"Connection": "close"} if error.status == 413 else None
    return JSONResponse(body, error.status, headers)


#: Errors of the desk: status and code.
_KNOWN: dict[type[RemsimError], tuple[int, str]] = {
    ConflictError: (409, "conflict"),
    UnknownMappingError: (404, "not_found"),
    StoreError: (503, "not_stored"),
}


def install(app: FastAPI) -> None:
    """Make ``app`` answer all errors in this form."""

    @app.exception_handler(ApiError)
    async def _on_api_error(_request: Request, error: ApiError) -> JSONResponse:
        return _answer(error)

    @app.exception_handler(RemsimError)
    async def _on_known_error(_request: Request, error: RemsimError) -> JSONResponse:
        status, code = _KNOWN[type(error)]
        return _answer(ApiError(status, code, str(error), error.hint))

    @app.exception_handler(HTTPException)
    async def _on_http_error(request: Request, _error: HTTPException) -> JSONResponse:
        # rsres.md, 1: another method on a path that exists is not found, either.
        return _answer(not_found(f"there is no {request.method} {request.url.path}", "see /openapi.json"))

    @app.exception_handler(RequestValidationError)
    async def _on_validation_error(_request: Request, _error: RequestValidationError) -> JSONResponse:
        return _answer(bad_request("the request cannot be understood", "see /openapi.json"))

    @app.exception_handler(Exception)
    async def _on_our_own_error(_request: Request, _error: Exception) -> JSONResponse:
        return _answer(ApiError(500, "internal_error", "internal error", "see the server's log"))
