# SPDX-License-Identifier: Apache-2.0
"""Who is lent which card, and when a lease ends. Without I/O; time is an argument, in the coordinator's own seconds.

A card of the pool is free if it is not mapped, not just being mapped, and not known to be gone. Of the free ones, those
that can be used now come first, then the one that was lent longest ago, then the one in the lowest slot. Those who wait
are served by priority, then in the order of their requests; one whose client slot has a card by other means, or for
whom the rules allow no card that is free, is passed over and keeps its place.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitCounts, LimitName
from remsim.server.core.actions import (
    SERVER,
    Action,
    Actor,
    Audited,
    Entry,
    LeaseEnd,
    LeaseOrder,
    StoreDeletion,
    StoredState,
    StoreGrant,
    StoreLease,
    StoreLeaseEnd,
    StoreMapping,
    StoreRenewal,
)
from remsim.server.core.card_choice import CardChoice
from remsim.server.core.inventory import Inventory
from remsim.server.core.labels import Labels
from remsim.server.core.leases import (
    MAX_LEASES,
    Lease,
    LeaseState,
    LeaseTable,
    NoFreeCardError,
    TooManyLeasesError,
    UnknownLeaseError,
)
from remsim.server.core.peers import PeerTable
from remsim.server.core.slotmap import ConflictError, Mapping, SlotMap
from remsim.wire.link.abilities import CARDS

#: Changes that come in a row, such as the cards of a bankd that connects, are looked at once, so long after the first.
GATHER_S: Final = 0.1
#: What was decided and could not be stored is tried again after so long.
RETRY_S: Final = 5.0
#: After a start, bankds come back first: their cards are of use, those of absent ones are not.
START_S: Final = 2.0

#: Makes the deletion of a mapping, None if it is being deleted already.
PlanDeletion = Callable[[list[Mapping], LeaseEnd], StoreDeletion | None]


class Lending:
    """Lends cards, and ends leases."""

    def __init__(
        self,
        memory: StoredState,
        *,
        slotmap: SlotMap,
        peers: PeerTable,
        inventory: Inventory,
        labels: Labels,
        limits: LimitCounts,
        plan_deletion: PlanDeletion,
        now: float,
    ) -> None:
        """``slotmap`` has the stored mappings already."""
        self.table = LeaseTable(last_id=memory.last_lease)
        #: Whether the rules let a client use a card; the runtime, which has the rules, replaces it.
        self.may_use: Callable[[BankSlot, ClientSlot], bool] = lambda _bank, _client: True
        self._slotmap = slotmap
        self._peers = peers
        self._inventory = inventory
        self._labels = labels
        self._limits = limits
        self._plan_deletion = plan_deletion
        self._lent_at = dict(memory.lent_at)
        self._look_at: float | None = None
        for stored in memory.leases:
            mapping = None if stored.mapping_id is None else slotmap.get(stored.mapping_id)
            order = stored.order
            lease = Lease(
                order,
                stored.requested_at,
                LeaseState.WAITING if mapping is None else LeaseState.GRANTED,
                None if mapping is None else mapping.id,
                None if mapping is None else mapping.bank,
                stored.granted_at,
                stored.expires_at,
            )
            # A clock that was wrong before or is wrong now makes no lease longer than it was to be.
            most, at = order.wait_s, stored.requested_at + order.wait_s
            if stored.expires_at is not None:
                most, at = order.duration_s, stored.expires_at
            self.table.add(lease, due=now + min(max(0.0, at - memory.read_at), most))
        if self.table.is_anyone_waiting:
            self._look_at = now + START_S

    # Orders

    def plan(
        self,
        pool: CardChoice,
        client: ClientSlot,
        *,
        banks: frozenset[int] | None,
        by: Actor,
        priority: int,
        duration_s: float,
        wait_s: float,
        wall: float,
        now: float,
    ) -> StoreLease:
        """Lend a card of ``pool``, now or within ``wait_s``. Reserved until it is stored or has failed.

        Raises ConflictError if the client slot has a card or waits for one, NoFreeCardError without ``wait_s``.
        """
        if (other := self.table.by_client(client)) is not None:
            what = "waits for a card already" if other.state is LeaseState.WAITING else "has a card on loan already"
            raise ConflictError(f"{client} {what}, by lease {other.order.id}", hint="renew or release that lease")
        if self._slotmap.by_client_slot(client) is not None:
            raise ConflictError(f"{client} is mapped already", hint="delete that mapping first")
        if len(self.table) >= MAX_LEASES:
            self._limits.reached(LimitName.LEASES)
            raise TooManyLeasesError(f"there are {MAX_LEASES} leases already", hint="release others first")
        order = LeaseOrder(0, _text(pool), client, banks, by.who, priority, duration_s, wait_s, by.token_id)
        found = self._choose(order, self._free(order.pool))
        if found is not None and self._is_wanted_before(found, order):
            found = None
        if found is None and wait_s <= 0:
            count = len(self._slots(order.pool, banks))
            text = f"none of the {count} cards of {pool} is free" if count else f"no bank has a card of {pool} now"
            raise NoFreeCardError(text, hint="wait for one, or label more cards")
        order = replace(order, id=self.table.take_id())
        lease = Lease(order, wall, is_held=True)
        if found is not None:
            self._slotmap.reserve(found, client)
        self.table.add(lease, due=now + wait_s)
        return StoreLease(order, None if found is None else self._creation(found, client))

    def plan_renewal(self, lease_id: int, duration_s: float) -> StoreRenewal:
        """Let a granted lease last so long from now on. Raises UnknownLeaseError and ConflictError."""
        lease = self._present(lease_id)
        if lease.state is not LeaseState.GRANTED:
            raise ConflictError(f"lease {lease_id} has no card yet", hint="wait until it has one")
        self._hold(lease)
        return StoreRenewal(lease_id, duration_s)

    def plan_release(self, lease_id: int) -> StoreDeletion | StoreLeaseEnd:
        """End a lease, whether it waits or has a card. Raises UnknownLeaseError and ConflictError."""
        lease = self._present(lease_id)
        if lease.mapping_id is None:
            self._hold(lease)
            return StoreLeaseEnd(lease_id, LeaseEnd.RELEASED)
        deletion = self._deletion(lease, LeaseEnd.RELEASED)
        if deletion is None:
            raise ConflictError(f"lease {lease_id} is just being ended by another request", hint="look again")
        return deletion

    def revoke(self, reasons: dict[int, str]) -> list[Action]:
        """End leases, whether they wait or have a card, for these reasons, by their numbers. Others' decisions hold."""
        actions: list[Action] = []
        for number, reason in reasons.items():
            lease = self.table.get(number)
            if lease is None or lease.is_held:
                continue
            decision: StoreDeletion | StoreLeaseEnd | None
            if lease.state is LeaseState.WAITING:
                lease.is_held = True
                decision = StoreLeaseEnd(number, LeaseEnd.REVOKED)
            else:
                decision = self._deletion(lease, LeaseEnd.REVOKED)
            if decision is not None:
                target = f"{lease.order.client}" if lease.bank is None else f"{lease.bank} {lease.order.client}"
                entry = Entry(SERVER, "lease.revoke", target, detail=f"lease {number}: {reason}")
                actions.append(Audited(decision, entry))
        return actions

    def _present(self, lease_id: int) -> Lease:
        lease = self.table.get(lease_id)
        if lease is None:
            raise UnknownLeaseError(f"there is no lease {lease_id}, or it has ended")
        return lease

    def _hold(self, lease: Lease) -> None:
        if lease.is_held:
            raise ConflictError(f"lease {lease.order.id} is just being changed by another request", hint="try again")
        lease.is_held = True

    def _deletion(self, lease: Lease, end: LeaseEnd) -> StoreDeletion | None:
        mapping = None if lease.mapping_id is None else self._slotmap.get(lease.mapping_id)
        return None if mapping is None else self._plan_deletion([mapping], end)

    # What is stored

    def on_lease_stored(self, decision: StoreLease, mapping_id: int | None, wall: float, now: float) -> None:
        """A new lease is committed."""
        lease = self._present(decision.order.id)
        lease.requested_at, lease.is_held = wall, False
        if decision.creation is not None and mapping_id is not None:
            self._granted(lease, mapping_id, decision.creation.bank, wall, now)
        else:
            # It waits from now on, however long the commit took.
            self.table.look_again(lease, now + lease.order.wait_s)

    def on_grant_stored(self, decision: StoreGrant, mapping_id: int, wall: float, now: float) -> None:
        """A lease that waited has its card."""
        self._granted(self._present(decision.lease_id), mapping_id, decision.creation.bank, wall, now)

    def on_renewal_stored(self, decision: StoreRenewal, wall: float, now: float) -> None:
        """A lease lasts longer. If it was ended meanwhile, that holds."""
        lease = self.table.get(decision.lease_id)
        if lease is not None:
            order = replace(lease.order, duration_s=decision.duration_s)
            self.table.renew(lease, order, wall + decision.duration_s, now=now)

    def on_end_stored(self, decision: StoreLeaseEnd, wall: float) -> None:
        """A lease that waited has ended."""
        self.table.end(self._present(decision.lease_id), decision.end, wall)

    def on_mapping_deleted(self, mapping_id: int, end: LeaseEnd, wall: float) -> None:
        """A mapping is deleted: its lease, if it has one, ends with it."""
        if (lease := self.table.by_mapping(mapping_id)) is not None:
            self.table.end(lease, end, wall)

    def on_lease_failed(self, decision: StoreLease) -> None:
        """A new lease could not be stored."""
        if decision.creation is not None:
            self._slotmap.unreserve(decision.creation.bank, decision.creation.client)
        self.table.drop(self._present(decision.order.id))

    def on_grant_failed(self, decision: StoreGrant) -> None:
        """It waits on; it is tried again after a while."""
        self._slotmap.unreserve(decision.creation.bank, decision.creation.client)
        self._present(decision.lease_id).is_held = False

    def on_change_failed(self, decision: StoreRenewal | StoreLeaseEnd) -> None:
        """Everything is as it was before."""
        lease = self.table.get(decision.lease_id)
        if lease is not None:
            lease.is_held = False

    def _granted(self, lease: Lease, mapping_id: int, bank: BankSlot, wall: float, now: float) -> None:
        self.table.grant(lease, mapping_id, bank, wall, now=now)
        self._lent_at[bank] = wall

    # Serving those who wait

    def stir(self, now: float) -> None:
        """Something about banks or cards has changed: those who wait are looked at soon."""
        if self.table.is_anyone_waiting:
            soon = now + GATHER_S
            self._look_at = soon if self._look_at is None else min(self._look_at, soon)

    def serve(self, now: float) -> list[Action]:
        """Give cards that are free to those who wait, in their order."""
        if not self.table.is_anyone_waiting:
            return []
        actions: list[Action] = []
        free = {pool: self._free(pool) for pool in self.table.pools()}
        for lease in self.table.queue() if any(free.values()) else ():
            order = lease.order
            if lease.is_held or not free[order.pool] or not self._slotmap.is_client_free(order.client):
                continue
            bank = self._choose(order, free[order.pool])
            if bank is None:
                continue
            self._slotmap.reserve(bank, order.client)
            for slots in free.values():
                if bank in slots:
                    slots.remove(bank)
            lease.is_held = True
            # If it is not stored.
            self._look_at = now + RETRY_S
            entry = Entry(SERVER, "lease.grant", f"{bank} {order.client}", detail=f"lease {order.id}")
            actions.append(Audited(StoreGrant(order.id, self._creation(bank, order.client)), entry))
        return actions

    def _is_wanted_before(self, bank: BankSlot, order: LeaseOrder) -> bool:
        """Whether somebody who waits, and comes before ``order``, is to get this card in a moment."""
        ahead = [lease.order for lease in self.table.queue() if lease.order.priority >= order.priority]
        pools = {pool: bank in self._slots(pool) for pool in {each.pool for each in ahead}}
        return any(
            pools[each.pool] and self._slotmap.is_client_free(each.client) and self._choose(each, [bank]) is not None
            for each in ahead
        )

    def _creation(self, bank: BankSlot, client: ClientSlot) -> StoreMapping:
        # It goes out behind the removal of the mapping that the card had before.
        return StoreMapping(bank, client, is_sent=False, iccid=self._inventory.number(bank))

    def _choose(self, order: LeaseOrder, free: list[BankSlot]) -> BankSlot | None:
        allowed = (bank for bank in free if order.banks is None or bank.bank_id in order.banks)
        return next((bank for bank in allowed if self.may_use(bank, order.client)), None)

    def _slots(self, pool: str, banks: frozenset[int] | None = None) -> list[BankSlot]:
        found = CardChoice.parse(pool).slots(self._inventory, self._labels)
        return [bank for bank in found if banks is None or bank.bank_id in banks]

    def _free(self, pool: str) -> list[BankSlot]:
        """The free cards of a pool, the one that is to be lent first first."""
        found = [bank for bank in self._slots(pool) if self._slotmap.is_bank_free(bank) and not self._is_gone(bank)]
        # Of those that are alike, the order stays, which is that of the slots.
        return sorted(found, key=lambda bank: (not self._is_usable(bank), self._lent_at.get(bank, 0.0)))

    def _is_gone(self, bank: BankSlot) -> bool:
        return self._inventory.number(bank) is None and self._inventory.last_number(bank) is not None

    def _is_usable(self, bank: BankSlot) -> bool:
        peer = self._peers.by_bank(bank.bank_id)
        if peer is None or bank.slot_nr >= peer.number_of_slots or bank.slot_nr in peer.readers:
            return False
        tells = peer.identity is not None and CARDS in (peer.identity.abilities or ())
        return not tells or self._inventory.number(bank) is not None

    def best_first(self, client: ClientSlot, banks: Iterable[BankSlot]) -> list[BankSlot]:
        """These slots, for a mapping that takes any of them.

        Those that the rules allow come first; then those whose card is not known to be gone, and that can be used now.
        """
        return sorted(
            banks,
            key=lambda bank: (not self.may_use(bank, client), self._is_gone(bank), not self._is_usable(bank), bank),
        )

    def free_for(self, client: ClientSlot, banks: Iterable[BankSlot]) -> list[BankSlot]:
        """Of these slots, those that can be mapped now, the best first."""
        return self.best_first(client, (bank for bank in banks if self._slotmap.is_bank_free(bank)))

    # Time

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due."""
        due = [at for at in (self._look_at, self.table.next_deadline()) if at is not None]
        return min(due, default=None)

    def handle_timer(self, now: float) -> list[Action]:
        """End what is over, and serve those who wait."""
        actions: list[Action] = []
        while (lease := self.table.pop_due(now)) is not None:
            # Once more, if it cannot be stored; or if another decision about it is under way.
            self.table.look_again(lease, now + RETRY_S)
            if not lease.is_held:
                actions += self._over(lease)
        if self._look_at is not None and now >= self._look_at:
            self._look_at = None
            actions += self.serve(now)
        return actions

    def _over(self, lease: Lease) -> list[Action]:
        number, client = lease.order.id, lease.order.client
        if lease.state is LeaseState.WAITING:
            lease.is_held = True
            entry = Entry(SERVER, "lease.time_out", f"{client}", detail=f"lease {number}")
            return [Audited(StoreLeaseEnd(number, LeaseEnd.TIMED_OUT), entry)]
        deletion = self._deletion(lease, LeaseEnd.EXPIRED)
        if deletion is None:
            return []
        entry = Entry(SERVER, "lease.expire", f"{lease.bank} {client}", detail=f"lease {number}")
        return [Audited(deletion, entry)]


def _text(pool: CardChoice) -> str:
    """In the one form that ``CardChoice`` reads."""
    return pool.value if pool.kind.value == "slot" else f"{pool.kind.value}:{pool.value}"
