# SPDX-License-Identifier: Apache-2.0
"""Mappings, each named by its client slot."""

from functools import partial
from typing import Annotated, Final, Literal

from fastapi import Query, Request
from fastapi.responses import Response

from remsim.core.ids import BankSlot, ClientSlot
from remsim.rest import models
from remsim.server.api.auth import TheActor, TheGrant, require_operator
from remsim.server.api.errors import V2, ApiError, not_found
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheQuery, TheRuntime, sight_of
from remsim.server.api.v2.answers import gives, look, page, problems, shown
from remsim.server.api.v2.choosing import check_unambiguous, number_to_follow, places_for, read_card
from remsim.server.api.v2.idempotency import TheKept, once
from remsim.server.api.v2.peers import KeyHeader
from remsim.server.api.v2.reading import (
    DEFAULT_LIMIT,
    TIMEOUT_SCHEMA,
    BankText,
    ClientSlotPath,
    CursorText,
    LabelText,
    LimitText,
    MappingStateText,
    bank_filter,
    check_preconditions,
    client_slot,
    duration,
    read_json,
    read_model,
)
from remsim.server.api.v2.views import STATE_NAMES, Views, mapping_tag
from remsim.server.core.actions import Actor
from remsim.server.core.card_choice import CardChoiceKind
from remsim.server.core.slotmap import ConflictError, MappingState
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.query import MappingInfo, ServerQuery
from remsim.server.runtime import ServerRuntime
from remsim.server.waiting_query import ParkedInfo

router = Resource(prefix=V2, tags=["v2 mappings"])

#: Longer than a bankd takes that is there; who waits longer asks again.
MAX_WAIT_S: Final = 300.0

_Goal = Literal["active", "operational"]
WaitText = Annotated[
    _Goal | None, Query(alias="wait", description="answer when it has come so far; 202: it has not within the timeout")
]
TimeoutText = Annotated[
    str,
    TIMEOUT_SCHEMA,
    Query(alias="timeout", description="how long to wait, five minutes at most"),
]


@router.get("/mappings", responses={**gives(models.MappingPage), **problems(400)})
async def list_mappings(
    query: TheQuery,
    grant: TheGrant,
    state: MappingStateText = None,
    label: LabelText = None,
    bank: BankText = None,
    limit: LimitText = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """All mappings that the token is for, in the order of their client slots; a label is one of any of its parts."""
    number = bank_filter(bank)
    live: list[MappingInfo | ParkedInfo] = [
        info
        for info in query.mappings(sight_of(grant))
        if number in (None, info.bank.bank_id) and state in (None, STATE_NAMES[info.state])
    ]
    waiting = query.waiting.all(sight_of(grant)) if number is None and state in (None, "waiting") else []
    found = [info for info in [*live, *waiting] if label is None or label in _labels_around(query, info)]
    return await page(
        sorted(found, key=lambda info: info.client),
        key=lambda info: (info.client.client_id, info.client.slot_nr),
        show=partial(_model, Views(query, sight_of(grant))),
        limit=limit,
        cursor=cursor,
    )


@router.get(
    "/mappings/{client}",
    responses={
        **gives(models.MappingModel, tagged=True),
        **gives(models.MappingModel, 202, tagged=True, text="it has not come as far as was waited for"),
        **problems(400, 404),
    },
)
async def show_mapping(
    client: ClientSlotPath,
    runtime: TheRuntime,
    query: TheQuery,
    grant: TheGrant,
    wait: WaitText = None,
    timeout: TimeoutText = "30s",  # the name is that of the query
) -> Response:
    """The mapping of a client slot, now or when it has come so far. Its ETag names the mapping, not its state."""
    slot = client_slot(client)
    patience_s = duration(timeout, "timeout", most_s=MAX_WAIT_S)
    if _visible(query, grant, slot) is None:
        raise _unknown(query, grant, slot)
    if wait is not None:
        await runtime.changes.until(partial(_reached_or_gone, query, slot, wait), patience_s)
    info = _visible(query, grant, slot)
    if info is None:
        raise _unknown(query, grant, slot)
    return _shown(query, grant, info, 202 if wait is not None and not _has_reached(info, wait) else 200)


@router.put(
    "/mappings/{client}",
    responses={
        **gives(models.MappingModel, tagged=True, text="it was so already"),
        **gives(models.MappingModel, 201, tagged=True, text="stored"),
        **gives(models.MappingModel, 202, tagged=True, text="stored; it has not come as far as was waited for"),
        **problems(400, 404, 409, 412, 413, 415),
    },
    takes=models.MappingOrder,
)
async def put_mapping(
    client: ClientSlotPath,
    request: Request,
    runtime: TheRuntime,
    query: TheQuery,
    grant: TheGrant,
    actor: TheActor,
    wait: WaitText = None,
    timeout: TimeoutText = "30s",  # the name is that of the query
) -> Response:
    """Give a client slot this card, in place of any other that it has. The answer comes when that is stored.

    With a label, a card that the slot has already is kept, else it gets one that is free: one that it can use now, if
    there is any.
    """
    slot = client_slot(client)
    patience_s = duration(timeout, "timeout", most_s=MAX_WAIT_S)
    await require_operator(request, grant, client_id=slot.client_id)
    order = read_model(await read_json(request), models.MappingOrder)
    before, waiting = query.mapping_of_client(slot), query.waiting.of_client(slot)
    check_preconditions(request, mapping_tag(_visible(query, grant, slot)))
    if waiting is not None and order.follow != "slot" and _is_awaited(query, grant, waiting, order.card):
        return _shown(query, grant, waiting, 200 if wait is None else 202)
    bank = _chosen(runtime, grant, slot, order.card, before)
    await require_operator(request, grant, bank_id=bank.bank_id, client_id=slot.client_id)
    is_new = before is None or before.bank != bank
    follows = number_to_follow(query, bank, before) if order.follow == "card" else None
    if is_new:
        await _map(runtime, query, grant, actor, slot, bank, before or waiting, follows)
    elif before is not None and order.follow is not None and before.follows != follows:
        await runtime.follow(slot, follows, actor)
    if wait is not None:
        await runtime.changes.until(partial(_reached_or_gone, query, slot, wait), patience_s)
    info = query.mapping_of_client(slot)
    if info is None or info.bank != bank:
        raise ApiError(409, "conflict", f"the mapping of {slot} was changed again meanwhile", look("audit", "audit"))
    is_reached = wait is None or _has_reached(info, wait)
    return _shown(query, grant, info, (201 if is_new else 200) if is_reached else 202)


@router.delete("/mappings/{client}", status_code=204, response_class=Response, responses=problems(400, 404, 412))
async def delete_mapping(
    client: ClientSlotPath,
    request: Request,
    runtime: TheRuntime,
    query: TheQuery,
    grant: TheGrant,
    actor: TheActor,
) -> Response:
    """Take its card away from a client slot. The answer comes when that is stored."""
    slot = client_slot(client)
    info = _visible(query, grant, slot)
    check_preconditions(request, mapping_tag(info))
    if info is None:
        raise _unknown(query, grant, slot)
    await require_operator(request, grant, bank_id=_place(info).bank_id, client_id=slot.client_id)
    await runtime.change_mappings([slot], [], actor)
    return Response(status_code=204)


@router.post(
    "/mappings/{client}/reinsert",
    responses={**gives(models.MappingModel, tagged=True, text="stored"), **problems(400, 404, 409)},
)
async def reinsert_card(
    client: ClientSlotPath,
    request: Request,
    runtime: TheRuntime,
    query: TheQuery,
    grant: TheGrant,
    actor: TheActor,
    kept: TheKept,
    key: KeyHeader = None,
) -> Response:
    """End a mapping and make it again at once: the modem sees its card removed, and inserted again.

    The answer comes when that is stored.
    """
    slot = client_slot(client)
    info = _visible(query, grant, slot)
    if info is None:
        raise _unknown(query, grant, slot)
    if isinstance(info, ParkedInfo):
        hint = "its modem is given the card when it is in a slot again: see remsim ctl mappings"
        raise ApiError(409, "conflict", f"{slot} waits for its card, which is in no slot", hint)
    await require_operator(request, grant, bank_id=info.bank.bank_id, client_id=slot.client_id)

    async def shown_now() -> Response:
        made = query.mapping_of_client(slot)
        if made is None:
            raise ApiError(409, "conflict", f"the mapping of {slot} was deleted meanwhile", look("audit", "audit"))
        return _shown(query, grant, made, 200)

    async def work(by: Actor) -> Response:
        await runtime.reinsert_card(slot, by)
        return await shown_now()

    return await once(request, grant, actor, key, b"", kept, work, lambda _done: shown_now())


async def _map(
    runtime: ServerRuntime,
    query: ServerQuery,
    grant: Grant,
    actor: Actor,
    slot: ClientSlot,
    bank: BankSlot,
    before: MappingInfo | ParkedInfo | None,
    follows: str | None,
) -> None:
    may_see = sight_of(grant)
    if before is not None and not may_see(_place(before), slot):
        text = f"{slot} is mapped already, to something that the token is not for"
        raise ApiError(409, "conflict", text, "ask who may delete that mapping")
    try:
        ended = [] if before is None else [slot]
        await runtime.change_mappings(
            ended, [(bank, slot)], actor, follows=None if follows is None else {bank: follows}
        )
    except ConflictError:
        taken = query.mapping(bank)
        if taken is None or may_see(taken.bank, taken.client):
            raise
        # This token may not learn with what it is mapped.
        text = f"{bank} is mapped already, to something that the token is not for"
        raise ApiError(409, "conflict", text, "ask who may delete that mapping") from None


def _labels_around(query: ServerQuery, info: MappingInfo | ParkedInfo) -> tuple[str, ...]:
    """The labels of its bank slot, its client slot and its card."""
    if isinstance(info, ParkedInfo):
        return (*query.labels(str(info.client)), *query.labels(f"iccid:{info.iccid}"))
    iccid = query.last_number(info.bank)
    card = () if iccid is None else query.labels(f"iccid:{iccid}")
    return (*query.labels(str(info.bank)), *query.labels(str(info.client)), *card)


def _place(info: MappingInfo | ParkedInfo) -> BankSlot:
    """Its bank slot, or that in which it was last."""
    return info.left if isinstance(info, ParkedInfo) else info.bank


def _is_awaited(query: ServerQuery, grant: Grant, waiting: ParkedInfo, card: str) -> bool:
    """Whether an order names the card that a mapping waits for already. Raises ApiError."""
    choice = read_card(query, card)
    is_same = choice.kind is CardChoiceKind.ICCID and choice.value == waiting.iccid
    return is_same and not places_for(query, grant, choice) and sight_of(grant)(waiting.left, waiting.client)


def _chosen(
    runtime: ServerRuntime, grant: Grant, client: ClientSlot, card: str, before: MappingInfo | None
) -> BankSlot:
    """The slot of the card that an order names; of several, one that can be used now. Raises ApiError."""
    query = runtime.query
    choice = read_card(query, card)
    found = places_for(query, grant, choice)
    if choice.kind is CardChoiceKind.SLOT:
        return found[0]
    if not found:
        raise not_found("no bank has such a card now, as far as the server knows", look("cards", "cards"))
    if before is not None and before.bank in found:
        return before.bank
    check_unambiguous(choice, found)
    free = runtime.leases.free_for(client, found)
    if not free:
        text = f"none of the {len(found)} cards is free" if len(found) > 1 else "the card is in use, or locked"
        raise ApiError(409, "conflict", text, "take it away from a client slot first")
    return free[0]


def _visible(query: ServerQuery, grant: Grant, slot: ClientSlot) -> MappingInfo | ParkedInfo | None:
    info = query.mapping_of_client(slot) or query.waiting.of_client(slot)
    return info if info is not None and sight_of(grant)(_place(info), info.client) else None


def _has_reached(info: MappingInfo | ParkedInfo, goal: _Goal) -> bool:
    if isinstance(info, ParkedInfo):
        return False
    return info.state is MappingState.ACTIVE and (goal == "active" or not info.missing)


def _reached_or_gone(query: ServerQuery, slot: ClientSlot, goal: _Goal) -> bool | None:
    info = query.mapping_of_client(slot) or query.waiting.of_client(slot)
    return True if info is None or _has_reached(info, goal) else None


def _shown(query: ServerQuery, grant: Grant, info: MappingInfo | ParkedInfo, status: int) -> Response:
    return shown(_model(Views(query, sight_of(grant)), info), status, {"ETag": mapping_tag(info) or ""})


def _model(views: Views, info: MappingInfo | ParkedInfo) -> models.MappingModel:
    return views.waiting(info) if isinstance(info, ParkedInfo) else views.mapping(info)


def _unknown(query: ServerQuery, grant: Grant, slot: ClientSlot) -> ApiError:
    hint = look("mappings", "mappings")
    is_own = grant.allows(TokenRole.VIEWER, client_id=slot.client_id)
    if is_own and (query.mapping_of_client(slot) is not None or query.waiting.of_client(slot) is not None):
        return not_found(f"the mapping of {slot} is none that the token is for", hint)
    return not_found(f"there is no mapping of {slot}", hint)
