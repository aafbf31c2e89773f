# SPDX-License-Identifier: Apache-2.0
"""Who may use REST: every request passes here before it is routed, so no route can be forgotten.

What is not named in here needs a token: reading that of a viewer, anything else that of an operator. Then the route
that answers is judged once more, by what is declared there (``for_anybody``, ``for_admins``), and never by the path:
a router takes some paths for others, for instance one that ends in a newline. Which banks and clients a token is
limited to is judged by the routes, too, which know what a request is about. With ``--rest-open`` a request without a
token is let in as an operator; a web page of the same machine is kept out by its Origin, and one that plays with names
by its Host.
"""

import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated, Final, TypeVar, cast
from urllib.parse import urlencode

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from remsim.config import HostPort
from remsim.core.errors import StartError
from remsim.core.limits import LimitCounts
from remsim.pki.messages import ANCHOR_PATH, CERTIFICATE_PATH, RENEWAL_PATH
from remsim.server.api.connection import ON_PROVEN
from remsim.server.api.errors import ApiError, answer
from remsim.server.api.judging import (
    READING,
    SessionEndedError,
    TokenJudge,
    cookie_of,
    is_of_own_page,
    request_of,
    source_of,
    unauthorized,
)
from remsim.server.core.actions import REFUSED, Actor, Entry
from remsim.server.core.tokens import EVERYTHING, Grant, TokenRole, bearer_token
from remsim.server.page.assets import ASSET_PATHS
from remsim.server.runtime import ServerRuntime
from remsim.server.store.writer import StoreError

#: How a person logs in to the page and out of it, and where a browser reports what the page was kept from.
LOGIN_PATH: Final = "/login"
LOGOUT_PATH: Final = "/logout"
REPORT_PATH: Final = "/page/report"
#: Answered without a token: whether it lives, how a new host gets a certificate, for which it proves itself, how a
#: person logs in, and the files of the page, which everybody has who has this package.
OPEN_PATHS: Final = frozenset(
    {
        *("/health", "/ready", ANCHOR_PATH, CERTIFICATE_PATH, RENEWAL_PATH),
        *(LOGIN_PATH, LOGOUT_PATH, REPORT_PATH),
        *ASSET_PATHS,
    }
)
#: Whom ``--rest-open`` lets in.
_OPEN_GRANT: Final = Grant("", "rest-open", TokenRole.OPERATOR, EVERYTHING)

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., object])
#: Functions that answer without a token, and those for admins only.
_FOR_ANYBODY: Final[set[object]] = set()
_FOR_ADMINS: Final[set[object]] = set()


def for_anybody(endpoint: _Endpoint) -> _Endpoint:
    """Declare that a route needs no token. Its path must be one of ``OPEN_PATHS``, too."""
    _FOR_ANYBODY.add(endpoint)
    return endpoint


def for_admins(endpoint: _Endpoint) -> _Endpoint:
    """Declare that a route needs the token of an admin."""
    _FOR_ADMINS.add(endpoint)
    return endpoint


async def judge_route(request: Request) -> None:
    """A dependency of every route: whether the request's grant is enough for the route that answers it.

    Raises ApiError.
    """
    endpoint: object = request.scope["endpoint"]
    if endpoint in _FOR_ANYBODY:
        return
    grant = cast(Grant | None, request.state.grant)
    if grant is None:
        raise unauthorized("a token is needed")
    needed = TokenRole.ADMIN if endpoint in _FOR_ADMINS else _least_role(request.method)
    if grant.role < needed:
        runtime, actor = cast(ServerRuntime, request.app.state.runtime), await _actor(request)
        raise _role_too_low(runtime, actor, request.scope, needed)


def _least_role(method: str) -> TokenRole:
    return TokenRole.VIEWER if method in READING else TokenRole.OPERATOR


def check_open_address(address: HostPort) -> None:
    """Open REST is for this machine alone. Raises StartError."""
    if not is_loopback(address.host):
        raise StartError(
            f"--rest-open serves REST on a loopback address only, not on {address}",
            hint="leave out --rest-open and give programs a token (remsim token create), or --rest 127.0.0.1",
        )


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine alone."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class AuthMiddleware:
    """Lets requests in, with what their token allows in ``scope["state"]``."""

    def __init__(
        self,
        app: ASGIApp,
        runtime: ServerRuntime,
        *,
        is_open: bool,
        limits: LimitCounts,
        judge: TokenJudge | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``judge``, else one that is made of the rest: see there."""
        self._app = app
        self._runtime = runtime
        self._is_open = is_open
        self._judge_of_tokens = TokenJudge(runtime, limits=limits, now=now, clock=clock) if judge is None else judge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, or refuse it."""
        try:
            grant = await self._judge(scope)
        except ApiError as error:
            refused = _to_login(error, scope) if _is_for_person(scope, error) else answer(error, scope["path"])
            await refused(scope, receive, send)
            return
        except StoreError as error:
            refused = answer(ApiError(503, "not_ready", str(error), error.hint), scope["path"])
            await refused(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        if grant is not None and (on_proven := state.get(ON_PROVEN)) is not None:
            on_proven()
        state["grant"] = grant
        state["actor"] = Actor(who_has(grant), source_of(scope), "" if grant is None else grant.token_id)
        await self._app(scope, receive, send)

    async def _judge(self, scope: Scope) -> Grant | None:
        headers = Headers(scope=scope)
        if self._is_open:
            _refuse_web_pages(headers, scope["scheme"])
        if scope["path"] in OPEN_PATHS:
            return None
        text = bearer_token(headers.get("authorization"))
        cookie = cookie_of(scope) if "authorization" not in headers else None
        if text is None and self._is_open and "authorization" not in headers:
            grant = _OPEN_GRANT
        elif cookie is not None:
            grant = await self._judge_of_tokens.check_session(cookie, scope)
        else:
            grant = await self._judge_of_tokens.check(text, scope)
        # Also where no route answers: a viewer does not learn which paths there are to write to.
        least = _least_role(scope["method"])
        if grant.role < least:
            raise _role_too_low(self._runtime, Actor(who_has(grant), source_of(scope)), scope, least)
        return grant


def _is_for_person(scope: Scope, error: ApiError) -> bool:
    """Whether a browser asked for a page, and should be shown how to log in."""
    is_page = scope["method"] == "GET" and not scope["path"].startswith("/api/")
    return error.status == 401 and is_page and "text/html" in Headers(scope=scope).get("accept", "")


def _to_login(error: ApiError, scope: Scope) -> RedirectResponse:
    query = scope["query_string"].decode("ascii", "replace")
    target = f"{scope['path']}?{query}" if query else scope["path"]
    asked = {"next": target} if target != "/" else {}
    if isinstance(error, SessionEndedError):
        asked["why"] = error.code
    behind = f"?{urlencode(asked)}" if asked else ""
    return RedirectResponse(f"{LOGIN_PATH}{behind}", 303, {"Cache-Control": "no-store"})


async def _grant(request: Request) -> Grant:  # FastAPI would call a plain function in a thread, for every request.
    return cast(Grant, request.state.grant)


async def _actor(request: Request) -> Actor:
    return cast(Actor, request.state.actor)


#: What the request's token allows, and who it is, as arguments of a route.
TheGrant = Annotated[Grant, Depends(_grant)]
TheActor = Annotated[Actor, Depends(_actor)]


async def require_operator(
    request: Request, grant: Grant, *, bank_id: int | None = None, client_id: int | None = None
) -> None:
    """A change of this bank and this client, or of everything, must be within the token's scope. Raises ApiError."""
    if grant.allows(TokenRole.OPERATOR, bank_id=bank_id, client_id=client_id):
        return
    runtime, actor = cast(ServerRuntime, request.app.state.runtime), await _actor(request)
    runtime.refuse(Entry(actor, "rest", request_of(request.scope), REFUSED, "out of scope"), "access_refused")
    raise ApiError(403, "forbidden", "this is outside of what the token is for", "see remsim token list")


def _role_too_low(runtime: ServerRuntime, actor: Actor, scope: Scope, needed: TokenRole) -> ApiError:
    runtime.refuse(Entry(actor, "rest", request_of(scope), REFUSED, "role too low"), "access_refused")
    return ApiError(403, "forbidden", f"this needs a token with the role {needed.text}", "see remsim token create")


def _refuse_web_pages(headers: Headers, scheme: str) -> None:
    if "origin" in headers and not is_of_own_page(headers, scheme):
        raise ApiError(403, "forbidden", "REST is open for programs, not for web pages", "leave out the Origin header")
    for host in headers.getlist("host"):
        if not is_loopback(_without_port(host)):
            raise ApiError(403, "forbidden", "this name is not loopback", "use 127.0.0.1, [::1] or localhost")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def who_has(grant: Grant | None) -> str:
    """The caller, as log and audit log name it."""
    if grant is None:
        return "anybody"
    return f"token {grant.token_id} {grant.name}" if grant.token_id else grant.name
