# SPDX-License-Identifier: Apache-2.0
"""Who may come in: counts strangers, lets TLS peers prove themselves in turn, and does not flood the log with them."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Final

from remsim.core.limits import LimitCounts, LimitName
from remsim.logs import Logger
from remsim.net.accept.handshake_queue import HandshakeQueue
from remsim.net.accept.quota import ConnectionQuota, QuotaKind, Yielding, source_of
from remsim.net.log_limits import LogRateLimiter
from remsim.net.plain import Networks, is_within
from remsim.net.tls.transport import SecureTransport
from remsim.wire.link.actions import PeerAddress

#: Sources whose connections without TLS were refused and logged; beyond that many, each is news again.
MAX_REPORTED_SOURCES: Final = 1024

_TLS_REFUSED: Final = "tls_refused"
_PLAINTEXT_REFUSED: Final = "plaintext_refused"


class ConnectionLimiter:
    """The doorkeeper of one hub's listeners. Without ``admission`` strangers are not limited."""

    def __init__(
        self,
        admission: ConnectionQuota | None,
        log: Logger,
        on_refused: Callable[[str], None] | None = None,
        *,
        limits: LimitCounts,
        links: Callable[[], int],
    ) -> None:
        """``on_refused`` is called with the kind of each refusal, ``limits`` count those that were reached.

        ``links`` tells how many there are.
        """
        self._limits = limits
        self._links = links
        self._admission = admission
        self._log = log
        self._count = on_refused or (lambda _kind: None)
        self._reported: set[Hashable] = set()
        # Connections that have not proven themselves, or were refused and are being told so.
        self._strangers: set[SecureTransport] = set()
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        # Whoever has a network of IPv6 has more sources than can be remembered.
        events = {_TLS_REFUSED, _PLAINTEXT_REFUSED}
        self._lines = LogRateLimiter(log, limits, strangers=events, now=self._loop.time)
        #: Where handshakes wait for their turn.
        self.in_turn = HandshakeQueue().enter

    def enter(self, peer: PeerAddress, who: Yielding) -> QuotaKind | None:
        """Count a connection of an unknown peer, or say which limit stands against it."""
        if self._admission is None:
            return None
        is_in, limit = self._admission.admit(peer, who, connections=self._links() + len(self._strangers))
        if limit is not None:
            self._note(limit, peer)
        return None if is_in else limit

    def spare(self, peer: PeerAddress) -> bool:
        """The process is short of descriptors: whether one of an unknown peer is being closed for a newcomer's."""
        self._note(QuotaKind.CONNECTIONS, peer)
        return self._admission is not None and self._admission.make_room()

    def refuse_plaintext(self, peer: PeerAddress, networks: Networks | None, who: Yielding) -> str | None:
        """Count a connection without TLS like ``enter``, or say why its peer may not have one."""
        if networks is not None and not is_within(peer.host, networks):
            self._count("plaintext from outside the networks")
            source = source_of(peer.host)
            if source not in self._reported:
                if len(self._reported) >= MAX_REPORTED_SOURCES:
                    self._reported.clear()
                self._reported.add(source)
                allowed = [str(network) for network in networks]
                self._say(_PLAINTEXT_REFUSED, peer=str(peer), networks=allowed)
            return "plain TCP is not allowed from there"
        limit = self.enter(peer, who)
        return None if limit is None else f"too many {limit.value}"

    def leave(self, who: Yielding) -> None:
        """The peer of an ``enter`` that was granted is known now, or gone."""
        if self._admission is not None:
            self._admission.release(who)

    def _note(self, limit: QuotaKind, peer: PeerAddress) -> None:
        self._count(limit.value)
        self._limits.reached(limit.name_of_count)
        if self._admission is None or self._admission.is_news(limit):
            self._log.warning("limit_reached", limit=limit.value, peer=str(peer))

    def close(self) -> None:
        """Drop everybody who is still at the gate, and whoever was being accepted meanwhile."""
        self._is_closed = True
        self._lines.close()
        for stranger in tuple(self._strangers):
            stranger.abort()

    # Called by SecureTransport

    def may_start(self, stranger: SecureTransport) -> bool:
        """Whether there is room for a handshake."""
        if self._is_closed:
            return False
        self._strangers.add(stranger)
        if self.enter(stranger.peer, stranger) is None:
            return True
        self._strangers.discard(stranger)
        return False

    def on_refused(self, stranger: SecureTransport, reason: str, *, limit: LimitName | None = None) -> None:
        """The handshake failed, or led to somebody we do not want."""
        self._count("TLS handshake")
        if limit is not None:
            self._limits.reached(limit)
        self._say(_TLS_REFUSED, peer=str(stranger.peer), reason=reason)

    def on_settled(self, stranger: SecureTransport) -> None:
        """The peer is proven, or the connection gone."""
        if stranger in self._strangers:
            self._strangers.discard(stranger)
            self.leave(stranger)

    def _say(self, event: str, **fields: object) -> None:
        if self._lines.level(event, "warning", fields) == "warning":
            self._log.warning(event, **fields)
        else:
            self._log.debug(event, **fields)
