# SPDX-License-Identifier: Apache-2.0
"""The facade: events of unknown links, deadlines of several parts."""

from remsim.bankd.core.actions import FaultKind
from remsim.wire.link.actions import LinkId
from remsim.wire.link.events import ProbeAnswered
from tests.doubles.bank import Bank


def test_events_of_links_that_are_gone_do_nothing() -> None:
    bank = Bank()
    assert bank.coordinator.on_event(LinkId(77), ProbeAnswered(), 0.0) == []
    assert bank.coordinator.on_link_lost(LinkId(77), "gone", 0.0) == []


def test_earliest_deadline_counts() -> None:
    bank = Bank()
    server = bank.server()
    bank.map(server)
    bank.map(server, "C2:0", "B1:1")
    assert bank.coordinator.next_deadline() is None
    bank.is_automatic = False
    bank.connect()
    only_answer = bank.coordinator.next_deadline()
    bank.pending.clear()
    bank.connect("C2:0")
    bank.fail(FaultKind.MUTE)
    first = bank.coordinator.next_deadline()
    assert only_answer is not None
    assert first is not None
    assert first < only_answer
