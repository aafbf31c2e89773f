# SPDX-License-Identifier: Apache-2.0
"""Leases: who has which card for how long, who waits for one and in which order, and what has ended of late."""

from collections.abc import Mapping
from typing import Final

from remsim.core.ids import ClientSlot
from remsim.rest.leases import LeaseModel
from remsim.server.api.routing import sight_of
from remsim.server.api.v2.lease_views import LeaseViews
from remsim.server.core.tokens import Grant, TokenRole
from remsim.server.page.rendering import render
from remsim.server.runtime import ServerRuntime

#: How a lease ended, in words.
ENDS: Final = {
    "expired": "its time was over",
    "released": "given back or withdrawn",
    "unmapped": "its mapping was deleted",
    "timed_out": "no card was free",
    "revoked": "its token is not good any more",
}
#: Rows of each table that are shown; the rest is counted.
SHOWN: Final = 200
#: Ended ones that are shown.
_ENDED: Final = 20


def pieces(runtime: ServerRuntime, grant: Grant) -> Mapping[str, str]:
    """The pieces of the view, as far as the caller may see it."""
    views = LeaseViews(runtime, sight_of(grant))
    waiting = [info for info in runtime.leases.queue() if views.may_see(info)]
    granted = [info for info in runtime.leases.live() if info.granted_at is not None and views.may_see(info)]
    granted.sort(key=lambda info: info.expires_at or 0.0)
    ended = [info for info in runtime.leases.ended() if views.may_see(info)]
    ended.sort(key=lambda info: info.ended_at or 0.0, reverse=True)
    tables = {"waiting": waiting, "granted": granted, "ended": ended[:_ENDED]}
    return {
        name: render(
            f"leases_{name}.html",
            leases=[_row(views.lease(info), grant) for info in found[:SHOWN]],
            more=max(0, len(found) - SHOWN),
        )
        for name, found in tables.items()
    }


def lease_of(runtime: ServerRuntime, grant: Grant, client: ClientSlot) -> LeaseModel | None:
    """The lease of a client slot that waits or has a card, if the caller may see it."""
    views = LeaseViews(runtime, sight_of(grant))
    found = runtime.leases.of_client(client)
    return None if found is None or not views.may_see(found) else views.lease(found)


def _row(lease: LeaseModel, grant: Grant) -> dict[str, object]:
    client_id = ClientSlot.parse(lease.client).client_id
    how = "" if lease.ended is None else ENDS[lease.ended]
    return {"lease": lease, "how": how, "may": grant.allows(TokenRole.OPERATOR, client_id=client_id)}
