# SPDX-License-Identifier: Apache-2.0
"""The client program: any number of client slots in one event loop, and a frontend in the modem's place.

``ClientService`` can run inside another program's loop, as the demonstration does. The commands of ``remsim client``
are in ``client.commands``.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from remsim.client.metrics import ClientMetrics
from remsim.client.runner import ClientSlotRunner, SlotSpec
from remsim.core.errors import ConfigError
from remsim.core.identity import Identity, Role
from remsim.core.ids import ClientSlot
from remsim.logs import get_logger
from remsim.net.connections import ConnectionManager
from remsim.net.runtime.certificates import CertificateManager
from remsim.net.runtime.reload import Reload, Step
from remsim.net.runtime.report import SIGNAL_EXIT_BASE
from remsim.net.runtime.state_lock import StateLock
from remsim.net.runtime.tasks import TaskOwner, in_thread
from remsim.net.tls.security import TransportSecurity, protect
from remsim.outlets import Outlets
from remsim.trace.outlet import CommandOutlet
from remsim.wire.link.actions import LinkId, PeerAddress
from remsim.wire.link.engine import Event

#: Exit status of a frontend that was interrupted before its work was done, as shells report it.
INTERRUPTED: Final = SIGNAL_EXIT_BASE + signal.SIGINT

#: At the end of the program, each event script has so long to make the calls that wait.
_SCRIPT_GRACE_S: Final = 5.0

#: What stands in the modem's place; returns the exit status.
Frontend = Callable[[], Awaitable[int]]

#: Reads the settings anew: of each slot, in order, whether it takes answers ahead. Raises ConfigError.
Reread = Callable[[], Sequence[bool]]


class ClientService:
    """Client slots at work (``net.process.Service``). With a ``frontend`` it runs until that is done."""

    def __init__(
        self,
        slots: Sequence[SlotSpec],
        *,
        frontend: Frontend | None = None,
        metrics: ClientMetrics | None = None,
        reread: Reread | None = None,
    ) -> None:
        """``reread`` reads the settings anew for a reload; None: they stay."""
        self.started = asyncio.Event()
        #: What ``frontend`` returned.
        self.exit_status = 0
        self.slots: list[ClientSlotRunner] = []
        self.certificates: list[CertificateManager] = []
        self._specs = tuple(slots)
        self._frontend = frontend
        self._reread = reread
        self._metrics = metrics or ClientMetrics()
        self._log = get_logger("client")
        self._reload = Reload(log=self._log)
        self._owned = AsyncExitStack()
        self._scope: asyncio.Timeout | None = None
        self._is_stopping = False
        self._by_link: dict[LinkId, ClientSlotRunner] = {}
        self._manager: ConnectionManager | None = None

    async def start(self) -> None:
        """Take the emulators and dial the servers. Raises StartError."""
        tasks = await self._owned.enter_async_context(TaskOwner("client", log=self._log))
        self._owned.callback(tasks.cancel)
        self._manager = ConnectionManager(
            self, tasks=tasks, log=self._log, limits=self._metrics.limits, on_round_trip=self._on_round_trip
        )
        protections = self._protect()
        self._lock_slots(protections)
        self._owned.push_async_callback(self._drain_scripts)
        self._owned.push_async_callback(self._manager.close)
        shared = {id(one): one for one in protections}
        on_list = {key: self._keep_certificate(one, self._manager, tasks) for key, one in shared.items()}
        kept = self._keep_commands()
        for spec, protection in zip(self._specs, protections, strict=True):
            slot = ClientSlotRunner(
                spec,
                manager=self._manager,
                metrics=self._metrics,
                protection=protection,
                on_revocations=on_list[id(protection)],
                outlets=kept,
            )
            self.slots.append(slot)
            self._owned.push_async_callback(slot.stop)
            if slot.script is not None:
                tasks.session(slot.script.run(), name=f"event-script-{len(self.slots)}")
            await slot.start()
        steps: list[Step] = [certificate.reload for certificate in self.certificates]
        tasks.vital(self._reload.run(*steps, self._reload_settings), name="reload")
        self.started.set()

    def _keep_commands(self) -> Sequence[CommandOutlet]:
        """Where the commands of all slots are kept or sent; the slots of a process agree on that. Raises StartError."""
        config = next((spec.config for spec in self._specs if spec.config.has_outlets), None)
        if config is None:
            return ()
        kept = Outlets(config, program=config.program, log=self._log)
        kept.show(self._metrics.outlets)

        async def stop() -> None:
            await in_thread(kept.stop)

        self._owned.push_async_callback(stop)
        return kept.each()

    def _lock_slots(self, protections: Sequence[TransportSecurity]) -> None:
        """Keep a second program from taking over our slots with the same certificate. Raises StartError."""
        for spec, protection in zip(self._specs, protections, strict=True):
            directory = spec.config.credentials_dir
            if protection.contexts is None or directory is None:
                continue
            own = protection.contexts.identity
            slot = spec.config.client or ClientSlot(own.number or 0, own.slot_nr or 0)
            path = directory / f"client-{slot.client_id}-{slot.slot_nr}.lock"
            lock = StateLock(path, what=f"client slot {slot} with the certificate in {directory}")
            lock.take(self._log)
            self._owned.callback(lock.release)

    def _keep_certificate(
        self, protection: TransportSecurity, manager: ConnectionManager, tasks: TaskOwner
    ) -> Callable[[bytes], None] | None:
        """Look after a certificate; return what is to be called with a list that a server pushed."""
        if protection.contexts is None:
            return None
        certificate = CertificateManager(protection.contexts, manager, log=self._log)
        self.certificates.append(certificate)
        tasks.vital(certificate.run(), name="certificate")

        def on_list(raw: bytes) -> None:
            tasks.session(certificate.accept_list(raw), name="revocations")

        return on_list

    def on_hangup(self) -> None:
        """SIGHUP: use the certificates and the settings of answers ahead that the files hold now.

        What stands at a terminal ends with it.
        """
        if self._frontend is not None:
            self.request_stop()
            return
        self._reload.request()

    async def _reload_settings(self) -> None:
        if self._reread is None:
            return
        try:
            words = await in_thread(self._reread)
        except ConfigError as error:
            self._log.error("settings_not_reloaded", error=str(error), hint=error.hint)
            return
        changed = [(slot, word) for slot, word in zip(self.slots, words, strict=True) if slot.is_ahead != word]
        for slot, word in changed:
            slot.is_ahead = word
        if changed:
            self._log.info("ahead_reloaded", slots=sum(slot.is_ahead for slot in self.slots))

    def _protect(self) -> list[TransportSecurity]:
        """The protection of each slot; slots with the same certificate share it."""
        made: dict[object, TransportSecurity] = {}
        for spec in self._specs:
            config = spec.config
            key = (config.credentials_dir, config.plaintext)
            if key not in made:
                alike = [one.config for one in self._specs if (one.config.credentials_dir, one.config.plaintext) == key]
                slots = [one.client for one in alike if one.client is not None]
                made[key] = protect(
                    config,
                    log=self._log,
                    role=Role.CLIENT,
                    speaks_for=[Identity.client(slot.client_id, slot.slot_nr) for slot in slots],
                    dials=[one.server for one in alike],
                )
        return [made[spec.config.credentials_dir, spec.config.plaintext] for spec in self._specs]

    async def run(self) -> None:
        """Serve until the frontend is done or ``request_stop``."""
        scope = self._scope = asyncio.timeout(0 if self._is_stopping else None)
        try:
            async with scope:
                if self._frontend is None:
                    await asyncio.Event().wait()
                else:
                    self.exit_status = await self._frontend()
        except TimeoutError:
            if not scope.expired():
                raise
            self.exit_status = 0 if self._frontend is None else INTERRUPTED
        finally:
            # A signal may come while the program ends by itself; there is nothing left to interrupt.
            self._scope = None

    def request_stop(self) -> None:
        """Let ``run`` return."""
        self._is_stopping = True
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def stop(self) -> None:
        """Hang up everywhere and let go of the emulators."""
        await self._owned.aclose()

    async def _drain_scripts(self) -> None:
        """Let the scripts do what the end of the sessions asks of them: card out, own SIM back."""
        for slot in self.slots:
            if slot.script is not None:
                await slot.script.drain(_SCRIPT_GRACE_S)

    def _on_round_trip(self, link: LinkId, seconds: float) -> None:
        slot = self._by_link.get(link)
        if slot is not None:
            slot.on_round_trip(link, seconds)

    # LinkHandler

    def on_link_up(self, link: LinkId, peer: PeerAddress) -> None:
        """A dialled link is up."""
        slot = next((slot for slot in self.slots if slot.owns(link)), None)
        if slot is not None:
            self._by_link[link] = slot
            slot.on_link_up(link)

    def on_event(self, link: LinkId, event: Event) -> None:
        """Something arrived."""
        self._by_link[link].on_event(link, event)

    def on_link_lost(self, link: LinkId, reason: str) -> None:
        """A link is gone."""
        slot = self._by_link.pop(link, None)
        if slot is not None:
            slot.on_link_lost(link, reason)
