# SPDX-License-Identifier: Apache-2.0
"""Drives what each bankd knows towards what the database holds: removals first, then creations.

The order per bank is the whole art. A removal goes out as soon as the bankd is there and owes no answer to the
creation of the same mapping; no creation goes out while a removal waits; and the bankd hears of no mapping before the
database knows that it may have. A removal whose two slots are mapped to each other again is not sent to a bankd that
returns: it has nothing to change, and would end a session that goes on. Answers are matched with the pair of slots in
the request that they answer, so an answer too many cannot move anything.
"""

from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from remsim.core.deadlines import Deadlines
from remsim.core.log_event import LogEvent
from remsim.server.core.actions import Action, NoteOutcome, NoteRemoved, StoreSent
from remsim.server.core.client_config import ClientConfigurator
from remsim.server.core.log_events import mapping_event
from remsim.server.core.peers import Peer
from remsim.server.core.slotmap import AnswerQueue, Mapping, MappingEvent, MappingState, SlotMap
from remsim.wire.link.actions import Close, LinkId, Send
from remsim.wire.messages.rspro import (
    CreateMappingReq,
    CreateMappingRes,
    RemoveMappingReq,
    RemoveMappingRes,
    ResetStateRes,
    ResultCode,
)

#: A bankd answers mapping requests from memory, at once. One that owes an answer for this long is not sound: its
#: link is closed, and when it returns everything is sent again (known-limits 28).
ANSWER_TIMEOUT_S: Final = 30.0

#: After the database could not note that a bankd is about to be told, it is asked again so much later.
STORE_RETRY_S: Final = 5.0

#: With these results the bankd does not have the mapping, or has it no more.
_EXPECTED_REMOVAL: Final = frozenset({ResultCode.OK, ResultCode.UNKNOWN_SLOTMAP})


@dataclass(slots=True)
class _BankLink:
    """What is under way with one connected bankd."""

    link: LinkId
    creates: AnswerQueue = field(default_factory=AnswerQueue)
    removes: AnswerQueue = field(default_factory=AnswerQueue)
    #: When each unanswered request was sent, the oldest first; by kind ("create", "remove") and mapping id.
    unanswered: dict[tuple[str, int], float] = field(default_factory=dict)
    #: Removals that wait for the answer to the creation of their mapping.
    waiting_removals: set[int] = field(default_factory=set)
    #: When the database is asked again, after it failed.
    retry_at: float | None = None


class Reconciler:
    """Sends each bankd what it lacks. ``timers`` are keyed by bank id."""

    def __init__(self, slotmap: SlotMap, configurator: ClientConfigurator, timers: Deadlines[int]) -> None:
        self._slotmap = slotmap
        self._configurator = configurator
        self._timers = timers
        self._links: dict[int, _BankLink] = {}

    def is_connected(self, bank_id: int) -> bool:
        """Whether mappings of this bank can be carried out now."""
        return bank_id in self._links

    # The bankd comes and goes

    def on_bankd_connected(self, peer: Peer, bank_id: int, now: float) -> list[Action]:
        """The bankd was accepted: tell it all that must go and all that must be."""
        bank = self._links[bank_id] = _BankLink(peer.link)
        actions: list[Action] = []
        for mapping in self._slotmap.removals_of_bank(bank_id):
            twin = self._slotmap.live_twin(mapping)
            if twin is None or twin.is_ending:
                actions += self._remove(bank, mapping, now)
        return actions + self._offer_all(bank_id, now)

    def on_bankd_lost(self, bank_id: int, now: float) -> list[Action]:
        """The link is gone; clients are not told, their data links are their own."""
        self._links.pop(bank_id, None)
        self._timers.cancel(bank_id)
        for mapping in (*self._slotmap.live_of_bank(bank_id), *self._slotmap.removals_of_bank(bank_id)):
            mapping.move(MappingEvent.BANKD_LOST, now)
            mapping.is_create_unanswered = False
        return []

    # Decisions of operators, once they are stored

    def on_mapping_stored(self, mapping: Mapping, now: float) -> list[Action]:
        """A new live mapping."""
        return self._offer([mapping], mapping.bank.bank_id, now)

    def on_mapping_deleted(self, mapping: Mapping, now: float) -> list[Action]:
        """A mapping was deleted: it has become a pending removal, or is gone. What it made needless goes out, too."""
        bank = self._links.get(mapping.bank.bank_id)
        if bank is None:
            return []
        return [it for each in self._unasked(bank, mapping) for it in self._remove(bank, each, now)]

    def on_mapping_kept(self, mapping: Mapping, now: float) -> list[Action]:
        """The deletion of a mapping was not stored: the bankd may have come in the meantime."""
        return self._offer([mapping], mapping.bank.bank_id, now) if mapping.state is MappingState.NEW else []

    def on_sent_stored(self, stored: StoreSent, now: float) -> list[Action]:
        """The database knows now that the bankd may know of these mappings."""
        mappings = [m for m in map(self._slotmap.get, stored.mappings) if m is not None]
        for mapping in mappings:
            mapping.is_held = False
        return self._offer(mappings, stored.bank_id, now)

    def on_sent_failed(self, stored: StoreSent, now: float) -> list[Action]:
        """The database could not store it, so the bankd is not told; it is tried again after a while."""
        for mapping in map(self._slotmap.get, stored.mappings):
            if mapping is not None:
                mapping.is_sent = mapping.is_held = False
        if (bank := self._links.get(stored.bank_id)) is not None:
            bank.retry_at = now + STORE_RETRY_S
            self._set_timer(stored.bank_id, bank)
        return []

    # Answers of the bankd

    def on_create_res(
        self, bank_id: int, request: CreateMappingReq, answer: CreateMappingRes, now: float
    ) -> list[Action]:
        """The answer to a createMappingReq of ours."""
        bank = self._links[bank_id]
        mapping = bank.creates.pop(request.bank, request.client)
        if mapping is None:
            return [_lost_track(bank_id, "createMappingRes")]
        self._answered(bank_id, bank, ("create", mapping.id))
        mapping.is_create_unanswered = False
        if answer.result is ResultCode.OK:
            mapping.move(MappingEvent.CREATED, now)
        else:
            mapping.move(MappingEvent.CREATE_REFUSED, now)
        if mapping.state is MappingState.DELETE_REQ:
            bank.waiting_removals.discard(mapping.id)
            return self._remove(bank, mapping, now) + self._offer_all(bank_id, now, MappingState.NEW)
        return self._note_outcome(mapping, answer.result)

    def on_remove_res(self, bank_id: int, request: RemoveMappingReq, answer: RemoveMappingRes) -> list[Action]:
        """The answer to a removeMappingReq of ours; whatever it says, the bankd does not have the mapping."""
        bank = self._links[bank_id]
        mapping = bank.removes.pop(request.bank, request.client)
        if mapping is None:
            return [_lost_track(bank_id, "removeMappingRes")]
        self._answered(bank_id, bank, ("remove", mapping.id))
        self._slotmap.removed(mapping)
        level: Final = "info" if answer.result in _EXPECTED_REMOVAL else "warning"
        return [
            NoteRemoved(mapping.id),
            mapping_event(level, "mapping_removed", mapping, result=answer.result.name),
        ]

    def on_reset_res(self, bank_id: int, answer: ResetStateRes, now: float) -> list[Action]:
        """The bankd has dropped all mappings on an operator's order: those that are desired are created again."""
        fields: dict[str, object] = {"bank": bank_id, "result": answer.result.name}
        if answer.result is not ResultCode.OK:
            return [LogEvent("warning", "bankd_did_not_reset", fields=fields)]
        for mapping in self._slotmap.live_of_bank(bank_id):
            if mapping.state in (MappingState.ACTIVE, MappingState.REFUSED):
                mapping.move(MappingEvent.BANKD_RESET, now)
        return [LogEvent("info", "bankd_reset", fields=fields), *self._offer_all(bank_id, now)]

    def on_timer(self, bank_id: int, now: float) -> list[Action]:
        """The oldest unanswered request of this bank may be overdue, or the database is asked again."""
        bank = self._links[bank_id]
        actions: list[Action] = []
        if bank.retry_at is not None and bank.retry_at <= now:
            bank.retry_at = None
            actions += self._offer_all(bank_id, now, MappingState.NEW)
        oldest = next(iter(bank.unanswered.values()), None)
        if oldest is None or now < oldest + ANSWER_TIMEOUT_S:
            self._set_timer(bank_id, bank)
            return actions
        return [
            *actions,
            LogEvent("warning", "bankd_does_not_answer", fields={"bank": bank_id, "unanswered": len(bank.unanswered)}),
            Close(bank.link, f"a mapping request is unanswered for {ANSWER_TIMEOUT_S:g} s"),
        ]

    # The rest

    def _offer_all(self, bank_id: int, now: float, only: MappingState | None = None) -> list[Action]:
        mappings = [m for m in self._slotmap.live_of_bank(bank_id) if only is None or m.state is only]
        return self._offer(mappings, bank_id, now)

    def _offer(self, mappings: list[Mapping], bank_id: int, now: float) -> list[Action]:
        """Create what can be created now; what the database must know of first follows in ``on_sent_stored``."""
        bank = self._links.get(bank_id)
        if bank is None or bank.waiting_removals:
            return []
        actions: list[Action] = []
        unsent: list[int] = []
        for mapping in mappings:
            if mapping.is_ending or mapping.is_held or mapping.state not in (MappingState.NEW, MappingState.REFUSED):
                continue
            if not mapping.is_sent:
                mapping.is_sent = mapping.is_held = True
                unsent.append(mapping.id)
                continue
            mapping.move(MappingEvent.CREATE_SENT, now)
            mapping.is_create_unanswered = True
            bank.creates.push(mapping)
            self._asked(bank_id, bank, ("create", mapping.id), now)
            for removal in self._unasked(bank, mapping):
                self._slotmap.recreated(removal)
                actions += [NoteRemoved(removal.id), mapping_event("debug", "removal_needless", removal)]
            actions.append(Send(bank.link, CreateMappingReq(mapping.client, mapping.bank)))
        return actions if not unsent else [*actions, StoreSent(bank_id, tuple(unsent))]

    def _unasked(self, bank: _BankLink, mapping: Mapping) -> list[Mapping]:
        """The pending removals of a mapping's two slots that the bankd, which is there, was not asked for."""
        pending = (each for each in self._slotmap.removals_of(mapping) if each.state is MappingState.DELETE_REQ)
        return [each for each in pending if each.id not in bank.waiting_removals]

    def _remove(self, bank: _BankLink, mapping: Mapping, now: float) -> list[Action]:
        if mapping.is_create_unanswered:
            bank.waiting_removals.add(mapping.id)
            return []
        mapping.step(MappingEvent.REMOVE_SENT)
        bank.removes.push(mapping)
        self._asked(mapping.bank.bank_id, bank, ("remove", mapping.id), now)
        return [Send(bank.link, RemoveMappingReq(mapping.client, mapping.bank))]

    def _note_outcome(self, mapping: Mapping, result: ResultCode) -> list[Action]:
        is_ok = result is ResultCode.OK
        is_changed = mapping.is_acknowledged is not is_ok or mapping.result != (None if is_ok else result)
        mapping.is_acknowledged = is_ok
        mapping.result = None if is_ok else int(result)
        actions: list[Action] = [NoteOutcome(mapping.id, mapping.result)] if is_changed else []
        if is_ok:
            actions += [mapping_event("info", "mapping_active", mapping), *self._configurator.supersede(mapping.client)]
        else:
            actions.append(mapping_event("warning", "mapping_refused", mapping, result=result.name))
        return actions + self._configurator.refresh(mapping.client)

    def _asked(self, bank_id: int, bank: _BankLink, key: tuple[str, int], now: float) -> None:
        bank.unanswered[key] = now
        if len(bank.unanswered) == 1:
            self._set_timer(bank_id, bank)

    def _answered(self, bank_id: int, bank: _BankLink, key: tuple[str, int]) -> None:
        del bank.unanswered[key]
        if not bank.unanswered:
            self._set_timer(bank_id, bank)

    def _set_timer(self, bank_id: int, bank: _BankLink) -> None:
        dues = [since + ANSWER_TIMEOUT_S for since in islice(bank.unanswered.values(), 1)]
        if bank.retry_at is not None:
            dues.append(bank.retry_at)
        if dues:
            self._timers.set(bank_id, min(dues))
        else:
            self._timers.cancel(bank_id)


def _lost_track(bank_id: int, message: str) -> LogEvent:
    return LogEvent("warning", "unasked_answer", fields={"bank": bank_id, "message": message})
