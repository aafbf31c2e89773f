# SPDX-License-Identifier: Apache-2.0
"""The routes of single things, of what happened, of access, and of the first start."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from fastapi import Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from remsim.core.event_kinds import KINDS
from remsim.core.ids import BankSlot, ClientSlot
from remsim.net.runtime.tasks import in_thread
from remsim.server.api.auth import TheGrant, for_admins, require_operator
from remsim.server.api.errors import not_found
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheQuery, TheRuntime
from remsim.server.api.v2 import authority as authority_routes
from remsim.server.api.v2.access import show_token
from remsim.server.api.v2.reading import bank_slot, client_slot
from remsim.server.core.tokens import Grant, StoredToken, TokenRole, is_still_good
from remsim.server.page import activity, things
from remsim.server.page.frame import HEADERS, page
from remsim.server.page.rendering import environment
from remsim.server.page.stream import open_stream
from remsim.server.query import ServerQuery

if TYPE_CHECKING:
    from remsim.pki.authority import Authority

router = Resource(include_in_schema=False)

_Pieces = Callable[[], Mapping[str, str]]


def _pieces_of(query: ServerQuery, grant: Grant, name: str) -> tuple[_Pieces, BankSlot | ClientSlot]:
    """What makes the view of ``B1:3`` or ``C7:0``. Raises ApiError."""
    slot = _bank_slot(name) if name.startswith("B") else client_slot(name)
    if isinstance(slot, BankSlot):
        make = things.bank_slot_pieces(query, grant, slot)
    else:
        make = things.client_slot_pieces(query, grant, slot)
    if make is None:
        raise not_found(f"there is no {name}", "see the overview")
    return make, slot


def _bank_slot(name: str) -> BankSlot:
    bank, _, slot = name.removeprefix("B").partition(":")
    return bank_slot(bank, slot)


@router.get("/slots/{slot}")
async def show_slot(slot: str, request: Request, query: TheQuery, grant: TheGrant) -> Response:
    """One bank slot."""
    return await _thing(request, query, grant, slot, "B", "Slot")


@router.get("/clients/{slot}")
async def show_client(slot: str, request: Request, query: TheQuery, grant: TheGrant) -> Response:
    """One client slot."""
    return await _thing(request, query, grant, slot, "C", "Client")


async def _thing(request: Request, query: ServerQuery, grant: Grant, name: str, letter: str, kind: str) -> Response:
    await in_thread(environment)
    if not name.startswith(letter):
        raise not_found(f"there is no {name!r} here", "see the overview")
    make, _ = _pieces_of(query, grant, name)
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


@router.get("/page/stream/{slot}")
async def follow_thing(slot: str, request: Request, runtime: TheRuntime, query: TheQuery, grant: TheGrant) -> Response:
    """What changes in the view of one thing."""
    make, where = _pieces_of(query, grant, slot)
    return await open_stream(request, runtime, grant, lambda: things.sheet_of(query, make, where))


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


@router.get("/access")
@for_admins
async def show_access(request: Request, query: TheQuery, grant: TheGrant) -> Response:
    """Tokens, certificates, codes, and how others get in."""
    await require_operator(request, grant)
    authority = cast("Authority | None", getattr(request.app.state, "authority", None))
    certificates = codes = None
    if authority is not None:
        issued, made = await in_thread(authority.issued), await in_thread(authority.codes)
        certificates = [authority_routes.show_certificate(entry) for entry in reversed(issued)]
        codes = [authority_routes.show_code(code) for code in reversed(made)]
    tokens = [_token(token, time.time()) for token in await query.tokens()]
    return await page(
        request,
        grant,
        "access.html",
        here="access",
        tokens=tokens,
        certificates=certificates,
        codes=codes,
        **_joining(request, query),
    )


@router.get("/start")
async def show_start(request: Request, query: TheQuery, grant: TheGrant) -> Response:
    """Three steps from an empty server to the first mapping."""
    if grant.scope.is_limited:
        return RedirectResponse("/", 303)
    return await page(request, grant, "start.html", here="start", **_joining(request, query))


def _token(token: StoredToken, now: float) -> dict[str, object]:
    state = "valid" if is_still_good(token, now) else "revoked" if token.revoked_at is not None else "expired"
    return {**show_token(token).model_dump(), "state": state}


def _is_admin(grant: Grant) -> bool:
    return grant.role >= TokenRole.ADMIN and not grant.scope.is_limited


def _joining(request: Request, query: ServerQuery) -> dict[str, object]:
    """What the commands of a new host need: numbers that are free, and where it reaches this server."""
    banks, clients = set(query.known_banks()), {slot.client_id for slot in query.known_clients()}
    next_bank = next(number for number in range(1, 1025) if number not in banks)
    next_client = next(number for number in range(1, 1025) if number not in clients)
    return {
        "has_authority": getattr(request.app.state, "authority", None) is not None,
        "rspro": request.app.state.rspro_port,
        "next_bank": next_bank,
        "next_client": next_client,
        "first_bank": min(banks, default=next_bank),
        "first_client": min(clients, default=next_client),
    }
