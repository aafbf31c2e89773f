# SPDX-License-Identifier: Apache-2.0
"""Who may come in: counts strangers, lets TLS peers prove themselves, and says once when a limit is reached."""

from remsim.logs import Logger
from remsim.net.limits import Admission, Limit
from remsim.net.secure import SecureTransport
from remsim.wire.actions import PeerAddress


class Gate:
    """The doorkeeper of one hub's listeners. Without ``admission`` strangers are not limited."""

    def __init__(self, admission: Admission | None, log: Logger) -> None:
        self._admission = admission
        self._log = log
        # Connections that have not proven themselves, or were refused and are being told so.
        self._strangers: set[SecureTransport] = set()
        self._is_closed = False

    def enter(self, peer: PeerAddress) -> Limit | None:
        """Count a connection of an unknown peer, or say which limit stands against it."""
        if self._admission is None:
            return None
        limit = self._admission.admit(peer)
        if limit is not None and self._admission.is_news(limit):
            self._log.warning("limit_reached", limit=limit.value, peer=str(peer))
        return limit

    def leave(self, peer: PeerAddress) -> None:
        """The peer of an ``enter`` that was granted is known now, or gone."""
        if self._admission is not None:
            self._admission.release(peer)

    def close(self) -> None:
        """Drop everybody who is still at the gate, and whoever was being accepted meanwhile."""
        self._is_closed = True
        for stranger in tuple(self._strangers):
            stranger.abort()

    # Called by SecureTransport

    def may_start(self, stranger: SecureTransport) -> bool:
        """Whether there is room for a handshake."""
        if self._is_closed or self.enter(stranger.peer) is not None:
            return False
        self._strangers.add(stranger)
        return True

    def on_refused(self, stranger: SecureTransport, reason: str) -> None:
        """The handshake failed, or led to somebody we do not want."""
        self._log.warning("tls_refused", peer=str(stranger.peer), reason=reason)

    def on_settled(self, stranger: SecureTransport) -> None:
        """The peer is proven, or the connection gone."""
        if stranger in self._strangers:
            self._strangers.discard(stranger)
            self.leave(stranger.peer)
