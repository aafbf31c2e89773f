# SPDX-License-Identifier: Apache-2.0
"""All links of one program: accepts, dials, numbers them, and carries out what coordinators ask for."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from remsim.config import HostPort
from remsim.core.identity import Identity, Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitCounts, LimitName
from remsim.logs import Logger
from remsim.net.accept.connection_limiter import ConnectionLimiter
from remsim.net.accept.handshake_queue import HandshakeQueue
from remsim.net.accept.listen import BACKLOG, Listener, listen
from remsim.net.accept.quota import ConnectionQuota
from remsim.net.dialled import DialledEnd, DialledLink
from remsim.net.link import FLUSH_TIMEOUT_S, Link, LinkHandler, TpduHandler
from remsim.net.log_limiter import LogRateLimiter
from remsim.net.plain import Networks
from remsim.net.runtime.tasks import TaskOwner
from remsim.net.tls.contexts import LinkTls
from remsim.net.tls.transport import Dialer, SecureTransport
from remsim.wire.errors import LocalProtocolError
from remsim.wire.link.actions import (
    Accepted,
    AnnounceReturn,
    AskIdentity,
    Close,
    LinkAction,
    LinkId,
    PeerAddress,
    Probe,
    Send,
)
from remsim.wire.link.dialing import Backoff
from remsim.wire.link.engine import EngineMaker, Event

__all__ = ["MAX_LINKS_PER_IDENTITY", "ConnectionManager", "DialledLink"]

#: Links of one certificate: it may speak for all 1024 slots of a client, each of which may return before its old link
#: is known to be dead. Nothing else limits proven peers, so this is all that bounds one that misuses its certificate.
MAX_LINKS_PER_IDENTITY: Final = 2048
#: Links that are told to close at the end of the program get this long before they are cut.
_CLOSE_GRACE_S: Final = FLUSH_TIMEOUT_S


class ConnectionManager:
    """The links of one program in one event loop. ``tasks`` owns dialling attempts and TLS handshakes.

    ``quota`` limits accepted connections whose peer is not known yet; without it they are not limited.
    """

    def __init__(
        self,
        handler: LinkHandler,
        *,
        tasks: TaskOwner,
        log: Logger,
        quota: ConnectionQuota | None = None,
        on_refused: Callable[[str], None] | None = None,
        limits: LimitCounts | None = None,
        lines: LogRateLimiter | None = None,
        on_round_trip: Callable[[LinkId, float], None] | None = None,
    ) -> None:
        """``on_refused`` is called with the kind of refusal of each connection that never became a link.

        ``on_round_trip`` is called with the seconds after which a link's peer has answered a PING.
        ``limits`` counts the limits that peers reach. ``lines`` is the program's own limiter of log lines, which it
        closes itself; without it, there is one for the links.
        """
        self._handler = handler
        self._on_round_trip = on_round_trip
        #: The loop's time in seconds: what coordinators are given as ``now``.
        self.now: Callable[[], float] = asyncio.get_running_loop().time
        self._tasks = tasks
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._links: dict[LinkId, Link] = {}
        self._dialled: list[DialledLink] = []
        self._by_link: dict[LinkId, DialledLink] = {}
        self._listeners: list[Listener] = []
        self._limits = LimitCounts() if limits is None else limits
        self._owns_lines = lines is None
        #: What is logged about peers goes through it.
        self.lines = LogRateLimiter(log, self._limits, now=self._loop.time) if lines is None else lines
        self._limiter = ConnectionLimiter(
            quota, log, on_refused, limits=self._limits, lines=self.lines, links=self.__len__
        )
        #: Where links wait that have sent much at once.
        self.in_turn = HandshakeQueue().enter
        # Accepted links over TLS: whom their certificates are for, and how many there are of each.
        self._proven: dict[LinkId, Identity] = {}
        self._links_of: Counter[Identity] = Counter()
        # Accepted links that count as unidentified.
        self._unidentified: set[LinkId] = set()
        self._last_id = 0
        self._is_closing = False
        self._all_gone: asyncio.Event = asyncio.Event()
        self._all_gone.set()

    def __len__(self) -> int:
        return len(self._links)

    async def listen(
        self,
        address: HostPort,
        factory: EngineMaker,
        *,
        backlog: int = BACKLOG,
        tls: LinkTls | None = None,
        networks: Networks | None = None,
    ) -> Listener:
        """Accept links at ``address``, over TLS if ``tls`` is given. Raises StartError.

        ``networks`` are those from which a listener without TLS takes connections; None: from everywhere.
        """
        make = self._acceptor(factory, tls, networks)
        listener = await listen(
            address,
            make,
            tasks=self._tasks,
            backlog=backlog,
            spare=self._limiter.spare,
            on_full=self._limiter.on_full,
        )
        self._listeners.append(listener)
        return listener

    def dial(
        self,
        factory: EngineMaker,
        *,
        name: str,
        backoff: Backoff | None = None,
        tls: LinkTls | None = None,
        networks: Networks | None = None,
    ) -> DialledLink:
        """A link that dials as soon as it is given a target, over TLS if ``tls`` is given.

        ``name`` tells it apart in the log. ``networks`` are those in which a link without TLS may end; None: anywhere.
        """
        dialled = DialledLink(
            self,
            factory,
            name=name,
            lines=self.lines,
            tasks=self._tasks,
            backoff=backoff,
            dialer=Dialer(tls, networks),
        )
        self._dialled.append(dialled)
        return dialled

    def spare(self) -> bool:
        """Descriptors are few: close the link of an unknown peer for a newcomer. False: there is none."""
        return self._limiter.spare()

    def execute(self, action: LinkAction | AnnounceReturn) -> None:
        """Carry out one action; one on a link that is gone does nothing."""
        link = self._links.get(action.link)
        if link is None or link.is_closing:
            return
        match action:
            case Send():
                try:
                    link.send(action.message, action.reply_to)
                except LocalProtocolError as error:
                    self._withhold(link, error)
            case Close():
                link.close(action.reason)
            case Accepted():
                link.accept()
                self._identified(link)
                if (dialled := self._by_link.get(action.link)) is not None:
                    dialled.on_accepted()
            case Probe():
                link.connection.probe(self.now(), action.timeout_s)
                link.flush()
            case AskIdentity():
                link.connection.send_id_get(when_heard=action.when_heard)
                link.flush()
            case AnnounceReturn():
                # Not written yet: it is to be in one segment with the connect request.
                link.connection.announce_return(action.message)

    def attach_session(self, link: LinkId, client: ClientSlot, bank: BankSlot, on_tpdu: TpduHandler) -> None:
        """Hand the command TPDUs between these slots to ``on_tpdu`` instead of an event for each.

        It returns the response if that is there at once; else ``answer_tpdu`` is to be called, after that call.
        A command that is not written as ours are, or not alone in what arrived, comes as an event all the same.
        """
        found = self._links.get(link)
        if found is not None:
            found.connection.attach_session(client, bank)
            found.on_tpdu = on_tpdu

    def answer_tpdu(self, link: LinkId, tag: int, response: bytes) -> None:
        """Send the response to a command of the session that is attached to this link, unless the link is gone."""
        found = self._links.get(link)
        if found is not None:
            try:
                found.answer_tpdu(tag, response)
            except LocalProtocolError as error:
                self._withhold(found, error)

    def detach_session(self, link: LinkId) -> None:
        """Deliver every message as an event again."""
        found = self._links.get(link)
        if found is not None:
            found.connection.detach_session()
            found.on_tpdu = None

    def _withhold(self, link: Link, error: LocalProtocolError) -> None:
        """A message of ours that must not go out is a mistake of ours, and costs the link."""
        self._log.error("bad_message_withheld", peer=str(link.peer), error=str(error))
        link.close("internal error")

    def is_alive(self, link: LinkId) -> bool:
        """Whether the link still takes messages."""
        found = self._links.get(link)
        return found is not None and not found.is_closing

    def peer_address(self, link: LinkId) -> PeerAddress:
        """The other end's address. Raises KeyError if the link is gone."""
        return self._links[link].peer

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
        self._limiter.close()
        if self._owns_lines:
            self.lines.close()
        for dialled in self._dialled:
            dialled.unwant()
        for link in tuple(self._links.values()):
            link.close(reason)
        async with asyncio.timeout(_CLOSE_GRACE_S * 2):
            await self._all_gone.wait()

    # LinkOwner

    def register(self, link: Link) -> LinkId | None:
        """Number a new link; None for one that nobody waits for any more, which is left to itself."""
        if isinstance(link, DialledEnd) and not link.dialled.awaits(link.attempt):
            return None
        self._last_id += 1
        link_id = LinkId(self._last_id)
        self._links[link_id] = link
        self._all_gone.clear()
        if isinstance(link, DialledEnd):
            self._by_link[link_id] = link.dialled
            link.dialled.on_tcp_up(link_id)
        elif self._is_closing:
            # It was being accepted when the listener closed.
            link.close("shutting down")
        elif link.certificate is not None:
            self._count_proven(link, link_id, link.certificate.identity)
        else:
            refusal = self._limiter.refuse_plaintext(link.peer, link.networks, link)
            if refusal is None:
                self._unidentified.add(link_id)
            else:
                link.close(refusal)
        return link_id

    def _count_proven(self, link: Link, link_id: LinkId, identity: Identity) -> None:
        self._proven[link_id] = identity
        self._links_of[identity] += 1
        if self._links_of[identity] > MAX_LINKS_PER_IDENTITY:
            self.on_limit(LimitName.LINKS_PER_IDENTITY)
            link.close(f"more than {MAX_LINKS_PER_IDENTITY} links with the certificate of {identity}")

    def forget(self, link: Link, reason: str) -> None:
        """Drop a link that is gone and tell the program, then the ``DialledLink`` that it belongs to."""
        del self._links[link.id]
        if link.id in self._unidentified and link.connection.has_failed:
            self._limiter.on_unidentified(link.peer, reason)
        self._identified(link)
        identity = self._proven.pop(link.id, None)
        if identity is not None:
            self._links_of[identity] -= 1
            if not self._links_of[identity]:
                del self._links_of[identity]
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
            self._limiter.leave(link)

    def _acceptor(
        self, factory: EngineMaker, tls: LinkTls | None, networks: Networks | None
    ) -> Callable[[], asyncio.Protocol]:
        def make_link() -> Link:
            return Link(self, factory, networks)

        return make_link if tls is None else lambda: SecureTransport(tls, make_link, self._limiter, is_server=True)

    def on_link_up(self, link: LinkId, peer: PeerAddress) -> None:
        """Pass on."""
        self._handler.on_link_up(link, peer)

    def on_event(self, link: LinkId, event: Event) -> None:
        """Pass on."""
        self._handler.on_event(link, event)

    def on_round_trip(self, link: LinkId, seconds: float) -> None:
        """Pass on."""
        if self._on_round_trip is not None:
            self._on_round_trip(link, seconds)

    def on_limit(self, limit: LimitName) -> None:
        """Count it; the link says why it ends."""
        self._limits.reached(limit)
