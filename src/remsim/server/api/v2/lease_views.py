# SPDX-License-Identifier: Apache-2.0
"""Fills the models of leases with what the server knows, as far as the caller may see it."""

import time
from typing import Final

from remsim.rest import leases as models
from remsim.server.api.v1.views import MaySee, time_text
from remsim.server.api.v2.views import Views
from remsim.server.core.leases import LeaseState
from remsim.server.lease_query import LeaseInfo
from remsim.server.runtime import ServerRuntime

_DATABASE: Final = "database"


class LeaseViews:
    """For one request: what ``runtime`` knows, as far as ``may_see`` allows."""

    def __init__(self, runtime: ServerRuntime, may_see: MaySee) -> None:
        self._query = runtime.query
        self._leases = runtime.leases
        self._may_see = may_see
        self._views = Views(runtime.query, may_see)
        self._places: dict[int, int] | None = None

    def may_see(self, info: LeaseInfo) -> bool:
        """Whether the token is for its client, and for its bank if it has a card."""
        return self._may_see(info.bank, info.client)

    def lease(self, info: LeaseInfo) -> models.LeaseModel:
        """A lease."""
        wall = time.time()
        since = info.since
        is_waiting = info.state is LeaseState.WAITING
        missing = info.missing(wall)
        return models.LeaseModel(
            id=info.id,
            pool=info.pool,
            client=str(info.client),
            priority=info.priority,
            state=models.LeaseObserved.model_validate(
                {
                    "state": info.state.value,
                    "since": time_text(since),
                    "age_s": round(max(0.0, wall - since), 3),
                    "source": "server" if since >= self._query.started_at else _DATABASE,
                }
            ),
            ahead=self._ahead(info) if is_waiting else None,
            for_s=info.duration_s,
            requested_at=time_text(info.requested_at),
            waits_until=time_text(info.requested_at + info.wait_s) if is_waiting else None,
            granted_at=_moment(info.granted_at),
            expires_at=_moment(info.expires_at),
            ended_at=_moment(info.ended_at),
            ended=info.end,
            operational=info.state is LeaseState.GRANTED and not missing,
            missing=missing,
            mapping=self._views.seen_mapping(info.mapping),
        )

    def _ahead(self, info: LeaseInfo) -> int:
        if self._places is None:
            # Others may wait, too; this token may not learn how many.
            seen = [each for each in self._leases.queue() if self.may_see(each)]
            self._places = {each.id: place for place, each in enumerate(seen)}
        return self._places.get(info.id, 0)


def _moment(at: float | None) -> str | None:
    return None if at is None else time_text(at)
