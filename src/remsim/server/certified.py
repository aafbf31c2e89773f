# SPDX-License-Identifier: Apache-2.0
"""Which bankds are told who has a certificate, so that they, too, refuse those clients on plain TCP."""

from remsim.identity import Identity, Role
from remsim.server.actions import Action
from remsim.server.peers import Peer, PeerTable
from remsim.wire.abilities import CERTIFIED
from remsim.wire.actions import Send
from remsim.wire.additions import MAX_CERTIFIED_PART, CertifiedInd


class CertifiedClients:
    """The clients to which the authority ever issued a certificate, if this server has an authority."""

    def __init__(self, peers: PeerTable) -> None:
        self._peers = peers
        self._parts: tuple[CertifiedInd, ...] = ()

    def push(self, holders: frozenset[Identity]) -> list[Action]:
        """All to whom certificates were issued, whatever their role; bankds are told if it is not the same as before.

        For those that are here and for whoever comes.
        """
        parts = _cut(_clients(holders))
        if parts == self._parts:
            return []
        self._parts = parts
        return [action for peer in self._peers.banks() for action in self.tell(peer)]

    def tell(self, peer: Peer) -> list[Action]:
        """Tell one accepted bankd; one on plain TCP, too, because clients come to it without certificates."""
        abilities = () if peer.identity is None else peer.identity.abilities or ()
        return [Send(peer.link, part) for part in self._parts] if CERTIFIED in abilities else []


def _clients(holders: frozenset[Identity]) -> list[str]:
    """In one order whatever came first; without slots of clients that have a certificate for all of theirs."""
    clients = [holder for holder in holders if holder.role is Role.CLIENT and holder.number is not None]
    whole = {client.number for client in clients if client.slot_nr is None}
    kept = [client for client in clients if client.slot_nr is None or client.number not in whole]
    return [str(client) for client in sorted(kept, key=lambda client: (client.number or 0, client.slot_nr or 0))]


def _cut(clients: list[str]) -> tuple[CertifiedInd, ...]:
    starts = range(0, max(len(clients), 1), MAX_CERTIFIED_PART)
    return tuple(
        CertifiedInd(
            is_first=start == 0,
            is_last=start == starts[-1],
            clients=tuple(clients[start : start + MAX_CERTIFIED_PART]),
        )
        for start in starts
    )
