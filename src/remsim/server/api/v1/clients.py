# SPDX-License-Identifier: Apache-2.0
"""Connected clients."""

from typing import Annotated

from fastapi import Path
from fastapi.responses import JSONResponse, Response

from remsim.core.ids import MAX_ID, ClientSlot
from remsim.server.api.auth import TheGrant
from remsim.server.api.errors import not_found
from remsim.server.api.reading import MAX_SHORT, number
from remsim.server.api.resource import Resource
from remsim.server.api.routing import V1, TheMore, TheQuery, guarded, listing, sight_of
from remsim.server.api.v1 import views
from remsim.server.api.v1.shapes import ClientList, ClientShape
from remsim.server.core.tokens import Grant, TokenRole

router = Resource(prefix=V1, tags=["clients"])

_NameText = Annotated[
    str,
    Path(
        description="ID: the lowest slot of this client; ID:SLOT: exactly this one",
        json_schema_extra={"pattern": "^[0-9]{1,4}(:[0-9]{1,4})?$", "examples": ["23", "23:0"]},
    ),
]


def _is_within(grant: Grant, slot: ClientSlot) -> bool:
    return grant.allows(TokenRole.VIEWER, client_id=slot.client_id)


@router.get("/clients", responses={200: {"model": ClientList}, **guarded(400)})
async def list_clients(query: TheQuery, grant: TheGrant, more: TheMore = False) -> Response:
    """All connected clients that the token is for."""
    found = query.clients(lambda slot: _is_within(grant, slot))
    return await listing("clients", found, lambda client: views.client(client, more=more, may_see=sight_of(grant)))


@router.get("/clients/{name}", responses={200: {"model": ClientShape}, **guarded(400, 404)})
async def show_client(name: _NameText, query: TheQuery, grant: TheGrant, more: TheMore = False) -> JSONResponse:
    """One connected client."""
    client_text, colon, slot_text = name.partition(":")
    client_id = number(client_text, "client id", MAX_SHORT)
    slot_nr = number(slot_text, "slot number", MAX_SHORT) if colon else None
    if client_id > MAX_ID or (slot_nr or 0) > MAX_ID:
        found = None
    elif slot_nr is None:
        found = query.lowest_slot_of_client(client_id)
    else:
        found = query.client(ClientSlot(client_id, slot_nr))
    if found is None or found.slot is None or not _is_within(grant, found.slot):
        raise not_found(f"client {name} is not connected", f"see {V1}/clients")
    return JSONResponse(views.client(found, more=more, may_see=sight_of(grant)))
