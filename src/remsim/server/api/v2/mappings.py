# SPDX-License-Identifier: Apache-2.0
"""Mappings, each named by its client slot."""

from functools import partial
from typing import Annotated, Final, Literal

from fastapi import Query, Request
from fastapi.responses import Response
from pydantic import WithJsonSchema

from remsim.core.ids import BankSlot, ClientSlot
from remsim.rest import models
from remsim.server.api.auth import TheActor, TheGrant, require_operator
from remsim.server.api.errors import V2, ApiError, bad_request, not_found
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheQuery, TheRuntime, sight_of
from remsim.server.api.v2.answers import gives, page, problems, shown
from remsim.server.api.v2.reading import (
    DEFAULT_LIMIT,
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
from remsim.server.core.card_choice import CardChoiceError
from remsim.server.core.slotmap import ConflictError, MappingState
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.query import MappingInfo, ServerQuery
from remsim.server.runtime import ServerRuntime

router = Resource(prefix=V2, tags=["v2 mappings"])

#: Longer than a bankd takes that is there; who waits longer asks again.
MAX_WAIT_S: Final = 300.0

_Goal = Literal["active", "operational"]
WaitText = Annotated[
    _Goal | None, Query(alias="wait", description="answer when it has come so far; 202: it has not within the timeout")
]
TimeoutText = Annotated[
    str,
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,2}(ms|s)$", "examples": ["30s"]}),
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
    found = [
        info
        for info in sorted(query.mappings(sight_of(grant)), key=lambda info: info.client)
        if number in (None, info.bank.bank_id)
        and state in (None, STATE_NAMES[info.state])
        and (label is None or label in _labels_around(query, info))
    ]
    return await page(
        found,
        key=lambda info: (info.client.client_id, info.client.slot_nr),
        show=Views(query, sight_of(grant)).mapping,
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
        raise _unknown(client)
    if wait is not None:
        await runtime.changes.until(partial(_reached_or_gone, query, slot, wait), patience_s)
    info = _visible(query, grant, slot)
    if info is None:
        raise _unknown(client)
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

    With a label, a card that the slot has already is kept, else it gets the first one that is free.
    """
    slot = client_slot(client)
    patience_s = duration(timeout, "timeout", most_s=MAX_WAIT_S)
    await require_operator(request, grant, client_id=slot.client_id)
    order = read_model(await read_json(request), models.MappingOrder)
    before = query.mapping_of_client(slot)
    check_preconditions(request, mapping_tag(_visible(query, grant, slot)))
    bank = _chosen(query, grant, order.card, before)
    await require_operator(request, grant, bank_id=bank.bank_id, client_id=slot.client_id)
    is_new = before is None or before.bank != bank
    follows = _followed(query, bank) if order.follow == "card" else None
    if is_new:
        await _map(runtime, query, grant, actor, slot, bank, before, follows)
    elif before is not None and order.follow is not None and before.follows != follows:
        await runtime.follow(slot, follows, actor)
    if wait is not None:
        await runtime.changes.until(partial(_reached_or_gone, query, slot, wait), patience_s)
    info = query.mapping_of_client(slot)
    if info is None or info.bank != bank:
        raise ApiError(409, "conflict", f"the mapping of {slot} was changed again meanwhile", f"see {V2}/audit")
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
        raise _unknown(client)
    await require_operator(request, grant, bank_id=info.bank.bank_id, client_id=slot.client_id)
    await runtime.change_mappings([slot], [], actor)
    return Response(status_code=204)


async def _map(
    runtime: ServerRuntime,
    query: ServerQuery,
    grant: Grant,
    actor: Actor,
    slot: ClientSlot,
    bank: BankSlot,
    before: MappingInfo | None,
    follows: str | None,
) -> None:
    may_see = sight_of(grant)
    if before is not None and not may_see(before.bank, slot):
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
        # With what it is mapped is none of this token's business.
        text = f"{bank} is mapped already, to something that the token is not for"
        raise ApiError(409, "conflict", text, "ask who may delete that mapping") from None


def _labels_around(query: ServerQuery, info: MappingInfo) -> tuple[str, ...]:
    """The labels of its bank slot, its client slot and its card."""
    iccid = query.last_number(info.bank)
    card = () if iccid is None else query.labels(f"iccid:{iccid}")
    return (*query.labels(str(info.bank)), *query.labels(str(info.client)), *card)


def _followed(query: ServerQuery, bank: BankSlot) -> str:
    """The number of the card that a mapping is to follow. Raises ApiError."""
    iccid = query.number(bank)
    if iccid is None:
        text = f"the number of the card in {bank} is not known, so it cannot be followed"
        raise ApiError(409, "conflict", text, "see remsim ctl slots; a classic bankd tells no numbers")
    return iccid


def _chosen(query: ServerQuery, grant: Grant, card: str, before: MappingInfo | None) -> BankSlot:
    """The slot of the card that an order names. Raises ApiError."""
    try:
        named = query.choose(card)
    except CardChoiceError as error:
        raise bad_request(str(error), error.hint) from None
    if card.startswith("B"):
        return named[0]
    found = [slot for slot in named if grant.allows(TokenRole.OPERATOR, bank_id=slot.bank_id)]
    if not found:
        raise not_found("no bank has such a card now, as far as the server knows", f"see {V2}/cards and {V2}/labels")
    if before is not None and before.bank in found:
        return before.bank
    free = next((slot for slot in found if query.mapping(slot) is None), None)
    if free is None:
        text = f"none of the {len(found)} cards is free" if len(found) > 1 else "the card is in use"
        raise ApiError(409, "conflict", text, "take it away from a client slot first")
    return free


def _visible(query: ServerQuery, grant: Grant, slot: ClientSlot) -> MappingInfo | None:
    info = query.mapping_of_client(slot)
    return info if info is not None and sight_of(grant)(info.bank, info.client) else None


def _has_reached(info: MappingInfo, goal: _Goal) -> bool:
    return info.state is MappingState.ACTIVE and (goal == "active" or not info.missing)


def _reached_or_gone(query: ServerQuery, slot: ClientSlot, goal: _Goal) -> bool | None:
    info = query.mapping_of_client(slot)
    return True if info is None or _has_reached(info, goal) else None


def _shown(query: ServerQuery, grant: Grant, info: MappingInfo, status: int) -> Response:
    return shown(Views(query, sight_of(grant)).mapping(info), status, {"ETag": mapping_tag(info) or ""})


def _unknown(client: str) -> ApiError:
    return not_found(f"there is no mapping of {client}", f"see {V2}/mappings")
