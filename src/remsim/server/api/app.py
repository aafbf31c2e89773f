# SPDX-License-Identifier: Apache-2.0
"""The REST application: all resources together, and what holds for every request."""

import asyncio
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from remsim.core.limits import LimitCounts, LimitName
from remsim.server.api import errors, limits
from remsim.server.api.auth import AuthMiddleware
from remsim.server.api.judging import TokenJudge
from remsim.server.api.resource import RestApplication
from remsim.server.api.v1 import audits, banks, clients, slotmaps, status
from remsim.server.api.v2 import (
    access,
    apply,
    authority,
    bundles,
    cards,
    events,
    latency,
    leases,
    mappings,
    peers,
    sessions,
    traces,
    warnings,
    webhooks,
)
from remsim.server.api.v2.streams import Readers
from remsim.server.authority.turns import AuthorityTurns
from remsim.server.changes import Changes
from remsim.server.core.kept_answers import KeptAnswers
from remsim.server.metrics import ServerMetrics
from remsim.server.runtime import ServerRuntime
from remsim.server.webhooks import WebhookSender

#: How a socket for both IP versions tells of an IPv4 address.
_MAPPED: Final = "::ffff:"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def build_app(
    runtime: ServerRuntime,
    metrics: ServerMetrics,
    hooks: WebhookSender,
    *,
    is_open: bool = False,
    kept: KeptAnswers | None = None,
) -> RestApplication:
    """The application over ``runtime`` and ``hooks``; ``is_open``: no token is needed.

    ``kept`` has what earlier runs have done under keys.
    """
    app = resources(metrics.limits)
    app.state.runtime = runtime
    app.state.webhooks = hooks
    app.state.authority_turns = AuthorityTurns()
    app.state.event_readers = Readers()
    app.state.trace_readers = Readers()
    app.state.metrics, app.state.settings = metrics, {}
    app.state.kept_answers = KeptAnswers(metrics.limits) if kept is None else kept
    app.state.judge = judge = TokenJudge(runtime, limits=metrics.limits)
    # The last one is the outermost.
    app.add_middleware(AuthMiddleware, runtime=runtime, is_open=is_open, limits=metrics.limits, judge=judge)
    app.add_middleware(RequestMiddleware, metrics=metrics, changes=runtime.changes)
    return app


def whole() -> RestApplication:
    """All resources, those included that a server has beside an authority only, without anything behind them."""
    app = resources()
    # Not at the top: it imports what an authority needs, which a server without one does not have.
    from remsim.server.api import enrolment

    app.offer(enrolment.router)
    return app


def resources(limits: LimitCounts | None = None) -> RestApplication:
    """All resources that every server has, without anything behind them. ``limits`` counts those that are reached."""
    app = RestApplication()
    errors.install(app, limits)
    app.offer(
        clients.router,
        banks.router,
        slotmaps.router,
        audits.router,
        status.router,
        peers.router,
        sessions.router,
        cards.router,
        mappings.router,
        leases.router,
        apply.router,
        access.router,
        authority.router,
        events.router,
        traces.router,
        latency.router,
        bundles.router,
        warnings.router,
        webhooks.router,
    )
    return app


class RequestMiddleware:
    """Every request passes here: forgives a trailing slash on GET and HEAD (rsres.md, 1), counts and times.

    A caller over IPv4 has an IPv4 address from here on, also where one socket listens for both (RFC 4291, 2.5.5.2).
    """

    def __init__(self, app: ASGIApp, metrics: ServerMetrics, changes: Changes) -> None:
        """``changes`` tells whether the server stops."""
        self._app = app
        self._metrics = metrics
        self._changes = changes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request."""
        method: str = scope["method"]
        path: str = scope["path"]
        if method in ("GET", "HEAD") and len(path) > 1 and path.endswith("/"):
            scope = {**scope, "path": path[:-1]}
        client: tuple[str, int] | None = scope.get("client")
        if client is not None and client[0].startswith(_MAPPED):
            scope = {**scope, "client": (client[0].removeprefix(_MAPPED), client[1])}
        fault = _fault(scope)
        if fault is not None and fault.limit is not None:
            self._metrics.limits.reached(fault.limit)
        started, is_begun = time.perf_counter(), False
        # Method names that a caller made up must not become names in the metrics.
        shown = method if method in _METHODS else "other"

        async def count(message: Message) -> None:
            nonlocal is_begun
            if message["type"] == "http.response.start":
                is_begun = True
                self._metrics.requests.labels(shown, str(message["status"])).inc()
                self._metrics.request_time.labels(shown).observe(time.perf_counter() - started)
            await send(message)

        served = self._app if fault is None else errors.answer(fault, scope["path"])
        try:
            await served(scope, receive, count)
        except asyncio.CancelledError:
            if not self._changes.is_closed:
                raise
            # uvicorn does so with what is not answered when the time of the server is over; it would answer 500, and
            # log a traceback for each.
            if not is_begun:
                over = errors.ApiError(503, "stopping", "the server stops", "ask again in a moment", is_last=True)
                await errors.answer(over, scope["path"])(scope, receive, count)


def _fault(scope: Scope) -> errors.ApiError | None:
    """What is wrong with a request, whatever it asks for."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    # h11 bounds a head that is not complete yet; one that comes in a single piece it takes at any length.
    length = (
        len(scope.get("raw_path") or scope["path"])
        + len(scope["query_string"])
        + sum(len(name) + len(value) for name, value in headers)
    )
    if length > limits.MAX_HEAD_BYTES:
        text = f"the head of the request has more than {limits.MAX_HEAD_BYTES} bytes"
        return errors.ApiError(400, "too_large", text, limit=LimitName.REST_HEAD, is_last=True)
    names = {name for name, _ in headers}
    if {b"content-length", b"transfer-encoding"} <= names:
        # RFC 9112, 6.3: what stands before or behind us may read another end of the body than we do.
        text = "a request has a Content-Length or a Transfer-Encoding, not both"
        return errors.ApiError(400, "bad_request", text, is_last=True)
    return None
