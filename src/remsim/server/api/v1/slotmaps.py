# SPDX-License-Identifier: Apache-2.0
"""Mappings: the resource that commands the cards."""

from typing import Final

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from remsim.core.ids import MAX_ID, BankSlot, ClientSlot
from remsim.server.api.auth import TheActor, TheGrant, require_operator
from remsim.server.api.errors import ApiError, not_found
from remsim.server.api.reading import MAX_LONG, LongText, number, read_mapping
from remsim.server.api.resource import Resource
from remsim.server.api.routing import V1, TheMore, TheQuery, TheRuntime, done, guarded, listing
from remsim.server.api.v1 import views
from remsim.server.api.v1.shapes import MappingList, MappingShape
from remsim.server.core.slotmap import ConflictError
from remsim.server.core.tokens import Grant, TokenRole

router = Resource(prefix=V1, tags=["slotmaps"])


def _slot_schema(first: str) -> dict[str, object]:
    a_number = {"type": "integer", "minimum": 0, "maximum": MAX_ID}
    return {"type": "object", "properties": {first: a_number, "slotNr": a_number}, "required": [first, "slotNr"]}


#: The body is read by hand, as strictly as the classic server did (rsres.md, 3); this describes it in the schema.
_MAPPING_SCHEMA: Final = {
    "type": "object",
    "properties": {"bank": _slot_schema("bankId"), "client": _slot_schema("clientId")},
    "required": ["bank", "client"],
    "examples": [{"bank": {"bankId": 1, "slotNr": 0}, "client": {"clientId": 23, "slotNr": 0}}],
}
_BODY: Final = {"requestBody": {"required": True, "content": {"application/json": {"schema": _MAPPING_SCHEMA}}}}


@router.get("/slotmaps", responses={200: {"model": MappingList}, **guarded(400)})
async def list_slotmaps(query: TheQuery, grant: TheGrant, more: TheMore = False) -> Response:
    """All live mappings that the token is for, in the order of their creation."""
    found = query.mappings(lambda bank, client: _is_within(grant, bank, client))
    return await listing("slotmaps", found, lambda item: views.mapping(item, more=more))


@router.get("/slotmaps/{slotmap_id}", responses={200: {"model": MappingShape}, **guarded(400, 404)})
async def show_slotmap(slotmap_id: LongText, query: TheQuery, grant: TheGrant, more: TheMore = False) -> JSONResponse:
    """The live mapping of a bank slot, whose number is bankId * 65536 + slotNr. Not part of the classic interface."""
    slot = views.slot_of(number(slotmap_id, "mapping number", MAX_LONG))
    mapping = None if slot is None else query.mapping(slot)
    if mapping is None or not _is_within(grant, mapping.bank, mapping.client):
        raise _unknown(slotmap_id)
    return JSONResponse(views.mapping(mapping, more=more))


@router.post(
    "/slotmaps",
    status_code=201,
    response_class=Response,
    responses=guarded(400, 409, 413),
    openapi_extra=_BODY,
)
async def create_slotmap(
    request: Request, runtime: TheRuntime, query: TheQuery, grant: TheGrant, actor: TheActor
) -> Response:
    """Map a client slot to a bank slot. The answer comes when the mapping is stored; it survives any crash then."""
    body = await read_mapping(request)
    bank, client = body.slots()
    await require_operator(request, grant, bank_id=bank.bank_id, client_id=client.client_id)
    try:
        await runtime.create_mapping(bank, client, actor)
    except ConflictError:
        taken = query.mapping(bank)
        if not grant.scope.is_limited or (taken is not None and _is_within(grant, taken.bank, taken.client)):
            raise
        # This token may not learn with what it is mapped.
        text = f"{bank} or {client} is mapped already, to something that the token is not for"
        raise ApiError(409, "conflict", text, "ask who may delete that mapping") from None
    return done(201)


@router.delete("/slotmaps/{slotmap_id}", response_class=Response, responses=guarded(400, 404))
async def delete_slotmap(
    slotmap_id: LongText,
    request: Request,
    runtime: TheRuntime,
    query: TheQuery,
    grant: TheGrant,
    actor: TheActor,
) -> Response:
    """Delete a mapping. The answer comes when the deletion is stored; the bankd is told now, or when it returns."""
    slot = views.slot_of(number(slotmap_id, "mapping number", MAX_LONG))
    mapping = None if slot is None else query.mapping(slot)
    if slot is None or (mapping is None and grant.scope.is_limited):
        raise _unknown(slotmap_id)
    if mapping is not None:
        try:
            await require_operator(request, grant, bank_id=slot.bank_id, client_id=mapping.client.client_id)
        except ApiError:
            # A token does not learn whether there is a mapping outside of its limits.
            if _is_within(grant, mapping.bank, mapping.client):
                raise
            raise _unknown(slotmap_id) from None
    await runtime.delete_mapping(slot, actor)
    return done(200)


@router.post("/global-reset", response_class=Response, responses=guarded())
async def reset_all(request: Request, runtime: TheRuntime, grant: TheGrant, actor: TheActor) -> Response:
    """Delete all mappings, as if each had been deleted singly. A request body is ignored."""
    await require_operator(request, grant)
    await runtime.delete_all_mappings(actor)
    return done(200)


def _is_within(grant: Grant, bank: BankSlot, client: ClientSlot) -> bool:
    return grant.allows(TokenRole.VIEWER, bank_id=bank.bank_id, client_id=client.client_id)


def _unknown(slotmap_id: str) -> ApiError:
    return not_found(f"there is no mapping {slotmap_id}", f"see {V1}/slotmaps")
