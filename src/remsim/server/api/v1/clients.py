# SPDX-License-Identifier: Apache-2.0
"""Connected clients."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse, Response

from remsim.core.ids import MAX_ID, ClientSlot
from remsim.server import query
from remsim.server.api.auth import TheGrant
from remsim.server.api.errors import not_found
from remsim.server.api.reading import MAX_SHORT, number
from remsim.server.api.routing import V1, TheDesk, TheMore, guarded, listing
from remsim.server.api.v1.shapes import ClientList, ClientShape
from remsim.server.core.peers import Peer
from remsim.server.core.tokens import Grant, Role

router = APIRouter(prefix=V1, tags=["clients"])

_NameText = Annotated[
    str,
    Path(
        description="ID: the lowest slot of this client; ID:SLOT: exactly this one",
        json_schema_extra={"pattern": "^[0-9]{1,4}(:[0-9]{1,4})?$", "examples": ["23", "23:0"]},
    ),
]


def _is_within(grant: Grant, peer: Peer) -> bool:
    return peer.client is not None and grant.allows(Role.VIEWER, client_id=peer.client.client_id)


@router.get("/clients", responses={200: {"model": ClientList}, **guarded(400)})
async def list_clients(desk: TheDesk, grant: TheGrant, more: TheMore = False) -> Response:
    """All connected clients that the token is for."""
    peers = [peer for peer in desk.coordinator.peers.clients() if _is_within(grant, peer)]
    return await listing("clients", peers, lambda peer: query.show_client(desk, peer, more=more))


@router.get("/clients/{name}", responses={200: {"model": ClientShape}, **guarded(400, 404)})
async def show_client(name: _NameText, desk: TheDesk, grant: TheGrant, more: TheMore = False) -> JSONResponse:
    """One connected client."""
    client_text, colon, slot_text = name.partition(":")
    client_id = number(client_text, "client id", MAX_SHORT)
    slot_nr = number(slot_text, "slot number", MAX_SHORT) if colon else None
    peers = desk.coordinator.peers
    if client_id > MAX_ID or (slot_nr or 0) > MAX_ID:
        peer = None
    elif slot_nr is None:
        peer = peers.lowest_slot(client_id)
    else:
        peer = peers.connected_client(ClientSlot(client_id, slot_nr))
    if peer is None or not _is_within(grant, peer):
        raise not_found(f"client {name} is not connected", f"see {V1}/clients")
    return JSONResponse(query.show_client(desk, peer, more=more))
