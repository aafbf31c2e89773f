# SPDX-License-Identifier: Apache-2.0
"""What the server keeps of reports, and when others hear that a verdict has changed."""

from dataclasses import replace

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.server.core.health_board import EVENT_BURST, LOOK_S
from remsim.server.core.health_reports import BURST, PER_SECOND
from remsim.server.core.peers import Peer
from remsim.server.core.verdicts import VerdictKind
from remsim.wire.link.actions import LinkId
from remsim.wire.messages.health import (
    CardErrorKind,
    ClientCounters,
    ClientHealthInd,
    ClientPhase,
    LastError,
    RecentErrors,
    SessionPhase,
    SlotCounters,
    SlotHealthInd,
)
from remsim.wire.messages.rspro import SessionStateInd
from tests.doubles.reaching import reaches
from tests.doubles.server_world import ServerWorld

SLOT, CLIENT = BankSlot(1, 3), ClientSlot(7, 0)
GOOD = SlotHealthInd(
    bank_slot=SLOT,
    is_present=True,
    presence_age_ms=0,
    phase=SessionPhase.NONE,
    phase_age_ms=0,
    counters=SlotCounters(),
    recent=RecentErrors(),
    reader="reader",
)
SICK = replace(GOOD, recent=RecentErrors(0, 5), last_error=LastError(CardErrorKind.TRANSMISSION, 1000))


@pytest.fixture
def world() -> ServerWorld:
    return ServerWorld()


def peer_on(world: ServerWorld, link: LinkId) -> Peer:
    """Who is at the other end."""
    peer = world.coordinator.peers.by_link(link)
    assert peer is not None
    return peer


def told(world: ServerWorld) -> list[tuple[str, object, object]]:
    """Where, and which verdict was followed by which."""
    events = [event for event in world.log if event.name == "slot_health"]
    return [
        (str(event.bank_slot or event.client_slot), event.fields["before"], event.fields["verdict"]) for event in events
    ]


def test_verdict_is_told_when_it_changes(world: ServerWorld) -> None:
    link = world.bank(1, is_own=True)
    world.receive(link, GOOD)
    assert told(world) == []
    world.receive(link, SICK)
    world.receive(link, SICK)
    world.receive(link, GOOD)
    assert told(world) == [("B1:3", "ok", "contact"), ("B1:3", "contact", "ok")]
    first, second = (event for event in world.log if event.name == "slot_health")
    assert (first.level, second.level) == ("warning", "info")
    assert first.fields["text"] == "contact trouble: 5 transmission errors in 1 h, last 1 s ago"
    assert first.fields["hint"] == "clean the card or move it to another slot"


def test_verdict_clears_itself_when_time_has_passed(world: ServerWorld) -> None:
    link = world.bank(1, is_own=True)
    world.receive(link, SICK)
    began = world.now
    world.advance(3600.0)
    assert told(world)[-1] == ("B1:3", "contact", "ok")
    assert world.now - began == 3600.0
    assert world.coordinator.health.slot(SLOT, world.now).verdict.kind is VerdictKind.OK


def test_session_that_is_held_is_told_and_grows_older(world: ServerWorld) -> None:
    link = world.bank(1, is_own=True)
    world.receive(link, GOOD)
    world.receive(link, SessionStateInd(SLOT, CLIENT, SessionPhase.DETACHED, 1500, 1))
    assert told(world) == [("B1:3", "ok", "held")]
    standing = world.coordinator.health.slot(SLOT, world.now + 10)
    assert standing.verdict.text == "held for 11 s: link to the client lost"
    assert standing.since == world.now - 1.5
    world.receive(link, SessionStateInd(SLOT, CLIENT, SessionPhase.RESUMABLE, 0, 1))
    assert told(world)[-1] == ("B1:3", "held", "ok")
    assert [event.fields["state"] for event in world.log if event.name == "session_state"] == [
        "detached",
        "resumable",
    ]


def test_nothing_is_claimed_of_an_absent_bank(world: ServerWorld) -> None:
    link = world.bank(1, is_own=True)
    world.receive(link, SICK)
    world.lose(link)
    standing = world.coordinator.health.slot(SLOT, world.now)
    assert standing.verdict.kind is VerdictKind.UNKNOWN
    assert standing.verdict.text == "bank 1 was never connected"  # the notes of this world go nowhere
    assert world.coordinator.health.counts() == {}
    assert world.coordinator.next_deadline() is None
    # A bank that comes back tells everything anew.
    world.receive(world.bank(1, is_own=True), GOOD)
    assert told(world) == [("B1:3", "ok", "contact")]


@pytest.mark.parametrize("slot", [BankSlot(2, 3), BankSlot(1, 900)])
def test_report_on_a_slot_of_others_is_ignored(world: ServerWorld, slot: BankSlot) -> None:
    link = world.bank(1, is_own=True)
    world.bank(2, is_own=True)
    world.receive(link, replace(SICK, bank_slot=slot))
    assert told(world) == []
    assert [event.name for event in world.log if event.level == "warning"] == ["foreign_slot_health"]
    assert world.coordinator.health.slot(slot, world.now).verdict.kind is VerdictKind.UNKNOWN


def test_report_on_a_client_slot_of_others_is_ignored(world: ServerWorld) -> None:
    link = world.client("C7:0", is_own=True)
    world.receive(link, ClientHealthInd(ClientSlot(7, 1), ClientPhase.OPERATIONAL, 0, ClientCounters()))
    assert [event.name for event in world.log if event.level == "warning"] == ["foreign_client_health"]


def test_texts_of_peers_are_made_safe(world: ServerWorld) -> None:
    link, client = world.bank(1, is_own=True), world.client("C7:0", is_own=True)
    world.receive(link, replace(GOOD, reader="\x1b[2J\nreader", iccid="12\x0034"))
    report = peer_on(world, link).slot_health[3].report
    assert (report.reader, report.iccid) == ("\\x1b[2J\\nreader", None)
    message = ClientHealthInd(CLIENT, ClientPhase.OPERATIONAL, 0, ClientCounters(), emulator="\x07", board="b\r")
    world.receive(client, message)
    heard = peer_on(world, client).client_health
    assert heard is not None
    assert (heard.report.emulator, heard.report.board) == ("\\x07", "b\\r")


@reaches(LimitName.HEALTH_REPORTS)
def test_bank_that_reports_at_full_rate_is_read_up_to_the_limit(world: ServerWorld) -> None:
    link = world.bank(1, slots=1023, is_own=True)
    for number in range(3 * BURST):
        world.receive(link, replace(GOOD, bank_slot=BankSlot(1, number % 1023)))
    assert world.coordinator.limits[LimitName.HEALTH_REPORTS] == 2 * BURST
    assert len(peer_on(world, link).slot_health) == 1023
    assert [event.name for event in world.log if event.level == "warning"] == ["too_many_reports"]
    world.now += 1.0
    for _ in range(2 * PER_SECOND):
        world.receive(link, GOOD)
    assert world.coordinator.limits[LimitName.HEALTH_REPORTS] == 2 * BURST + PER_SECOND


@reaches(LimitName.HEALTH_EVENTS)
def test_slot_that_flaps_does_not_fill_the_events(world: ServerWorld) -> None:
    link = world.bank(1, is_own=True)
    for number in range(EVENT_BURST + 100):
        world.now += 0.01
        world.receive(link, SICK if number % 2 == 0 else GOOD)
    assert len(told(world)) <= EVENT_BURST + 13
    assert world.coordinator.limits[LimitName.HEALTH_EVENTS] > 80
    assert world.coordinator.health.slot(SLOT, world.now).verdict.kind is VerdictKind.OK


def test_only_what_changes_with_time_is_looked_at_again(world: ServerWorld) -> None:
    link = world.bank(1, is_own=True)
    world.receive(link, GOOD)
    assert world.coordinator.next_deadline() is None
    world.receive(link, SICK)
    assert world.coordinator.next_deadline() == world.now + LOOK_S
    world.receive(link, GOOD)
    world.advance(LOOK_S)
    assert world.coordinator.next_deadline() is None


def test_client_that_holds_its_modem_is_told(world: ServerWorld) -> None:
    link = world.client("C7:0", is_own=True)
    world.receive(link, ClientHealthInd(CLIENT, ClientPhase.OPERATIONAL, 5000, ClientCounters()))
    world.receive(link, ClientHealthInd(CLIENT, ClientPhase.HOLDING, 0, ClientCounters()))
    assert told(world) == [("C7:0", "ok", "held")]
    world.lose(link)
    assert world.coordinator.health.client(CLIENT, world.now).verdict.kind is VerdictKind.UNKNOWN
    assert world.coordinator.next_deadline() is None


def test_counts_are_those_of_connected_slots(world: ServerWorld) -> None:
    link = world.bank(1, is_own=True)
    world.receive(link, SICK)
    world.receive(link, replace(GOOD, bank_slot=BankSlot(1, 0)))
    assert world.coordinator.health.counts() == {VerdictKind.CONTACT: 1, VerdictKind.OK: 1}


def test_events_bear_no_bytes_of_cards() -> None:
    world = ServerWorld()
    link = world.bank(1, is_own=True)
    world.receive(link, replace(SICK, iccid="8900101234567890018"))
    shown = [str(event.shown_fields()) for event in world.log]
    assert not any("8900101234567890018" in text for text in shown)
