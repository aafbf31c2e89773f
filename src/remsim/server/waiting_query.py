# SPDX-License-Identifier: Apache-2.0
"""What the server knows of mappings that wait for the card that they follow. Nothing here changes anything."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from remsim.core.ids import BankSlot, ClientSlot
from remsim.redaction import shorten_iccid
from remsim.server.core.actions import ParkedMapping
from remsim.server.core.coordinator import Coordinator

#: Whether a caller may know of a bank slot or a client slot.
Sees = Callable[[BankSlot | None, ClientSlot | None], bool]


class ParkedInfo:
    """A mapping that waits. Times are seconds since 1970-01-01 UTC."""

    __slots__ = ("_coordinator", "_parked")

    def __init__(self, parked: ParkedMapping, coordinator: Coordinator) -> None:
        self._parked = parked
        self._coordinator = coordinator

    @property
    def id(self) -> int:
        """That of the mapping that it was: no other has it."""
        return self._parked.id

    @property
    def client(self) -> ClientSlot:
        """Its client slot."""
        return self._parked.client

    @property
    def left(self) -> BankSlot:
        """Where it was last."""
        return self._parked.bank

    @property
    def iccid(self) -> str:
        """The number of its card."""
        return self._parked.iccid

    @property
    def created_at(self) -> float:
        """When the mapping was made."""
        return self._parked.created_at

    @property
    def since(self) -> float:
        """Since when it waits."""
        return self._parked.since

    @property
    def age_s(self) -> float:
        """For how long."""
        return max(0.0, time.time() - self.since)

    def missing(self, may_see: Sees) -> str:
        """In words, what it waits for; where its card is only for those who may know."""
        card, at = f"card {shorten_iccid(self.iccid)}", _moment(self.since)
        places = self._coordinator.inventory.places(self.iccid)
        shown = [slot for slot in places if may_see(slot, self.client)]
        if len(shown) > 1:
            return f"{card} is in {', '.join(map(str, shown))}: two cards have this number; it waits since {at}"
        if shown:
            here = self._coordinator.slotmap.by_bank_slot(shown[0])
            is_known = here is not None and may_see(shown[0], here.client)
            why = f"{here.client} has" if here is not None and is_known else "it may not have"
            return f"{card} is in {shown[0]}, which {why}; it waits since {at}"
        return f"{card} is in no slot since {at}"


class WaitingQuery:
    """Everything that may be asked about them."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def all(self, may_see: Sees) -> list[ParkedInfo]:
        """Those that a caller may see, in the order of their client slots."""
        found = sorted(self._coordinator.slotmap.parked(), key=lambda parked: parked.client)
        return [ParkedInfo(each, self._coordinator) for each in found if may_see(each.bank, each.client)]

    def of_client(self, client: ClientSlot) -> ParkedInfo | None:
        """That of a client slot."""
        parked = self._coordinator.slotmap.parked_of_client(client)
        return None if parked is None else ParkedInfo(parked, self._coordinator)


def card_away(iccid: str, since: float | None) -> str:
    """In words, that a card is in no slot; ``since`` None: since before the server was started."""
    at = "before the server was started" if since is None else _moment(since)
    return f"card {shorten_iccid(iccid)} is in no slot since {at}"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
