# SPDX-License-Identifier: Apache-2.0
"""Tokens and the audit log, to be read by admins."""

from fastapi import Request
from fastapi.responses import Response

from remsim.rest import models
from remsim.server.api.auth import TheGrant, for_admins, require_operator
from remsim.server.api.errors import V2
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheQuery
from remsim.server.api.v1.views import time_text
from remsim.server.api.v2.answers import gives, listed, page, problems
from remsim.server.api.v2.reading import DEFAULT_LIMIT, CursorText, LimitText, page_size, read_cursor
from remsim.server.core.tokens import StoredToken
from remsim.server.store.audit import StoredEntry

router = Resource(prefix=V2)

#: The database's numbers end there.
_MAX_NUMBER = (1 << 63) - 1


@router.get("/tokens", tags=["v2 access"], responses={**gives(models.TokenPage), **problems(400)})
@for_admins
async def list_tokens(
    request: Request, query: TheQuery, grant: TheGrant, limit: LimitText = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """All access tokens, revoked ones included, without their secrets. For admins."""
    await require_operator(request, grant)
    found = sorted(await query.tokens(), key=lambda token: token.token_id)
    return await page(found, key=lambda token: (token.token_id,), show=show_token, limit=limit, cursor=cursor)


@router.get("/audit", tags=["v2 access"], responses={**gives(models.AuditPage), **problems(400)})
@for_admins
async def list_audit(
    request: Request, query: TheQuery, grant: TheGrant, limit: LimitText = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """Who changed or tried what, oldest first. For admins."""
    # The entries are about everything; a token with limits sees its part only.
    await require_operator(request, grant)
    size = page_size(limit)
    (after,) = (0,) if cursor is None else read_cursor(cursor, (0,))
    number = min(max(int(after), 0), _MAX_NUMBER)
    entries = list(await query.audit(after=number, limit=size + 1))
    behind = (entries[size - 1].number,) if len(entries) > size else None
    return listed([_entry(entry) for entry in entries[:size]], behind)


def show_token(token: StoredToken) -> models.TokenModel:
    """One token, without its secret."""
    banks, clients = token.scope.banks, token.scope.clients
    return models.TokenModel.model_validate(
        {
            "id": token.token_id,
            "name": token.name,
            "role": token.role.text,
            "banks": None if banks is None else sorted(banks),
            "clients": None if clients is None else sorted(clients),
            "created_at": time_text(token.created_at),
            "expires_at": None if token.expires_at is None else time_text(token.expires_at),
            "revoked_at": None if token.revoked_at is None else time_text(token.revoked_at),
        }
    )


def _entry(stored: StoredEntry) -> models.AuditModel:
    entry = stored.entry
    return models.AuditModel(
        id=stored.number,
        at=time_text(stored.at),
        who=entry.actor.who,
        source=entry.actor.source,
        action=entry.action,
        target=entry.target,
        outcome=entry.outcome,
        detail=entry.detail,
    )
