# SPDX-License-Identifier: Apache-2.0
"""Mappings that follow their card: where one goes when its card is recognised in another slot. Without I/O.

A mapping that follows a card keeps its client with that card, and with no other. When the card appears in another slot,
of whichever bank, the mapping goes there; if a mapping of another card stands there, whose card is elsewhere, the two
change places. When another card appears in its slot, and its own is nowhere, it is parked: it has no slot, keeps its
client slot, and goes on when the card is found. A card that two slots tell of moves nothing; nor does it when the bank
of one of them is lost, unless it can be one card that was moved from there just before.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.log_event import LogEvent
from remsim.redaction import shorten_iccid
from remsim.server.core.actions import (
    SERVER,
    Action,
    Audited,
    CardMove,
    Decision,
    Entry,
    ParkedMapping,
    StoreChange,
    StoreDeletion,
    StoreLock,
)
from remsim.server.core.inventory import Inventory
from remsim.server.core.leases import LeaseTable
from remsim.server.core.peers import PeerTable
from remsim.server.core.slotmap import ConflictError, Mapping, SlotMap

#: A bankd that lost its power is missed within this time (PING after 30 s, 10 s for the PONG). A card that was moved
#: from there is told of by another bankd meanwhile. One that is told of for longer is a twin.
NOTICED_S: Final = 60.0


class PlanChange(Protocol):
    """Deletes mappings and makes others at once, as ``Coordinator.plan_change`` does."""

    def __call__(
        self,
        ended: Iterable[Mapping],
        created: Sequence[tuple[BankSlot, ClientSlot]],
        *,
        follows: dict[BankSlot, str] | None,
        parked: Iterable[Mapping],
        unparked: Iterable[ParkedMapping],
    ) -> StoreChange | None:
        """Raises ConflictError."""
        ...


class Following:
    """Moves mappings after their cards. ``may_use`` says whether the rules let a client use a card."""

    def __init__(
        self,
        slotmap: SlotMap,
        inventory: Inventory,
        peers: PeerTable,
        *,
        may_use: Callable[[BankSlot, ClientSlot], bool],
        plan_change: PlanChange,
    ) -> None:
        self._slotmap = slotmap
        self._inventory = inventory
        self._peers = peers
        self._may_use = may_use
        self._plan_change = plan_change
        # Numbers of cards whose mappings could not be moved, because a slot was just being mapped.
        self._again: set[str] = set()
        # When each bankd that was lost was lost last.
        self._lost_at: dict[int, float] = {}

    # What may let a mapping go on

    def on_card(self, slot: BankSlot, before: str | None) -> list[Action]:
        """A bankd has told of a card, or that there is none; ``before`` is the number that was known until then."""
        here = self._slotmap.by_bank_slot(slot)
        numbers = (before, self._inventory.number(slot), None if here is None else here.follows)
        return self._look(dict.fromkeys(each for each in numbers if each is not None))

    def on_bank_lost(self, bank_id: int, now: float) -> list[Action]:
        """A bankd is gone: what it has told last may be wrong by now."""
        self._lost_at[bank_id] = now
        return self._look([each.follows for each in self._slotmap.live_of_bank(bank_id) if each.follows is not None])

    def on_stored(self, freed: Iterable[BankSlot]) -> list[Action]:
        """A decision is committed, and these slots are not mapped any more."""
        numbers = [iccid for slot in freed if (iccid := self._inventory.number(slot)) is not None]
        again, self._again = self._again, set()
        return self._look([*numbers, *sorted(again)])

    def on_failed(self, change: StoreChange) -> list[Action]:
        """A change could not be stored. If it was one of ours, it is tried once more when another is committed."""
        actions = self.on_stored(())
        self._again.update(each.follows for each in change.creations if each.follows is not None)
        self._again.update(each.iccid for each in change.parked)
        return actions

    def look(self) -> list[Action]:
        """Something else has changed, such as the rules."""
        waiting = [parked.iccid for parked in self._slotmap.parked()]
        return self._look([*waiting, *(each.follows for each in self._slotmap if each.follows is not None)])

    def on_parked(self, change: StoreChange, wall: float) -> None:
        """A change is committed: some wait from now on, others do so no more."""
        for number in change.unparked:
            self._slotmap.unpark(number, wall)
        for each in change.parked:
            self._slotmap.park(replace(each, since=wall))

    # Orders

    def check(self, leases: LeaseTable, client: ClientSlot, iccid: str, leaving: Collection[ClientSlot]) -> None:
        """One mapping follows a card at a time, and one that is a lease follows none. Raises ConflictError.

        ``leaving`` are client slots whose mappings end in the same change.
        """
        other = self._slotmap.follower(iccid) or self._slotmap.parked_of_card(iccid)
        if other is not None and other.client != client and other.client not in leaving:
            text = f"the mapping of {other.client} follows this card already"
            raise ConflictError(text, hint="change that one first")
        if leases.by_client(client) is not None:
            raise ConflictError(f"{client} has a card on loan", hint="release that lease first")

    # Where they go

    def _look(self, numbers: Iterable[str]) -> list[Action]:
        return [action for iccid in numbers for action in self._settle(iccid)]

    def _settle(self, iccid: str) -> list[Action]:
        """Bring the mapping that follows this card to where the card is."""
        live, waiting = self._slotmap.follower(iccid), self._slotmap.parked_of_card(iccid)
        follower = live or waiting
        if follower is None or (live is not None and live.is_ending):
            return []
        if live is not None and self._inventory.number(live.bank) == iccid and self._is_connected(live.bank):
            return []
        places = self._places(iccid)
        reason = self._objection(places, follower)
        if live is not None and self._is_taken(live) and (reason or not places):
            told = [] if not places else [_not_followed(live, iccid, places[0], reason)]
            return [*told, *self._change(iccid, [live], {}, [live], _text(iccid, "is in no slot that it can have"))]
        if not places:
            return []
        if reason:
            return [_not_followed(follower, iccid, places[0], reason)]
        return self._go(iccid, follower, places[0])

    def _go(self, iccid: str, follower: Mapping | ParkedMapping, slot: BankSlot) -> list[Action]:
        live = follower if isinstance(follower, Mapping) else None
        here = self._slotmap.by_bank_slot(slot)
        ended, created, parked = [] if live is None else [live], {slot: (follower.client, iccid)}, list[Mapping]()
        if here is not None and here.follows is not None:
            ended.append(here)
            if live is not None and self._is_for(live.bank, here.follows) and self._may_use(live.bank, here.client):
                created[live.bank] = (here.client, here.follows)
            else:
                parked.append(here)
        waiting = [follower] if isinstance(follower, ParkedMapping) else []
        detail = _text(iccid, f"has moved from {follower.bank} to {slot}")
        followed = CardMove(iccid, follower.bank, slot, follower.client)
        return self._change(iccid, ended, created, parked, detail, waiting, (followed,))

    def _change(
        self,
        iccid: str,
        ended: Sequence[Mapping],
        created: dict[BankSlot, tuple[ClientSlot, str]],
        parked: Sequence[Mapping],
        detail: str,
        waiting: Sequence[ParkedMapping] = (),
        followed: tuple[CardMove, ...] = (),
    ) -> list[Action]:
        pairs = [(bank, client) for bank, (client, _) in created.items()]
        follows = {bank: number for bank, (_, number) in created.items()}
        try:
            decision = self._plan_change(ended, pairs, follows=follows, parked=parked, unparked=waiting)
        except ConflictError:
            # One of the slots is just being mapped: what an operator does counts, and then it is looked at again.
            self._again.add(iccid)
            return []
        if decision is None:
            return []
        bank, client = pairs[0] if pairs else (ended[0].bank, ended[0].client)
        entry = Entry(SERVER, "mapping.follow", f"{bank} {client}", detail=detail)
        return [Audited(replace(decision, followed=followed), entry)]

    def _objection(self, places: Sequence[BankSlot], follower: Mapping | ParkedMapping) -> str:
        """Why a mapping cannot go where its card is; empty: nothing is against it."""
        if not places:
            return ""
        if len(places) > 1:
            return f"{len(places)} slots have a card with this number"
        here = self._slotmap.by_bank_slot(places[0])
        if here is not None and (here.follows is None or here.is_ending):
            return f"{here.client} has that slot"
        if self._slotmap.locks.of(places[0]) is not None:
            return "that slot is locked"
        return "" if self._may_use(places[0], follower.client) else "the rules do not allow it"

    def _places(self, iccid: str) -> list[BankSlot]:
        """Where the card may be: where bankds that are here have told of it; then, whose bankds are lost, its twins."""
        told = self._inventory.places(iccid)
        here = [slot for slot in told if self._is_connected(slot)]
        return [*here, *(slot for slot in told if slot not in here and self._was_beside(slot, here))]

    def _was_beside(self, lost: BankSlot, here: Sequence[BankSlot]) -> bool:
        """Whether this card of a bankd that is lost was there for long while another one had its number."""
        lost_at = self._lost_at.get(lost.bank_id, 0.0)
        moments = [self._inventory.heard_at(slot) or 0.0 for slot in here]
        since = max(min(moments, default=lost_at), self._inventory.heard_at(lost) or 0.0)
        return lost_at - since > NOTICED_S

    def _is_connected(self, slot: BankSlot) -> bool:
        return self._peers.by_bank(slot.bank_id) is not None

    def _is_taken(self, live: Mapping) -> bool:
        """Whether another card is in its slot."""
        return not self._is_for(live.bank, live.follows)

    def _is_for(self, slot: BankSlot, iccid: str | None) -> bool:
        """Whether no other card than this one is in a slot."""
        return self._inventory.number(slot) in (None, iccid)


def parked_from(mapping: Mapping) -> ParkedMapping:
    """What a mapping that follows a card becomes when it is parked."""
    return ParkedMapping(mapping.id, mapping.bank, mapping.client, mapping.follows or "", mapping.created_at)


def freed_by(decision: Decision, slotmap: SlotMap) -> list[BankSlot]:
    """The slots that a decision frees; to be asked before it is carried out."""
    if isinstance(decision, StoreLock):
        return [decision.bank] if decision.reason is None else []
    deletion = decision.deletion if isinstance(decision, StoreChange) else decision
    if not isinstance(deletion, StoreDeletion):
        return []
    return [mapping.bank for mapping in map(slotmap.get, deletion.mappings) if mapping is not None]


def _not_followed(follower: Mapping | ParkedMapping, iccid: str, slot: BankSlot, reason: str) -> LogEvent:
    about: dict[str, object] = {"iccid": shorten_iccid(iccid), "left": follower.bank, "reason": reason}
    return LogEvent("warning", "card_not_followed", slot, follower.client, about)


def _text(iccid: str, what: str) -> str:
    return f"the card {shorten_iccid(iccid)} {what}"
