# SPDX-License-Identifier: Apache-2.0
"""Connected bankds."""

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from remsim.server.api.auth import TheActor, TheGrant, require_operator
from remsim.server.api.errors import ApiError, not_found
from remsim.server.api.reading import MAX_SHORT, ShortText, number
from remsim.server.api.resource import Resource
from remsim.server.api.routing import V1, TheMore, TheQuery, TheRuntime, done, guarded, listing, sight_of
from remsim.server.api.v1 import views
from remsim.server.api.v1.shapes import BankList, BankShape
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.runtime import UnknownBankError

router = Resource(prefix=V1, tags=["banks"])


def _is_within(grant: Grant, bank_id: int) -> bool:
    return grant.allows(TokenRole.VIEWER, bank_id=bank_id)


def _unknown(bank_id: int) -> ApiError:
    return not_found(f"bank {bank_id} is not connected", f"see {V1}/banks")


@router.get("/banks", responses={200: {"model": BankList}, **guarded(400)})
async def list_banks(query: TheQuery, grant: TheGrant, more: TheMore = False) -> Response:
    """All connected bankds that the token is for."""
    found = query.banks(lambda bank_id: _is_within(grant, bank_id))
    return await listing("banks", found, lambda bank: views.bank(bank, more=more, may_see=sight_of(grant)))


@router.get("/banks/{bank_id}", responses={200: {"model": BankShape}, **guarded(400, 404)})
async def show_bank(bank_id: ShortText, query: TheQuery, grant: TheGrant, more: TheMore = False) -> JSONResponse:
    """One connected bankd."""
    bank_nr = number(bank_id, "bank id", MAX_SHORT)
    bank = query.bank(bank_nr)
    if bank is None or not _is_within(grant, bank_nr):
        raise _unknown(bank_nr)
    may_see = sight_of(grant)
    shown = views.bank(bank, more=more, may_see=may_see)
    return JSONResponse(shown | views.slots(bank, may_see=may_see) if more else shown)


@router.post("/banks/{bank_id}/reset-state", response_class=Response, responses=guarded(400, 404))
async def reset_bank(
    bank_id: ShortText, request: Request, runtime: TheRuntime, grant: TheGrant, actor: TheActor
) -> Response:
    """Make a bankd drop all its mappings (resetStateReq) and give it those that are desired anew.

    Every session of this bank is interrupted. Not part of the classic interface.
    """
    bank_nr = number(bank_id, "bank id", MAX_SHORT)
    # It concerns all clients of the bank.
    await require_operator(request, grant, bank_id=None if grant.scope.clients is not None else bank_nr)
    try:
        runtime.reset_bank(bank_nr, actor)
    except UnknownBankError:
        raise _unknown(bank_nr) from None
    return done(200)
