# SPDX-License-Identifier: Apache-2.0
"""What the server knows of how slots stand, for those who show it. Nothing here changes anything."""

from collections.abc import Callable

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.values import dataclass
from remsim.server.core.coordinator import Coordinator
from remsim.server.core.health_board import HealthStanding
from remsim.server.core.latency_history import LatencyPoint
from remsim.server.core.peers import Heard, SessionReport
from remsim.wire.messages.health import ClientHealthInd, SlotHealthInd


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A card session, as its bankd tells."""

    bank: BankSlot
    report: SessionReport


class HealthQuery:
    """For one server. Times are the server's own, as ``now`` gives it."""

    def __init__(self, coordinator: Coordinator, now: Callable[[], float]) -> None:
        self._coordinator = coordinator
        self._now = now

    def slot(self, slot: BankSlot) -> HealthStanding:
        """The verdict on a bank slot, connected or not."""
        return self._coordinator.health.slot(slot, self._now())

    def client(self, slot: ClientSlot) -> HealthStanding:
        """The verdict on a client slot, connected or not."""
        return self._coordinator.health.client(slot, self._now())

    def slot_report(self, slot: BankSlot) -> Heard[SlotHealthInd] | None:
        """What its bankd has told last; None: nothing, or the bankd is not connected."""
        bank = self._coordinator.peers.by_bank(slot.bank_id)
        return None if bank is None else bank.slot_health.get(slot.slot_nr)

    def client_report(self, slot: ClientSlot) -> Heard[ClientHealthInd] | None:
        """What the client has told last; None: nothing, or it is not connected."""
        client = self._coordinator.peers.connected_client(slot)
        return None if client is None else client.client_health

    def latency(self, slot: BankSlot | ClientSlot) -> list[LatencyPoint]:
        """How long the commands of a slot took of late, the oldest first."""
        return self._coordinator.health.latency.of(slot, self._now())

    def session(self, slot: BankSlot) -> SessionInfo | None:
        """The card session in a bank slot."""
        bank = self._coordinator.peers.by_bank(slot.bank_id)
        report = None if bank is None else bank.sessions.get(slot.slot_nr)
        return None if report is None else SessionInfo(slot, report)

    def sessions(self, shown: Callable[[BankSlot, ClientSlot], bool]) -> list[SessionInfo]:
        """All card sessions that are to be ``shown``, in the order of their bank slots."""
        found = [
            SessionInfo(BankSlot(bank.bank, nr), report)
            for bank in self._coordinator.peers.banks()
            for nr, report in bank.sessions.items()
        ]
        return sorted((item for item in found if shown(item.bank, item.report.client)), key=lambda item: item.bank)
