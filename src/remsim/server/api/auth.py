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
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated, Final, TypeVar, cast

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from remsim.config import HostPort
from remsim.core.errors import StartError
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.rate_limit import TokenBuckets
from remsim.pki.messages import ANCHOR_PATH, CERTIFICATE_PATH, RENEWAL_PATH
from remsim.server.api.connection import ON_PROVEN
from remsim.server.api.errors import ApiError, answer
from remsim.server.core.actions import REFUSED, Actor, Entry
from remsim.server.core.tokens import (
    EVERYTHING,
    Grant,
    Refusal,
    StoredToken,
    TokenRole,
    bearer_token,
    check_token,
    digest_of,
    failure_limiter,
    limited_source,
    token_id_of,
)
from remsim.server.runtime import ServerRuntime
from remsim.server.store.writer import StoreError

#: Answered without a token: whether it lives, and how a new host gets a certificate, for which it proves itself.
OPEN_PATHS: Final = frozenset({"/health", "/ready", ANCHOR_PATH, CERTIFICATE_PATH, RENEWAL_PATH})
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Whom ``--rest-open`` lets in.
_OPEN_GRANT: Final = Grant("", "rest-open", TokenRole.OPERATOR, EVERYTHING)
#: Failures let the limiter forget sources once in so many.
_TIDY_EVERY: Final = 256
#: While the database cannot be read, a token that was good is good for reading, so long ...
_KEPT_S: Final = 600.0
#: ... and no more tokens than these.
_MAX_KEPT: Final = 256


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
        raise _unauthorized("a token is needed")
    needed = TokenRole.ADMIN if endpoint in _FOR_ADMINS else _least_role(request.method)
    if grant.role < needed:
        runtime, actor = cast(ServerRuntime, request.app.state.runtime), await _actor(request)
        raise _role_too_low(runtime, actor, request.scope, needed)


def _least_role(method: str) -> TokenRole:
    return TokenRole.VIEWER if method in _READING else TokenRole.OPERATOR


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
        limiter: TokenBuckets | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``limits`` counts those that are reached.

        ``now`` gives seconds since 1970, ``clock`` those of a clock that does not go back.
        """
        self._app = app
        self._runtime = runtime
        self._is_open = is_open
        self._limits = limits
        self._limiter = failure_limiter(limits=limits) if limiter is None else limiter
        self._now = now
        self._clock = clock
        self._failures = 0
        # Tokens that were good, by their digests, and when. The one that was used longest ago comes first.
        self._good: OrderedDict[bytes, tuple[StoredToken, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, or refuse it."""
        try:
            grant = await self._judge(scope)
        except ApiError as error:
            await answer(error, scope["path"])(scope, receive, send)
            return
        except StoreError as error:
            refused = ApiError(503, "not_ready", str(error), error.hint)
            await answer(refused, scope["path"])(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        if grant is not None and (on_proven := state.get(ON_PROVEN)) is not None:
            on_proven()
        state["grant"], state["actor"] = grant, Actor(_who(grant), _source(scope))
        await self._app(scope, receive, send)

    async def _judge(self, scope: Scope) -> Grant | None:
        headers = Headers(scope=scope)
        if self._is_open:
            _refuse_web_pages(headers)
        if scope["path"] in OPEN_PATHS:
            return None
        text = bearer_token(headers.get("authorization"))
        if text is None and self._is_open and "authorization" not in headers:
            grant = _OPEN_GRANT
        else:
            grant = await self._check(text, scope)
        # Also where no route answers: a viewer does not learn which paths there are to write to.
        least = _least_role(scope["method"])
        if grant.role < least:
            raise _role_too_low(self._runtime, Actor(_who(grant), _source(scope)), scope, least)
        return grant

    async def _check(self, text: str | None, scope: Scope) -> Grant:
        source = limited_source(_source(scope))
        wait_s = self._limiter.wait_s(source, self._clock())
        token_id = None if text is None else token_id_of(text)
        if text is not None and (wait_s <= 0 or token_id is not None):
            result = await self._look_up(text, token_id, scope["method"])
            if isinstance(result, Grant):
                # Also where others at this address have failed too often.
                return result
        else:
            result = None
        if wait_s > 0:
            self._limits.reached(LimitName.TOKEN_FAILURES)
            raise ApiError(
                429, "too_many_failures", "too many failed attempts", f"wait {wait_s:.0f} s", retry_after_s=wait_s
            )
        if result is None:
            # A caller without a token tries nothing: not an attempt.
            raise _unauthorized("a token is needed")
        self._fail(source)
        # Only the ID, and only one that has the form of one: the rest may be a password typed by mistake.
        entry = Entry(Actor(f"token {token_id or '?'}", _source(scope)), "rest", _request(scope), REFUSED, result.value)
        self._runtime.refuse(entry, "token_refused")
        raise _unauthorized("the token is not valid")

    async def _look_up(self, text: str, token_id: str | None, method: str) -> Grant | Refusal:
        """Judge a token. Raises StoreError if the database cannot be read and the token was not good of late."""
        now, digest = self._now(), digest_of(text)
        try:
            record = None if token_id is None else await self._runtime.query.find_token(token_id)
        except StoreError:
            # Looking goes on where the database is held by somebody: what is shown is in memory, too.
            kept = self._good.get(digest) if method in _READING else None
            if kept is None or self._clock() - kept[1] > _KEPT_S:
                raise
            record = kept[0]
            return check_token(text, lambda _: record, now)
        result = check_token(text, lambda _: record, now)
        self._good.pop(digest, None)
        if isinstance(result, Grant) and record is not None:
            self._good[digest] = record, self._clock()
            if len(self._good) > _MAX_KEPT:
                self._good.popitem(last=False)
        return result

    def _fail(self, source: str) -> None:
        now = self._clock()
        self._limiter.spend(source, now)
        self._failures += 1
        if self._failures % _TIDY_EVERY == 0:
            self._limiter.forget_whole(now)


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
    runtime.refuse(Entry(actor, "rest", _request(request.scope), REFUSED, "out of scope"), "access_refused")
    raise ApiError(403, "forbidden", "this is outside of what the token is for", "see remsim token list")


def _role_too_low(runtime: ServerRuntime, actor: Actor, scope: Scope, needed: TokenRole) -> ApiError:
    runtime.refuse(Entry(actor, "rest", _request(scope), REFUSED, "role too low"), "access_refused")
    return ApiError(403, "forbidden", f"this needs a token with the role {needed.text}", "see remsim token create")


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", message, "send Authorization: Bearer TOKEN; for remsim ctl set REMSIM_TOKEN")


def _refuse_web_pages(headers: Headers) -> None:
    if "origin" in headers:
        raise ApiError(403, "forbidden", "REST is open for programs, not for web pages", "leave out the Origin header")
    for host in headers.getlist("host"):
        if not is_loopback(_without_port(host)):
            raise ApiError(403, "forbidden", "this name is not loopback", "use 127.0.0.1, [::1] or localhost")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _who(grant: Grant | None) -> str:
    if grant is None:
        return "anybody"
    return f"token {grant.token_id} {grant.name}" if grant.token_id else grant.name


def _source(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def _request(scope: Scope) -> str:
    return f"{scope['method']} {scope['path']}"
