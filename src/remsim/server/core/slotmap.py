# SPDX-License-Identifier: Apache-2.0
"""Mappings of client slots to bank slots: their states, their transitions, and the indexes to find them by.

A mapping ties one bank slot to one client slot, and each slot occurs in one *live* mapping at most. The server's
database holds what is desired; the state says how far the bankd has followed:

- NEW: the bankd has not been told since its link came up, or has no link.
- UNACKNOWLEDGED: createMappingReq is on its way, the answer is not there yet.
- ACTIVE: the bankd said ok.
- REFUSED: the bankd said no. The client is not sent there; it is tried again when the bankd returns.
- DELETE_REQ: deletion was ordered and the bankd must still be told: it is absent, or owes the answer to the creation,
  or is about to be asked for the same two slots again, which makes the removal needless.
- DELETING: removeMappingReq is on its way.
- GONE: no bankd has it (any more), and it is forgotten.

A deleted mapping leaves the live indexes at once, so that its slots can be mapped anew, and lives on as a *pending
removal* until the bankd has answered; only one that no bankd ever heard of just goes. One that follows a card, and has
lost its slot to another card, is *parked*: its client slot stays taken until the card is found. Knows no link, no
client's configuration and no database.
"""

from collections import OrderedDict, deque
from collections.abc import Collection, Iterator
from dataclasses import InitVar, dataclass, field
from typing import Final

from remsim.core.errors import RemsimError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.state_machine import Event, State, Stateful, Transitions
from remsim.redaction import shorten_iccid
from remsim.server.core.actions import ParkedMapping, StoredMapping
from remsim.server.core.slot_locks import SlotLocks

#: Slots without a mapping of which is remembered when they lost it; the one that lost it longest ago is forgotten.
MAX_FREED: Final = 16_384


@dataclass(frozen=True, slots=True)
class Freed:
    """When the last mapping of a slot ended, in seconds since 1970-01-01 UTC, and what was at its other end."""

    at: float
    other: BankSlot | ClientSlot


class MappingState(State):
    """How far the bankd has followed; the values of the first three are those of REST v1."""

    NEW = "NEW"
    UNACKNOWLEDGED = "UNACKNOWLEDGED"
    ACTIVE = "ACTIVE"
    REFUSED = "REFUSED"
    DELETE_REQ = "DELETE_REQ"
    DELETING = "DELETING"
    GONE = "gone"


class MappingEvent(Event):
    """What moves a mapping."""

    CREATE_SENT = "createMappingReq sent"
    CREATED = "createMappingRes ok"
    CREATE_REFUSED = "createMappingRes, other result"
    REMOVE_SENT = "removeMappingReq sent"
    REMOVED = "removeMappingRes"
    WITHDRAWN = "deleted, bankd never told"
    DELETED = "deleted"
    BANKD_LOST = "bankd lost"
    BANKD_RESET = "resetStateRes ok"
    RECREATED = "createMappingReq for the same two slots sent"


MAPPING_TRANSITIONS: Final[Transitions[MappingState, MappingEvent]] = Transitions(
    "mapping",
    {
        (MappingState.NEW, MappingEvent.CREATE_SENT): MappingState.UNACKNOWLEDGED,
        (MappingState.NEW, MappingEvent.WITHDRAWN): MappingState.GONE,
        (MappingState.NEW, MappingEvent.DELETED): MappingState.DELETE_REQ,
        (MappingState.NEW, MappingEvent.BANKD_LOST): MappingState.NEW,
        (MappingState.UNACKNOWLEDGED, MappingEvent.CREATED): MappingState.ACTIVE,
        (MappingState.UNACKNOWLEDGED, MappingEvent.CREATE_REFUSED): MappingState.REFUSED,
        (MappingState.UNACKNOWLEDGED, MappingEvent.DELETED): MappingState.DELETE_REQ,
        (MappingState.UNACKNOWLEDGED, MappingEvent.BANKD_LOST): MappingState.NEW,
        (MappingState.ACTIVE, MappingEvent.DELETED): MappingState.DELETE_REQ,
        (MappingState.ACTIVE, MappingEvent.BANKD_LOST): MappingState.NEW,
        (MappingState.ACTIVE, MappingEvent.BANKD_RESET): MappingState.NEW,
        (MappingState.REFUSED, MappingEvent.CREATE_SENT): MappingState.UNACKNOWLEDGED,
        (MappingState.REFUSED, MappingEvent.DELETED): MappingState.DELETE_REQ,
        (MappingState.REFUSED, MappingEvent.BANKD_LOST): MappingState.REFUSED,
        (MappingState.REFUSED, MappingEvent.BANKD_RESET): MappingState.NEW,
        (MappingState.DELETE_REQ, MappingEvent.CREATED): MappingState.DELETE_REQ,
        (MappingState.DELETE_REQ, MappingEvent.CREATE_REFUSED): MappingState.DELETE_REQ,
        (MappingState.DELETE_REQ, MappingEvent.REMOVE_SENT): MappingState.DELETING,
        (MappingState.DELETE_REQ, MappingEvent.BANKD_LOST): MappingState.DELETE_REQ,
        (MappingState.DELETE_REQ, MappingEvent.RECREATED): MappingState.GONE,
        (MappingState.DELETING, MappingEvent.REMOVED): MappingState.GONE,
        (MappingState.DELETING, MappingEvent.BANKD_LOST): MappingState.DELETE_REQ,
    },
)


class ConflictError(RemsimError):
    """A slot that is mapped already, or is just being mapped."""

    exit_status = 1


@dataclass(slots=True, eq=False)
class Mapping(Stateful[MappingState, MappingEvent]):
    """One mapping, live or being removed. Changed by its slotmap's owner only."""

    TRANSITIONS = MAPPING_TRANSITIONS

    #: Given by the database, ascending in the order of creation, never used again.
    id: int
    bank: BankSlot
    client: ClientSlot
    #: Seconds since 1970-01-01 UTC.
    created_at: float
    #: The state in which it begins: NEW, or what an earlier run has stored.
    initial: InitVar[MappingState] = MappingState.NEW
    #: A bankd may know of it: the database says so, or will before anything is sent.
    is_sent: bool = False
    #: It was ACTIVE and has not been refused since: its client is sent to the bankd, even while that is absent.
    is_acknowledged: bool = False
    #: The ResultCode of a refusal, else None.
    result: int | None = None
    #: Its deletion waits for the database; nothing new is begun with it.
    is_ending: bool = False
    #: Its creation waits for the database to note that the bankd is told.
    is_held: bool = False
    #: The bankd owes the answer to a createMappingReq.
    is_create_unanswered: bool = False
    #: The number of the card that it follows into other slots; None: it stays with its slot.
    follows: str | None = None
    #: Since when it is in its state, in the time that coordinators are given; None: since an earlier run.
    changed_at: float | None = None

    def __post_init__(self, initial: MappingState) -> None:
        Stateful.__init__(self, initial)

    def move(self, event: MappingEvent, now: float) -> None:
        """Like ``step``, and note when the state changed. Raises IllegalTransitionError."""
        before = self.state
        if self.step(event) is not before:
            self.changed_at = now


@dataclass(slots=True)
class _Bank:
    """What concerns one bank, in the order in which it came about."""

    live: dict[int, Mapping] = field(default_factory=dict)
    removals: dict[int, Mapping] = field(default_factory=dict)


class SlotMap:
    """All live mappings and pending removals. Every look-up is by index."""

    def __init__(self, locks: SlotLocks | None = None) -> None:
        #: Slots that get no new mapping.
        self.locks = SlotLocks() if locks is None else locks
        self._live: dict[int, Mapping] = {}
        self._by_bank_slot: dict[BankSlot, Mapping] = {}
        self._by_client_slot: dict[ClientSlot, Mapping] = {}
        self._by_card: dict[str, Mapping] = {}
        self._banks: dict[int, _Bank] = {}
        self._removals: dict[tuple[BankSlot, ClientSlot], dict[int, Mapping]] = {}
        self._parked: dict[int, ParkedMapping] = {}
        self._parked_by_client: dict[ClientSlot, ParkedMapping] = {}
        self._parked_by_card: dict[str, ParkedMapping] = {}
        self._parked_held: set[int] = set()
        self._reserved_bank_slots: set[BankSlot] = set()
        self._reserved_client_slots: set[ClientSlot] = set()
        self._freed: OrderedDict[BankSlot | ClientSlot, Freed] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of live mappings."""
        return len(self._live)

    def __iter__(self) -> Iterator[Mapping]:
        """Iterate over live mappings in the order of creation."""
        return iter(self._live.values())

    # Reservations: between a request to map two slots and its commit

    def reserve(self, bank: BankSlot, client: ClientSlot, *, leaving: frozenset[int] = frozenset()) -> None:
        """Keep two free slots for a mapping that is about to be stored. Raises ConflictError, naming the slot.

        ``leaving`` are the ids of mappings, live or parked, that are deleted in the same transaction. A locked slot is
        kept for the client slot that has it only.
        """
        if (waiting := self._parked_by_client.get(client)) is not None and waiting.id not in leaving:
            text = f"{client} has a mapping already, which waits for the card {shorten_iccid(waiting.iccid)}"
            raise ConflictError(text, hint="delete that mapping first")
        holder = self._by_bank_slot.get(bank)
        if (lock := self.locks.of(bank)) is not None and (holder is None or holder.client != client):
            raise ConflictError(f"{bank} is locked: {lock.reason}", hint=f"unlock it: remsim ctl unlock {bank}")
        if (taken := self._by_bank_slot.get(bank)) is not None and taken.id not in leaving:
            raise ConflictError(f"{bank} is mapped to {taken.client} already", hint="delete that mapping first")
        if (taken := self._by_client_slot.get(client)) is not None and taken.id not in leaving:
            raise ConflictError(f"{client} is mapped to {taken.bank} already", hint="delete that mapping first")
        if bank in self._reserved_bank_slots or client in self._reserved_client_slots:
            raise ConflictError(f"{bank} or {client} is just being mapped by another request", hint="try again")
        self._reserved_bank_slots.add(bank)
        self._reserved_client_slots.add(client)

    def unreserve(self, bank: BankSlot, client: ClientSlot) -> None:
        """Give the two slots back."""
        self._reserved_bank_slots.discard(bank)
        self._reserved_client_slots.discard(client)

    def is_bank_free(self, slot: BankSlot) -> bool:
        """Whether a bank slot is neither mapped, nor just being mapped, nor locked."""
        if self.locks.of(slot) is not None:
            return False
        return slot not in self._by_bank_slot and slot not in self._reserved_bank_slots

    def is_client_free(self, slot: ClientSlot) -> bool:
        """Whether a client slot is neither mapped, nor just being mapped, nor waits for the card of a mapping."""
        is_taken = slot in self._by_client_slot or slot in self._parked_by_client
        return not is_taken and slot not in self._reserved_client_slots

    # Life

    def add(self, mapping: Mapping) -> None:
        """Enter a live mapping; its slots must be free, or reserved for it."""
        self.unreserve(mapping.bank, mapping.client)
        self._forget_freed(mapping.bank, mapping.client)
        self._live[mapping.id] = mapping
        self._by_bank_slot[mapping.bank] = mapping
        self._by_client_slot[mapping.client] = mapping
        if mapping.follows is not None:
            self._by_card[mapping.follows] = mapping
        self._bank(mapping.bank.bank_id).live[mapping.id] = mapping

    def restore(self, stored: StoredMapping) -> None:
        """Enter a mapping of an earlier run, or the removal that its bankd has not confirmed."""
        initial = MappingState.NEW if stored.result is None else MappingState.REFUSED
        mapping = Mapping(
            stored.id,
            stored.bank,
            stored.client,
            stored.created_at,
            initial if stored.is_live else MappingState.DELETE_REQ,
            is_sent=stored.is_sent,
            is_acknowledged=stored.is_acknowledged,
            result=stored.result,
            follows=stored.follows,
        )
        if stored.is_live:
            self.add(mapping)
        else:
            self._keep_removal(mapping)

    def delete(self, mapping: Mapping, wall: float) -> bool:
        """Take a live mapping out of the live indexes. Returns whether it stays as a pending removal.

        ``wall`` is when, in seconds since 1970-01-01 UTC.
        """
        self._note_freed(mapping.bank, Freed(wall, mapping.client))
        self._note_freed(mapping.client, Freed(wall, mapping.bank))
        bank = self._bank(mapping.bank.bank_id)
        del self._live[mapping.id], self._by_bank_slot[mapping.bank], self._by_client_slot[mapping.client]
        del bank.live[mapping.id]
        if mapping.follows is not None and self._by_card.get(mapping.follows) is mapping:
            del self._by_card[mapping.follows]
        if not mapping.is_sent:
            mapping.step(MappingEvent.WITHDRAWN)
            return False
        mapping.step(MappingEvent.DELETED)
        self._keep_removal(mapping)
        return True

    def follow(self, mapping: Mapping, iccid: str | None) -> None:
        """Let a live mapping follow this card, or its slot."""
        if mapping.follows is not None and self._by_card.get(mapping.follows) is mapping:
            del self._by_card[mapping.follows]
        mapping.follows = iccid
        if iccid is not None:
            self._by_card[iccid] = mapping

    # Waiting for a card

    def park(self, parked: ParkedMapping) -> None:
        """A mapping that was deleted waits for its card."""
        self._forget_freed(parked.client)
        self._parked[parked.id] = parked
        self._parked_by_client[parked.client] = parked
        self._parked_by_card[parked.iccid] = parked

    def hold_parked(self, numbers: Collection[int]) -> None:
        """A decision that these wait no more is to be stored. Raises ConflictError if one of them has one already."""
        if any(number in self._parked_held or number not in self._parked for number in numbers):
            raise ConflictError("the mapping is just being changed by another request", hint="try again")
        self._parked_held.update(numbers)

    def release_parked(self, numbers: Collection[int]) -> None:
        """That was not stored."""
        self._parked_held.difference_update(numbers)

    def unpark(self, mapping_id: int, wall: float) -> ParkedMapping | None:
        """It waits no more, from ``wall`` on. Returns it, None if it did not wait."""
        self._parked_held.discard(mapping_id)
        parked = self._parked.pop(mapping_id, None)
        if parked is not None:
            del self._parked_by_client[parked.client], self._parked_by_card[parked.iccid]
            self._note_freed(parked.client, Freed(wall, parked.bank))
        return parked

    def is_held(self, parked: ParkedMapping) -> bool:
        """Whether such a decision waits for the database."""
        return parked.id in self._parked_held

    def parked(self) -> tuple[ParkedMapping, ...]:
        """Those that wait, in the order in which they began to."""
        return tuple(self._parked.values())

    def parked_of_client(self, client: ClientSlot) -> ParkedMapping | None:
        """The one of a client slot."""
        return self._parked_by_client.get(client)

    def parked_of_card(self, iccid: str) -> ParkedMapping | None:
        """The one that waits for this card."""
        return self._parked_by_card.get(iccid)

    def removed(self, mapping: Mapping) -> None:
        """The bankd has answered removeMappingReq: forget the mapping. Raises IllegalTransitionError."""
        mapping.step(MappingEvent.REMOVED)
        self._drop_removal(mapping)

    def recreated(self, mapping: Mapping) -> None:
        """The bankd is asked for the same two slots again: forget this removal. Raises IllegalTransitionError."""
        mapping.step(MappingEvent.RECREATED)
        self._drop_removal(mapping)

    def _keep_removal(self, mapping: Mapping) -> None:
        self._bank(mapping.bank.bank_id).removals[mapping.id] = mapping
        self._removals.setdefault((mapping.bank, mapping.client), {})[mapping.id] = mapping

    def _drop_removal(self, mapping: Mapping) -> None:
        del self._bank(mapping.bank.bank_id).removals[mapping.id]
        twins = self._removals[mapping.bank, mapping.client]
        del twins[mapping.id]
        if not twins:
            del self._removals[mapping.bank, mapping.client]

    # Look-ups

    def get(self, mapping_id: int) -> Mapping | None:
        """The live mapping with this id."""
        return self._live.get(mapping_id)

    def by_bank_slot(self, slot: BankSlot) -> Mapping | None:
        """The live mapping of a bank slot."""
        return self._by_bank_slot.get(slot)

    def by_client_slot(self, slot: ClientSlot) -> Mapping | None:
        """The live mapping of a client slot."""
        return self._by_client_slot.get(slot)

    def follower(self, iccid: str) -> Mapping | None:
        """The live mapping that follows a card."""
        return self._by_card.get(iccid)

    def freed(self, slot: BankSlot | ClientSlot) -> Freed | None:
        """When the last mapping of a slot ended that has none; None: not in this run, or it has one."""
        return self._freed.get(slot)

    def live_of_bank(self, bank_id: int) -> tuple[Mapping, ...]:
        """The live mappings of one bank, oldest first."""
        return tuple(self._bank(bank_id).live.values())

    def removals_of_bank(self, bank_id: int) -> tuple[Mapping, ...]:
        """The pending removals of one bank, oldest first."""
        return tuple(self._bank(bank_id).removals.values())

    def removals_of(self, mapping: Mapping) -> tuple[Mapping, ...]:
        """The pending removals of the same two slots as a mapping's, its own among them, oldest first."""
        return tuple(self._removals.get((mapping.bank, mapping.client), {}).values())

    def live_twin(self, mapping: Mapping) -> Mapping | None:
        """The live mapping of the same two slots as a pending removal's."""
        twin = self._by_bank_slot.get(mapping.bank)
        return twin if twin is not None and twin.client == mapping.client else None

    def removal_count(self) -> int:
        """How many removals are pending in all."""
        return sum(len(bank.removals) for bank in self._banks.values())

    def _note_freed(self, slot: BankSlot | ClientSlot, freed: Freed) -> None:
        self._freed.pop(slot, None)
        self._freed[slot] = freed
        if len(self._freed) > MAX_FREED:
            self._freed.popitem(last=False)

    def _forget_freed(self, *slots: BankSlot | ClientSlot) -> None:
        for slot in slots:
            self._freed.pop(slot, None)

    def _bank(self, bank_id: int) -> _Bank:
        return self._banks.setdefault(bank_id, _Bank())


class AnswerQueue:
    """Mappings whose request of one kind is on its way to one bankd, found by the pair of slots in the request."""

    def __init__(self) -> None:
        self._by_pair: dict[tuple[BankSlot, ClientSlot], deque[Mapping]] = {}

    def push(self, mapping: Mapping) -> None:
        """A request for this mapping was sent."""
        self._by_pair.setdefault((mapping.bank, mapping.client), deque()).append(mapping)

    def pop(self, bank: BankSlot, client: ClientSlot) -> Mapping | None:
        """The mapping for whose pair an answer came: the one that waits longest; None if there is none."""
        queue = self._by_pair.get((bank, client))
        if not queue:
            return None
        mapping = queue.popleft()
        if not queue:
            del self._by_pair[bank, client]
        return mapping
