# SPDX-License-Identifier: Apache-2.0
"""Who may get in, and who is told: tokens, certificates, enrolment codes and webhooks, in pieces. For admins."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

from fastapi import Request

from remsim.pki.errors import PkiError
from remsim.rest import authority as authority_models
from remsim.server.api.v2 import authority as authority_routes
from remsim.server.api.v2.access import show_token
from remsim.server.api.v2.webhooks import delivery_model, webhook_model
from remsim.server.authority.turns import AuthorityTurns
from remsim.server.core.tokens import StoredToken, is_still_good
from remsim.server.core.webhooks import WebhookQueue
from remsim.server.page.rendering import render
from remsim.server.query import ServerQuery
from remsim.server.runtime import ServerRuntime
from remsim.server.store.writer import StoreError
from remsim.server.webhooks import WebhookSender

if TYPE_CHECKING:
    from remsim.pki.authority import Authority

#: Besides, database and files of the authority are read so often while somebody looks: the command line changes them,
#: too, and the server does not hear of it.
ANEW_S: Final = 2.0
#: Deliveries of a webhook that are shown, the newest.
_DELIVERIES: Final = 5


async def pieces(request: Request, query: ServerQuery) -> Mapping[str, str]:
    """The pieces of the view. Raises StoreError, PkiError."""
    return {**await _stored(request, query), **_in_memory(request)}


async def _stored(request: Request, query: ServerQuery) -> dict[str, str]:
    certificates, codes = await _of_authority(request)
    now = time.time()
    tokens = [_token(token, now) for token in await query.tokens()]
    return {
        "tokens": render("access_tokens.html", tokens=tokens),
        "certificates": render("access_certificates.html", certificates=certificates),
        "codes": render("access_codes.html", codes=codes),
    }


def _in_memory(request: Request) -> dict[str, str]:
    sender = cast(WebhookSender, request.app.state.webhooks)
    return {"webhooks": render("access_webhooks.html", hooks=[_webhook(queue) for queue in sender.table])}


class OpenAccess:
    """The view in one browser: what has to be read is read after orders, and now and then; webhooks are in memory."""

    def __init__(self, request: Request, runtime: ServerRuntime, *, clock: Callable[[], float]) -> None:
        self._request = request
        self._query = runtime.query
        self._changes = runtime.changes
        self._clock = clock
        self._read_at = float("-inf")
        self._orders = -1
        self._stored: Mapping[str, str] = {}

    def others(self) -> object:
        """What counts orders and deliveries."""
        return self._changes.orders, self._changes.deliveries

    async def pieces(self) -> Mapping[str, str]:
        """The pieces; where they cannot be read, the reason in their place."""
        now, orders = self._clock(), self._changes.orders
        try:
            if orders != self._orders or now - self._read_at >= ANEW_S:
                self._stored = await _stored(self._request, self._query)
                self._read_at, self._orders = now, orders
        except (StoreError, PkiError) as error:
            return {"unread": render("access_unread.html", reason=str(error))}
        return {**self._stored, **_in_memory(self._request), "unread": render("access_unread.html", reason="")}


async def _of_authority(
    request: Request,
) -> tuple[list[authority_models.CertificateModel] | None, list[authority_models.CodeModel] | None]:
    authority = cast("Authority | None", getattr(request.app.state, "authority", None))
    if authority is None:
        return None, None
    turns = cast(AuthorityTurns, request.app.state.authority_turns)
    issued, made = await turns.do(authority.issued), await turns.do(authority.codes)
    return (
        [authority_routes.show_certificate(entry) for entry in reversed(issued)],
        [authority_routes.show_code(code) for code in reversed(made)],
    )


def _token(token: StoredToken, now: float) -> dict[str, object]:
    state = "valid" if is_still_good(token, now) else "revoked" if token.revoked_at is not None else "expired"
    return {**show_token(token).model_dump(), "state": state}


def _webhook(queue: WebhookQueue) -> dict[str, object]:
    shown = [*queue.ended, *queue.pending][: -_DELIVERIES - 1 : -1]
    return {"hook": webhook_model(queue), "deliveries": [delivery_model(delivery) for delivery in shown]}
