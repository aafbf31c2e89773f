# SPDX-License-Identifier: Apache-2.0
"""Short cuts for commands on real links: from the hub to a slot's card and back without an event for each."""

from remsim.bankd.core.actions import CardAttached
from remsim.bankd.core.coordinator import BankdCoordinator
from remsim.bankd.driver import CardDriver
from remsim.net.connections import ConnectionManager


def open_lane(hub: ConnectionManager, coordinator: BankdCoordinator, action: CardAttached, slot: CardDriver) -> None:
    """Let commands of this session take the short cut that its card allows, if any."""
    if slot.answers_at_once:
        transmit_now = coordinator.lane(action.link, slot.transmit_now)
        if transmit_now is not None:
            hub.open_lane(action.link, action.client, action.bank_slot, transmit_now)
    elif slot.answers_soon:
        _open_deferred_lane(hub, coordinator, action, slot)


def _open_deferred_lane(
    hub: ConnectionManager, coordinator: BankdCoordinator, action: CardAttached, slot: CardDriver
) -> None:
    lane = coordinator.deferred_lane(action.link)
    if lane is None:
        return

    def transmit_soon(tag: int, tpdu: bytes) -> bool:
        is_taken = lane.begin(tag, tpdu)
        if is_taken:
            slot.transmit(tpdu)
        return is_taken

    def answer(response: bytes) -> bool:
        tag = lane.finish(response)
        if tag is not None:
            hub.answer_tpdu(action.link, tag, response)
        return tag is not None

    slot.answer = answer
    hub.open_lane(action.link, action.client, action.bank_slot, transmit_soon=transmit_soon)
