# SPDX-License-Identifier: Apache-2.0
"""The routes of single slots, of what happened, of access, and of the first start."""

import asyncio
from collections.abc import Callable, Mapping

from fastapi import Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from remsim.core.event_kinds import KINDS
from remsim.core.ids import BankSlot, ClientSlot
from remsim.net.runtime.tasks import in_thread
from remsim.server.api.auth import TheGrant, for_admins, require_operator
from remsim.server.api.errors import not_found
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheQuery, TheRuntime
from remsim.server.api.v2.cards import visible_labels
from remsim.server.api.v2.reading import bank_slot, client_slot
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.page import access, activity, leases, slot_views, start
from remsim.server.page.frame import HEADERS, page
from remsim.server.page.live_view import LiveView, Pulse
from remsim.server.page.rendering import environment
from remsim.server.page.stream import open_stream
from remsim.server.runtime import ServerRuntime

router = Resource(include_in_schema=False)

_Pieces = Callable[[], Mapping[str, str]]


def _pieces_of(runtime: ServerRuntime, grant: Grant, name: str) -> tuple[_Pieces, BankSlot | ClientSlot]:
    """What makes the view of ``B1:3`` or ``C7:0``. Raises ApiError."""
    slot = _bank_slot(name) if name.startswith("B") else client_slot(name)
    if isinstance(slot, BankSlot):
        make = slot_views.bank_slot_pieces(runtime, grant, slot)
    else:
        make = slot_views.client_slot_pieces(runtime, grant, slot)
    if make is None:
        raise not_found(f"there is no {name}", "see the overview")
    return make, slot


def _bank_slot(name: str) -> BankSlot:
    bank, _, slot = name.removeprefix("B").partition(":")
    return bank_slot(bank, slot)


@router.get("/slots/{slot}")
async def show_slot(slot: str, request: Request, runtime: TheRuntime, grant: TheGrant) -> Response:
    """One bank slot."""
    return await _thing(request, runtime, grant, slot, "B", "Slot")


@router.get("/clients/{slot}")
async def show_client(slot: str, request: Request, runtime: TheRuntime, grant: TheGrant) -> Response:
    """One client slot."""
    return await _thing(request, runtime, grant, slot, "C", "Client")


async def _thing(request: Request, runtime: ServerRuntime, grant: Grant, name: str, letter: str, kind: str) -> Response:
    await in_thread(environment)
    if not name.startswith(letter):
        raise not_found(f"there is no {name!r} here", "see the overview")
    make, _ = _pieces_of(runtime, grant, name)
    return await page(request, grant, "thing.html", here="", name=name, kind=kind, pieces=make())


@router.get("/page/stream/activity")
async def follow_activity(
    request: Request,
    runtime: TheRuntime,
    grant: TheGrant,
    about: str = "",
    kind: str = "",
    level: str = "info",
) -> Response:
    """What happens from now on, as rows."""
    wanted = activity.Wanted.of(about, kind, level)
    return await open_stream(request, runtime, grant, lambda: activity.happenings(runtime.query, grant, wanted))


@router.get("/activity")
async def show_activity(
    request: Request, query: TheQuery, grant: TheGrant, about: str = "", kind: str = "", level: str = "info"
) -> Response:
    """What happened."""
    await in_thread(environment)
    wanted = activity.Wanted.of(about, kind, level)
    entries = await activity.newest_entries(query) if _is_admin(grant) else []
    version = query.feed.last
    rows = "".join(activity.row(event) for event in activity.recent(query, grant, wanted, entries))
    kinds = [*sorted(KINDS), *(["audit"] if _is_admin(grant) else [])]
    return await page(
        request,
        grant,
        "activity.html",
        here="activity",
        rows=rows,
        kinds=kinds,
        about=wanted.about,
        kind=wanted.kind,
        level=wanted.level,
        query=wanted.query,
        most=activity.SHOWN,
        run=query.restart_counter,
        version=version,
    )


@router.get("/activity/export")
async def export_activity(
    query: TheQuery, grant: TheGrant, about: str = "", kind: str = "", level: str = "info"
) -> Response:
    """All of it as JSON lines."""
    wanted = activity.Wanted.of(about, kind, level)
    lines = activity.exported(query, grant, wanted, with_audit=_is_admin(grant))
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="remsim-activity.jsonl"'}
    return StreamingResponse(lines, 200, headers, "application/jsonl")


@router.get("/leases")
async def show_leases(request: Request, runtime: TheRuntime, grant: TheGrant) -> Response:
    """Cards on loan, and who waits for one."""
    await in_thread(environment)
    pieces = leases.pieces(runtime, grant)
    pools = sorted({name for names in visible_labels(runtime.query, grant).values() for name in names})
    return await page(request, grant, "leases.html", here="leases", pieces=pieces, pools=pools)


@router.get("/page/stream/leases")
async def follow_leases(request: Request, runtime: TheRuntime, grant: TheGrant) -> Response:
    """What changes there."""

    async def make() -> Mapping[str, str]:
        return leases.pieces(runtime, grant)

    return await open_stream(request, runtime, grant, lambda: LiveView(runtime.query.feed, make, lambda _event: True))


@router.get("/access")
@for_admins
async def show_access(request: Request, query: TheQuery, grant: TheGrant) -> Response:
    """Tokens, certificates, codes, how others get in, and who is told of events."""
    await require_operator(request, grant)
    await in_thread(environment)
    pieces = await access.pieces(request, query)
    return await page(
        request,
        grant,
        "access.html",
        here="access",
        pieces=pieces,
        kinds=sorted(KINDS),
        reason="",
        **start.joining(request, query),
    )


@router.get("/page/stream/access")
@for_admins
async def follow_access(request: Request, runtime: TheRuntime, query: TheQuery, grant: TheGrant) -> Response:
    """What changes there. No event tells of it, so orders are counted; those of other programs are looked for."""
    await require_operator(request, grant)

    def show() -> LiveView:
        view = access.OpenAccess(request, runtime, clock=asyncio.get_running_loop().time)
        return LiveView(query.feed, view.pieces, lambda _event: False, others=view.others, anew_s=access.ANEW_S)

    return await open_stream(request, runtime, grant, show)


@router.get("/start")
async def show_start(request: Request, query: TheQuery, grant: TheGrant) -> Response:
    """Three steps from an empty server to the first mapping."""
    if grant.scope.is_limited:
        return RedirectResponse("/", 303)
    await in_thread(environment)
    return await page(
        request, grant, "start.html", here="start", pieces=start.pieces(query), **start.joining(request, query)
    )


@router.get("/page/stream/start")
async def follow_start(request: Request, runtime: TheRuntime, query: TheQuery, grant: TheGrant) -> Response:
    """How far the steps have come."""
    if grant.scope.is_limited:
        raise not_found("a token with limits has no first start", "see the overview")

    async def make() -> Mapping[str, str]:
        return start.pieces(query)

    return await open_stream(request, runtime, grant, lambda: LiveView(query.feed, make, lambda _event: True))


@router.get("/page/stream/pulse")
async def follow_pulse(request: Request, runtime: TheRuntime, grant: TheGrant) -> Response:
    """That the server is there, for views without anything that changes."""
    return await open_stream(request, runtime, grant, Pulse)


@router.get("/page/stream/{slot}")
async def follow_thing(slot: str, request: Request, runtime: TheRuntime, grant: TheGrant) -> Response:
    """What changes in the view of one thing."""
    make, where = _pieces_of(runtime, grant, slot)
    return await open_stream(request, runtime, grant, lambda: slot_views.live_view_of(runtime.query, make, where))


def _is_admin(grant: Grant) -> bool:
    return grant.role >= TokenRole.ADMIN and not grant.scope.is_limited
