# SPDX-License-Identifier: Apache-2.0
"""``remsim bankd`` as a program: sockets, readers and log around the coordinator. Takes no decisions of its own."""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from remsim.bankd.ahead_slots import AheadSlots, Reread
from remsim.bankd.ahead_turns import AheadTurns
from remsim.bankd.announcement import Hosts, advertised_hosts, announcement
from remsim.bankd.certified_store import NAME, CertifiedFile
from remsim.bankd.core.actions import (
    CARD_ACTIONS,
    BankdAction,
    CardAction,
    CardAttached,
    CardDetached,
    CardFault,
    Origin,
    RunAhead,
    SendResponse,
    StoreCertified,
    StoreLearnt,
    TimeCard,
    TraceAtr,
    TraceTpdu,
)
from remsim.bankd.core.continuity import HoldPolicy
from remsim.bankd.core.coordinator import BankdCoordinator
from remsim.bankd.core.states import BreakerState
from remsim.bankd.driver import CardDeadlines, CardDriver
from remsim.bankd.guard import read_guard_policy, reread_guard_policy
from remsim.bankd.host_watch import HostWatch
from remsim.bankd.learnt_files import FOLDER as LEARNT_FOLDER
from remsim.bankd.learnt_files import LearntFiles
from remsim.bankd.limits import UNAUTHENTICATED_EVENTS
from remsim.bankd.metrics import BankdMetrics
from remsim.bankd.readers import SlotReaders, make_source, sharing
from remsim.bankd.slots.store import make_plan
from remsim.bankd.stuck import StuckReaders
from remsim.bankd.tracing import TraceOutlets, revealing
from remsim.card.identity import CardIdentity
from remsim.config import BankdConfig
from remsim.core.executor import ActionExecutor
from remsim.core.identity import Identity, Role
from remsim.core.log_event import LogEvent
from remsim.logs import get_logger
from remsim.net.accept.listen import Listener
from remsim.net.connections import ConnectionManager, DialledLink
from remsim.net.engines import EngineFactory, own_identity
from remsim.net.gsmtap import GsmtapSender
from remsim.net.log_limiter import LogRateLimiter
from remsim.net.runtime.certificates import CertificateManager
from remsim.net.runtime.exposed_files import warn_of_exposed
from remsim.net.runtime.process import run_service
from remsim.net.runtime.reload import Reload, Step
from remsim.net.runtime.state_lock import StateLock
from remsim.net.runtime.tasks import Alarm, TaskOwner, in_thread
from remsim.net.tls.security import protect, quota_of
from remsim.outlets import Outlets
from remsim.readers.base import ReaderSource
from remsim.session.hold import HoldTimes
from remsim.trace.gsmtap import reveal_all
from remsim.wire.link.actions import Accepted, AskIdentity, Close, LinkAction, LinkId, PeerAddress, Probe, Send
from remsim.wire.link.engine import EngineMaker
from remsim.wire.link.events import Event
from remsim.wire.messages.extensions import AuditInd
from remsim.wire.messages.revocation import StoreRevocations
from remsim.wire.messages.rspro import (
    AddressKind,
    ComponentType,
)

#: Events that follow from what the server orders, not from what a peer does again and again.
_OF_ORDERS: Final = frozenset({"mapping_created", "mapping_removed", "state_reset"})
#: Events of which the guard itself bounds the number.
_OF_GUARD: Final = frozenset({"command_noted", "command_blocked", "guard_reloaded"})
#: Held while we run, in the state directory.
_LOCK_NAME: Final = "bankd.lock"
#: At the end, cards get this long beyond their own deadline to be powered off.
_POWER_OFF_S: Final = 5.0
#: A command in progress when the program is told to stop is given this long, less if the deadline is shorter.
_DRAIN_S: Final = 10.0


class BankdService:
    """One bank. ``source`` replaces the configured readers, in tests and the demo; it is started and stopped here.

    ``reread`` reads the settings anew for a reload; None: they stay.
    """

    def __init__(
        self,
        config: BankdConfig,
        *,
        source: ReaderSource | None = None,
        metrics: BankdMetrics | None = None,
        folder: Path | None = None,
        reread: Reread | None = None,
    ) -> None:
        self.config = config
        self.started = asyncio.Event()
        self.listener: Listener | None = None
        self.plain_listener: Listener | None = None
        self.certificates: CertificateManager | None = None
        self._given_source = source
        self._metrics = metrics or BankdMetrics()
        self._folder = folder or Path.cwd()
        self._log = get_logger("bankd")
        # For each command: asking for the loop costs a system call.
        self._now: Callable[[], float] = asyncio.get_running_loop().time
        self._ahead_turns = AheadTurns(self._on_ahead_turn)
        self._stop_wanted = asyncio.Event()
        self._at_rest = asyncio.Event()
        self._tasks = TaskOwner("bankd", log=self._log)
        self._has_tasks = False
        self._manager: ConnectionManager | None = None
        self._server: DialledLink | None = None
        self._readers: SlotReaders | None = None
        self._gsmtap: GsmtapSender | None = None
        self._sharing: Callable[[str], bool] | None = None
        self._reload = Reload(log=self._log)
        self._engines = EngineFactory.of(config, own_identity(config, ComponentType.REMSIM_BANKD))
        self.protection = protect(
            config,
            log=self._log,
            role=Role.BANK,
            speaks_for=[Identity.bank(config.bank_id)],
            dials=[config.server],
            plain_listener=config.listen_plaintext,
        )
        self._lock = StateLock(config.state_dir / _LOCK_NAME, what=f"the state directory {config.state_dir}")
        self._certified_file = CertifiedFile(config.state_dir / NAME, self._log)
        self._learnt = LearntFiles(config.state_dir / LEARNT_FOLDER, self._log)
        self._ahead = AheadSlots(config, learnt=self._learnt, log=self._log, reread=reread)
        self.stuck = StuckReaders(readers=self._reader_count, log=self._log)
        self._slots = [self._make_driver(nr) for nr in range(config.slots)]
        self.coordinator = self._make_coordinator()
        self._watch_card_times()
        # Once for each command, so looked up beforehand.
        self._on_card_response = self.coordinator.on_card_response
        self._outlets = TraceOutlets(self.coordinator, self._slots, now=self._now)
        self._kept: Outlets | None = None
        self._metrics.show(self.coordinator, self.stuck, self._usable_readers)
        self._alarm = Alarm(self._on_alarm)
        self._lines = LogRateLimiter(
            self._log, self._metrics.limits, unauthenticated=UNAUTHENTICATED_EVENTS, now=self._now
        )
        self._do = ActionExecutor[BankdAction](
            self._performers(), on_failure=self._on_failed_action, after=self._after_actions
        ).run

    def _watch_card_times(self) -> None:
        for driver, position in zip(self._slots, self.coordinator.cards.positions, strict=True):
            driver.observe = _both(driver.observe, position.on_card_time)

    def _make_driver(self, slot_nr: int) -> CardDriver:
        return CardDriver(
            slot_nr,
            events=self,
            tasks=self._tasks,
            observe=self._metrics.card_times.observe,
            deadlines=card_deadlines(self.config),
            stuck=self.stuck,
        )

    def _make_coordinator(self) -> BankdCoordinator:
        config = self.config
        coordinator = BankdCoordinator(
            bank_id=config.bank_id,
            cards=self._slots,
            identity=self._engines.identity,
            takeover_s=config.timers.takeover_s,
            traced_slots=self._traced_slots(),
            needs_proof=self.protection.contexts is not None,
            memory=self._certified_file.load(),
            reads_numbers=config.read_numbers,
            limits=self._metrics.limits,
            policy=read_guard_policy(config),
            hold=self._hold_policy(),
            ahead=self._ahead.policy,
        )
        coordinator.cards.numbers.takes_inventory = config.inventory == "on"
        return coordinator

    def _on_round_trip(self, link: LinkId, seconds: float) -> None:
        is_server = self._server is not None and link == self._server.link
        self._metrics.pings.labels("server" if is_server else "client").observe(seconds)

    def _reader_count(self) -> int:
        return sum(slot.reader is not None for slot in self._slots)

    def _usable_readers(self) -> int:
        """How many slots have a reader that is not left alone because it fails."""
        places = zip(self._slots, self.coordinator.cards.positions, strict=True)
        return sum(slot.reader is not None and place.breaker.state is not BreakerState.OPEN for slot, place in places)

    def _hold_policy(self) -> HoldPolicy | None:
        config = self.config
        if config.resume == "off":
            return None
        return HoldPolicy(
            HoldTimes(config.hold_idle_s, config.hold_busy_s),
            needs_proof=not config.resumes(is_proven=False),
            random=secrets.token_bytes,
            is_shared=self._is_shared,
        )

    def _is_shared(self, reader: str) -> bool:
        """Whether the cards in this reader are shared with other programs; known once the slots are planned."""
        return self._sharing is not None and self._sharing(reader)

    def _traced_slots(self) -> frozenset[int]:
        return frozenset(range(self.config.slots)) if self.config.has_outlets else self._gsmtap_slots()

    def _gsmtap_slots(self) -> frozenset[int]:
        if self.config.gsmtap is None:
            return frozenset()
        only = self.config.gsmtap_slot
        return frozenset(range(self.config.slots) if only is None else (only,))

    # Life

    async def start(self) -> None:
        """Find the readers, listen, dial the server. Raises StartError and ConfigError."""
        config = self.config
        self._lock.take(self._log)
        warn_of_exposed(config.state_dir, self._log)
        plan, warnings = make_plan(config, folder=self._folder)
        for text in warnings:
            self._log.warning("slots_file", text=text)
        self._sharing = sharing(config, plan)
        source = self._given_source or await make_source(config, plan, self._log)
        advertise = await advertised_hosts(config)
        await self._tasks.__aenter__()
        self._has_tasks = True
        self._manager = manager = ConnectionManager(
            self,
            tasks=self._tasks,
            log=self._log,
            quota=quota_of(config),
            lines=self._lines,
            on_refused=lambda kind: self._metrics.refused_connections.labels(kind).inc(),
            limits=self._metrics.limits,
            on_round_trip=self._on_round_trip,
        )
        if config.gsmtap is not None:
            redact = reveal_all if config.gsmtap_reveal else self._outlets.mask
            self._gsmtap = await GsmtapSender.open(config.gsmtap, redact=redact)
            self._outlets.send, self._outlets.sent_slots = self._gsmtap.send, self._gsmtap_slots()
            self._outlets.sends_guesses = config.gsmtap_guesses
            if config.gsmtap_reveal:
                self._log.warning("gsmtap_reveals_secrets", to=str(config.gsmtap))
                self._audit(revealing(config))
        if config.has_outlets:
            self._kept = Outlets(config, program=config.program, log=self._log)
            self._kept.show(self._metrics.outlets)
            self._outlets.tell(self._kept.each())
        self._readers = SlotReaders(config, source, plan, self._slots, on_presence=self._on_presence, log=self._log)
        await self._listen(manager, advertise)
        await self._readers.start()
        protection = self.protection
        dialling = self._engines.dialling(ComponentType.REMSIM_SERVER)
        tls, networks = protection.tls(Role.SERVER), protection.networks
        self._server = server = manager.dial(dialling, name="server", tls=tls, networks=networks)
        server.want(config.server.host, config.server.port)
        self._keep_fresh(manager)
        self.started.set()

    def _keep_fresh(self, manager: ConnectionManager) -> None:
        steps: list[Step] = [self._reload_guard, self._reload_ahead]
        if self.protection.contexts is not None:
            self.certificates = CertificateManager(self.protection.contexts, self, log=self._log)
            self._tasks.vital(self.certificates.run(), name="certificate")
            steps.append(self.certificates.reload)
        self._tasks.vital(self._reload.run(*steps), name="reload")
        watch = HostWatch(
            self.config,
            stuck=self.stuck,
            on_found=lambda found: self._do(self.coordinator.on_host_conditions(found)),
            has_own_readers=self._given_source is not None,
        )
        self._tasks.session(watch.run(), name="host")

    def close_revoked(self, is_revoked: Callable[[int], bool]) -> list[LinkId]:
        """Close the links whose peer's certificate is revoked; sessions are not held for them either."""
        if self._manager is None:
            return []
        self._do(self.coordinator.on_revoked(is_revoked, self._now()))
        return self._manager.close_revoked(is_revoked)

    async def _reload_guard(self) -> None:
        policy = await reread_guard_policy(self.config, self._log)
        if policy is not None:
            self._do(self.coordinator.on_guard_policy(policy))

    def answers_ahead(self, slot_nr: int) -> bool:
        """Whether a session that begins now in this slot is answered ahead, if its client takes such answers."""
        return self._ahead.allows(slot_nr)

    async def _reload_ahead(self) -> None:
        policy = await self._ahead.reload()
        if policy is not None:
            self.coordinator.on_ahead_policy(policy)

    def on_hangup(self) -> None:
        """SIGHUP: use the certificate, the guard's rules and the settings of answers ahead that the files hold now."""
        self._reload.request()

    async def _listen(self, manager: ConnectionManager, hosts: Hosts) -> None:
        config, protection = self.config, self.protection
        tls = protection.tls(Role.CLIENT, Role.SERVER)
        engines = self._client_engines(is_proven=tls is not None)
        self.listener = await manager.listen(config.listen, engines, tls=tls, networks=protection.networks)
        kind = AddressKind.PLAINTEXT if protection.contexts is None else AddressKind.TLS
        ports = {kind: self.listener.port}
        if config.listen_plaintext is not None:
            plain = self._client_engines(is_proven=False)
            self.plain_listener = await manager.listen(
                config.listen_plaintext, plain, networks=config.listener_networks
            )
            ports.setdefault(AddressKind.PLAINTEXT, self.plain_listener.port)
        self._log.info("listening", address=self.listener.addresses[0], bank_id=config.bank_id, slots=config.slots)
        self.coordinator.is_listening = True
        self.coordinator.control.advertise = announcement(hosts, ports)

    def _client_engines(self, *, is_proven: bool) -> EngineMaker:
        resumes = self.config.resumes(is_proven=is_proven)
        return self._engines.accepting(
            ComponentType.REMSIM_CLIENT, pings_at_once=False, resumes=resumes, is_ahead=self._ahead.is_offered
        )

    async def run(self) -> None:
        """Serve until told to stop; then finish commands in progress, close clients, power cards off last."""
        await self._stop_wanted.wait()
        for listener in (self.listener, self.plain_listener):
            if listener is not None:
                await listener.close()
        self._do(self.coordinator.stop(self._now()))
        drain_s = min(self.config.card_deadline_s, _DRAIN_S) + _POWER_OFF_S
        try:
            async with asyncio.timeout(drain_s):
                await self._at_rest.wait()
        except TimeoutError:
            self._log.warning("cards_not_powered_off", after_s=drain_s)

    def request_stop(self) -> None:
        """Ask ``run`` to end."""
        self._stop_wanted.set()

    async def stop(self) -> None:
        """Release everything."""
        self._alarm.cancel()
        self._lines.close()
        if self._manager is not None:
            await self._manager.close()
        if self._readers is not None:
            await self._readers.stop()
        if self._gsmtap is not None:
            self._gsmtap.close()
        if self._kept is not None:
            await in_thread(self._kept.stop)
        if self._has_tasks:
            self._has_tasks = False
            await self._certified_file.save(self.coordinator.certified.proven)
            self._tasks.cancel()
            await self._tasks.__aexit__(None, None, None)
        self._lock.release()

    # LinkHandler

    def on_link_up(self, link: LinkId, peer: PeerAddress) -> None:
        """A connection is there."""
        is_dialled = self._server is not None and link == self._server.link
        proof = None if self._manager is None else self._manager.proof(link)
        self._do(self.coordinator.on_link_up(link, peer, self._now(), is_dialled=is_dialled, proof=proof))

    def on_event(self, link: LinkId, event: Event) -> None:
        """A peer sent something."""
        self._do(self.coordinator.on_event(link, event, self._now()))

    def on_link_lost(self, link: LinkId, reason: str) -> None:
        """A connection is gone."""
        self._do(self.coordinator.on_link_lost(link, reason, self._now()))

    # SlotEvents

    def on_opened(self, slot_nr: int, atr: bytes) -> None:
        """The card is powered."""
        self._do(self.coordinator.on_card_opened(slot_nr, atr, self._now()))

    def on_response(self, slot_nr: int, response: bytes) -> None:
        """The card answered."""
        answer = self._on_card_response(slot_nr, response, self._now())
        if answer is not None and self._manager is not None:
            self._manager.answer_tpdu(answer.link, answer.tag, answer.response)
        if self.coordinator.actions:
            self._do(self.coordinator.take())

    def on_reset(self, slot_nr: int, atr: bytes) -> None:
        """The card was reset."""
        self._do(self.coordinator.on_card_reset(slot_nr, atr, self._now()))

    def on_closed(self, slot_nr: int) -> None:
        """The card is powered off."""
        self._do(self.coordinator.on_card_closed(slot_nr, self._now()))

    def on_failed(self, slot_nr: int, fault: CardFault) -> None:
        """The card or its reader failed."""
        self._do(self.coordinator.on_card_failed(slot_nr, fault, self._now()))

    def on_number(self, slot_nr: int, found: CardIdentity, reason: str, *, is_busy: bool = False) -> None:
        """The card's number was read, or cannot be."""
        contents = found if found != CardIdentity(found.iccid) else None
        now = self._now()
        self._do(self.coordinator.on_card_number(slot_nr, found.iccid, reason, now, contents, is_busy=is_busy))

    def _on_presence(self, slot_nr: int, *, is_present: bool, reader: str, cause: str) -> None:
        self._do(
            self.coordinator.on_presence(slot_nr, is_present=is_present, reader=reader, cause=cause, now=self._now())
        )

    def _on_alarm(self) -> None:
        self._do(self.coordinator.handle_timer(self._now()))

    # Actions

    def _performers(self) -> dict[type, Callable[..., None]]:
        performers: dict[type, Callable[..., None]] = {
            CardAttached: self._attach,
            CardDetached: self._detach,
            SendResponse: self._send_response,
            LogEvent: self._log_event,
            TraceAtr: self._outlets.trace_atr,
            TraceTpdu: self._outlets.trace_tpdu,
            TimeCard: self._outlets.time_card,
            StoreRevocations: self._store_revocations,
            StoreCertified: self._store_certified,
            RunAhead: self._run_ahead,
            StoreLearnt: self._store_learnt,
        }
        performers.update(dict.fromkeys((Send, Close, Accepted, Probe, AskIdentity), self._on_link_action))
        performers.update(dict.fromkeys(CARD_ACTIONS, self._on_card_action))
        return performers

    def _on_failed_action(self, action: BankdAction, error: Exception) -> None:
        self._log.error("internal_error", action=type(action).__name__, exc_info=error)

    def _after_actions(self) -> None:
        self._alarm.set(self.coordinator.next_deadline())
        if self._stop_wanted.is_set() and self.coordinator.is_at_rest:
            self._at_rest.set()

    def _on_link_action(self, action: LinkAction) -> None:
        if self._manager is not None:
            self._manager.execute(action)

    def _on_card_action(self, action: CardAction) -> None:
        self._outlets.on_card_action(action)
        self._slots[action.slot_nr].run(action)

    def _attach(self, action: CardAttached) -> None:
        manager, coordinator, submit = self._manager, self.coordinator, action.submit
        if manager is None:
            return
        actions, origin = coordinator.actions, Origin.MODEM

        def on_tpdu(tag: int, tpdu: bytes, now: float) -> bytes | None:
            response = submit(tag, tpdu, origin, now)
            if actions:
                self._do(coordinator.take())
            return response

        manager.attach_session(action.link, action.client, action.bank_slot, on_tpdu)

    def _detach(self, action: CardDetached) -> None:
        if self._manager is not None:
            self._manager.detach_session(action.link)

    def _send_response(self, action: SendResponse) -> None:
        if self._manager is not None:
            self._manager.answer_tpdu(action.link, action.tag, action.response)

    def _audit(self, entry: AuditInd) -> None:
        self._do(self.coordinator.on_audit(entry, self._now()))

    def _store_revocations(self, action: StoreRevocations) -> None:
        if self.certificates is not None:
            self._tasks.session(self.certificates.accept_list(action.raw), name="revocations")

    def _store_certified(self, _action: StoreCertified) -> None:
        self._certified_file.want()
        self._tasks.session(self._certified_file.save(self.coordinator.certified.proven), name="certified")

    def _run_ahead(self, action: RunAhead) -> None:
        self._ahead_turns.want(action.slot_nr, action.delay_s)

    def _on_ahead_turn(self, slot_nr: int) -> None:
        self._do(self.coordinator.on_ahead_turn(slot_nr, self._now()))

    def _store_learnt(self, action: StoreLearnt) -> None:
        model = self._ahead.learnt_of(action.pair)
        if model is not None and self._has_tasks:
            self._tasks.session(in_thread(self._learnt.save, action.pair, model), name="learnt")

    def _log_event(self, event: LogEvent) -> None:
        fields = event.shown_fields()
        level = event.level
        if event.name not in _OF_GUARD:
            # What a server orders is said each time.
            is_ordered = event.name in _OF_ORDERS
            about = {"client_slot": event.client_slot, "bank_slot": event.bank_slot, **fields}
            level = self._lines.level(event.name, level, None if is_ordered else about)
        getattr(self._log, level)(event.name, bank_slot=event.bank_slot, client_slot=event.client_slot, **fields)


def _both(count: Callable[[float], None], note: Callable[[float], None]) -> Callable[[float], None]:
    def observe(seconds: float) -> None:
        count(seconds)
        note(seconds)

    return observe


def card_deadlines(config: BankdConfig) -> CardDeadlines:
    """The deadlines of readers."""
    times = config.reader_deadlines
    return CardDeadlines(times.open_s, times.reset_s, config.card_deadline_s, times.close_s)


def serve(config: BankdConfig, reread: Reread | None = None) -> int:
    """Run ``remsim bankd`` until a signal ends it; the exit status. ``reread`` reads its settings anew for a reload."""
    metrics = BankdMetrics()
    return run_service(lambda: BankdService(config, metrics=metrics, reread=reread), config=config, metrics=metrics)
