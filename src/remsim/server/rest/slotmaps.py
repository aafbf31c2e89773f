# SPDX-License-Identifier: Apache-2.0
"""Mappings: the resource that commands the cards."""

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from remsim.ids import MAX_ID
from remsim.server import views
from remsim.server.rest.errors import not_found
from remsim.server.rest.listing import listing
from remsim.server.rest.reading import MAX_LONG, NumberText, number, read_mapping
from remsim.server.rest.routing import V1, TheDesk, done, refusals
from remsim.server.rest.shapes import MappingList, MappingShape

router = APIRouter(prefix=V1, tags=["slotmaps"])


def _slot_schema(first: str) -> dict[str, object]:
    a_number = {"type": "integer", "minimum": 0, "maximum": MAX_ID}
    return {"type": "object", "properties": {first: a_number, "slotNr": a_number}, "required": [first, "slotNr"]}


#: The body is read by hand, as strictly as the classic server did (rsres.md, 3); this describes it in the schema.
_MAPPING_SCHEMA: Final = {
    "type": "object",
    "properties": {"bank": _slot_schema("bankId"), "client": _slot_schema("clientId")},
    "required": ["bank", "client"],
}
_BODY: Final = {"requestBody": {"required": True, "content": {"application/json": {"schema": _MAPPING_SCHEMA}}}}


@router.get("/slotmaps", responses={200: {"model": MappingList}})
async def list_slotmaps(desk: TheDesk) -> Response:
    """All live mappings, in the order of their creation."""
    return await listing("slotmaps", desk.coordinator.slotmap, views.mapping)


@router.get("/slotmaps/{slotmap_id}", responses={200: {"model": MappingShape}, **refusals(400, 404)})
async def show_slotmap(slotmap_id: NumberText, desk: TheDesk) -> JSONResponse:
    """The live mapping of a bank slot, whose number is bankId * 65536 + slotNr. Not part of the classic interface."""
    slot = views.slot_of(number(slotmap_id, "mapping number", MAX_LONG))
    mapping = None if slot is None else desk.coordinator.slotmap.by_bank_slot(slot)
    if mapping is None:
        raise not_found(f"there is no mapping {slotmap_id}", f"see {V1}/slotmaps")
    return JSONResponse(views.mapping(mapping))


@router.post(
    "/slotmaps",
    status_code=201,
    response_class=Response,
    responses=refusals(400, 409, 413, 503),
    openapi_extra=_BODY,
)
async def create_slotmap(request: Request, desk: TheDesk) -> Response:
    """Map a client slot to a bank slot. The answer comes when the mapping is stored; it survives any crash then."""
    body = await read_mapping(request)
    await desk.create_mapping(*body.slots())
    return done(201)


@router.delete("/slotmaps/{slotmap_id}", response_class=Response, responses=refusals(400, 404, 503))
async def delete_slotmap(slotmap_id: NumberText, desk: TheDesk) -> Response:
    """Delete a mapping. The answer comes when the deletion is stored; the bankd is told now, or when it returns."""
    slot = views.slot_of(number(slotmap_id, "mapping number", MAX_LONG))
    if slot is None:
        raise not_found(f"there is no mapping {slotmap_id}", f"see {V1}/slotmaps")
    await desk.delete_mapping(slot)
    return done(200)


@router.post("/global-reset", response_class=Response, responses=refusals(503))
async def reset_all(desk: TheDesk) -> Response:
    """Delete all mappings, as if each had been deleted singly. A request body is ignored."""
    await desk.delete_all_mappings()
    return done(200)
