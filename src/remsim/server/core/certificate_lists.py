# SPDX-License-Identifier: Apache-2.0
"""Which peers are told what the authority knows: who has a certificate, and which are revoked."""

from remsim.core.identity import Identity, Role
from remsim.core.limits import LimitCounts, LimitName
from remsim.core.log_event import LogEvent
from remsim.server.core.actions import Action
from remsim.server.core.peers import Peer, PeerTable
from remsim.wire.link.abilities import CERTIFIED, REVOKE
from remsim.wire.link.actions import Send
from remsim.wire.messages.extensions import MAX_CERTIFIED_PART, MAX_LIST, CertifiedInd, RevocationListInd
from remsim.wire.messages.revocation import cut_list


class CertificateLists:
    """The clients to which the authority ever issued a certificate, if this server has an authority."""

    def __init__(self, peers: PeerTable) -> None:
        self._peers = peers
        self._parts: tuple[CertifiedInd, ...] = ()

    def push(self, holders: frozenset[Identity]) -> list[Action]:
        """All to whom certificates were issued, whatever their role; bankds are told if it is not the same as before.

        For those that are connected and for those that come later.
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


class Revocations:
    """The list that is in force, if the server has one."""

    def __init__(self, peers: PeerTable, limits: LimitCounts) -> None:
        """``limits`` counts lists that are too long."""
        self._peers = peers
        self._limits = limits
        self._parts: tuple[RevocationListInd, ...] = ()

    def push(self, raw: bytes) -> list[Action]:
        """The list (DER), for all that are connected and all that come later; one that is too long is reported."""
        parts = tuple(cut_list(raw))
        if not parts:
            self._limits.reached(LimitName.REVOCATION_LIST)
            # Those who come later are told the list before it, which is better than none.
            return [LogEvent("error", "revocation_list_too_long", fields=_too_long(raw))]
        self._parts = parts
        return [action for peer in (*self._peers.clients(), *self._peers.banks()) for action in self.tell(peer)]

    def tell(self, peer: Peer) -> list[Action]:
        """Tell one accepted peer."""
        abilities = () if peer.identity is None else peer.identity.abilities or ()
        # Who speaks plain TCP has no certificate, and so nothing to check.
        if peer.proof is None or REVOKE not in abilities:
            return []
        return [Send(peer.link, part) for part in self._parts]


def _too_long(raw: bytes) -> dict[str, object]:
    return {
        "bytes": len(raw),
        "limit": MAX_LIST,
        "text": "revocations do not reach other hosts any more",
        "hint": "revoked certificates leave the list when they expire; until then keep those hosts out by address",
    }
