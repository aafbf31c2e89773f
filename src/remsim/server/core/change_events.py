# SPDX-License-Identifier: Apache-2.0
"""Which events tell of a change that is stored: by the decision, and by what there was before it. Without I/O.

Asked before a change is committed, for the database keeps with it what is still to be told, and once more after that,
when it is told. Both have to give the same, so nothing is asked here that anything but decisions can change.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from remsim.core.ids import BankSlot
from remsim.core.log_event import LogEvent
from remsim.redaction import shorten_iccid
from remsim.server.core.actions import (
    CardMove,
    Decision,
    LeaseEnd,
    LeaseOrder,
    StoreChange,
    StoreDeletion,
    StoreGrant,
    StoreLabels,
    StoreLease,
    StoreLeaseEnd,
    StoreLock,
    StoreMapping,
    StoreRenewal,
)
from remsim.server.core.card_choice import shown_pool
from remsim.server.core.labels import shown_subject, slots_of
from remsim.server.core.leases import LeaseTable
from remsim.server.core.log_events import mapping_event, parked_event
from remsim.server.core.slotmap import SlotMap

#: The kinds of events that tell of stored changes. What they tell holds, whatever becomes of the server.
KINDS: Final = frozenset(
    {
        *("mapping_created", "mapping_deleted", "mapping_parked", "card_followed"),
        *("labels_changed", "slot_locked", "slot_unlocked", "lease_queued", "lease_granted", "lease_renewed"),
        *("lease_expired", "lease_released", "lease_timed_out", "lease_revoked"),
    }
)

_LEASE_ENDS: Final = {
    LeaseEnd.EXPIRED: "lease_expired",
    LeaseEnd.RELEASED: "lease_released",
    LeaseEnd.UNMAPPED: "lease_released",
    LeaseEnd.TIMED_OUT: "lease_timed_out",
    LeaseEnd.REVOKED: "lease_revoked",
}


class ChangeEvents:
    """Makes the events that follow from decisions."""

    def __init__(self, slotmap: SlotMap, leases: LeaseTable) -> None:
        self._slotmap = slotmap
        self._leases = leases

    def of_batch(self, decisions: Iterable[tuple[Decision, float]]) -> list[list[LogEvent]]:
        """What is to be told of decisions that are committed together, each with its time.

        None of them is carried out yet, so what follows from those before is considered.
        """
        deleted: set[int] = set()
        told = []
        for decision, wall in decisions:
            told.append(self.of(decision, wall, deleted))
            deletion = decision.deletion if isinstance(decision, StoreChange) else decision
            if isinstance(deletion, StoreDeletion):
                deleted.update(deletion.mappings)
        return told

    def of(self, decision: Decision, wall: float, deleted: Collection[int] = ()) -> list[LogEvent]:
        """What is to be told of one that is not carried out yet. ``deleted``: mappings that are gone before it.

        ``wall`` is when it is committed, in seconds since 1970-01-01 UTC.
        """
        match decision:
            case StoreMapping(bank, client):
                return [LogEvent("info", "mapping_created", bank, client)]
            case StoreDeletion():
                return self._of_deletion(decision, deleted)
            case StoreChange():
                return self._of_change(decision, wall, deleted)
            case StoreLease(order, None):
                return [_lease_event("lease_queued", order, None)]
            case StoreLease(order, StoreMapping() as creation):
                return [*self.of(creation, wall), _granted(order, creation.bank, 0.0)]
            case StoreGrant(lease_id, creation):
                lease = self._leases.get(lease_id)
                made = self.of(creation, wall)
                return (
                    made if lease is None else [*made, _granted(lease.order, creation.bank, wall - lease.requested_at)]
                )
            case StoreRenewal(lease_id, for_s):
                lease = self._leases.get(lease_id)
                # If it was ended meanwhile, that holds.
                if lease is None or lease.mapping_id in deleted:
                    return []
                return [_lease_event("lease_renewed", lease.order, lease.bank, for_s=for_s)]
            case StoreLeaseEnd(lease_id, end):
                lease = self._leases.get(lease_id)
                return [] if lease is None else [_lease_event(_LEASE_ENDS[end], lease.order, lease.bank)]
            case StoreLabels(subject, labels):
                fields = {"subject": shown_subject(subject), "labels": list(labels)}
                return [LogEvent("info", "labels_changed", *slots_of(subject), fields)]
            case StoreLock(bank, reason):
                # The reason is for those who meet the lock; events go to whom nobody knows.
                return [LogEvent("info", "slot_unlocked" if reason is None else "slot_locked", bank)]
            case _:
                return []

    def _of_deletion(self, decision: StoreDeletion, deleted: Collection[int]) -> list[LogEvent]:
        told = []
        left = (self._slotmap.get(number) for number in decision.mappings if number not in deleted)
        for mapping in filter(None, left):
            told.append(mapping_event("info", "mapping_deleted", mapping))
            if (lease := self._leases.by_mapping(mapping.id)) is not None:
                end = decision.lease_end
                told.append(_lease_event(_LEASE_ENDS[end], lease.order, lease.bank, how=end.value))
        return told

    def _of_change(self, decision: StoreChange, wall: float, deleted: Collection[int]) -> list[LogEvent]:
        parts: Sequence[Decision] = [*decision.creations, *decision.labels]
        return [
            *(_followed_event(each) for each in decision.followed),
            *([] if decision.deletion is None else self._of_deletion(decision.deletion, deleted)),
            *(parked_event(each) for each in decision.parked),
            *(event for each in parts for event in self.of(each, wall)),
        ]


def _followed_event(followed: CardMove) -> LogEvent:
    about: dict[str, object] = {"iccid": shorten_iccid(followed.iccid), "left": followed.left}
    return LogEvent("info", "card_followed", followed.slot, followed.client, about)


def _granted(order: LeaseOrder, bank: BankSlot, waited_s: float) -> LogEvent:
    return _lease_event("lease_granted", order, bank, for_s=order.duration_s, waited_s=round(max(0.0, waited_s), 3))


def _lease_event(name: str, order: LeaseOrder, bank: BankSlot | None, **fields: object) -> LogEvent:
    about: dict[str, object] = {"lease": order.id, "pool": shown_pool(order.pool)}
    return LogEvent("info", name, bank, order.client, about | fields)
