# SPDX-License-Identifier: Apache-2.0
"""Leases: any free card of a pool, for a time; and the queue of those who wait for one."""

import time
from functools import partial
from typing import Annotated, Final, Literal

from fastapi import Path, Query, Request
from fastapi.responses import Response
from pydantic import WithJsonSchema

from remsim.rest import leases as models
from remsim.server.api.auth import TheActor, TheGrant, require_operator
from remsim.server.api.errors import V2, ApiError, bad_request, not_found
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheRuntime, sight_of
from remsim.server.api.v2.answers import gives, look, page, problems, shown
from remsim.server.api.v2.choosing import check_unambiguous, places_for, read_card
from remsim.server.api.v2.idempotency import TheKept, once
from remsim.server.api.v2.lease_views import LeaseViews
from remsim.server.api.v2.peers import KeyHeader
from remsim.server.api.v2.reading import (
    DEFAULT_LIMIT,
    TIMEOUT_SCHEMA,
    CursorText,
    LimitText,
    client_slot,
    duration,
    read_json,
    read_model,
)
from remsim.server.core.actions import Actor, StoredRequest
from remsim.server.core.leases import LeaseState
from remsim.server.core.tokens import Grant
from remsim.server.lease_query import LeaseInfo, LeaseQuery
from remsim.server.runtime import ServerRuntime

router = Resource(prefix=V2, tags=["v2 leases"])

#: An answer is not kept back for longer; a lease may wait for longer.
MAX_ANSWER_S: Final = 900.0
MAX_WAIT_S: Final = 7 * 86400.0
MAX_DURATION_S: Final = 400 * 86400.0
MIN_DURATION_S: Final = 1.0
_MAX_NUMBER: Final = (1 << 31) - 1

_State = Literal["waiting", "granted", "ended"]
StateText = Annotated[_State | None, Query(alias="state", description="only those in this state; ended: of late")]
ClientText = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "pattern": f"^{models.CLIENT_SLOT}$", "examples": ["C7:0"]}),
    Query(alias="client", description="only those of this client slot"),
]
WaitText = Annotated[
    models.LeaseGoal | None,
    Query(alias="wait", description="answer when it has come so far; 202: it has not within the timeout"),
]
TimeoutText = Annotated[str, TIMEOUT_SCHEMA, Query(alias="timeout", description="how long to wait, 15 minutes at most")]
AnswerText = Annotated[
    str | None,
    TIMEOUT_SCHEMA,
    Query(
        alias="timeout",
        description="how long the answer may be kept back for a lease that waits; absent: as long as it waits, "
        "15 minutes at most",
    ),
]
NumberText = Annotated[
    str,
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": _MAX_NUMBER, "examples": [1]}),
    Path(alias="number"),
]


@router.get("/leases", responses={**gives(models.LeasePage), **problems(400)})
async def list_leases(
    runtime: TheRuntime,
    grant: TheGrant,
    state: StateText = None,
    client: ClientText = None,
    limit: LimitText = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """The leases that the token is for, in the order of their requests; those that have ended only if asked for."""
    slot = None if client is None else client_slot(client)
    views = LeaseViews(runtime, sight_of(grant))
    everything = runtime.leases.ended() if state == LeaseState.ENDED.value else runtime.leases.live()
    found = [
        info
        for info in everything
        if views.may_see(info) and slot in (None, info.client) and state in (None, info.state.value)
    ]
    return await page(found, key=lambda info: (info.id,), show=views.lease, limit=limit, cursor=cursor)


@router.get(
    "/leases/{number}",
    responses={
        **gives(models.LeaseModel),
        **gives(models.LeaseModel, 202, text="it has not come as far as was waited for"),
        **problems(400, 404),
    },
)
async def show_lease(
    number: NumberText,
    runtime: TheRuntime,
    grant: TheGrant,
    wait: WaitText = None,
    timeout: TimeoutText = "30s",  # the name is that of the query
) -> Response:
    """One lease, now or when it has come so far, or has ended."""
    patience_s = duration(timeout, "timeout", most_s=MAX_ANSWER_S)
    info = _known(runtime, grant, number)
    if wait is not None:
        await runtime.changes.until(partial(_settled, runtime.leases, info.id, wait), patience_s)
    return _shown(runtime, grant, info.id, 200, goal=wait)


@router.post(
    "/leases",
    status_code=201,
    responses={
        **gives(models.LeaseModel, 201, text="a card is lent; with wait, nothing is missing"),
        **gives(models.LeaseModel, 202, text="it waits for a card, or has one and something is missing"),
        **problems(400, 409, 413, 415, 422),
    },
    takes=models.LeaseRequest,
)
async def take_lease(
    request: Request,
    runtime: TheRuntime,
    grant: TheGrant,
    actor: TheActor,
    kept: TheKept,
    timeout: AnswerText = None,  # the name is that of the query
    key: KeyHeader = None,
) -> Response:
    """Lend a free card of a pool to a client slot: the one that was lent longest ago.

    With ``wait``, the answer comes when the modem can use it, or when the time is over: 202 then says what is missing.
    If no card is free for so long, the answer is 409 and the request is withdrawn. The caller may hang up meanwhile:
    the request stays.
    """
    raw = await read_json(request)
    order = read_model(raw, models.LeaseRequest)
    slot = client_slot(order.client)
    duration_s = _lasting(order.duration)
    wait_s = 0.0 if order.wait is None else duration(order.wait, "wait", most_s=MAX_WAIT_S)
    patience_s = min(wait_s, MAX_ANSWER_S if timeout is None else duration(timeout, "timeout", most_s=MAX_ANSWER_S))
    pool = read_card(runtime.query, order.pool)
    await require_operator(request, grant, client_id=slot.client_id)
    check_unambiguous(pool, places_for(runtime.query, grant, pool))

    async def answer(number: int) -> Response:
        goal: models.LeaseGoal = "operational" if wait_s else "granted"
        if patience_s:
            await runtime.changes.until(partial(_settled, runtime.leases, number, goal), patience_s)
            if patience_s >= wait_s:
                # Its waiting ends at this moment: the answer is what came of it.
                await runtime.changes.until(partial(_settled, runtime.leases, number, "granted"), 1.0)
        return _shown(runtime, grant, number, 201, goal=goal)

    async def work(by: Actor) -> Response:
        number = await runtime.take_lease(
            pool,
            slot,
            by,
            banks=grant.scope.banks,
            priority=order.priority,
            duration_s=duration_s,
            wait_s=wait_s,
        )
        return await answer(number)

    async def again(done: StoredRequest) -> Response | None:
        return None if done.made is None or runtime.leases.get(done.made) is None else await answer(done.made)

    return await once(request, grant, actor, key, raw, kept, work, again)


@router.post(
    "/leases/{number}/renew",
    responses={**gives(models.LeaseModel), **problems(400, 404, 409, 413, 415, 422)},
    takes=models.LeaseRenewal,
)
async def renew_lease(
    number: NumberText,
    request: Request,
    runtime: TheRuntime,
    grant: TheGrant,
    actor: TheActor,
    kept: TheKept,
    key: KeyHeader = None,
) -> Response:
    """Let a lease that has a card last so long from now on."""
    raw = await read_json(request)
    duration_s = _lasting(read_model(raw, models.LeaseRenewal).duration)
    info = _known(runtime, grant, number)
    await _require(request, grant, info)

    async def work(by: Actor) -> Response:
        await runtime.renew_lease(info.id, duration_s, by)
        return _shown(runtime, grant, info.id, 200)

    async def again(_done: StoredRequest) -> Response:
        return _shown(runtime, grant, info.id, 200)

    return await once(request, grant, actor, key, raw, kept, work, again)


@router.delete("/leases/{number}", status_code=204, response_class=Response, responses=problems(400, 404, 409))
async def release_lease(
    number: NumberText, request: Request, runtime: TheRuntime, grant: TheGrant, actor: TheActor
) -> Response:
    """Give the card back, or withdraw the request. The answer comes when that is stored."""
    info = _known(runtime, grant, number)
    await _require(request, grant, info)
    await runtime.release_lease(info.id, actor)
    return Response(status_code=204)


async def _require(request: Request, grant: Grant, info: LeaseInfo) -> None:
    bank_id = None if info.bank is None else info.bank.bank_id
    await require_operator(request, grant, bank_id=bank_id, client_id=info.client.client_id)


def _lasting(text: str) -> float:
    seconds = duration(text, "time", most_s=MAX_DURATION_S)
    if seconds < MIN_DURATION_S:
        raise bad_request(f"{text} is too short", f"a lease lasts {MIN_DURATION_S:g}s at least")
    return seconds


def _known(runtime: ServerRuntime, grant: Grant, text: str) -> LeaseInfo:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise bad_request(f"{text!r} is no lease", "give the id of a lease")
    info = runtime.leases.get(int(text))
    if info is None or not LeaseViews(runtime, sight_of(grant)).may_see(info):
        raise not_found(f"there is no lease {int(text)}, or it ended long ago", look("lease", "leases"))
    return info


def _has_reached(info: LeaseInfo, goal: models.LeaseGoal) -> bool:
    return info.state is LeaseState.GRANTED and (goal == "granted" or not info.missing(time.time()))


def _settled(leases: LeaseQuery, number: int, goal: models.LeaseGoal) -> bool | None:
    info = leases.get(number)
    return True if info is None or info.state is LeaseState.ENDED or _has_reached(info, goal) else None


def _shown(
    runtime: ServerRuntime, grant: Grant, number: int, status: int, *, goal: models.LeaseGoal | None = None
) -> Response:
    info = runtime.leases.get(number)
    if info is None:
        raise not_found(f"lease {number} ended long ago", look("lease", "leases"))
    if info.state is LeaseState.ENDED and status == 201:
        text = f"no card of {info.pool} was free for {info.wait_s:g} s"
        if info.end != "timed_out":
            text = f"lease {number} was ended meanwhile: {info.end}"
        raise ApiError(409, "no_free_card", text, "wait for longer, or label more cards")
    is_reached = goal is None or info.state is LeaseState.ENDED or _has_reached(info, goal)
    return shown(LeaseViews(runtime, sight_of(grant)).lease(info), status if is_reached else 202)
