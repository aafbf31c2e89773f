# SPDX-License-Identifier: Apache-2.0
"""``remsim server`` as a service: opens what it needs in order, closes it in reverse. Decides nothing itself."""

import asyncio
import socket
import time
from contextlib import AsyncExitStack, suppress
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

from remsim.causes import cause_of
from remsim.config import HostPort, ServerConfig
from remsim.core.errors import StartError
from remsim.core.identity import Identity, Role
from remsim.logs import get_logger
from remsim.net.engines import EngineFactory, own_identity
from remsim.net.runtime.certificates import CertificateManager
from remsim.net.runtime.exposed_files import warn_of_exposed
from remsim.net.runtime.process import run_service
from remsim.net.runtime.reload import Reload, Step
from remsim.net.runtime.state_lock import StateLock
from remsim.net.runtime.tasks import TaskOwner
from remsim.net.tls.contexts import TlsContexts
from remsim.net.tls.security import TransportSecurity, protect, quota_of
from remsim.pki.credentials import Credentials
from remsim.server.api.app import build_app
from remsim.server.api.auth import check_open_address, is_loopback
from remsim.server.api.listener import RestListener
from remsim.server.api.resource import RestApplication
from remsim.server.authority.audit import FOLLOWED, CertificateAudit
from remsim.server.core.actions import StoredState
from remsim.server.core.coordinator import Coordinator, ServerSettings
from remsim.server.core.kept_answers import KeptAnswers
from remsim.server.core.webhooks import Webhooks
from remsim.server.lease_tokens import watch_lease_tokens
from remsim.server.metrics import ServerMetrics
from remsim.server.page.overview_routes import mount as mount_page
from remsim.server.rules import read_policy, reload_policy
from remsim.server.runtime import ServerRuntime
from remsim.server.store.page_files import PageFiles
from remsim.server.store.writer import Store
from remsim.server.warning_watch import CertificateEnd, Outside, WarningWatch
from remsim.server.webhooks import WebhookSender
from remsim.wire.messages.rspro import ComponentType, IpPort

if TYPE_CHECKING:
    from remsim.server.authority.monitor import AuthorityMonitor


def serve(config: ServerConfig) -> int:
    """Run the server until it is told to stop; return the exit status."""
    metrics = ServerMetrics()
    return run_service(lambda: ServerService(config, metrics), config=config, metrics=metrics)


class ServerService:
    """One server. Life: ``start``, ``run`` until ``request_stop``, ``stop``; all called from the same task."""

    def __init__(self, config: ServerConfig, metrics: ServerMetrics | None = None) -> None:
        self._config = config
        self._metrics = metrics or ServerMetrics()
        self._log = get_logger("server")
        self._stack = AsyncExitStack()
        self._stopping = asyncio.Event()
        self.started = asyncio.Event()
        #: Where RSPRO and REST are served, once started.
        self.rspro_address = config.rspro
        self.rest_address = config.rest_address(is_protected=False)
        self.plaintext_address = config.listen_plaintext
        #: The REST application, and what it and the links work on, once started.
        self.app: RestApplication | None = None
        self.runtime: ServerRuntime | None = None
        self.certificates: CertificateManager | None = None
        self._engines = EngineFactory.of(config, own_identity(config, ComponentType.REMSIM_SERVER))
        self._reload = Reload(log=self._log)
        self._audit: CertificateAudit | None = None

    async def start(self) -> None:
        """Open database and ports. Raises StartError."""
        config = self._config
        security = protect(
            config,
            log=self._log,
            role=Role.SERVER,
            dials=config.dial_bank,
            plain_listener=config.listen_plaintext,
        )
        # Old back-ends, for whom REST is opened, speak HTTP only.
        rest_contexts = None if config.rest_open else security.contexts
        self.rest_address = config.rest_address(is_protected=rest_contexts is not None)
        if config.rest_open:
            check_open_address(self.rest_address)
        policy = read_policy(config)
        overrides = await _resolve_overrides(config)
        folder = config.state_dir
        lock = StateLock(folder / "server.lock", what=f"the state directory {folder}", must_exist=True)
        lock.take(self._log)
        self._stack.callback(lock.release)
        store = Store.at(config.database_url, log=self._log)
        self._stack.push_async_callback(store.close)
        memory = await store.open()
        warn_of_exposed(config.state_dir, self._log, also=store.files)
        tasks = await self._stack.enter_async_context(TaskOwner("server", log=self._log))
        self._stack.callback(tasks.cancel)
        authority = _open_authority(config)
        limits, now = self._metrics.limits, asyncio.get_running_loop().time()
        coordinator = Coordinator(self._settings(overrides, authority), memory, limits=limits, now=now)
        self._metrics.watch(coordinator)
        runtime = ServerRuntime(
            coordinator, store, self._metrics, tasks=tasks, log=self._log, admission=quota_of(config), policy=policy
        )
        self.runtime = runtime
        runtime.status.restart_counter = memory.restart_counter
        self._stack.callback(runtime.close)
        self._stack.push_async_callback(_finish, store, tasks.vital(store.run(runtime), name="store"))
        self._stack.push_async_callback(self._close_links, runtime)
        # Before anything is changed: those who are to hear of it miss nothing.
        hooks = self._start_webhooks(runtime, memory, tasks)
        # Both before anybody is let in: a bankd is to know who has a certificate before it has its mappings, and the
        # authority may have revoked somebody while no server ran.
        if authority is not None:
            runtime.push_certified(authority.holders)
            recorded = await store.read_audit_targets(FOLLOWED)
            self._audit = CertificateAudit(recorded, runtime.record, runtime.store_refusal)
        self._manage_certificates(runtime, security, authority, tasks)
        await self._listen(runtime, security)
        await runtime.enforce_policy()
        steps: list[Step] = [partial(reload_policy, config, runtime, log=self._log)]
        if self.certificates is not None:
            steps.append(self.certificates.reload)
        tasks.vital(self._reload.run(*steps), name="reload")
        await self._start_rest(runtime, tasks, rest_contexts, authority, hooks, memory)
        self._dial_banks(runtime, security)
        runtime.status.is_open = True
        self.started.set()
        self._log.info(
            "listening", rspro=str(self.rspro_address), rest=str(self.rest_address), starts=memory.restart_counter
        )

    async def run(self) -> None:
        """Serve until ``request_stop``."""
        await self._stopping.wait()

    def on_hangup(self) -> None:
        """SIGHUP: use the certificates and the rules that the files hold now."""
        self._reload.request()

    def request_stop(self) -> None:
        """Let ``run`` return."""
        self._stopping.set()

    async def stop(self) -> None:
        """Close links with what is due to them, write what is known, release everything."""
        await self._stack.aclose()

    def _outside(self, security: TransportSecurity, authority: "AuthorityMonitor | None") -> Outside:
        contexts = security.contexts

        def certificates() -> list[CertificateEnd]:
            found = [] if contexts is None else [CertificateEnd(contexts.identity, contexts.not_after.timestamp())]
            issued = () if authority is None else authority.issued
            # The server's own is the one that it uses.
            others = [one for one in issued if one.revoked_at is None and one.identity.role is not Role.SERVER]
            return [*found, *(CertificateEnd(one.identity, one.expires_at) for one in others)]

        is_doubtful = (lambda: False) if authority is None else authority.is_clock_doubtful
        return Outside(self._config.state_dir, certificates, is_doubtful)

    async def _listen(self, runtime: ServerRuntime, security: TransportSecurity) -> None:
        config = self._config
        listener = await runtime.manager.listen(
            config.rspro,
            self._engines.accepting(),
            tls=security.tls(Role.CLIENT, Role.BANK),
            networks=security.networks,
        )
        self.rspro_address = listener.addresses[0]
        if config.listen_plaintext is not None:
            plain = await runtime.manager.listen(
                config.listen_plaintext, self._engines.accepting(), networks=config.listener_networks
            )
            self.plaintext_address = plain.addresses[0]

    def _dial_banks(self, runtime: ServerRuntime, security: TransportSecurity) -> None:
        engines = self._engines.dialling(ComponentType.REMSIM_BANKD)
        for bank in self._config.dial_bank:
            tls = security.tls(Role.BANK)
            dialled = runtime.manager.dial(engines, name=f"bankd {bank}", tls=tls, networks=security.networks)
            runtime.dialled.append(dialled)
            dialled.want(bank.host, bank.port)

    def _manage_certificates(
        self,
        runtime: ServerRuntime,
        security: TransportSecurity,
        authority: "AuthorityMonitor | None",
        tasks: TaskOwner,
    ) -> None:
        if security.contexts is not None:
            renewal = None if authority is None else authority.renew_own
            credentials = security.contexts.credentials

            def push() -> None:
                raw = credentials.revocations_der()
                if raw is not None:
                    runtime.push_revocations(raw)

            self.certificates = CertificateManager(
                security.contexts, runtime.manager, log=self._log, renewal=renewal, on_loaded=push
            )
            self.certificates.check_files()
            push()
            tasks.vital(self.certificates.run(), name="certificate")
        if authority is not None:
            # It brings the authority's library; a server without an authority has no use for it.
            from remsim.server.authority.monitor import watch_authority

            looking = watch_authority(authority, log=self._log, on_looked=partial(self._follow, runtime, authority))
            tasks.vital(looking, name="authority")
        tasks.vital(watch_lease_tokens(runtime), name="lease-tokens")
        tasks.vital(WarningWatch(runtime, self._outside(security, authority)).run(), name="warning watch")

    def _follow(self, runtime: ServerRuntime, authority: "AuthorityMonitor") -> None:
        runtime.push_certified(authority.holders)
        if self._audit is not None:
            self._audit.follow(authority.issued, authority.codes, time.time())

    def _start_webhooks(self, runtime: ServerRuntime, memory: StoredState, tasks: TaskOwner) -> WebhookSender:
        table = Webhooks(memory.webhooks, memory.deliveries, self._metrics.limits)
        networks = self._config.webhook_networks or None
        sender = WebhookSender(runtime, table, tasks=tasks, networks=networks, log=self._log)
        self._stack.push_async_callback(sender.stop)
        sender.start(memory.announcements)
        return sender

    async def _start_rest(
        self,
        runtime: ServerRuntime,
        tasks: TaskOwner,
        contexts: TlsContexts | None,
        authority: "AuthorityMonitor | None",
        webhooks: WebhookSender,
        memory: StoredState,
    ) -> None:
        await self._warn_of_rest(runtime, is_protected=contexts is not None)
        kept = KeptAnswers(self._metrics.limits, memory.requests, wall=time.time(), now=time.monotonic())
        runtime.store.on_settled = kept.settle
        self.app = build_app(runtime, self._metrics, webhooks, is_open=self._config.rest_open, kept=kept)
        self.app.state.settings = plain_settings(self._config)
        mount_page(
            self.app,
            runtime,
            PageFiles(self._config.state_dir),
            is_open=self._config.rest_open,
            rspro_port=self.rspro_address.port,
        )
        self.app.state.authority = None if authority is None else authority.authority
        limits = self._metrics.limits
        if contexts is not None and authority is not None and self._audit is not None:
            # The authority's library is loaded with the authority; a server without one has no use for it.
            from remsim.server.api import enrolment

            lines = runtime.manager.lines
            enrolment.mount(
                self.app, authority.enrolment, log=self._log, issuances=self._audit, lines=lines, limits=limits
            )
        tls = None if contexts is None else contexts.rest
        rest = RestListener(self.app, self.rest_address, tls=tls, counts=limits, spare=runtime.manager.spare)
        self._stack.callback(rest.close)
        running = tasks.vital(rest.run(), name="rest")
        self._stack.push_async_callback(_end_rest, rest, running)
        # Those who wait for something get their answer before the listener ends.
        self._stack.callback(runtime.changes.close)
        await rest.wait_listening()
        self.rest_address = rest.address

    async def _warn_of_rest(self, runtime: ServerRuntime, *, is_protected: bool) -> None:
        rest = str(self.rest_address)
        if not is_protected and not is_loopback(self.rest_address.host):
            self._log.warning("rest_without_tls", rest=rest, note="tokens and answers travel in clear")
        if self._config.rest_open:
            self._log.warning("rest_is_open", rest=rest, note="any program of this host is operator")
        elif not await runtime.store.has_tokens():
            self._log.warning("no_token", note="nobody can use REST; make a token with: remsim token create")

    async def _close_links(self, runtime: ServerRuntime) -> None:
        runtime.status.is_open = False
        with suppress(TimeoutError):
            await runtime.manager.close()

    def _settings(
        self, overrides: dict[int, tuple[IpPort, ...]], authority: "AuthorityMonitor | None"
    ) -> ServerSettings:
        return ServerSettings(
            identity=self._engines.identity,
            overrides=overrides,
            client_id_pool=self._config.client_id_pool,
            takes_ipv6=self._config.gives_ipv6_to,
            takeover_s=self._config.timers.takeover_s,
            is_certified=_nobody if authority is None else authority.is_certified,
            keeps_imsi=self._config.keep_imsi,
        )


def plain_settings(config: ServerConfig) -> dict[str, object]:
    """Settings for others to see: switches and numbers; of the rest, which may say who and where, whether it is set."""
    shown: dict[str, object] = {}
    for key, field in type(config).model_fields.items():
        value: object = getattr(config, key)
        is_plain = isinstance(value, bool | int | float) or key in ("log_level", "log_format")
        shown[key] = value if is_plain else "as by default" if value == field.get_default() else "set"
    return shown


def _nobody(_identity: Identity) -> bool:
    return False


def _open_authority(config: ServerConfig) -> "AuthorityMonitor | None":
    """The authority of this host, if there is one. Raises PkiError."""
    directory = config.credentials_dir
    if directory is None or not config.authority_dir.exists():
        return None
    # Signing needs a library that a server without an authority does without.
    from remsim.server.authority.monitor import AuthorityMonitor

    return AuthorityMonitor(config.authority_dir, Credentials(directory))


async def _finish(store: Store, writer: "asyncio.Task[None] | None") -> None:
    store.finish()
    if writer is not None:
        await asyncio.wait([writer])


async def _end_rest(rest: RestListener, running: "asyncio.Task[None] | None") -> None:
    rest.stop()
    if running is not None:
        await asyncio.wait([running])


async def _resolve_overrides(config: ServerConfig) -> dict[int, tuple[IpPort, ...]]:
    """Addresses of banks as the operator wrote them; RSPRO carries no names. Raises StartError."""
    return {bank_id: await _resolve(bank_id, bank.advertise) for bank_id, bank in config.banks.items()}


async def _resolve(bank_id: int, address: HostPort) -> tuple[IpPort, ...]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise StartError(
            f"the address of bank {bank_id}, {address.host}, cannot be resolved: {cause_of(error).words}",
            hint=f"write an IP address in [banks.{bank_id}] advertise",
        ) from error
    return tuple(dict.fromkeys(IpPort(ip_address(str(name[0]).partition("%")[0]), address.port) for *_, name in found))
