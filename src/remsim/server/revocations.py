# SPDX-License-Identifier: Apache-2.0
"""Who is told of the authority's revocation list: every peer with a certificate that can hear it."""

from remsim.server.actions import Action
from remsim.server.peers import Peer, PeerTable
from remsim.wire.abilities import REVOKE
from remsim.wire.actions import Send
from remsim.wire.additions import RevocationListInd
from remsim.wire.revocation import cut_list


class Revocations:
    """The list that is in force, if the server has one."""

    def __init__(self, peers: PeerTable) -> None:
        self._peers = peers
        self._parts: tuple[RevocationListInd, ...] = ()

    def push(self, octets: bytes) -> list[Action]:
        """The list (DER), for everybody who is here and for whoever comes."""
        self._parts = tuple(cut_list(octets))
        return [action for peer in (*self._peers.clients(), *self._peers.banks()) for action in self.tell(peer)]

    def tell(self, peer: Peer) -> list[Action]:
        """Tell one accepted peer."""
        abilities = () if peer.identity is None else peer.identity.abilities or ()
        # Who speaks plain TCP has no certificate, and so nothing to check.
        if peer.proof is None or REVOKE not in abilities:
            return []
        return [Send(peer.link, part) for part in self._parts]
