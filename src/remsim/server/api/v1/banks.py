# SPDX-License-Identifier: Apache-2.0
"""Connected bankds."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from remsim.server import query
from remsim.server.api.auth import TheActor, TheGrant, require
from remsim.server.api.errors import ApiError, not_found
from remsim.server.api.reading import MAX_SHORT, ShortText, number
from remsim.server.api.routing import V1, TheDesk, TheMore, done, guarded, listing
from remsim.server.api.v1.shapes import BankList, BankShape
from remsim.server.core.peers import Peer
from remsim.server.core.tokens import Grant, Role
from remsim.server.runtime import UnknownBankError

router = APIRouter(prefix=V1, tags=["banks"])


def _is_within(grant: Grant, peer: Peer) -> bool:
    return grant.allows(Role.VIEWER, bank_id=peer.bank)


def _unknown(bank_id: int) -> ApiError:
    return not_found(f"bank {bank_id} is not connected", f"see {V1}/banks")


@router.get("/banks", responses={200: {"model": BankList}, **guarded(400)})
async def list_banks(desk: TheDesk, grant: TheGrant, more: TheMore = False) -> Response:
    """All connected bankds that the token is for."""
    peers = [peer for peer in desk.coordinator.peers.banks() if _is_within(grant, peer)]
    return await listing("banks", peers, lambda peer: query.show_bank(desk, peer, more=more))


@router.get("/banks/{bank_id}", responses={200: {"model": BankShape}, **guarded(400, 404)})
async def show_bank(bank_id: ShortText, desk: TheDesk, grant: TheGrant, more: TheMore = False) -> JSONResponse:
    """One connected bankd."""
    bank_nr = number(bank_id, "bank id", MAX_SHORT)
    peer = desk.coordinator.peers.by_bank(bank_nr)
    if peer is None or not _is_within(grant, peer):
        raise _unknown(bank_nr)
    shown = query.show_bank(desk, peer, more=more)
    return JSONResponse(shown | query.show_slots(desk, peer) if more else shown)


@router.post("/banks/{bank_id}/reset-state", response_class=Response, responses=guarded(400, 404))
async def reset_bank(bank_id: ShortText, request: Request, desk: TheDesk, grant: TheGrant, actor: TheActor) -> Response:
    """Make a bankd drop all its mappings (resetStateReq) and give it those that are desired anew.

    Every session of this bank is interrupted. Not part of the classic interface.
    """
    bank_nr = number(bank_id, "bank id", MAX_SHORT)
    # It concerns all clients of the bank.
    await require(request, grant, bank_id=None if grant.scope.clients is not None else bank_nr)
    try:
        desk.reset_bank(bank_nr, actor)
    except UnknownBankError:
        raise _unknown(bank_nr) from None
    return done(200)
