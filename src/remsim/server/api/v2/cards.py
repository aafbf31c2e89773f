# SPDX-License-Identifier: Apache-2.0
"""Cards by their numbers, and the labels of cards and slots."""

import re
from typing import Annotated

from fastapi import Path, Query, Request
from fastapi.responses import Response
from pydantic import WithJsonSchema

from remsim.core.ids import BankSlot
from remsim.redaction import shorten_iccid
from remsim.rest import models
from remsim.server.api.auth import TheActor, TheGrant, require_operator
from remsim.server.api.errors import V2, ApiError, bad_request, not_found
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheQuery, TheRuntime, sight_of
from remsim.server.api.v2.answers import gives, look, page, problems, shown
from remsim.server.api.v2.choosing import read_card
from remsim.server.api.v2.reading import (
    DEFAULT_LIMIT,
    BankText,
    CursorText,
    LabelText,
    LimitText,
    PresenceText,
    bank_filter,
    check_preconditions,
    read_json,
    read_model,
)
from remsim.server.api.v2.views import Views, labels_tag
from remsim.server.core.actions import REFUSED, Actor, Entry
from remsim.server.core.labels import LabelError, parse_subject, shown_subject, slots_of
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.query import ServerQuery
from remsim.server.runtime import ServerRuntime

router = Resource(prefix=V2)

_IccidPath = Annotated[
    str,
    WithJsonSchema({"type": "string", "pattern": f"^{models.ICCID_DIGITS}$", "examples": ["8900101234567890018"]}),
    Path(description="the number of the card, in full"),
]
_ImsiText = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "pattern": f"^{models.IMSI_DIGITS}$", "examples": ["001010123456789"]}),
    Query(alias="imsi", description="only the card with this IMSI; needs a server that keeps them"),
]
_SubjectPath = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^({models.BANK_SLOT}|{models.CLIENT_SLOT}|iccid:{models.ICCID_DIGITS})$",
            "examples": ["B1:3", "C7:0"],
        }
    ),
    Path(description="a bank slot, a client slot, or a card by its number"),
]
_Reveal = Annotated[bool, Query(description="numbers in full; for admins, and noted in the audit log")]


@router.get("/cards", tags=["v2 cards"], responses={**gives(models.CardPage), **problems(400, 409)})
async def list_cards(
    query: TheQuery,
    runtime: TheRuntime,
    grant: TheGrant,
    actor: TheActor,
    reveal: _Reveal = False,
    state: PresenceText = None,
    label: LabelText = None,
    bank: BankText = None,
    imsi: _ImsiText = None,
    limit: LimitText = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """All cards whose numbers are known, in the order of the slots where they were heard of last."""
    _check_reveal(runtime, grant, actor, "all", is_asked=reveal)
    number = bank_filter(bank)
    if imsi is not None:
        read_card(query, f"imsi:{imsi}")
    views = Views(query, sight_of(grant))
    found = [
        card
        for card in query.cards(lambda slot: _has_bank(grant, slot) and number in (None, slot.bank_id))
        if imsi in (None, query.imsi(card.bank))
        and (label is None or label in card.labels)
        and (state is None or views.card(card).presence.state == state)
    ]
    return await page(
        found,
        key=lambda card: (card.bank.bank_id, card.bank.slot_nr),
        show=lambda card: views.card(card, reveal=reveal),
        limit=limit,
        cursor=cursor,
    )


@router.get("/cards/{iccid}", tags=["v2 cards"], responses={**gives(models.CardModel), **problems(400, 404)})
async def show_card(
    iccid: _IccidPath,
    query: TheQuery,
    runtime: TheRuntime,
    grant: TheGrant,
    actor: TheActor,
    reveal: _Reveal = False,
) -> Response:
    """One card."""
    if re.fullmatch(models.ICCID_DIGITS, iccid, re.ASCII) is None:
        raise bad_request("that is no ICCID", "write its digits (0 to 9, A to E), 20 at most")
    iccid = iccid.upper()
    _check_reveal(runtime, grant, actor, shorten_iccid(iccid), is_asked=reveal)
    found = query.card(iccid, lambda slot: _has_bank(grant, slot))
    if found is None:
        raise not_found("no bank has told of such a card", look("cards", "cards"))
    return shown(Views(query, sight_of(grant)).card(found, reveal=reveal))


@router.get("/labels", tags=["v2 labels"], responses={**gives(models.LabelsPage), **problems(400)})
async def list_labels(
    query: TheQuery, grant: TheGrant, limit: LimitText = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """Everything that has labels, and that the token is for."""
    return await page(
        list(visible_labels(query, grant).items()),
        key=lambda item: (item[0],),
        show=lambda item: models.LabelsModel(subject=shown_subject(item[0]), labels=list(item[1])),
        limit=limit,
        cursor=cursor,
    )


@router.get(
    "/labels/{subject}", tags=["v2 labels"], responses={**gives(models.LabelsModel, tagged=True), **problems(400, 404)}
)
async def show_labels(subject: _SubjectPath, query: TheQuery, grant: TheGrant) -> Response:
    """The labels of one of them; none is an empty list."""
    name = _subject(subject)
    if not may_see_subject(query, grant, name):
        raise _unknown(name)
    return _labels(query, name)


@router.put(
    "/labels/{subject}",
    tags=["v2 labels"],
    responses={**gives(models.LabelsModel, tagged=True), **problems(400, 404, 409, 412, 413, 415)},
    takes=models.LabelsOrder,
)
async def put_labels(
    subject: _SubjectPath,
    request: Request,
    runtime: TheRuntime,
    query: TheQuery,
    grant: TheGrant,
    actor: TheActor,
) -> Response:
    """Give it these labels and no others. The answer comes when that is stored."""
    name = _subject(subject)
    if not may_see_subject(query, grant, name):
        raise _unknown(name)
    bank, client = slots_of(name)
    if bank is not None or client is not None:
        await require_operator(
            request,
            grant,
            bank_id=None if bank is None else bank.bank_id,
            client_id=None if client is None else client.client_id,
        )
    order = read_model(await read_json(request), models.LabelsOrder)
    check_preconditions(request, labels_tag(query.labels(name)))
    try:
        await runtime.set_labels(name, order.labels, actor)
    except LabelError as error:
        if error.limit is not None:
            raise ApiError(409, "too_many", str(error), error.hint, limit=error.limit) from None
        raise bad_request(str(error), error.hint) from None
    return _labels(query, name)


def _check_reveal(runtime: ServerRuntime, grant: Grant, actor: Actor, target: str, *, is_asked: bool) -> None:
    """Raises ApiError if the caller may not see numbers in full; else the audit log notes that it did."""
    if not is_asked:
        return
    if grant.role < TokenRole.ADMIN:
        runtime.refuse(Entry(actor, "card.reveal", target, REFUSED, "role too low"), "access_refused")
        raise ApiError(403, "forbidden", "numbers in full are for admins", "leave out reveal")
    runtime.record(Entry(actor, "card.reveal", target))


def _has_bank(grant: Grant, slot: BankSlot) -> bool:
    return grant.allows(TokenRole.VIEWER, bank_id=slot.bank_id)


def _subject(text: str) -> str:
    try:
        return parse_subject(text)
    except LabelError as error:
        raise bad_request(str(error), error.hint) from None


def may_see_subject(query: ServerQuery, grant: Grant, subject: str) -> bool:
    """Whether a subject is within the token's scope: a card is where it was heard of."""
    bank, client = slots_of(subject)
    if bank is None and client is None and grant.scope.is_limited:
        return any(_has_bank(grant, slot) for slot in query.slots_of_card(subject.partition(":")[2]))
    return sight_of(grant)(bank, client)


def visible_labels(query: ServerQuery, grant: Grant) -> dict[str, tuple[str, ...]]:
    """Everything that has labels, and that the token is for, in alphabetical order."""
    everything = query.all_labels()
    return {subject: labels for subject, labels in everything.items() if may_see_subject(query, grant, subject)}


def _labels(query: ServerQuery, name: str) -> Response:
    labels = query.labels(name)
    model = models.LabelsModel(subject=shown_subject(name), labels=list(labels))
    return shown(model, headers={"ETag": labels_tag(labels)})


def _unknown(name: str) -> ApiError:
    return not_found(f"nothing is known of {shown_subject(name)}", look("slots", "labels"))
