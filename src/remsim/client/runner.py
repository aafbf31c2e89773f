# SPDX-License-Identifier: Apache-2.0
"""One client slot at work: its coordinator, its two dialled links and its emulator, tied together.

Takes no decisions: turns what happens into coordinator calls and carries out the actions. Several slots share one
``ConnectionManager``.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from remsim.causes import hint_of
from remsim.client.core.actions import (
    Abort,
    Action,
    Command,
    DialBankd,
    GiveUpCard,
    HangUpBankd,
    InsertCard,
    RemoveCard,
    ResetModem,
    Respond,
    SelectSim,
    SetAtr,
)
from remsim.client.core.coordinator import ClientCoordinator
from remsim.client.core.notices import Notice, NoticeKind, in_words
from remsim.client.core.options import HoldOptions
from remsim.client.core.server_link import NO_NUMBERS
from remsim.client.core.states import SlotState
from remsim.client.metrics import ClientMetrics
from remsim.client.observer import ClientObserver, CommandRecord
from remsim.client.scripting.causes import EventCauses, EventEnvironment, ScriptCause
from remsim.client.scripting.runner import CallResult, EventScript
from remsim.config import ClientConfig, HostPort
from remsim.core.executor import ActionExecutor
from remsim.core.identity import Identity, Role
from remsim.core.limits import LimitName
from remsim.core.log_event import LogEvent
from remsim.core.values import dataclass
from remsim.emulators.base import CardEmulator, EmulatorEvents, Hardware, Lines, PpsResult
from remsim.logs import Logger, get_logger
from remsim.net.connections import ConnectionManager, DialledLink
from remsim.net.engines import EngineFactory, own_identity
from remsim.net.gsmtap import GsmtapSender
from remsim.net.runtime.tasks import Alarm
from remsim.net.tls.contexts import Expectation
from remsim.net.tls.security import TransportSecurity
from remsim.session.hold import HoldTimes
from remsim.trace.gsmtap import AtrRecord, TpduRecord
from remsim.trace.mask import TraceMask
from remsim.trace.outlet import CommandOutlet, DoneCommand
from remsim.trace.tap import NO_ID, CommandId, SlotTap
from remsim.wire.link.actions import Accepted, AnnounceReturn, AskIdentity, Close, LinkId, Probe, Send
from remsim.wire.link.dialing import Backoff, DialState
from remsim.wire.link.engine import Event
from remsim.wire.link.tags import LinkTags
from remsim.wire.messages.revocation import StoreRevocations
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType, ResultCode, SlotPhysStatus

#: A session is held for half a minute while its modem waits, so its bankd is dialled every few seconds.
WHILE_HELD: Final = Backoff(most_s=4.0)


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """What a slot is made of."""

    config: ClientConfig
    emulator: CardEmulator
    observer: ClientObserver


class ClientSlotRunner(EmulatorEvents):
    """Made inside the event loop; ``start`` begins to dial."""

    def __init__(
        self,
        spec: SlotSpec,
        *,
        manager: ConnectionManager,
        metrics: ClientMetrics,
        protection: TransportSecurity,
        on_revocations: Callable[[bytes], None] | None = None,
        outlets: Sequence[CommandOutlet] = (),
    ) -> None:
        config = spec.config
        self.config = config
        self.emulator = spec.emulator
        self._observer = spec.observer
        self._manager = manager
        self._on_revocations = on_revocations
        self._metrics = metrics
        identity = own_identity(config, ComponentType.REMSIM_CLIENT)
        self.coordinator = ClientCoordinator(
            identity=identity,
            client_slot=config.client,
            default_atr=config.atr,
            keeps_default_atr=config.atr_ignore_rspro,
            atr_policy=config.atr_rules.policy(),
            resets_for_atr=config.atr_late == "reset",
            hold=HoldOptions(
                HoldTimes(config.hold_idle_s, config.hold_busy_s),
                None if self.emulator.stalls else config.stall_limit_s,
            ),
        )
        self._gsmtap: GsmtapSender | None = None
        self._mask = TraceMask()
        self._outlets = tuple(outlets)
        self._trace = self.coordinator.trace
        self._trace.on_left_out = partial(metrics.limits.reached, LimitName.TRACE_RATE)
        self.coordinator.health.emulator = self.emulator.kind
        self.server = self._dial(identity, ComponentType.REMSIM_SERVER, protection)
        self.bankd = self._dial(identity, ComponentType.REMSIM_BANKD, protection)
        self._alarm = Alarm(self._on_alarm)
        self._lines = manager.lines
        #: None: nobody has told whether there is any.
        self._has_hardware: bool | None = None
        self._label = ""
        # The link that is just being lost; its ``DialledLink`` does not know yet.
        self._lost: LinkId | None = None
        self._is_stopping = False
        self._longest_hold_ms = 0
        #: Whether sessions that begin take answers ahead; and whether the one that runs does.
        self.is_ahead = self._is_offered_ahead = config.is_ahead
        self._identify()
        self._causes = EventCauses()
        self._environment = EventEnvironment(config.server)
        #: None if there is none.
        self.script: EventScript | None = None
        if config.event_script is not None:
            self.script = EventScript(
                config.event_script, timeout_s=config.event_timeout_s, log=self._log, on_result=self._on_script_result
            )
        self._executor = ActionExecutor[Action](self._performers(), on_failure=self._on_failure, after=self._set_alarm)

    def _dial(self, identity: ComponentIdentity, peer: ComponentType, protection: TransportSecurity) -> DialledLink:
        whose = "" if self.config.client is None else f" of {self.config.client}"
        engines = EngineFactory.of(self.config, identity)
        if peer is ComponentType.REMSIM_SERVER:
            name, tls, backoff = "server", protection.tls(Role.SERVER), None
            make = engines.dialling(peer)
        else:
            name, tls = "bankd", protection.tls(Role.BANK)
            resumes = self.config.resumes(is_proven=tls is not None)
            tags = (lambda: self.coordinator.tags) if resumes else LinkTags
            make = engines.dialling(peer, resumes=resumes, is_ahead=self._offers_ahead, tags=tags)
            backoff = WHILE_HELD if resumes else None
        return self._manager.dial(
            make,
            name=f"{name}{whose}",
            tls=tls,
            backoff=backoff,
            networks=protection.networks,
        )

    def _offers_ahead(self) -> bool:
        """Whether a link that is made now takes answers ahead. A session that is held goes on as it began."""
        if self.coordinator.state is not SlotState.HOLDING:
            self._is_offered_ahead = self.is_ahead
        return self._is_offered_ahead

    def _identify(self) -> None:
        """Give log lines and metrics the slot's present number."""
        coordinator = self.coordinator
        label = "none" if coordinator.client_slot is None else str(coordinator.client_slot)
        if label != self._label:
            self._metrics.forget_slot(self._label)
            self._metrics.show_latency(label, lambda: self.coordinator.latency)
        self._label = label
        if self._has_hardware is not None:
            self._metrics.hardware_present.labels(label).set(self._has_hardware)
        self._log: Logger = get_logger("client").bind(
            client_slot=coordinator.client_slot, bank_slot=coordinator.bank_slot
        )
        self._answered = self._metrics.tpdus.labels(label)
        self._duration = self._metrics.duration.labels(label)
        self._network = self._metrics.network.labels(label)

    def status(self) -> list[tuple[str, str]]:
        """Name and state of everything, in words for people."""
        coordinator = self.coordinator
        rows = [("slot", f"{coordinator.client_slot or 'no number yet'}, {coordinator.state.value}")]
        for name, dialled in (("server", self.server), ("bankd", self.bankd)):
            target = "" if dialled.target is None else f" {HostPort(*dialled.target)}"
            rows.append((name, f"{dialled.state.value}{target}"))
        if coordinator.bank_slot is not None:
            rows.append(("mapping", f"{coordinator.bank_slot}"))
        return rows

    def why_no_card(self) -> str:
        """What a person should look at if the modem sees no card."""
        match self.coordinator.state:
            case SlotState.INIT:
                if self.coordinator.refusal.startswith(NO_NUMBERS):
                    # It runs, and is a classic one.
                    return NO_NUMBERS
                return f"no server has accepted us at {self.config.server}{self._trouble(self.server)}"
            case SlotState.UNCONFIGURED if not self.coordinator.is_server_connected:
                return f"the server at {self.config.server} is lost{self._trouble(self.server)}"
            case SlotState.UNCONFIGURED:
                if self.coordinator.server_says:
                    return self.coordinator.server_says
                return (
                    f"the server has no bankd for {self._label}: it is not mapped, or the bank of its mapping is not "
                    "connected; see remsim ctl mappings"
                )
            case SlotState.WAIT_BANKD:
                return self._why_bankd_serves_nothing()
            case SlotState.HOLDING:
                return f"the link to the bankd is lost, and its return is awaited{self._trouble(self.bankd)}"
            case SlotState.OPERATIONAL:
                return f"bank slot {self.coordinator.bank_slot} has no card, says the bankd"

    def _why_bankd_serves_nothing(self) -> str:
        bank_slot, target = (
            self.coordinator.bank_slot,
            "" if self.bankd.target is None else HostPort(*self.bankd.target),
        )
        if self.coordinator.refusal == ResultCode.CARD_NOT_PRESENT.name.lower():
            return f"bank slot {bank_slot} has no card, says the bankd at {target}"
        return f"mapped to {bank_slot}, but the bankd at {target} does not serve us{self._trouble(self.bankd)}"

    def _trouble(self, dialled: DialledLink) -> str:
        """The last refusal of a peer, or why it cannot be reached, and what may mend that."""
        if self.coordinator.refusal:
            return f" ({in_words(self.coordinator.refusal)})"
        hint = hint_of(dialled.trouble)
        return f" ({dialled.trouble}{f'; {hint}' if hint else ''})" if dialled.trouble else ""

    # Life

    async def start(self) -> None:
        """Take the emulator and dial the server. Raises StartError."""
        if self.config.gsmtap is not None:
            self._gsmtap = await GsmtapSender.open(self.config.gsmtap, redact=self._mask)
        await self.emulator.start(self)
        # A modem that powers its slot up before there is a card must not wait for an ATR in vain.
        self.emulator.set_atr(self.config.atr)
        self.server.want(self.config.server.host, self.config.server.port)

    async def stop(self) -> None:
        """Hang up and let go of the emulator."""
        self._is_stopping = True
        self._alarm.cancel()
        self._run(self.coordinator.stop())
        self._alarm.cancel()
        self.bankd.unwant()
        self.server.unwant()
        await self.emulator.stop()
        if self._gsmtap is not None:
            self._gsmtap.close()

    # Links

    def owns(self, link: LinkId) -> bool:
        """Whether this link, which has just come up, is one of ours."""
        return link in (self.server.link, self.bankd.link)

    def on_link_up(self, link: LinkId) -> None:
        """One of our links is up."""
        role = ComponentType.REMSIM_SERVER if link == self.server.link else ComponentType.REMSIM_BANKD
        self._run(self.coordinator.on_link_up(link, role, self._manager.now()))

    def on_event(self, link: LinkId, event: Event) -> None:
        """Something arrived on one of our links."""
        self._run(self.coordinator.on_event(link, event, self._manager.now()))

    def on_round_trip(self, link: LinkId, seconds: float) -> None:
        """The peer of one of our links has answered a PING."""
        is_server = link == self.server.link
        self._metrics.pings.labels(self._label, "server" if is_server else "bankd").observe(seconds)
        if not is_server:
            self.coordinator.health.on_ping(seconds)

    def on_link_lost(self, link: LinkId, reason: str) -> None:
        """One of our links is gone."""
        self._lost = link
        self._run(self.coordinator.on_link_lost(link, reason, self._manager.now()))
        self._lost = None

    def _on_alarm(self) -> None:
        self._run(self.coordinator.handle_timer(self._manager.now()))

    # EmulatorEvents

    def on_tpdu(self, number: int, tpdu: bytes) -> None:
        """A command of the modem."""
        # The loop's time is not fine enough for the duration of a command.
        self._run(self.coordinator.on_tpdu(number, tpdu, time.perf_counter(), self._manager.now()))

    def on_lines(self, lines: Lines) -> None:
        """The modem changed its lines."""
        status = SlotPhysStatus(lines.reset_active, lines.vcc_present, lines.clk_active, lines.card_present)
        if self.script is not None:
            self._environment.on_lines(status)
            self._call_script(self._causes.of_lines(status))
        self._run(self.coordinator.on_lines(status, self._manager.now()))

    def on_pps(self, result: PpsResult) -> None:
        """The modem changed the speed; RSPRO has no place for it."""
        self._log.debug("pps", f_index=result.f_index, d_index=result.d_index)
        self.coordinator.health.on_speed(result.f_index, result.d_index, self._manager.now())
        self._set_alarm()

    def on_hardware(self, hardware: Hardware) -> None:
        """The hardware came or went; what it is, the emulator has logged."""
        if self._has_hardware and not hardware.is_present:
            self._metrics.hardware_losses.labels(self._label).inc()
        self._has_hardware = hardware.is_present
        self._metrics.hardware_present.labels(self._label).set(hardware.is_present)
        self.coordinator.health.on_board(hardware.board, self._manager.now(), is_present=hardware.is_present)
        self._set_alarm()

    def on_firmware(self, version: str) -> None:
        """The hardware tells which firmware it runs."""
        self.coordinator.health.on_firmware(version, self._manager.now())
        self._set_alarm()

    def on_unknown_command(self, *, is_refused: bool) -> None:
        """The emulator has logged which."""
        self._metrics.unknown.labels(self._label, "refused" if is_refused else "received").inc()

    def on_limit(self, limit: LimitName) -> None:
        """The hardware has reached a limit."""
        self._metrics.limits.reached(limit)

    # Actions

    def _performers(self) -> dict[type, Callable[..., None]]:
        emulator = self.emulator
        performers: dict[type, Callable[..., None]] = {
            Respond: self._respond,
            Abort: self._abort,
            SetAtr: self._set_atr,
            InsertCard: lambda _: emulator.insert_card(),
            RemoveCard: lambda _: emulator.remove_card(),
            SelectSim: lambda action: emulator.select_sim(remote=action.remote),
            GiveUpCard: lambda _: emulator.give_up_card(),
            ResetModem: lambda _: emulator.reset_modem(),
            DialBankd: self._dial_bankd,
            HangUpBankd: lambda _: self.bankd.unwant(),
            StoreRevocations: self._store_revocations,
            Notice: self._on_notice,
            LogEvent: self._log_event,
        }
        performers.update(
            dict.fromkeys((Send, Close, Accepted, Probe, AskIdentity, AnnounceReturn), self._manager.execute)
        )
        if self.script is None:
            return performers
        return {kind: self._and_script(perform) for kind, perform in performers.items()}

    def _and_script(self, perform: Callable[[Action], None]) -> Callable[[Action], None]:
        """Carry an action out, then call the event script if it is called for this."""

        def perform_and_call(action: Action) -> None:
            perform(action)
            self._call_script(self._causes.of_action(action))

        return perform_and_call

    def _run(self, actions: list[Action]) -> None:
        self._executor.run(actions)

    def _set_alarm(self) -> None:
        self._alarm.set(self.coordinator.next_deadline())

    def _on_failure(self, action: Action, error: Exception) -> None:
        self._log.error("internal_error", action=type(action).__name__, exc_info=error)

    def _respond(self, action: Respond) -> None:
        self._answered.inc()
        self._tell_of_command(action.command, action.response, "")
        self.emulator.respond(action.command.number, action.response)

    def _abort(self, action: Abort) -> None:
        self._metrics.failed_tpdus.labels(self._label).inc()
        self.coordinator.health.on_failed()
        self._log.warning("command_without_answer", reason=action.reason)
        self._tell_of_command(action.command, None, action.reason)
        self.emulator.abort(action.command.number, action.reason)

    def _tell_of_command(self, command: Command, response: bytes | None, failure: str) -> None:
        duration_s = time.perf_counter() - command.came_at
        network_s = None
        if response is not None:
            self._duration.observe(duration_s)
            # Without a request, its answer was there before.
            self.coordinator.health.on_answered(None if command.request is None else duration_s)
            if command.is_measure:
                if command.bank_us is not None:
                    network_s = max(0.0, duration_s - command.bank_us / 1e6)
                    self._network.observe(network_s)
                self.coordinator.health.on_network(network_s)
        if self._trace.tap is not None:
            self._trace_command(self._trace.tap, command, response, duration_s, failure)
        if self._gsmtap is not None:
            self._send_gsmtap(self._gsmtap, command, response)
        if self._outlets:
            self._tell_outlets(command, response, duration_s, network_s)
        self._observer.on_command(
            CommandRecord(self.coordinator.client_slot, command.tpdu, response, duration_s, failure=failure)
        )

    def _trace_command(
        self, tap: SlotTap, command: Command, response: bytes | None, duration_s: float, failure: str
    ) -> None:
        """Somebody watches."""
        tap.on_command(
            command.tpdu,
            response,
            self._manager.now(),
            command_id=self._command_id(command),
            spent_s=duration_s,
            failure=failure,
        )

    def _command_id(self, command: Command) -> CommandId:
        label = self.coordinator.label
        # The tags of a classic bankd mean nothing.
        return NO_ID if label is None else CommandId(label, command.tag, command.index)

    def _tell_outlets(
        self, command: Command, response: bytes | None, duration_s: float, network_s: float | None
    ) -> None:
        """Somebody keeps what passes, or has it sent."""
        bank_slot = self.coordinator.bank_slot
        done = DoneCommand(
            self._label,
            command.tpdu,
            response,
            other="" if bank_slot is None else str(bank_slot),
            command_id=self._command_id(command),
            spent_s=duration_s,
            network_s=network_s,
        )
        for outlet in self._outlets:
            outlet.on_command(done)

    def _send_gsmtap(self, sender: GsmtapSender, command: Command, response: bytes | None) -> None:
        if response is None:
            # The card may have done it all the same.
            self._mask.on_unknown_card(0)
        else:
            sender.send(TpduRecord(0, command.tpdu, response))

    def _set_atr(self, action: SetAtr) -> None:
        if self._gsmtap is not None:
            self._mask.on_unknown_card(0)
            self._gsmtap.send(AtrRecord(0, action.atr))
        if self._trace.tap is not None:
            self._trace.tap.on_unknown_card()
            self._trace.tap.on_atr(action.atr, self._manager.now())
        for outlet in self._outlets:
            outlet.on_unknown_card(self._label)
            outlet.on_atr(self._label, action.atr)
        self.emulator.set_atr(action.atr)

    def _store_revocations(self, action: StoreRevocations) -> None:
        if self._on_revocations is not None:
            self._on_revocations(action.raw)

    def _dial_bankd(self, action: DialBankd) -> None:
        bank_slot = self.coordinator.bank_slot
        # Another program at that address, with a certificate of any other kind, is not given the modem's commands.
        expects = None if bank_slot is None else Expectation.exactly(Identity.bank(bank_slot.bank_id))
        self.bankd.want(str(action.address.ip), action.address.port, expects=expects)

    def _call_script(self, cause: ScriptCause | None) -> None:
        if self.script is None or cause is None:
            return
        variables = self._environment.variables(
            cause=cause,
            client_slot=self.coordinator.client_slot,
            bank_slot=self.coordinator.bank_slot,
            bankd=self.bankd.target,
            server_state=self._dial_state(self.server),
            bankd_state=self._dial_state(self.bankd),
        )
        self.script.call(cause, {**variables, **self.emulator.environment()})

    def _dial_state(self, dialled: DialledLink) -> DialState:
        is_lost = self._lost is not None and dialled.link == self._lost
        return DialState.BACKOFF if is_lost else dialled.state

    def _on_script_result(self, result: CallResult) -> None:
        self._metrics.scripts.labels(self._label, result.value).inc()
        if result is CallResult.LEFT_OUT:
            self._metrics.limits.reached(LimitName.SCRIPT_CALLS)

    def _on_notice(self, notice: Notice) -> None:
        if notice.kind in (NoticeKind.IDENTITY, NoticeKind.BANKD_GIVEN, NoticeKind.BANKD_TAKEN, NoticeKind.STATE_RESET):
            self._identify()
        self._count(notice)
        self._log_event(notice.event)
        self._observer.on_notice(self.coordinator.client_slot, notice)

    def _log_event(self, event: LogEvent) -> None:
        # An end that was asked for needs no line.
        wanted = "debug" if self._is_stopping else event.level
        level = self._lines.level(event.name, wanted, {"client_slot": self._label})
        say = getattr(get_logger("client"), level)
        say(event.name, client_slot=event.client_slot, bank_slot=event.bank_slot, **event.shown_fields())

    def _count(self, notice: Notice) -> None:
        metrics, label, coordinator = self._metrics, self._label, self.coordinator
        metrics.show_slot(
            label,
            coordinator.state,
            is_server_connected=coordinator.is_server_connected,
            has_card=coordinator.atr is not None,
        )
        match notice.kind:
            case NoticeKind.SERVER_REFUSED:
                metrics.refusals.labels(label, "server").inc()
            case NoticeKind.BANKD_REFUSED | NoticeKind.BANKD_WAITS:
                metrics.refusals.labels(label, "bankd").inc()
            case NoticeKind.BANKD_CONNECTED:
                metrics.sessions.labels(label).inc()
            case NoticeKind.SESSION_HELD:
                metrics.cuts.labels(label).inc()
                self.bankd.redial_at_once(has_answered=notice.has_answered)
            case NoticeKind.SESSION_RESUMED:
                metrics.resumes.labels(label).inc()
                self._longest_hold_ms = max(self._longest_hold_ms, round((notice.held_s or 0.0) * 1000))
                metrics.longest_hold.labels(label).set(self._longest_hold_ms)
            case NoticeKind.MODEM_RESET if notice.reset is not None:
                metrics.resets.labels(label, notice.reset.value).inc()
                self._mask.on_reset(0)
                for outlet in self._outlets:
                    outlet.on_reset(label)
                if self._trace.tap is not None:
                    self._trace.tap.on_reset(
                        notice.reset, self._manager.now(), words=f"modem, {notice.reset.value} reset"
                    )
            case _:
                return
