# SPDX-License-Identifier: Apache-2.0
"""What REST shows of the server's state: the facts for ``views``, gathered from all who know a part."""

from remsim.server.api.v1 import views
from remsim.server.api.v1.views import Json, MappingFacts
from remsim.server.core.peers import Peer
from remsim.server.core.problems import problem_of
from remsim.server.core.slotmap import Mapping
from remsim.server.runtime import ServerRuntime
from remsim.wire.link.abilities import CARDS


def show_mapping(desk: ServerRuntime, item: Mapping, *, more: bool) -> Json:
    """A live mapping."""
    return views.mapping(item, _facts(desk, item, more=more), more=more)


def show_client(desk: ServerRuntime, peer: Peer, *, more: bool) -> Json:
    """A connected client."""
    if not more:
        return views.client(peer)
    item = desk.mapping_of(peer)
    facts = MappingFacts(is_bank_there=False) if item is None else _facts(desk, item, more=True)
    return views.client_and_more(peer, item, facts, desk.connected_at(peer))


def show_bank(desk: ServerRuntime, peer: Peer, *, more: bool) -> Json:
    """A connected bankd, as in lists."""
    if not more:
        return views.bank(peer)
    coordinator = desk.coordinator
    tells = peer.identity is not None and CARDS in (peer.identity.abilities or ())
    return views.bank_and_more(
        peer,
        len(coordinator.slotmap.live_of_bank(peer.bank)),
        len(coordinator.slotmap.removals_of_bank(peer.bank)),
        desk.connected_at(peer),
        len(coordinator.inventory.numbers_of_bank(peer.bank)) if tells else None,
    )


def show_slots(desk: ServerRuntime, peer: Peer) -> Json:
    """The slots of one bank, and its cards."""
    coordinator = desk.coordinator
    numbers = coordinator.inventory.numbers_of_bank(peer.bank)
    mappings = {item.bank.slot_nr: item for item in coordinator.slotmap.live_of_bank(peer.bank)}
    slots = [
        views.slot(
            nr,
            peer.slot_status.get(nr),
            numbers.get(nr),
            show_mapping(desk, mappings[nr], more=True) if nr in mappings else None,
        )
        for nr in sorted({*range(peer.number_of_slots), *mappings})
    ]
    return {"slots": slots, "cards": views.cards(numbers)}


def _facts(desk: ServerRuntime, item: Mapping, *, more: bool) -> MappingFacts:
    coordinator = desk.coordinator
    bank = coordinator.peers.by_bank(item.bank.bank_id)
    client = coordinator.peers.connected_client(item.client)
    problem = problem_of(item, bank, client) if more else ""
    return MappingFacts(is_bank_there=bank is not None, is_client_there=client is not None, problem=problem)
