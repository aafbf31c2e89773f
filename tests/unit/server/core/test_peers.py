# SPDX-License-Identifier: Apache-2.0
"""The table of peers: states, indexes, limits."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from remsim.core.identity import Identity, Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.state_machine import IllegalTransitionError
from remsim.server.core.log_events import note_of, program_event
from remsim.server.core.peers import PEER_TRANSITIONS, Heard, NotABankdError, Peer, PeerEvent, PeerState, PeerTable
from remsim.wire.link.actions import LinkId, PeerAddress
from remsim.wire.messages.health import RecentErrors, SessionPhase, SlotCounters, SlotHealthInd
from remsim.wire.messages.rspro import SlotPhysStatus

REPORT = SlotHealthInd(
    bank_slot=BankSlot(1, 3),
    is_present=True,
    presence_age_ms=60_000,
    phase=SessionPhase.NONE,
    phase_age_ms=0,
    counters=SlotCounters(),
    recent=RecentErrors(0, 0),
)


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


def test_of_what_a_bankd_says_of_a_card_the_newer_message_counts() -> None:
    peer = make(1)
    assert peer.presence(3) == (None, None)
    peer.slot_health[3] = Heard(REPORT, 100.0)
    assert peer.presence(3) == (True, 40.0)
    peer.slot_status[3], peer.slot_heard_at[3] = SlotPhysStatus(reset_active=False, card_present=False), 101.0
    assert peer.presence(3) == (False, 101.0)
    peer.slot_health[3] = Heard(replace(REPORT, presence_age_ms=1000), 103.0)
    assert peer.presence(3) == (True, 102.0)
    # A classic bankd says nothing of cards in its answers.
    del peer.slot_health[3]
    peer.slot_status[3] = SlotPhysStatus(reset_active=False)
    assert peer.presence(3) == (None, 101.0)
    assert peer.presence(4) == (None, None)
