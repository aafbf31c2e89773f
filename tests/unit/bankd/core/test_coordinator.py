# SPDX-License-Identifier: Apache-2.0
"""The facade: events of unknown links, the short cut for commands, deadlines of several parts."""

from remsim.bankd.core.actions import FaultKind
from remsim.wire.link.actions import LinkId
from remsim.wire.link.events import ProbeAnswered
from tests.doubles.bank import Bank


def test_events_of_links_that_are_gone_do_nothing() -> None:
    bank = Bank()
    assert bank.coordinator.on_event(LinkId(77), ProbeAnswered(), 0.0) == []
    assert bank.coordinator.on_link_lost(LinkId(77), "gone", 0.0) == []


def test_short_cut_answers_while_the_card_is_idle_and_counts() -> None:
    bank = Bank()
    bank.map(bank.server())
    client = bank.connect()
    answers: list[bytes | None] = [b"\x90\x00", None]
    lane = bank.coordinator.lane(LinkId(client), lambda _tpdu: answers.pop(0))
    assert lane is not None
    assert lane(bytes(5)) == b"\x90\x00"
    assert lane(bytes(5)) is None
    assert bank.coordinator.counts.tpdus == 1
    bank.is_automatic = False
    bank.command(client)
    assert lane(bytes(5)) is None  # the card is busy
    bank.lose(client)
    assert lane(bytes(5)) is None


def test_short_cut_is_not_offered_where_it_would_hide_something() -> None:
    bank = Bank(traced=frozenset({0}))
    bank.map(bank.server())
    client, unmapped = bank.connect(), bank.connect("C2:0")
    for link in (client, unmapped, 99):
        assert bank.coordinator.lane(LinkId(link), lambda _tpdu: b"") is None


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
