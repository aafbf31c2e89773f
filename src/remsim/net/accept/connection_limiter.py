# SPDX-License-Identifier: Apache-2.0
"""Which connections may stay: counts those of unknown peers, and lets TLS peers prove themselves in turn."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Final

from remsim.core.episode import OncePerEpisode
from remsim.core.limits import LimitCounts, LimitName
from remsim.logs import Logger
from remsim.net.accept.handshake_queue import HandshakeQueue
from remsim.net.accept.quota import ConnectionQuota, QuotaKind, Yielding, source_of
from remsim.net.log_limiter import PEER_UNIDENTIFIED, PLAINTEXT_REFUSED, TLS_REFUSED, LogRateLimiter
from remsim.net.plain import Networks, is_within
from remsim.net.tls.transport import SecureTransport
from remsim.wire.link.actions import PeerAddress

#: Sources whose connections without TLS were refused and logged; beyond that many, the earliest is logged again.
MAX_REPORTED_SOURCES: Final = 1024


class ConnectionLimiter:
    """Limits the connections of all listeners of a program. Without ``quota`` unknown peers are not limited."""

    def __init__(
        self,
        quota: ConnectionQuota | None,
        log: Logger,
        on_refused: Callable[[str], None] | None = None,
        *,
        limits: LimitCounts,
        lines: LogRateLimiter,
        links: Callable[[], int],
    ) -> None:
        """``on_refused`` is called with the kind of each refusal, ``limits`` count those that were reached.

        ``links`` tells how many there are.
        """
        self._limits = limits
        self._links = links
        self._quota = quota
        self._log = log
        self._count = on_refused or (lambda _kind: None)
        self._plaintext_refused = OncePerEpisode[Hashable](most_keys=MAX_REPORTED_SOURCES)
        # Connections that have not proven themselves, or were refused and are being told so.
        self._unproven: set[SecureTransport] = set()
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._lines = lines
        self._handshakes = HandshakeQueue()

    def enter(self, peer: PeerAddress, who: Yielding) -> QuotaKind | None:
        """Count a connection of an unknown peer, or say which limit stands against it."""
        if self._quota is None:
            return None
        is_in, limit = self._quota.admit(peer, who, connections=self._links() + len(self._unproven))
        if limit is not None:
            self._note(limit, peer)
        return None if is_in else limit

    def on_full(self, limit: QuotaKind) -> None:
        """Somebody who waited for his turn was closed because of ``limit``."""
        self._note(limit)

    def spare(self) -> bool:
        """The process is short of descriptors: whether one of an unknown peer is being closed for a newcomer's."""
        self._note(QuotaKind.CONNECTIONS)
        return self._quota is not None and self._quota.make_room()

    def refuse_plaintext(self, peer: PeerAddress, networks: Networks | None, who: Yielding) -> str | None:
        """Count a connection without TLS like ``enter``, or say why its peer may not have one."""
        if networks is not None and not is_within(peer.host, networks):
            self._count("plaintext from outside the networks")
            if self._plaintext_refused.begins(source_of(peer.host)):
                allowed = [str(network) for network in networks]
                self._lines.write(PLAINTEXT_REFUSED, "warning", {"peer": str(peer), "networks": allowed})
            return "plain TCP is not allowed from there"
        limit = self.enter(peer, who)
        return None if limit is None else f"too many {limit.value}"

    def leave(self, who: Yielding) -> None:
        """The peer of an ``enter`` that was granted is known now, or gone."""
        if self._quota is not None:
            self._quota.release(who)

    def on_unidentified(self, peer: PeerAddress, reason: str) -> None:
        """What a peer without TLS sent ended its link before anybody knew whose it is.

        Its own end sees no more than a connection that was closed, and is referred to this log.
        """
        self._lines.write(PEER_UNIDENTIFIED, "warning", {"peer": str(peer), "reason": reason})

    def _note(self, limit: QuotaKind, peer: PeerAddress | None = None) -> None:
        self._count(limit.value)
        self._limits.reached(limit.name_of_count)
        if self._quota is None or self._quota.is_first_report(limit):
            fields = {} if peer is None else {"peer": str(peer)}
            self._log.warning("limit_reached", limit=limit.value, **fields)

    def close(self) -> None:
        """Drop all connections that have not proven themselves, also those that come meanwhile."""
        self._is_closed = True
        for connection in tuple(self._unproven):
            connection.abort()

    # Called by SecureTransport

    def may_start(self, connection: SecureTransport) -> bool:
        """Whether there is room for a handshake."""
        if self._is_closed:
            return False
        self._unproven.add(connection)
        if self.enter(connection.peer, connection) is None:
            return True
        self._unproven.discard(connection)
        return False

    def in_turn(self, connection: SecureTransport, work: Callable[[], None]) -> None:
        """Do a piece of a handshake when its source has its turn."""
        self._handshakes.enter(work, source_of(connection.peer.host))

    def on_refused(self, connection: SecureTransport, reason: str, *, limit: LimitName | None = None) -> None:
        """The handshake failed, or led to somebody we do not want."""
        self._count("TLS handshake")
        if limit is not None:
            self._limits.reached(limit)
        self._lines.write(TLS_REFUSED, "warning", {"peer": str(connection.peer), "reason": reason})

    def on_settled(self, connection: SecureTransport) -> None:
        """The peer is proven, or the connection gone."""
        if connection in self._unproven:
            self._unproven.discard(connection)
            self.leave(connection)
