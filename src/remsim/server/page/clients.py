# SPDX-License-Identifier: Apache-2.0
"""Client slots as the page shows them: one that waits for a card that is in no slot has the mapping that waits."""

from remsim.core.ids import ClientSlot
from remsim.rest.models import ClientSlotModel
from remsim.server.api.routing import sight_of
from remsim.server.api.v2.views import Views
from remsim.server.core.tokens import Grant
from remsim.server.query import ServerQuery


def client_model(
    query: ServerQuery, views: Views, grant: Grant, slot: ClientSlot, *, is_whole: bool = False
) -> ClientSlotModel:
    """A client slot, as far as the caller may see it; ``is_whole``: with all that is known."""
    model = views.client_slot(slot, is_whole=is_whole)
    waiting = query.waiting.of_client(slot) if model.mapping is None else None
    if waiting is None or not sight_of(grant)(waiting.left, slot):
        return model
    return model.model_copy(update={"mapping": views.waiting(waiting)})
