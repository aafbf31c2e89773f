# SPDX-License-Identifier: Apache-2.0
"""What the server knows of leases, for those who show it. Nothing here changes anything."""

from typing import Final, Literal

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.actions import LeaseEnd
from remsim.server.core.card_choice import shown_pool
from remsim.server.core.leases import Lease, LeaseState
from remsim.server.core.lending import Lending
from remsim.server.query import MappingInfo, ServerQuery

LeaseEndText = Literal["expired", "released", "unmapped", "timed_out", "revoked"]
_LEASE_ENDS: Final[dict[LeaseEnd, LeaseEndText]] = {
    LeaseEnd.EXPIRED: "expired",
    LeaseEnd.RELEASED: "released",
    LeaseEnd.UNMAPPED: "unmapped",
    LeaseEnd.TIMED_OUT: "timed_out",
    LeaseEnd.REVOKED: "revoked",
}


class LeaseInfo:
    """A card lent for a time, or a request that waits for one. Times are seconds since 1970-01-01 UTC."""

    __slots__ = ("_lease", "_query")

    def __init__(self, lease: Lease, query: ServerQuery) -> None:
        self._lease = lease
        self._query = query

    @property
    def id(self) -> int:
        """Its number."""
        return self._lease.order.id

    @property
    def pool(self) -> str:
        """Of which cards it is; the number of a card is shortened."""
        return shown_pool(self._lease.order.pool)

    @property
    def client(self) -> ClientSlot:
        """Its client slot."""
        return self._lease.order.client

    @property
    def bank(self) -> BankSlot | None:
        """Its card, or that which it had."""
        return self._lease.bank

    @property
    def priority(self) -> int:
        """A higher one is served first."""
        return self._lease.order.priority

    @property
    def duration_s(self) -> float:
        """How long it lasts from when it was granted or renewed."""
        return self._lease.order.duration_s

    @property
    def wait_s(self) -> float:
        """How long it waits for a card."""
        return self._lease.order.wait_s

    @property
    def state(self) -> LeaseState:
        """How far it has come."""
        return self._lease.state

    @property
    def requested_at(self) -> float:
        """When it was asked for."""
        return self._lease.requested_at

    @property
    def granted_at(self) -> float | None:
        """When it got its card."""
        return self._lease.granted_at

    @property
    def expires_at(self) -> float | None:
        """When its time is over."""
        return self._lease.expires_at

    @property
    def ended_at(self) -> float | None:
        """When it ended."""
        return self._lease.ended_at

    @property
    def end(self) -> LeaseEndText | None:
        """How it ended."""
        end = self._lease.end
        return None if end is None else _LEASE_ENDS[end]

    @property
    def since(self) -> float:
        """Since when it is in its state."""
        lease = self._lease
        return lease.ended_at or lease.granted_at or lease.requested_at

    @property
    def mapping(self) -> MappingInfo | None:
        """Its mapping, while it has one."""
        number = self._lease.mapping_id
        return None if number is None else self._query.mapping_by_id(number)

    def missing(self, wall: float) -> list[str]:
        """In words, what stands between its modem and a card; empty: nothing, or it has ended."""
        if self.state is LeaseState.ENDED:
            return []
        mapping = self.mapping
        if mapping is not None:
            return mapping.missing
        waited_s = max(0.0, wall - self.requested_at)
        return [f"no card of {self.pool} is free; it has waited for {waited_s:.0f} s"]


class LeaseQuery:
    """Everything that may be asked about the leases of one server, and about cards that are free."""

    def __init__(self, lending: Lending, query: ServerQuery) -> None:
        self._table = lending.table
        self._query = query
        #: See there.
        self.best_first: Final = lending.best_first
        self.free_for: Final = lending.free_for

    def live(self) -> list[LeaseInfo]:
        """Those that wait or have a card, in the order of their requests."""
        return [self._lease(lease) for lease in sorted(self._table, key=lambda each: each.order.id)]

    def ended(self) -> list[LeaseInfo]:
        """Those that have ended of late, in the order of their requests."""
        return [self._lease(lease) for lease in self._table.ended()]

    def queue(self) -> list[LeaseInfo]:
        """Those that wait, the next one first."""
        return [self._lease(lease) for lease in self._table.queue()]

    def get(self, number: int) -> LeaseInfo | None:
        """One that waits, has a card, or has ended of late."""
        lease = self._table.find(number)
        return None if lease is None else self._lease(lease)

    def of_client(self, client: ClientSlot) -> LeaseInfo | None:
        """The one of a client slot that waits or has a card."""
        lease = self._table.by_client(client)
        return None if lease is None else self._lease(lease)

    def _lease(self, lease: Lease) -> LeaseInfo:
        return LeaseInfo(lease, self._query)
