# SPDX-License-Identifier: Apache-2.0
"""All links of one program: accepts, dials, numbers them, and carries out what coordinators ask for."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from remsim.config import HostPort
from remsim.identity import Identity, Proof
from remsim.ids import BankSlot, ClientSlot
from remsim.logs import Logger
from remsim.net.gate import Gate
from remsim.net.limits import Admission
from remsim.net.link import FLUSH_TIMEOUT_S, Link, LinkHandler
from remsim.net.listen import BACKLOG, Listener, listen
from remsim.net.plain import Networks
from remsim.net.secure import SecureTransport, Way
from remsim.net.tasks import TaskOwner
from remsim.net.timer import Alarm
from remsim.net.tls import Expectation, HandshakeError, LinkTls
from remsim.wire.actions import Accepted, AskIdentity, Close, LinkAction, LinkId, PeerAddress, Probe, Send
from remsim.wire.connection import ConnectionFactory, Event
from remsim.wire.dialler import Backoff, Dial, DialAction, Dialler
from remsim.wire.errors import LocalProtocolError
from remsim.wire.transitions import DialState

#: Links that are told to close at the end of the program get this long before they are cut.
_CLOSE_GRACE_S: Final = FLUSH_TIMEOUT_S


class LinkHub:
    """The links of one program in one event loop. ``tasks`` owns dialling attempts and TLS handshakes.

    ``admission`` limits accepted connections whose peer is not known yet; without it they are not limited.
    """

    def __init__(
        self,
        handler: LinkHandler,
        *,
        tasks: TaskOwner,
        log: Logger,
        admission: Admission | None = None,
        on_refused: Callable[[str], None] | None = None,
    ) -> None:
        """``on_refused`` is called with the kind of refusal of each connection that never became a link."""
        self._handler = handler
        self._tasks = tasks
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._links: dict[LinkId, Link] = {}
        self._dialled: list[DialledLink] = []
        self._by_link: dict[LinkId, DialledLink] = {}
        self._listeners: list[Listener] = []
        self._gate = Gate(admission, log, on_refused)
        # Accepted links that count as unidentified.
        self._unidentified: set[LinkId] = set()
        self._last_id = 0
        self._is_closing = False
        self._all_gone: asyncio.Event = asyncio.Event()
        self._all_gone.set()

    def __len__(self) -> int:
        return len(self._links)

    def now(self) -> float:
        """The loop's time in seconds: what coordinators are given as ``now``."""
        return self._loop.time()

    async def listen(
        self,
        address: HostPort,
        factory: ConnectionFactory,
        *,
        backlog: int = BACKLOG,
        tls: LinkTls | None = None,
        networks: Networks | None = None,
    ) -> Listener:
        """Accept links at ``address``, over TLS if ``tls`` is given. Raises StartError.

        ``networks`` are those from which a listener without TLS takes connections; None: from everywhere.
        """
        listener = await listen(address, self._acceptor(factory, tls, networks), backlog=backlog)
        self._listeners.append(listener)
        return listener

    def dial(
        self,
        factory: ConnectionFactory,
        *,
        name: str,
        backoff: Backoff | None = None,
        tls: LinkTls | None = None,
        networks: Networks | None = None,
    ) -> "DialledLink":
        """A link that dials as soon as it is given a target, over TLS if ``tls`` is given.

        ``name`` tells it apart in the log. ``networks`` are those in which a link without TLS may end; None: anywhere.
        """
        way = Way(tls, networks)
        dialled = DialledLink(self, factory, name=name, log=self._log, tasks=self._tasks, backoff=backoff, way=way)
        self._dialled.append(dialled)
        return dialled

    def execute(self, action: LinkAction) -> None:
        """Carry out one action; one on a link that is gone does nothing."""
        link = self._links.get(action.link)
        if link is None or link.is_closing:
            return
        match action:
            case Send():
                try:
                    link.send(action.message, action.reply_to)
                except LocalProtocolError as error:
                    self._log.error("bad_message_withheld", peer=str(link.peer), error=str(error))
                    link.close("internal error")
            case Close():
                link.close(action.reason)
            case Accepted():
                link.connection.connected()
                self._identified(link)
                if (dialled := self._by_link.get(action.link)) is not None:
                    dialled.on_accepted()
            case Probe():
                link.connection.probe(self.now(), action.timeout_s)
                link.flush()
            case AskIdentity():
                link.connection.send_id_get()
                link.flush()

    def open_lane(
        self,
        link: LinkId,
        client: ClientSlot,
        bank: BankSlot,
        transmit_now: Callable[[bytes], bytes | None] | None = None,
        *,
        transmit_soon: Callable[[int, bytes], bool] | None = None,
    ) -> None:
        """Handle the TPDUs between these slots without an event for each.

        ``transmit_now`` gets the command TPDU as it arrived, of any length, and returns the response. ``transmit_soon``
        gets its operation tag, too, and takes it, to be answered by ``answer_tpdu`` (or by a message, as usual). If
        they return None and False, the message arrives as an event after all.
        """
        found = self._links.get(link)
        if found is not None:
            found.connection.open_lane(client, bank)
            found.transmit_now, found.transmit_soon = transmit_now, transmit_soon

    def answer_tpdu(self, link: LinkId, tag: int, response: bytes) -> None:
        """Answer a command that ``transmit_soon`` took. The lane must not have been closed meanwhile."""
        found = self._links.get(link)
        if found is not None:
            found.answer_tpdu(tag, response)

    def close_lane(self, link: LinkId) -> None:
        """Deliver every message as an event again."""
        found = self._links.get(link)
        if found is not None:
            found.connection.close_lane()
            found.transmit_now = found.transmit_soon = None

    def is_alive(self, link: LinkId) -> bool:
        """Whether the link still takes messages."""
        found = self._links.get(link)
        return found is not None and not found.is_closing

    def peer_address(self, link: LinkId) -> PeerAddress:
        """The other end's address. Raises KeyError if the link is gone."""
        return self._links[link].peer

    def local_address(self, link: LinkId) -> PeerAddress:
        """Our end's address. Raises KeyError if the link is gone."""
        return self._links[link].local

    def peer_identity(self, link: LinkId) -> Identity | None:
        """Whom the other end has proven to be; None on a link without TLS. Raises KeyError if the link is gone."""
        proof = self.proof(link)
        return None if proof is None else proof.identity

    def proof(self, link: LinkId) -> Proof | None:
        """What the other end has proven; None on a link without TLS. Raises KeyError if the link is gone."""
        certificate = self._links[link].certificate
        return None if certificate is None else Proof(certificate.identity, certificate.serial)

    def close_revoked(self, is_revoked: Callable[[int], bool]) -> list[LinkId]:
        """Close the links whose peer's certificate, by its serial number, is revoked; return them."""
        found = [link for link in self._links.values() if link.certificate and is_revoked(link.certificate.serial)]
        for link in found:
            link.close("the peer's certificate is revoked")
        return [link.id for link in found]

    async def close(self, reason: str = "shutting down") -> None:
        """Stop accepting and dialling, close every link with what is due to it, and wait until all are gone."""
        self._is_closing = True
        for listener in self._listeners:
            await listener.close()
        self._gate.close()
        for dialled in self._dialled:
            dialled.unwant()
        for link in tuple(self._links.values()):
            link.close(reason)
        async with asyncio.timeout(_CLOSE_GRACE_S * 2):
            await self._all_gone.wait()

    # LinkOwner

    def register(self, link: Link) -> LinkId:
        """Number a new link."""
        self._last_id += 1
        link_id = LinkId(self._last_id)
        self._links[link_id] = link
        self._all_gone.clear()
        if isinstance(link, _DialledEnd):
            if link.dialled.awaits(link.attempt):
                self._by_link[link_id] = link.dialled
                link.dialled.on_tcp_up(link_id)
            else:
                link.close("not wanted any more")
        elif self._is_closing:
            # It was being accepted when the listener closed.
            link.close("shutting down")
        elif link.certificate is None:
            refusal = self._gate.refuse_plaintext(link.peer, link.networks)
            if refusal is None:
                self._unidentified.add(link_id)
            else:
                link.close(refusal)
        return link_id

    def forget(self, link: Link, reason: str) -> None:
        """Drop a link that is gone and tell the program, then whoever dialled it."""
        del self._links[link.id]
        self._identified(link)
        if not self._links:
            self._all_gone.set()
        if link.is_announced:
            self._handler.on_link_lost(link.id, reason)
        dialled = self._by_link.pop(link.id, None)
        if dialled is not None:
            dialled.on_link_lost(link.id, reason)

    def _identified(self, link: Link) -> None:
        if link.id in self._unidentified:
            self._unidentified.discard(link.id)
            self._gate.leave(link.peer)

    def _acceptor(
        self, factory: ConnectionFactory, tls: LinkTls | None, networks: Networks | None
    ) -> Callable[[], asyncio.Protocol]:
        def make_link() -> Link:
            return Link(self, factory, networks)

        return make_link if tls is None else lambda: SecureTransport(tls, make_link, self._gate, is_server=True)

    def on_link_up(self, link: LinkId, peer: PeerAddress) -> None:
        """Pass on."""
        self._handler.on_link_up(link, peer)

    def on_event(self, link: LinkId, event: Event) -> None:
        """Pass on."""
        self._handler.on_event(link, event)


class _DialledEnd(Link):
    """A link that we dialled, and in which attempt."""

    def __init__(self, hub: LinkHub, factory: ConnectionFactory, dialled: "DialledLink", attempt: int) -> None:
        super().__init__(hub, factory)
        self.dialled = dialled
        self.attempt = attempt


class DialledLink:
    """One dialled link: a target, and never-ending attempts to have a link to it."""

    def __init__(
        self,
        hub: LinkHub,
        factory: ConnectionFactory,
        *,
        name: str,
        log: Logger,
        tasks: TaskOwner,
        backoff: Backoff | None,
        way: Way,
    ) -> None:
        self._hub = hub
        self._factory = factory
        self._name = name
        self._log = log
        self._tasks = tasks
        self._dialler = Dialler(random=random.random, backoff=backoff)
        self._alarm = Alarm(self._on_alarm)
        self._attempt: asyncio.Task[None] | None = None
        self._way = way
        # Attempts so far. A connection of an earlier one may still come up after it was cancelled.
        self._attempts = 0
        #: The link while TCP is up.
        self.link: LinkId | None = None

    @property
    def state(self) -> DialState:
        """Where the dialling stands."""
        return self._dialler.state

    @property
    def target(self) -> tuple[str, int] | None:
        """Host and port that are dialled."""
        return self._dialler.target

    def want(self, host: str, port: int, *, expects: Expectation | None = None) -> None:
        """Dial this target from now on; a link to another one is closed.

        ``expects`` says, on a link over TLS, who must be there; without it, whoever was expected before.
        """
        tls = self._way.tls
        if expects is not None and tls is not None:
            self._way = replace(self._way, tls=LinkTls(tls.contexts, expects))
        self._run(self._dialler.want(host, port, self._hub.now()))

    def unwant(self) -> None:
        """Hang up and do not dial again."""
        self._run(self._dialler.unwant(self._hub.now()))

    # Called by the hub

    def awaits(self, attempt: int) -> bool:
        """Whether this attempt is the one that counts."""
        return self._dialler.state is DialState.CONNECTING and attempt == self._attempts

    def on_tcp_up(self, link: LinkId) -> None:
        """TCP is connected, and TLS if there is any."""
        self.link = link
        # What is left of the attempt must not be cancelled: uvloop would drop the connection without a word to it.
        self._attempt = None
        self._run(self._dialler.on_tcp_up(self._hub.now()))

    def on_accepted(self) -> None:
        """The peer accepted us."""
        if self._dialler.state is DialState.ESTABLISHED:
            if self._dialler.failures:
                self._log.info("link_restored", to=self._name, target=self._target_text())
            self._run(self._dialler.on_accepted(self._hub.now()))

    def on_link_lost(self, link: LinkId, reason: str) -> None:
        """TCP is down."""
        if self.link == link:
            self.link = None
            self._fail(reason)

    # The rest

    def _run(self, actions: list[DialAction]) -> None:
        for action in actions:
            if isinstance(action, Dial):
                self._attempts += 1
                self._attempt = self._tasks.session(self._connect(action, self._attempts), name=f"dial-{self._name}")
            else:
                self._hang_up(action.reason)
        self._alarm.set(self._dialler.next_deadline())

    def _hang_up(self, reason: str) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None
        link, self.link = self.link, None
        if link is not None:
            self._hub.execute(Close(link, reason))

    async def _connect(self, target: Dial, attempt: int) -> None:
        def make_link() -> Link:
            return _DialledEnd(self._hub, self._factory, self, attempt)

        try:
            await self._way.dial(target.host, target.port, make_link)
        except (OSError, UnicodeError, HandshakeError) as error:
            if self.awaits(attempt):
                self._attempt = None
                self._fail(str(error))

    def _fail(self, reason: str) -> None:
        actions = self._dialler.on_failed(self._hub.now())
        # One line when it starts to fail; how often it tries after that is for debugging.
        say = self._log.warning if self._dialler.failures == 1 else self._log.debug
        say("link_failed", to=self._name, target=self._target_text(), reason=reason)
        self._run(actions)

    def _on_alarm(self) -> None:
        self._run(self._dialler.handle_timer(self._hub.now()))

    def _target_text(self) -> str:
        return str(HostPort(*self._dialler.target)) if self._dialler.target else ""
