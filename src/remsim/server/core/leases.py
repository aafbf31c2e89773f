# SPDX-License-Identifier: Apache-2.0
"""Leases: cards lent for a time, and the queue of those who wait for one. Without I/O; time is an argument.

A lease that is granted is one live mapping, created and deleted in the same transactions. ``LeaseTable`` knows the
leases and their order; ``lending`` decides who gets which card.
"""

from bisect import bisect_left, insort
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import InitVar, dataclass
from typing import Final

from remsim.core.deadlines import Deadlines
from remsim.core.errors import RemsimError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.state_machine import Event, State, Stateful, Transitions
from remsim.server.core.actions import LeaseEnd, LeaseOrder
from remsim.server.core.slotmap import ConflictError

#: Leases that wait or have a card: more than the largest installation has modems.
MAX_LEASES: Final = 16_384
#: Ended ones that can still be looked at, until the server is started again.
MAX_ENDED: Final = 1024


class LeaseState(State):
    """How far a lease has come."""

    WAITING = "waiting"
    GRANTED = "granted"
    ENDED = "ended"


class LeaseEvent(Event):
    """What moves a lease, once it is stored."""

    GRANT = "gets a card"
    RENEW = "renewed"
    WITHDRAW = "withdrawn"
    TIME_OUT = "no card in time"
    EXPIRE = "its time is over"
    RELEASE = "released"
    UNMAP = "mapping deleted"
    REVOKE = "token not good any more"


LEASE_TRANSITIONS: Final[Transitions[LeaseState, LeaseEvent]] = Transitions(
    "lease",
    {
        (LeaseState.WAITING, LeaseEvent.GRANT): LeaseState.GRANTED,
        (LeaseState.WAITING, LeaseEvent.WITHDRAW): LeaseState.ENDED,
        (LeaseState.WAITING, LeaseEvent.TIME_OUT): LeaseState.ENDED,
        (LeaseState.WAITING, LeaseEvent.REVOKE): LeaseState.ENDED,
        (LeaseState.GRANTED, LeaseEvent.RENEW): LeaseState.GRANTED,
        (LeaseState.GRANTED, LeaseEvent.EXPIRE): LeaseState.ENDED,
        (LeaseState.GRANTED, LeaseEvent.RELEASE): LeaseState.ENDED,
        (LeaseState.GRANTED, LeaseEvent.UNMAP): LeaseState.ENDED,
        (LeaseState.GRANTED, LeaseEvent.REVOKE): LeaseState.ENDED,
    },
)

_ENDS: Final = {
    (LeaseState.WAITING, LeaseEnd.RELEASED): LeaseEvent.WITHDRAW,
    (LeaseState.WAITING, LeaseEnd.TIMED_OUT): LeaseEvent.TIME_OUT,
    (LeaseState.GRANTED, LeaseEnd.EXPIRED): LeaseEvent.EXPIRE,
    (LeaseState.GRANTED, LeaseEnd.RELEASED): LeaseEvent.RELEASE,
    (LeaseState.GRANTED, LeaseEnd.UNMAPPED): LeaseEvent.UNMAP,
    (LeaseState.WAITING, LeaseEnd.REVOKED): LeaseEvent.REVOKE,
    (LeaseState.GRANTED, LeaseEnd.REVOKED): LeaseEvent.REVOKE,
}


class NoFreeCardError(ConflictError):
    """No card of the pool is free, and the caller does not want to wait."""


class TooManyLeasesError(ConflictError):
    """As many leases wait, or have a card, as there may be."""


class UnknownLeaseError(RemsimError):
    """There is no such lease, or it has ended."""


@dataclass(slots=True, eq=False)
class Lease(Stateful[LeaseState, LeaseEvent]):
    """One lease. Changed by its table only. Times ``…_at`` are seconds since 1970-01-01 UTC."""

    TRANSITIONS = LEASE_TRANSITIONS

    order: LeaseOrder
    requested_at: float
    initial: InitVar[LeaseState] = LeaseState.WAITING
    mapping_id: int | None = None
    #: Its card; of an ended lease, that which it had.
    bank: BankSlot | None = None
    granted_at: float | None = None
    expires_at: float | None = None
    ended_at: float | None = None
    end: LeaseEnd | None = None
    #: A decision about it waits for the database: no other is taken.
    is_held: bool = False

    def __post_init__(self, initial: LeaseState) -> None:
        Stateful.__init__(self, initial)


def _place(order: LeaseOrder) -> tuple[int, int]:
    return -order.priority, order.id


class LeaseTable:
    """All leases that wait or have a card, and those that ended last. Every look-up is by index."""

    def __init__(self, *, last_id: int = 0) -> None:
        self._last_id = last_id
        self._leases: dict[int, Lease] = {}
        self._by_client: dict[ClientSlot, Lease] = {}
        self._by_mapping: dict[int, Lease] = {}
        self._queue: list[tuple[int, int]] = []
        self._pools: Counter[str] = Counter()
        self._ended: OrderedDict[int, Lease] = OrderedDict()
        self._timers: Deadlines[int] = Deadlines()

    def __len__(self) -> int:
        """Return how many wait or have a card."""
        return len(self._leases)

    def __iter__(self) -> Iterator[Lease]:
        """Iterate over those that wait or have a card, in the order of their requests."""
        return iter(self._leases.values())

    def take_id(self) -> int:
        """A number that no lease had."""
        self._last_id += 1
        return self._last_id

    # Life

    def add(self, lease: Lease, *, due: float) -> None:
        """Enter a lease; ``due`` is when its time, or its waiting, is over."""
        order = lease.order
        self._leases[order.id] = lease
        self._by_client[order.client] = lease
        if lease.mapping_id is not None:
            self._by_mapping[lease.mapping_id] = lease
        if lease.state is LeaseState.WAITING:
            insort(self._queue, _place(order))
            self._pools[order.pool] += 1
        self._timers.set(order.id, due)

    def drop(self, lease: Lease) -> None:
        """Forget a lease that was not stored."""
        self._remove(lease)

    def grant(self, lease: Lease, mapping_id: int, bank: BankSlot, granted_at: float, *, now: float) -> None:
        """It has a card from now on. Raises IllegalTransitionError."""
        lease.step(LeaseEvent.GRANT)
        self._leave_queue(lease)
        lease.mapping_id, lease.bank, lease.is_held = mapping_id, bank, False
        lease.granted_at, lease.expires_at = granted_at, granted_at + lease.order.duration_s
        self._by_mapping[mapping_id] = lease
        self._timers.set(lease.order.id, now + lease.order.duration_s)

    def renew(self, lease: Lease, order: LeaseOrder, expires_at: float, *, now: float) -> None:
        """It lasts ``order.duration_s`` from now on. Raises IllegalTransitionError."""
        lease.step(LeaseEvent.RENEW)
        lease.order, lease.expires_at, lease.is_held = order, expires_at, False
        self._timers.set(order.id, now + order.duration_s)

    def end(self, lease: Lease, end: LeaseEnd, ended_at: float) -> None:
        """It has ended. Raises IllegalTransitionError."""
        lease.step(_ENDS[lease.state, end])
        lease.end, lease.ended_at, lease.is_held = end, ended_at, False
        self._remove(lease)
        self._ended[lease.order.id] = lease
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def look_again(self, lease: Lease, due: float) -> None:
        """Its deadline comes once more: what was decided at it may not be stored."""
        self._timers.set(lease.order.id, due)

    def _remove(self, lease: Lease) -> None:
        order = lease.order
        self._timers.cancel(order.id)
        self._leave_queue(lease)
        del self._leases[order.id], self._by_client[order.client]
        if lease.mapping_id is not None:
            del self._by_mapping[lease.mapping_id]

    def _leave_queue(self, lease: Lease) -> None:
        place = _place(lease.order)
        at = bisect_left(self._queue, place)
        if at < len(self._queue) and self._queue[at] == place:
            del self._queue[at]
            self._pools[lease.order.pool] -= 1
            if not self._pools[lease.order.pool]:
                del self._pools[lease.order.pool]

    # Look-ups

    def get(self, lease_id: int) -> Lease | None:
        """A lease that waits or has a card."""
        return self._leases.get(lease_id)

    def find(self, lease_id: int) -> Lease | None:
        """The same, or one that has ended of late."""
        return self._leases.get(lease_id) or self._ended.get(lease_id)

    def ended(self) -> list[Lease]:
        """Those that have ended of late, in the order of their requests."""
        return sorted(self._ended.values(), key=lambda lease: lease.order.id)

    def by_client(self, client: ClientSlot) -> Lease | None:
        """The lease of a client slot."""
        return self._by_client.get(client)

    def by_mapping(self, mapping_id: int) -> Lease | None:
        """The lease whose mapping this is."""
        return self._by_mapping.get(mapping_id)

    def queue(self) -> list[Lease]:
        """Those that wait, the next one first."""
        return [self._leases[number] for _, number in self._queue]

    def pools(self) -> list[str]:
        """The pools that somebody waits for."""
        return list(self._pools)

    @property
    def is_anyone_waiting(self) -> bool:
        """Whether the queue has anybody in it."""
        return bool(self._queue)

    # Time

    def next_deadline(self) -> float | None:
        """When ``pop_due`` gives the next lease."""
        return self._timers.next()

    def pop_due(self, now: float) -> Lease | None:
        """Take one lease whose time, or whose waiting, is over."""
        number = self._timers.pop_due(now)
        return None if number is None else self._leases[number]
