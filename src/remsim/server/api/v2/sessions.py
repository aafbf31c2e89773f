# SPDX-License-Identifier: Apache-2.0
"""Card sessions, as their bankds tell of them."""

from fastapi.responses import Response

from remsim.rest import models
from remsim.server.api.auth import TheGrant
from remsim.server.api.errors import V2
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheQuery, sight_of
from remsim.server.api.v2.answers import gives, page, problems
from remsim.server.api.v2.reading import DEFAULT_LIMIT, CursorText, LimitText
from remsim.server.api.v2.views import Views

router = Resource(prefix=V2)


@router.get("/sessions", tags=["v2 sessions"], responses={**gives(models.SessionPage), **problems(400)})
async def list_sessions(
    query: TheQuery, grant: TheGrant, limit: LimitText = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """All card sessions that the token is for, in the order of their bank slots. Classic bankds tell of none."""
    may_see = sight_of(grant)
    return await page(
        query.health.sessions(may_see),
        key=lambda info: (info.bank.bank_id, info.bank.slot_nr),
        show=Views(query, may_see).health.session_of,
        limit=limit,
        cursor=cursor,
    )
