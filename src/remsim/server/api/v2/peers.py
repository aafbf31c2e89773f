# SPDX-License-Identifier: Apache-2.0
"""Banks and clients with their slots, connected or not."""

from itertools import groupby
from typing import Annotated

from fastapi import Header, Request
from fastapi.responses import Response

from remsim.core.ids import BankSlot, ClientSlot
from remsim.rest import models
from remsim.server.api.auth import TheActor, TheGrant, require_operator
from remsim.server.api.errors import V2, ApiError, bad_request, not_found
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheQuery, TheRuntime, sight_of
from remsim.server.api.v2.answers import gives, look, page, problems, shown
from remsim.server.api.v2.idempotency import TheKept, once
from remsim.server.api.v2.reading import (
    DEFAULT_LIMIT,
    CursorText,
    IdText,
    LabelText,
    LimitText,
    LinkText,
    PresenceText,
    bank_slot,
    identifier,
    read_json,
    read_model,
)
from remsim.server.api.v2.views import Views, lock_model
from remsim.server.core.actions import Actor, StoredRequest
from remsim.server.core.slot_locks import LockError
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.query import ServerQuery
from remsim.server.runtime import UnknownBankError

router = Resource(prefix=V2)


KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="the same request with the same key is done once; the answer is given again, within a day",
    ),
]


def _known_bank(query: ServerQuery, grant: Grant, text: str) -> int:
    bank_id = identifier(text, "bank id")
    if not grant.allows(TokenRole.VIEWER, bank_id=bank_id) or bank_id not in query.known_banks():
        raise not_found(f"there is no bank {bank_id}", look("slots", "banks"))
    return bank_id


def _no_slot(slot: BankSlot) -> ApiError:
    number = slot.bank_id
    return not_found(f"there is no slot {slot}", look(f"slots B{number}", f"banks/{number}/slots"))


def _clients(query: ServerQuery, grant: Grant) -> list[ClientSlot]:
    return [slot for slot in query.known_clients() if grant.allows(TokenRole.VIEWER, client_id=slot.client_id)]


def _slots_of(query: ServerQuery, grant: Grant, text: str) -> list[ClientSlot]:
    client_id = identifier(text, "client id")
    slots = [slot for slot in _clients(query, grant) if slot.client_id == client_id]
    if not slots:
        raise not_found(f"there is no client {client_id}", look("clients", "clients"))
    return slots


@router.get("/banks", tags=["v2 banks"], responses={**gives(models.BankPage), **problems(400)})
async def list_banks(
    query: TheQuery,
    grant: TheGrant,
    state: LinkText = None,
    limit: LimitText = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """All banks that are, or were, connected, or have mappings."""
    found = [
        bank_id
        for bank_id in query.known_banks()
        if grant.allows(TokenRole.VIEWER, bank_id=bank_id)
        and state in (None, "absent" if query.bank(bank_id) is None else "connected")
    ]
    views = Views(query, sight_of(grant))
    return await page(found, key=lambda bank_id: (bank_id,), show=views.bank, limit=limit, cursor=cursor)


@router.get("/banks/{bank_id}", tags=["v2 banks"], responses={**gives(models.BankModel), **problems(400, 404)})
async def show_bank(bank_id: IdText, query: TheQuery, grant: TheGrant) -> Response:
    """One bank."""
    return shown(Views(query, sight_of(grant)).bank(_known_bank(query, grant, bank_id)))


@router.get("/banks/{bank_id}/slots", tags=["v2 banks"], responses={**gives(models.BankSlotPage), **problems(400, 404)})
async def list_bank_slots(
    bank_id: IdText,
    query: TheQuery,
    grant: TheGrant,
    state: PresenceText = None,
    label: LabelText = None,
    limit: LimitText = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """The slots of a bank, and those beyond that are mapped."""
    number = _known_bank(query, grant, bank_id)
    views = Views(query, sight_of(grant))
    return await page(
        [
            slot
            for slot in query.slots_of_bank(number)
            if (label is None or label in query.labels(str(BankSlot(number, slot.slot_nr))))
            and (state is None or views.presence(number, slot).state == state)
        ],
        key=lambda slot: (slot.slot_nr,),
        show=lambda slot: views.bank_slot(number, slot),
        limit=limit,
        cursor=cursor,
    )


@router.get(
    "/banks/{bank_id}/slots/{slot_nr}",
    tags=["v2 banks"],
    responses={**gives(models.BankSlotModel), **problems(400, 404)},
)
async def show_bank_slot(bank_id: IdText, slot_nr: IdText, query: TheQuery, grant: TheGrant) -> Response:
    """One slot of a bank, with all that is known of it."""
    where = bank_slot(bank_id, slot_nr)
    number = _known_bank(query, grant, bank_id)
    slot = next((slot for slot in query.slots_of_bank(number) if slot.slot_nr == where.slot_nr), None)
    if slot is None:
        raise _no_slot(where)
    return shown(Views(query, sight_of(grant)).bank_slot(number, slot, is_whole=True))


@router.put(
    "/banks/{bank_id}/slots/{slot_nr}/lock",
    tags=["v2 banks"],
    responses={**gives(models.LockModel), **problems(400, 404, 409, 413, 415)},
    takes=models.LockOrder,
)
async def lock_slot(
    bank_id: IdText,
    slot_nr: IdText,
    request: Request,
    runtime: TheRuntime,
    query: TheQuery,
    grant: TheGrant,
    actor: TheActor,
) -> Response:
    """Give a slot no new mapping and no lease from now on. What it has goes on; a start of the server changes nothing.

    The answer comes when that is stored. A slot that is locked gets this reason.
    """
    where = bank_slot(bank_id, slot_nr)
    _known_bank(query, grant, bank_id)
    await require_operator(request, grant, bank_id=where.bank_id)
    if not query.is_known(where):
        raise _no_slot(where)
    order = read_model(await read_json(request), models.LockOrder)
    try:
        await runtime.lock_slot(where, order.reason, actor)
    except LockError as error:
        if error.limit is not None:
            raise ApiError(409, "too_many", str(error), error.hint, limit=error.limit) from None
        raise bad_request(str(error), error.hint) from None
    made = lock_model(query.lock(where))
    if made is None:
        raise ApiError(409, "conflict", f"{where} was unlocked meanwhile", look("audit", "audit"))
    return shown(made)


@router.delete(
    "/banks/{bank_id}/slots/{slot_nr}/lock",
    tags=["v2 banks"],
    status_code=204,
    response_class=Response,
    responses=problems(400, 404),
)
async def unlock_slot(
    bank_id: IdText,
    slot_nr: IdText,
    request: Request,
    runtime: TheRuntime,
    query: TheQuery,
    grant: TheGrant,
    actor: TheActor,
) -> Response:
    """A locked slot may be mapped again; one that waits for its card gets it."""
    where = bank_slot(bank_id, slot_nr)
    _known_bank(query, grant, bank_id)
    await require_operator(request, grant, bank_id=where.bank_id)
    if query.lock(where) is None:
        raise not_found(f"{where} is not locked", look(f"slots B{where.bank_id}", f"banks/{where.bank_id}/slots"))
    await runtime.unlock_slot(where, actor)
    return Response(status_code=204)


@router.post(
    "/banks/{bank_id}/reset",
    tags=["v2 banks"],
    status_code=202,
    response_class=Response,
    responses=problems(400, 404, 409, 422),
)
async def reset_bank(
    bank_id: IdText,
    request: Request,
    runtime: TheRuntime,
    grant: TheGrant,
    actor: TheActor,
    kept: TheKept,
    key: KeyHeader = None,
) -> Response:
    """Make a bankd drop all its mappings (resetStateReq) and give it those that are desired anew.

    Every session of this bank is interrupted.
    """
    number = identifier(bank_id, "bank id")
    # It concerns all clients of the bank.
    await require_operator(request, grant, bank_id=None if grant.scope.clients is not None else number)

    async def work(by: Actor) -> Response:
        try:
            runtime.reset_bank(number, by)
        except UnknownBankError:
            raise ApiError(404, "not_found", f"bank {number} is not connected", look("slots", "banks")) from None
        return Response(status_code=202)

    async def again(_done: StoredRequest) -> Response:
        return Response(status_code=202)

    return await once(request, grant, actor, key, b"", kept, work, again)


@router.get("/clients", tags=["v2 clients"], responses={**gives(models.ClientPage), **problems(400)})
async def list_clients(
    query: TheQuery,
    grant: TheGrant,
    state: LinkText = None,
    label: LabelText = None,
    limit: LimitText = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """All clients that are, or were, connected, or are mapped; of each, the slots that are wanted."""
    wanted = [
        slot
        for slot in _clients(query, grant)
        if (label is None or label in query.labels(str(slot)))
        and state in (None, "absent" if query.client(slot) is None else "connected")
    ]
    found = [list(slots) for _, slots in groupby(wanted, key=lambda slot: slot.client_id)]
    views = Views(query, sight_of(grant))
    return await page(found, key=lambda slots: (slots[0].client_id,), show=views.client, limit=limit, cursor=cursor)


@router.get("/clients/{client_id}", tags=["v2 clients"], responses={**gives(models.ClientModel), **problems(400, 404)})
async def show_client(client_id: IdText, query: TheQuery, grant: TheGrant) -> Response:
    """One client with its slots."""
    return shown(Views(query, sight_of(grant)).client(_slots_of(query, grant, client_id)))


@router.get(
    "/clients/{client_id}/slots",
    tags=["v2 clients"],
    responses={**gives(models.ClientSlotPage), **problems(400, 404)},
)
async def list_client_slots(
    client_id: IdText,
    query: TheQuery,
    grant: TheGrant,
    limit: LimitText = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """The slots of a client."""
    found = _slots_of(query, grant, client_id)
    views = Views(query, sight_of(grant))
    return await page(found, key=lambda slot: (slot.slot_nr,), show=views.client_slot, limit=limit, cursor=cursor)


@router.get(
    "/clients/{client_id}/slots/{slot_nr}",
    tags=["v2 clients"],
    responses={**gives(models.ClientSlotModel), **problems(400, 404)},
)
async def show_client_slot(client_id: IdText, slot_nr: IdText, query: TheQuery, grant: TheGrant) -> Response:
    """One client slot, with all that is known of it."""
    wanted = ClientSlot(identifier(client_id, "client id"), identifier(slot_nr, "slot number"))
    if wanted not in _slots_of(query, grant, client_id):
        raise not_found(
            f"there is no client slot {wanted}", look(f"clients C{wanted.client_id}", f"clients/{wanted.client_id}")
        )
    return shown(Views(query, sight_of(grant)).client_slot(wanted, is_whole=True))
