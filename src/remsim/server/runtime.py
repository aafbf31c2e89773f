# SPDX-License-Identifier: Apache-2.0
"""Where the coordinator meets links, database, log and operators: events in, actions out to whom they concern.

Takes no decisions and starts nothing; ``service`` gives it its parts. All methods run in the event loop.
"""

import asyncio
import time
from typing import Final

from remsim.core.errors import RemsimError
from remsim.core.identity import Identity
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.core.rate_limit import TokenBucket
from remsim.logs import Logger
from remsim.net.accept.quota import ConnectionQuota
from remsim.net.connections import ConnectionManager, DialledLink
from remsim.net.log_limits import LogRateLimiter
from remsim.net.runtime.tasks import Alarm, TaskOwner
from remsim.policy.mapping import OPEN, MappingPolicy
from remsim.server.core.actions import (
    Action,
    Actor,
    AskPolicy,
    Decision,
    Entry,
    Report,
    StoreClientNumber,
    StoreDeletion,
    StoreMapping,
    StoreSent,
)
from remsim.server.core.coordinator import Coordinator, UnknownBankError
from remsim.server.core.peers import Peer
from remsim.server.core.slotmap import Mapping
from remsim.server.metrics import ServerMetrics
from remsim.server.store import audit
from remsim.server.store.writer import Store
from remsim.wire.link.actions import Accepted, AskIdentity, Close, LinkId, PeerAddress, Probe, Send
from remsim.wire.link.engine import Event

#: Events about whoever is not accepted, is refused by REST, or sends what it should not.
_STRANGERS: Final = frozenset(
    {
        *("peer_refused", "identity_in_use", "undecodable_message", "unsupported_version", "unknown_message"),
        *("unexpected_message", "unasked_answer", "repeated_connect_request", "client_did_not_take_number"),
        *("foreign_slot_status", "foreign_audit_entry", "odd_audit_action", "foreign_card", "bad_card_number"),
        *("token_refused", "access_refused", "policy_refused"),
    }
)

#: Events that follow from what operators ask for, not from what peers do again and again.
_OF_OPERATORS: Final = frozenset({"mapping_created", "mapping_deleted", "bankd_reset_ordered"})

#: Whose refusal is a stranger's: the entry names whatever he said.
_OF_STRANGERS: Final = "token_refused"

__all__ = ["PolicyRefusalError", "ServerRuntime", "UnknownBankError", "UnknownMappingError"]


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
        self.coordinator = coordinator
        self.store = store
        self.restart_counter = 0
        self._metrics = metrics
        self._log = log
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._on_alarm)
        self._refusals = TokenBucket(burst=audit.STORED_REFUSALS, interval_s=audit.REFUSAL_INTERVAL_S)
        self._lines = LogRateLimiter(log, metrics.limits, unauthenticated=_STRANGERS, now=self._loop.time)
        self.hub = ConnectionManager(
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
        #: When links came up, by the wall clock of that moment, which may be set later.
        self._connected_at: dict[LinkId, float] = {}
        #: The service listens on all its ports.
        self.is_open = False

    def close(self) -> None:
        """Stop the clock."""
        self._alarm.cancel()
        self._lines.close()

    # Links

    def on_link_up(self, link: LinkId, peer: PeerAddress) -> None:
        """See LinkHandler."""
        dialled = next((one.target for one in self.dialled if one.link == link), None)
        port = None if dialled is None else dialled[1]
        now, proof = self._loop.time(), self.hub.proof(link)
        self._connected_at[link] = time.time()
        self._run(self.coordinator.on_link_up(link, peer, now, dialled_port=port, proof=proof))

    def on_event(self, link: LinkId, event: Event) -> None:
        """See LinkHandler."""
        self._run(self.coordinator.on_event(link, event, self._loop.time()))

    def on_link_lost(self, link: LinkId, reason: str) -> None:
        """See LinkHandler."""
        self._connected_at.pop(link, None)
        self._run(self.coordinator.on_link_lost(link, reason, self._loop.time()))

    def push_revocations(self, raw: bytes) -> None:
        """Give everybody the authority's revocation list (DER)."""
        self._run(self.coordinator.revocations.push(raw))

    def push_certified(self, holders: frozenset[Identity]) -> None:
        """To whom the authority has issued certificates: if that is news, it has consequences for those without."""
        self._run(self.coordinator.on_certified(holders))

    def _on_alarm(self) -> None:
        self._run(self.coordinator.handle_timer(self._loop.time()))

    # The database

    def on_stored(self, decision: Decision, mapping_id: int, created_at: float) -> None:
        """See Listener."""
        now = self._loop.time()
        self._run(self.coordinator.on_stored(decision, now, mapping_id=mapping_id, created_at=created_at))
        if isinstance(decision, StoreMapping):
            # Another card may have come while it was being stored.
            self._ask_policy(decision.bank)

    def on_store_failed(self, decision: Decision) -> None:
        """See Listener."""
        self._run(self.coordinator.on_store_failed(decision))

    # Operators

    async def create_mapping(self, bank: BankSlot, client: ClientSlot, by: Actor) -> None:
        """Map two slots; returns when that is committed. Raises PolicyRefusalError, ConflictError and StoreError."""
        target = _pair(bank, client)
        decision = self._policy.decide(client, bank, self.coordinator.inventory.number(bank))
        if not decision.is_allowed:
            self.refuse(Entry(by, "mapping.create", target, audit.REFUSED, decision.reason), "policy_refused")
            raise PolicyRefusalError(decision.reason, hint="the server's policy file says who may use which card")
        await self._store(self.coordinator.plan_creation(bank, client), Entry(by, "mapping.create", target))

    async def delete_mapping(self, bank: BankSlot, by: Actor) -> None:
        """Delete the mapping of a bank slot; returns when that is committed. Raises UnknownMappingError, StoreError."""
        mapping = self.coordinator.slotmap.by_bank_slot(bank)
        decision = None if mapping is None else self.coordinator.plan_deletion([mapping])
        if mapping is None or decision is None:
            raise UnknownMappingError(f"{bank} is not mapped")
        await self._store(decision, Entry(by, "mapping.delete", _pair(mapping.bank, mapping.client)))

    async def delete_all_mappings(self, by: Actor) -> None:
        """Delete all mappings; returns when that is committed. Raises StoreError."""
        decision = self.coordinator.plan_deletion(self.coordinator.slotmap)
        if decision is None:
            self.store.record(Entry(by, "mapping.reset", "all", detail="there was none"))
            return
        await self._store(decision, Entry(by, "mapping.reset", "all", detail=f"{len(decision.mappings)} mappings"))

    def reset_bank(self, bank_id: int, by: Actor) -> None:
        """Order a bankd to drop all mappings and create those that are desired again. Raises UnknownBankError."""
        self._run(self.coordinator.reset_bank(bank_id))
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
        # Some of it may have been deleted already, by whoever judged it after its commit.
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
        target = _pair(mapping.bank, mapping.client)
        self._log.warning("policy_unmapped", mapping=target, reason=decision.reason)
        return plan, Entry(audit.SERVER, "mapping.delete", target, detail=decision.reason)

    def refuse(self, entry: Entry, event: str) -> None:
        """Log, count and store that somebody was refused; not all of it, if he does it again and again."""
        who = entry.actor.who
        fields: dict[str, object] = {"who": who, "peer": entry.actor.source, "target": entry.target}
        self._report(Report("warning", event, fields | {"reason": entry.detail}))
        self.store_refusal(entry, "" if event == _OF_STRANGERS else who)

    def store_refusal(self, entry: Entry, who: str = "") -> None:
        """Store that somebody was refused, unless that is too much of ``who``; of all strangers together without."""
        if self._refusals.take(who, self._loop.time()):
            self.store.record(entry)
        else:
            self._metrics.limits.reached(LimitName.STORED_REFUSALS)

    async def _store(self, decision: Decision, entry: Entry) -> None:
        done: asyncio.Future[int] = self._loop.create_future()
        self.store.submit(decision, done, entry)
        # Whoever waits may lose interest; the decision has been taken all the same.
        await asyncio.shield(done)

    # What operators see

    def mapping_of(self, peer: Peer) -> Mapping | None:
        """The live mapping of a client."""
        return None if peer.client is None else self.coordinator.slotmap.by_client_slot(peer.client)

    def connected_at(self, peer: Peer) -> float:
        """When a peer connected, in seconds since 1970-01-01 UTC."""
        return self._connected_at.get(peer.link, 0.0)

    # Actions

    def _run(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send() | Close() | Accepted() | Probe() | AskIdentity():
                    self.hub.execute(action)
                case Report():
                    self._report(action)
                case StoreMapping() | StoreDeletion() | StoreSent() | StoreClientNumber():
                    self.store.submit(action)
                case Entry():
                    self.store.record(action)
                case AskPolicy():
                    self._ask_policy(action.bank)
                case _:
                    self.store.note(action)
        self._alarm.set(self.coordinator.next_deadline())

    def _report(self, report: Report) -> None:
        self._metrics.events.labels(report.event).inc()
        # What operators do is said each time.
        is_ours = report.event in _OF_OPERATORS
        level = self._lines.level(report.event, report.level, None if is_ours else report.fields)
        if level == "info":
            self._log.info(report.event, **report.fields)
        elif level == "warning":
            self._log.warning(report.event, **report.fields)
        elif level == "error":
            self._log.error(report.event, **report.fields)
        else:
            self._log.debug(report.event, **report.fields)


def _pair(bank: BankSlot, client: ClientSlot) -> str:
    return f"{bank} {client}"
