# SPDX-License-Identifier: Apache-2.0
"""Who is told of the authority's revocation list: every peer with a certificate that can hear it."""

from remsim.limits import LimitCounts, LimitName
from remsim.server.actions import Action, Report
from remsim.server.peers import Peer, PeerTable
from remsim.wire.abilities import REVOKE
from remsim.wire.actions import Send
from remsim.wire.additions import MAX_LIST, RevocationListInd
from remsim.wire.revocation import cut_list


class Revocations:
    """The list that is in force, if the server has one."""

    def __init__(self, peers: PeerTable, limits: LimitCounts) -> None:
        """``limits`` counts lists that are too long."""
        self._peers = peers
        self._limits = limits
        self._parts: tuple[RevocationListInd, ...] = ()

    def push(self, octets: bytes) -> list[Action]:
        """The list (DER), for everybody who is here and for whoever comes; one that is too long is reported."""
        parts = tuple(cut_list(octets))
        if not parts:
            self._limits.reached(LimitName.REVOCATION_LIST)
            # Those who come later are told the list before it, which is better than none.
            return [Report("error", "revocation_list_too_long", _too_long(octets))]
        self._parts = parts
        return [action for peer in (*self._peers.clients(), *self._peers.banks()) for action in self.tell(peer)]

    def tell(self, peer: Peer) -> list[Action]:
        """Tell one accepted peer."""
        abilities = () if peer.identity is None else peer.identity.abilities or ()
        # Who speaks plain TCP has no certificate, and so nothing to check.
        if peer.proof is None or REVOKE not in abilities:
            return []
        return [Send(peer.link, part) for part in self._parts]


def _too_long(octets: bytes) -> dict[str, object]:
    return {
        "octets": len(octets),
        "limit": MAX_LIST,
        "text": "revocations do not reach other hosts any more",
        "hint": "revoked certificates leave the list when they expire; until then keep those hosts out by address",
    }
