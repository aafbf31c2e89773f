# SPDX-License-Identifier: Apache-2.0
"""Where the coordinator meets links, database, log and operators: events in, actions out to whom they concern.

Asks the rules of mappings; takes no other decisions and starts nothing. ``service`` gives it its parts.
All methods run in the event loop.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, get_args

from remsim.core.errors import RemsimError
from remsim.core.executor import ActionExecutor
from remsim.core.identity import Identity
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.core.log_event import LogEvent
from remsim.core.rate_limit import TokenBuckets
from remsim.logs import Logger, presentable
from remsim.net.accept.quota import ConnectionQuota
from remsim.net.connections import ConnectionManager, DialledLink
from remsim.net.log_limiter import LogRateLimiter
from remsim.net.runtime.tasks import Alarm, TaskOwner
from remsim.policy.mapping import OPEN, MappingPolicy
from remsim.server.change_entry import change_entry, followed_text, pair_text
from remsim.server.changes import Changes
from remsim.server.core.actions import (
    Action,
    Actor,
    AskPolicy,
    Audited,
    Decision,
    Entry,
    Note,
    ParkedMapping,
    StoreChange,
    StoredAnnouncement,
    StoreDeletion,
    StoredWebhook,
    StoreFollow,
    StoreGrant,
    StoreLease,
    StoreLock,
    StoreMapping,
    StoreWebhook,
    StoreWebhookEnd,
)
from remsim.server.core.card_choice import CardChoice
from remsim.server.core.coordinator import Coordinator, UnknownBankError
from remsim.server.core.event_feed import Audience, EventDraft, EventFeed
from remsim.server.core.labels import shown_subject
from remsim.server.core.leases import NoFreeCardError, TooManyLeasesError, UnknownLeaseError
from remsim.server.core.log_events import OF_OPERATORS, UNAUTHENTICATED_EVENTS
from remsim.server.core.slotmap import ConflictError, Mapping
from remsim.server.core.tracing import TraceFeed
from remsim.server.core.warning_rules import Found
from remsim.server.core.warnings import Severity, Warnings
from remsim.server.lease_query import LeaseQuery
from remsim.server.metrics import ServerMetrics
from remsim.server.query import RuntimeStatus, ServerQuery
from remsim.server.store import audit
from remsim.server.store.writer import Store
from remsim.wire.link.actions import Accepted, AskIdentity, Close, LinkAction, LinkId, PeerAddress, Probe, Send
from remsim.wire.link.engine import Event

#: The refusal of a caller that has proven nothing: the entry names whatever it said.
_TOKEN_REFUSED: Final = "token_refused"

_POLICY_HINT: Final = "the server's policy file says who may use which card"

__all__ = [
    "NoFreeCardError",
    "PolicyRefusalError",
    "ServerRuntime",
    "TooManyLeasesError",
    "UnknownBankError",
    "UnknownLeaseError",
    "UnknownMappingError",
]


_SAY: Final = {"debug": Logger.debug, "info": Logger.info, "warning": Logger.warning, "error": Logger.error}


class UnknownMappingError(RemsimError):
    """There is no such live mapping."""


class PolicyRefusalError(RemsimError):
    """The rules do not allow this mapping."""


class ServerRuntime:
    """A LinkHandler, and a Listener of the store."""

    def __init__(
        self,
        coordinator: Coordinator,
        store: Store,
        metrics: ServerMetrics,
        *,
        tasks: TaskOwner,
        log: Logger,
        admission: ConnectionQuota | None = None,
        policy: MappingPolicy = OPEN,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.coordinator = coordinator
        self.store = store
        self.status = RuntimeStatus(started_at=time.time(), now=self._loop.time)
        #: Wakes those who wait for something to come about.
        self.changes = Changes()
        self._feed = EventFeed(presentable)
        #: Hears of each event that is kept.
        self.audience: Audience | None = None
        #: Hears of webhooks that are stored as they are now, or deleted.
        self.on_webhook: Callable[[StoreWebhook | StoreWebhookEnd], None] = lambda _decision: None
        self.query = ServerQuery(coordinator, store, self.status, self._feed)
        metrics.lacks = self._lacks
        self.leases = LeaseQuery(coordinator.lending, self.query)
        self._metrics = metrics
        self._log = log
        self._policy = policy
        coordinator.lending.may_use = self._may_use
        self._alarm = Alarm(self._on_alarm)
        self._executor: ActionExecutor[Action] = ActionExecutor(
            self._performers(), on_failure=self._on_failure, after=self._after_actions
        )
        self._refusals = TokenBuckets(burst=audit.STORED_REFUSALS, interval_s=audit.REFUSAL_INTERVAL_S)
        self._lines = LogRateLimiter(log, metrics.limits, unauthenticated=UNAUTHENTICATED_EVENTS, now=self._loop.time)
        self.manager = ConnectionManager(
            self,
            tasks=tasks,
            log=log,
            quota=admission,
            lines=self._lines,
            on_refused=lambda kind: metrics.refused_connections.labels(kind).inc(),
            limits=metrics.limits,
        )
        #: Links that the server dials itself.
        self.dialled: list[DialledLink] = []

    def has_room_for_trace(self, slot: BankSlot | ClientSlot) -> bool:
        """Whether one more slot can be watched, or this one is already."""
        return self.coordinator.traces.has_room(slot)

    def trace_of(self, slot: BankSlot | ClientSlot) -> TraceFeed | None:
        """What is told of a slot that somebody watches, or did so a moment ago."""
        return self.coordinator.traces.feed(slot)

    def watch_trace(self, slot: BankSlot | ClientSlot) -> TraceFeed:
        """Have what happens at a slot traced, until ``leave_trace``. Raises TooManyTracesError."""
        feed, actions = self.coordinator.traces.watch(slot, self._loop.time())
        self._executor.run(actions)
        return feed

    def trace_missed(self) -> None:
        """A reader of a trace was too slow."""
        self._metrics.limits.reached(LimitName.TRACE_RECORDS)

    def leave_trace(self, feed: TraceFeed) -> None:
        """One who watched it does so no more."""
        self._executor.run(self.coordinator.traces.leave(feed, self._loop.time()))

    def close(self) -> None:
        """Stop the clock."""
        self._alarm.cancel()
        self._lines.close()

    # Links

    def on_link_up(self, link: LinkId, peer: PeerAddress) -> None:
        """See LinkHandler."""
        dialled = next((one.target for one in self.dialled if one.link == link), None)
        port = None if dialled is None else dialled[1]
        now, proof = self._loop.time(), self.manager.proof(link)
        self.status.connected_at[link] = time.time()
        self._executor.run(self.coordinator.on_link_up(link, peer, now, dialled_port=port, proof=proof))

    def on_event(self, link: LinkId, event: Event) -> None:
        """See LinkHandler."""
        self._executor.run(self.coordinator.on_event(link, event, self._loop.time()))

    def on_link_lost(self, link: LinkId, reason: str) -> None:
        """See LinkHandler."""
        self.status.connected_at.pop(link, None)
        self._executor.run(self.coordinator.on_link_lost(link, reason, self._loop.time()))

    def push_revocations(self, raw: bytes) -> None:
        """Give everybody the authority's revocation list (DER)."""
        self._executor.run(self.coordinator.revocations.push(raw))

    def push_certified(self, holders: frozenset[Identity]) -> None:
        """To whom the authority has issued certificates: peers without one may have to leave."""
        self._executor.run(self.coordinator.on_certified(holders))

    def _on_alarm(self) -> None:
        self._executor.run(self.coordinator.handle_timer(self._loop.time()))

    # The database

    def to_tell(self, decisions: Sequence[tuple[Decision, float]]) -> list[tuple[EventDraft, ...]]:
        """See StoreListener."""
        if self.audience is None or self.audience.is_empty:
            return [()] * len(decisions)
        told = zip(decisions, self.coordinator.change_events.of_batch(decisions), strict=True)
        return [self._wanted(self.audience, events, wall) for (_, wall), events in told]

    def _wanted(self, audience: Audience, events: Iterable[LogEvent], wall: float) -> tuple[EventDraft, ...]:
        drafts = (self._feed.draft(event, wall) for event in events)
        return tuple(draft for draft in drafts if draft is not None and audience.wants(draft))

    def tell_again(self, announcements: Iterable[StoredAnnouncement]) -> None:
        """Give the audience what an earlier run has stored and could not tell."""
        audience = self.audience
        if audience is None:
            return
        for each in announcements:
            for draft in each.events:
                audience.on_event(self._feed.keep(draft))
            audience.on_told(each.number)

    def on_stored(
        self, decision: Decision, mapping_ids: tuple[int, ...], created_at: float, announcement: int | None
    ) -> None:
        """See StoreListener."""
        now = self._loop.time()
        self._executor.run(self.coordinator.on_stored(decision, now, mapping_ids=mapping_ids, created_at=created_at))
        if announcement is not None and self.audience is not None:
            self.audience.on_told(announcement)
        if isinstance(decision, StoreWebhook | StoreWebhookEnd):
            self.on_webhook(decision)
        # Another card may have come while it was being stored.
        for creation in _creations(decision):
            self._ask_policy(creation.bank)

    def on_store_failed(self, decision: Decision) -> None:
        """See Listener."""
        self._executor.run(self.coordinator.on_store_failed(decision, self._loop.time()))

    # Operators

    async def create_mapping(self, bank: BankSlot, client: ClientSlot, by: Actor) -> None:
        """Map two slots; returns when that is committed. Raises PolicyRefusalError, ConflictError and StoreError."""
        self._check_policy(bank, client, by)
        await self._store(
            self.coordinator.plan_creation(bank, client), Entry(by, "mapping.create", pair_text(bank, client))
        )

    async def change_mappings(
        self,
        ended: Iterable[ClientSlot],
        created: Sequence[tuple[BankSlot, ClientSlot]],
        by: Actor,
        *,
        labels: dict[str, tuple[str, ...]] | None = None,
        follows: dict[BankSlot, str] | None = None,
        followed: dict[ClientSlot, str | None] | None = None,
        is_trial: bool = False,
    ) -> None:
        """End the mappings of client slots, make others, and change labels; returns when that is committed.

        ``follows`` are the numbers of the cards that new mappings follow, by their bank slots; ``followed`` what others
        are to follow from now on, by their client slots (None: their slot). Either everything is stored or nothing; of
        a trial nothing, but it fails where the change would. Raises PolicyRefusalError, UnknownMappingError,
        ConflictError, LabelError and StoreError.
        """
        slotmap = self.coordinator.slotmap
        found: list[Mapping] = []
        waiting: list[ParkedMapping] = []
        leaving, followed = frozenset(ended), followed or {}
        for client in sorted(leaving):
            mapping, parked = slotmap.by_client_slot(client), slotmap.parked_of_client(client)
            if mapping is not None:
                found.append(mapping)
            elif parked is not None:
                waiting.append(parked)
            else:
                raise UnknownMappingError(f"{client} is not mapped")
        for bank, client in created:
            self._check_policy(bank, client, None if is_trial else by)
            if follows is not None and bank in follows:
                self.coordinator.check_follow(client, follows[bank], leaving)
        changes = [self._plan_follow(client, iccid, leaving) for client, iccid in followed.items()]
        decision = self.coordinator.plan_change(
            found, created, labels, follows, unparked=waiting, follow_changes=changes
        )
        if decision is None:
            if by.request is not None and not is_trial:
                # That nothing differed is the answer for good.
                await self._store(None, change_entry(by, [], [], {}, {}))
            return
        if is_trial:
            # Gives back what was reserved for it.
            self._executor.run(self.coordinator.on_store_failed(decision, self._loop.time()))
            return
        gone = [*((each.bank, each.client) for each in found), *((each.bank, each.client) for each in waiting)]
        await self._store(decision, change_entry(by, gone, created, labels or {}, followed))

    async def follow(self, client: ClientSlot, iccid: str | None, by: Actor) -> None:
        """Let the mapping of a client slot follow this card, or stay with its slot; returns when that is committed.

        Raises UnknownMappingError, ConflictError and StoreError.
        """
        decision = self._plan_follow(client, iccid)
        mapping = self.coordinator.slotmap.get(decision.mapping_id)
        target = str(client) if mapping is None else pair_text(mapping.bank, client)
        await self._store(decision, Entry(by, "mapping.follow", target, detail=followed_text(iccid)))

    def _plan_follow(self, client: ClientSlot, iccid: str | None, leaving: Collection[ClientSlot] = ()) -> StoreFollow:
        mapping = self.coordinator.slotmap.by_client_slot(client)
        if mapping is None:
            raise UnknownMappingError(f"{client} is not mapped")
        if iccid is not None:
            self.coordinator.check_follow(client, iccid, leaving)
        return self.coordinator.plan_follow(mapping, iccid)

    async def set_labels(self, subject: str, labels: Iterable[str], by: Actor) -> None:
        """Give a slot, client slot or card these labels and no others; returns when that is committed.

        ``subject`` is in its one form. Raises LabelError and StoreError.
        """
        decision = self.coordinator.plan_labels(subject, labels)
        detail = ", ".join(decision.labels) or "none"
        await self._store(decision, Entry(by, "label.set", shown_subject(subject), detail=detail))

    async def lock_slot(self, slot: BankSlot, reason: str, by: Actor) -> None:
        """Give a slot no new mapping from now on; returns when that is committed. Raises LockError and StoreError."""
        decision = self.coordinator.slotmap.locks.plan(slot, reason, by.who)
        await self._store(decision, Entry(by, "slot.lock", str(slot), detail=reason))

    async def unlock_slot(self, slot: BankSlot, by: Actor) -> None:
        """It may be mapped again; returns when that is committed. Raises StoreError."""
        await self._store(StoreLock(slot, None, by.who), Entry(by, "slot.unlock", str(slot)))

    async def reinsert_card(self, client: ClientSlot, by: Actor) -> None:
        """End the mapping of a client slot and make it again at once: its modem sees the card removed and inserted.

        Returns when that is committed. Raises UnknownMappingError, ConflictError, PolicyRefusalError and StoreError.
        """
        mapping = self.coordinator.slotmap.by_client_slot(client)
        if mapping is None:
            raise UnknownMappingError(f"{client} is not mapped")
        if self.coordinator.lending.table.by_client(client) is not None:
            raise ConflictError(f"{client} has its card on loan", hint="release that lease, and take another one")
        follows = None if mapping.follows is None else {mapping.bank: mapping.follows}
        await self.change_mappings([client], [(mapping.bank, client)], by, follows=follows)

    def _check_policy(self, bank: BankSlot, client: ClientSlot, by: Actor | None) -> None:
        """Raises PolicyRefusalError; that is noted unless nobody wants the mapping yet."""
        decision = self._policy.decide(client, bank, self.coordinator.inventory.number(bank))
        if not decision.is_allowed:
            if by is not None:
                entry = Entry(by, "mapping.create", pair_text(bank, client), audit.REFUSED, decision.reason)
                self.refuse(entry, "policy_refused")
            raise PolicyRefusalError(decision.reason, hint=_POLICY_HINT)

    async def delete_mapping(self, bank: BankSlot, by: Actor) -> None:
        """Delete the mapping of a bank slot; returns when that is committed. Raises UnknownMappingError, StoreError."""
        mapping = self.coordinator.slotmap.by_bank_slot(bank)
        decision = None if mapping is None else self.coordinator.plan_deletion([mapping])
        if mapping is None or decision is None:
            raise UnknownMappingError(f"{bank} is not mapped")
        await self._store(decision, Entry(by, "mapping.delete", pair_text(mapping.bank, mapping.client)))

    async def delete_all_mappings(self, by: Actor) -> None:
        """Delete all mappings; returns when that is committed. Raises StoreError."""
        slotmap = self.coordinator.slotmap
        waiting = [each.id for each in slotmap.parked() if not slotmap.is_held(each)]
        slotmap.hold_parked(waiting)
        deletion = self.coordinator.plan_deletion(self.coordinator.slotmap)
        if deletion is None and not waiting:
            self.store.record(Entry(by, "mapping.reset", "all", detail="there was none"))
            return
        count = len(waiting) + (0 if deletion is None else len(deletion.mappings))
        decision = StoreChange(deletion, (), unparked=tuple(waiting))
        await self._store(decision, Entry(by, "mapping.reset", "all", detail=f"{count} mappings"))

    def _lacks(self) -> list[str]:
        """In words, what the server lacks to do its work."""
        lacks = [] if self.query.is_open else ["the server is starting or stopping"]
        return lacks if self.query.is_store_healthy else [*lacks, "the database did not take the last change"]

    # Warnings

    @property
    def warnings(self) -> Warnings:
        """What is wrong now. Changed by ``warn``, ``clear_warning`` and ``set_warnings`` only."""
        return self.coordinator.warnings

    def warn(
        self, kind: str, about: BankSlot | ClientSlot | str, text: str, hint: str, *, severity: Severity = "warning"
    ) -> None:
        """Something is wrong with ``about``. May be said again and again; see ``Warnings.set``."""
        self._tell(self.warnings.set(kind, about, text, hint, wall=time.time(), severity=severity))

    def clear_warning(self, kind: str, about: BankSlot | ClientSlot | str) -> None:
        """That is over, if it ever was."""
        self._tell(self.warnings.clear(kind, about))

    def set_warnings(self, kinds: frozenset[str], found: Found) -> None:
        """Of these kinds there is exactly what was ``found`` now."""
        self._tell(self.warnings.replace(kinds, found, time.time()))

    def _tell(self, events: Sequence[LogEvent]) -> None:
        if events:
            self._executor.run(events)

    # Leases

    async def take_lease(
        self,
        pool: CardChoice,
        client: ClientSlot,
        by: Actor,
        *,
        banks: frozenset[int] | None,
        priority: int,
        duration_s: float,
        wait_s: float,
    ) -> int:
        """Lend a card of ``pool`` of these banks, now or within ``wait_s``; returns the lease's number.

        Returns when that is committed. Raises ConflictError and StoreError.
        """
        decision = self.coordinator.lending.plan(
            pool,
            client,
            banks=banks,
            by=by,
            priority=priority,
            duration_s=duration_s,
            wait_s=wait_s,
            wall=time.time(),
            now=self._loop.time(),
        )
        self._alarm.set(self.coordinator.next_deadline())
        number, creation = decision.order.id, decision.creation
        got = "waits" if creation is None else str(creation.bank)
        entry = Entry(by, "lease.take", f"{client} {pool}", detail=f"lease {number}, {duration_s:g} s: {got}")
        await self._store(decision, entry)
        return number

    async def renew_lease(self, number: int, duration_s: float, by: Actor) -> None:
        """Let a lease last so long from now on; returns when that is committed.

        Raises UnknownLeaseError, ConflictError and StoreError.
        """
        decision = self.coordinator.lending.plan_renewal(number, duration_s)
        await self._store(decision, Entry(by, "lease.renew", f"lease {number}", detail=f"{duration_s:g} s"))

    async def release_lease(self, number: int, by: Actor) -> None:
        """End a lease, whether it waits or has a card; returns when that is committed.

        Raises UnknownLeaseError, ConflictError and StoreError.
        """
        decision = self.coordinator.lending.plan_release(number)
        await self._store(decision, Entry(by, "lease.release", f"lease {number}"))

    def revoke_leases(self, reasons: dict[int, str]) -> None:
        """End leases, for these reasons, by their numbers."""
        self._executor.run(self.coordinator.lending.revoke(reasons))

    def _may_use(self, bank: BankSlot, client: ClientSlot) -> bool:
        return self._policy.decide(client, bank, self.coordinator.inventory.number(bank)).is_allowed

    def reset_bank(self, bank_id: int, by: Actor) -> None:
        """Order a bankd to drop all mappings and create those that are desired again. Raises UnknownBankError."""
        self._executor.run(self.coordinator.reset_bank(bank_id))
        self.store.record(Entry(by, "bank.reset", f"B{bank_id}"))

    async def change_policy(self, policy: MappingPolicy) -> None:
        """Judge by these rules from now on, what is stored included; returns when that is committed.

        Raises StoreError; then the rules hold all the same for new mappings.
        """
        self._policy = policy
        # Commits keep their order: what was granted by the old rules is among the mappings when this entry is stored.
        done: asyncio.Future[int] = self._loop.create_future()
        self.store.record(Entry(audit.SERVER, "policy.reload", detail=policy.size), done)
        await done
        await self.enforce_policy()
        # Who waits for a card may be allowed another one now.
        self._executor.run(self.coordinator.following.look())
        self.coordinator.lending.stir(self._loop.time())
        self._alarm.set(self.coordinator.next_deadline())
        # Some of it may have been deleted already, where it was judged after its commit.
        await self.store.written()

    async def enforce_policy(self) -> None:
        """Delete the stored mappings that the rules no longer allow; returns when that is committed."""
        for mapping in list(self.coordinator.slotmap):
            if (end := self._end_of(mapping)) is not None:
                await self._store(*end)

    def _ask_policy(self, bank: BankSlot) -> None:
        mapping = self.coordinator.slotmap.by_bank_slot(bank)
        end = None if mapping is None else self._end_of(mapping)
        if end is not None:
            self.store.submit(end[0], entry=end[1])

    def _end_of(self, mapping: Mapping) -> tuple[StoreDeletion, Entry] | None:
        """What deletes a mapping that the rules do not allow; None if it may stay, or is being deleted already."""
        number = self.coordinator.inventory.last_number(mapping.bank)
        decision = self._policy.decide(mapping.client, mapping.bank, number)
        plan = None if decision.is_allowed else self.coordinator.plan_deletion([mapping])
        if plan is None:
            return None
        target = pair_text(mapping.bank, mapping.client)
        self._log.warning("policy_unmapped", mapping=target, reason=decision.reason)
        return plan, Entry(audit.SERVER, "mapping.delete", target, detail=decision.reason)

    async def store_webhook(self, hook: StoredWebhook, entry: Entry) -> None:
        """Keep a new webhook; returns when that is committed. Raises StoreError."""
        await self._store(StoreWebhook(hook), entry)
        self.changes.ordered()

    async def delete_webhook(self, number: int, entry: Entry) -> None:
        """Forget a webhook; returns when that is committed. Raises StoreError."""
        await self._store(StoreWebhookEnd(number), entry)
        self.changes.ordered()

    def record(self, entry: Entry) -> None:
        """Store what somebody did that changed nothing here; maybe the authority has another code or certificate."""
        self.store.record(entry)
        self.changes.ordered()

    def refuse(self, entry: Entry, event: str) -> None:
        """Log, count and store that a caller was refused; of many refusals of one caller, not each is stored."""
        who = entry.actor.who
        fields = {"who": who, "peer": entry.actor.source, "target": entry.target, "reason": entry.detail}
        self._log_event(LogEvent("warning", event, fields=fields))
        self.store_refusal(entry, "" if event == _TOKEN_REFUSED else who)

    def store_refusal(self, entry: Entry, who: str = "") -> None:
        """Store that somebody was refused, unless that is too much of ``who``, or of all callers without one."""
        if self._refusals.take(who, self._loop.time()):
            self.store.record(entry)
        else:
            self._metrics.limits.reached(LimitName.STORED_REFUSALS)

    async def _store(self, decision: Decision | None, entry: Entry) -> None:
        done: asyncio.Future[int] = self._loop.create_future()
        self.store.submit(decision, done, entry)
        # The caller may stop waiting; the decision has been taken all the same.
        await asyncio.shield(done)

    # Actions

    def _performers(self) -> dict[type, Callable[..., None]]:
        """What carries out each kind of action."""
        performers: dict[type, Callable[..., None]] = {
            LogEvent: self._log_event,
            Entry: self.store.record,
            Audited: lambda action: self.store.submit(action.decision, entry=action.entry),
            AskPolicy: lambda action: self._ask_policy(action.bank),
        }
        performers |= dict.fromkeys((Send, Close, Accepted, Probe, AskIdentity), self._on_link_action)
        performers |= dict.fromkeys(get_args(Decision), self.store.submit)
        performers |= dict.fromkeys(get_args(Note), self._note)
        return performers

    def _note(self, note: Note) -> None:
        self.store.note(note)
        self.coordinator.known.note(note, time.time())

    def _on_link_action(self, action: LinkAction) -> None:
        self.manager.execute(action)

    def _on_failure(self, action: Action, error: Exception) -> None:
        self._log.error("internal_error", action=type(action).__name__, exc_info=error)

    def _after_actions(self) -> None:
        self._alarm.set(self.coordinator.next_deadline())
        self.changes.happened()

    def _log_event(self, event: LogEvent) -> None:
        self._metrics.events.labels(event.name).inc()
        if self._feed.on_event(event, time.time()) and self.audience is not None:
            self.audience.on_event(self._feed.newest)
        slots = {"bank_slot": event.bank_slot, "client_slot": event.client_slot}
        fields = {name: slot for name, slot in slots.items() if slot is not None} | event.shown_fields()
        # What operators do is said each time.
        is_ours = event.name in OF_OPERATORS
        level = self._lines.level(event.name, event.level, None if is_ours else fields)
        _SAY[level](self._log, event.name, **fields)


def _creations(decision: Decision) -> tuple[StoreMapping, ...]:
    match decision:
        case StoreMapping():
            return (decision,)
        case StoreChange():
            return decision.creations
        case StoreLease(_, StoreMapping() as creation) | StoreGrant(_, creation):
            return (creation,)
        case _:
            return ()
