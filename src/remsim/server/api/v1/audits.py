# SPDX-License-Identifier: Apache-2.0
"""The audit log, to be read. Nothing here writes it."""

from typing import Annotated, Final

from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import WithJsonSchema

from remsim.server.api.auth import TheGrant, for_admins, require_operator
from remsim.server.api.reading import number
from remsim.server.api.resource import Resource
from remsim.server.api.routing import V1, TheQuery, guarded
from remsim.server.api.v1 import views
from remsim.server.api.v1.shapes import AuditList
from remsim.server.store.audit import StoredEntry

router = Resource(prefix=V1, tags=["audit"])

#: Entries in one answer.
PAGE: Final = 1000
#: The database's numbers end there.
_MAX_NUMBER: Final = (1 << 63) - 1

_After = Annotated[
    str,
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": _MAX_NUMBER}),
    Query(description="only entries behind this number"),
]


@router.get("/audit", responses={200: {"model": AuditList}, **guarded(400)})
@for_admins
async def show_audit(request: Request, query: TheQuery, grant: TheGrant, after: _After = "0") -> JSONResponse:
    """Who changed or tried what, oldest first, up to 1000 entries; go on behind the last one's number. For admins."""
    # The entries are about everything; a token with limits sees its part only.
    await require_operator(request, grant)
    entries = await query.audit(after=number(after, "entry number", _MAX_NUMBER), limit=PAGE)
    return JSONResponse({"audit": [_shown(entry) for entry in entries]})


def _shown(stored: StoredEntry) -> views.Json:
    entry = stored.entry
    return {
        "id": stored.number,
        "at": views.time_text(stored.at),
        "who": entry.actor.who,
        "source": entry.actor.source,
        "action": entry.action,
        "target": entry.target,
        "outcome": entry.outcome,
        "detail": entry.detail,
    }
