# SPDX-License-Identifier: Apache-2.0
"""How long the commands of a slot took of late: what a chart is drawn from."""

from fastapi.responses import Response

from remsim.core.ids import BankSlot, ClientSlot
from remsim.rest import models
from remsim.server.api.auth import TheGrant
from remsim.server.api.errors import V2
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheQuery, sight_of
from remsim.server.api.v1.views import time_text
from remsim.server.api.v2.answers import gives, problems, shown
from remsim.server.api.v2.traces import SlotPath, known_slot
from remsim.server.core.tokens import Grant
from remsim.server.query import ServerQuery

router = Resource(prefix=V2, tags=["v2 health"])


@router.get("/latency/{slot}", responses={**gives(models.LatencyHistoryModel), **problems(400, 404)})
async def show_latency(query: TheQuery, grant: TheGrant, slot: SlotPath) -> Response:
    """The last ten minutes of a bank slot or client slot, and of the other end of its mapping.

    Programs report at most every two seconds, and not while nothing happens. Totals are in the health of the slot.
    """
    where = known_slot(query, grant, slot)
    ends = ends_of(query, grant, where)
    return shown(models.LatencyHistoryModel(courses=[course_of(query, end) for end in ends]))


def ends_of(query: ServerQuery, grant: Grant, slot: BankSlot | ClientSlot) -> list[BankSlot | ClientSlot]:
    """A slot, and the other end of its mapping if the caller may see it; the bank's end first."""
    found = query.mapping(slot) if isinstance(slot, BankSlot) else query.mapping_of_client(slot)
    if found is None or not sight_of(grant)(found.bank, found.client):
        return [slot]
    return [found.bank, found.client]


def course_of(query: ServerQuery, slot: BankSlot | ClientSlot) -> models.LatencyCourseModel:
    """What one end has told."""
    return models.LatencyCourseModel(
        slot=str(slot),
        measures="card" if isinstance(slot, BankSlot) else "round_trip",
        points=[
            models.LatencyPointModel(
                at=time_text(query.moment(point.at)),
                p50_us=point.p50_us,
                p99_us=point.p99_us,
                commands=point.commands,
                hold_ms=point.hold_ms,
                network_p50_us=point.network_us,
                network_by=None if point.network_us is None else "pings" if point.is_of_pings else "commands",
            )
            for point in query.health.latency(slot)
        ],
    )
