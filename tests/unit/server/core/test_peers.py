# SPDX-License-Identifier: Apache-2.0
"""The table of peers: states, indexes, limits."""

from ipaddress import ip_address

import pytest

from remsim.core.identity import Identity, Proof
from remsim.core.ids import ClientSlot
from remsim.core.state_machine import IllegalTransitionError
from remsim.server.core.log_events import note_of, program_event
from remsim.server.core.peers import PEER_TRANSITIONS, NotABankdError, Peer, PeerEvent, PeerState, PeerTable
from remsim.wire.link.actions import LinkId, PeerAddress


def make(link: int, host: str = "192.0.2.1") -> Peer:
    return Peer(LinkId(link), PeerAddress(ip_address(host), 4000 + link), since=0.0)


def accepted(table: PeerTable, link: int, slot: ClientSlot) -> Peer:
    peer = make(link)
    table.add(peer)
    table.hold_client(peer, slot)
    table.accept(peer, PeerEvent.CLIENT_ACCEPTED)
    return peer


def test_every_state_is_reached_and_every_state_can_be_lost() -> None:
    assert {following for _, _, following in PEER_TRANSITIONS} | {PeerState.ESTABLISHED} == set(PeerState)
    lost = {state for state, event, following in PEER_TRANSITIONS if event is PeerEvent.LOST}
    assert lost == set(PeerState) - {PeerState.GONE}


def test_step_that_is_not_listed_raises() -> None:
    peer = make(1)
    peer.step(PeerEvent.REFUSED)
    with pytest.raises(IllegalTransitionError, match="peer: 'connectClientRes ok' in state REJECTED"):
        peer.step(PeerEvent.CLIENT_ACCEPTED)


def test_bank_of_somebody_else_raises() -> None:
    with pytest.raises(NotABankdError, match="is no bankd"):
        _ = make(1).bank


def test_peer_without_identity_is_classic_and_not_noted() -> None:
    peer = make(1)
    assert peer.is_classic
    assert note_of(peer) == []
    assert program_event("info", "seen", peer).fields == {"peer": "192.0.2.1:4001"}


def test_names() -> None:
    table = PeerTable()
    peer, bank = make(1), make(2)
    table.add(peer)
    table.add(bank)
    assert peer.name == "192.0.2.1:4001"
    table.hold_client(peer, ClientSlot(7, 0))
    table.hold_bank(bank, 3)
    assert (peer.name, bank.name) == ("C7:0", "B3")


def test_lowest_slot_of_a_client() -> None:
    table = PeerTable()
    high, low = accepted(table, 1, ClientSlot(7, 9)), accepted(table, 2, ClientSlot(7, 2))
    assert table.lowest_slot(7) is low
    assert table.lowest_slot(8) is None
    table.remove(low)
    assert table.lowest_slot(7) is high
    table.remove(high)
    assert table.lowest_slot(7) is None


def test_holder_that_is_not_accepted_is_no_client_yet() -> None:
    table = PeerTable()
    peer = make(1)
    table.add(peer)
    table.hold_client(peer, ClientSlot(7, 0))
    assert table.by_client(ClientSlot(7, 0)) is peer
    assert table.connected_client(ClientSlot(7, 0)) is None
    assert list(table.clients()) == []
    assert table.lowest_slot(7) is None


def test_counts() -> None:
    table = PeerTable()
    accepted(table, 1, ClientSlot(7, 9))
    table.add(make(2))
    assert (len(table), table.unidentified, table.counts()) == (2, 1, (1, 0))
    assert list(table.banks()) == []


def test_only_unauthenticated_peers_count_as_unidentified() -> None:
    table = PeerTable()
    first, proven = make(1), make(2)
    proven.proof = Proof(Identity.client(7), 1)
    table.add(first)
    table.add(proven)
    assert table.unidentified == 1
    table.remove(proven)
    table.accept(first, PeerEvent.REFUSED)
    assert table.unidentified == 0
    table.remove(first)
    assert table.unidentified == 0
