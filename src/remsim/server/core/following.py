# SPDX-License-Identifier: Apache-2.0
"""Mappings that follow their card: where one goes when its card is recognised in another slot. Without I/O.

A mapping that follows a card keeps its client with that card, and with no other. When the card appears in another slot,
the mapping goes there; if a mapping of another card stands there, whose card is elsewhere, the two change places. When
another card appears in its slot, and its own is nowhere, it ends.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.log_event import LogEvent
from remsim.core.values import dataclass
from remsim.redaction import shorten_iccid
from remsim.server.core.actions import SERVER, Action, Audited, Entry, StoreChange
from remsim.server.core.inventory import Inventory
from remsim.server.core.leases import LeaseTable
from remsim.server.core.slotmap import ConflictError, Mapping, SlotMap


@dataclass(frozen=True, slots=True)
class Move:
    """Mappings that end, those that are made instead, and what is said about it, in the audit log and as an event."""

    ended: tuple[Mapping, ...]
    created: tuple[tuple[BankSlot, ClientSlot, str], ...]
    target: str
    detail: str
    event: LogEvent


def plan_move(
    slotmap: SlotMap,
    inventory: Inventory,
    slot: BankSlot,
    iccid: str,
    may_use: Callable[[BankSlot, ClientSlot], bool],
) -> Move | LogEvent | None:
    """What follows from the card ``iccid`` being in ``slot``: a move, word of one that cannot be made, or nothing."""
    follower, here = slotmap.follower(iccid), slotmap.by_bank_slot(slot)
    if follower is here:
        return None
    if follower is None:
        is_other = here is not None and here.follows is not None and here.follows != iccid
        return _end(here, slot, iccid) if here is not None and is_other and not here.is_ending else None
    if inventory.number(follower.bank) == iccid or follower.is_ending:
        # It is still where it was: two cards with one number, or a mapping that is just being changed.
        return None
    old, client = follower.bank, follower.client
    about: dict[str, object] = {"iccid": shorten_iccid(iccid), "left": old}
    if here is not None and (here.follows is None or here.is_ending or not may_use(old, here.client)):
        return LogEvent(
            "warning", "card_not_followed", slot, client, about | {"reason": f"{here.client} has that slot"}
        )
    if not may_use(slot, client):
        return LogEvent("warning", "card_not_followed", slot, client, about | {"reason": "the rules do not allow it"})
    ended, created = [follower], [(slot, client, iccid)]
    if here is not None and here.follows is not None:
        ended.append(here)
        created.append((old, here.client, here.follows))
    detail = f"the card {shorten_iccid(iccid)} has moved from {old} to {slot}"
    event = LogEvent("info", "card_followed", slot, client, about)
    return Move(tuple(ended), tuple(created), f"{slot} {client}", detail, event)


class PlanChange(Protocol):
    """Deletes mappings and makes others at once, as ``Coordinator.plan_change`` does."""

    def __call__(
        self,
        ended: Iterable[Mapping],
        created: Sequence[tuple[BankSlot, ClientSlot]],
        *,
        follows: dict[BankSlot, str] | None,
    ) -> StoreChange | None:
        """Raises ConflictError."""
        ...


def follow_card(
    slotmap: SlotMap,
    inventory: Inventory,
    slot: BankSlot,
    iccid: str | None,
    may_use: Callable[[BankSlot, ClientSlot], bool],
    plan_change: PlanChange,
) -> list[Action]:
    """A bankd has told of a card; ``inventory`` knows it already. Moves the mapping that follows it."""
    if iccid is None or inventory.number(slot) != iccid:
        return []
    found = plan_move(slotmap, inventory, slot, iccid, may_use)
    if not isinstance(found, Move):
        return [] if found is None else [found]
    pairs = [(bank, client) for bank, client, _ in found.created]
    try:
        decision = plan_change(found.ended, pairs, follows={bank: card for bank, _, card in found.created})
    except ConflictError:
        # One of the slots is just being mapped: what an operator does counts.
        return []
    entry = Entry(SERVER, "mapping.follow", found.target, detail=found.detail)
    return [] if decision is None else [found.event, Audited(decision, entry)]


def check_follow(slotmap: SlotMap, leases: LeaseTable, client: ClientSlot, iccid: str) -> None:
    """One mapping follows a card at a time, and one that is a lease follows none. Raises ConflictError."""
    other = slotmap.follower(iccid)
    if other is not None and other.client != client:
        raise ConflictError(f"the mapping of {other.client} follows this card already", hint="change that one first")
    if leases.by_client(client) is not None:
        raise ConflictError(f"{client} has a card on loan", hint="release that lease first")


def _end(here: Mapping, slot: BankSlot, iccid: str) -> Move:
    detail = f"it follows another card than {shorten_iccid(iccid)}, which is in {slot} now"
    event = LogEvent("warning", "card_not_followed", slot, here.client, {"reason": "another card is in its slot"})
    return Move((here,), (), f"{slot} {here.client}", detail, event)
