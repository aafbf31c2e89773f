# SPDX-License-Identifier: Apache-2.0
"""What bankds report for the audit log: who said it, what is believed, and how much of it."""

import pytest

from remsim.core.identity import Identity, Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.server.core.actions import DONE, REFUSED, Actor, Entry
from remsim.server.core.peer_reports import BURST, REFILL_S
from remsim.server.store.schema import AUDIT
from remsim.wire.link.actions import LinkId
from remsim.wire.messages.extensions import AuditInd
from tests.doubles.reaching import reaches
from tests.doubles.server_world import ServerWorld

BANK_1, BANK_2 = Proof(Identity.bank(1), 1), Proof(Identity.bank(2), 2)
BLOCKED = AuditInd(
    "command.block",
    is_refused=True,
    bank_slot=BankSlot(1, 3),
    client_slot=ClientSlot(7, 0),
    detail="rule no MF: 00a4000402 file 3F00",
)
REVEAL = AuditInd("gsmtap.reveal", is_refused=False)


def flood(world: ServerWorld, link: LinkId, count: int) -> int:
    """Report so often; how many entries that were."""
    before = len(world.entries)
    for _ in range(count):
        world.receive(link, BLOCKED)
    return len(world.entries) - before


def test_entry_names_who_reported_it_from_where_and_what_it_is_about() -> None:
    world = ServerWorld()
    world.receive(world.bank(1, is_own=True, proof=BANK_1), BLOCKED)
    assert world.entries == [
        Entry(Actor("bank/1", "192.0.2.9"), "command.block", "B1:3 C7:0", REFUSED, "rule no MF: 00a4000402 file 3F00")
    ]
    assert world.log[-1].name == "bankd_audit"
    assert world.log[-1].fields["bank"] == 1


def test_bankd_without_certificate_is_called_so() -> None:
    world = ServerWorld()
    world.receive(world.bank(1, is_own=True), REVEAL)
    assert world.entries == [Entry(Actor("B1 (plain TCP)", "192.0.2.9"), "gsmtap.reveal", "B1", DONE, "")]


@pytest.mark.parametrize(
    ("reported", "kept"),
    [
        ("command.block", "command.block"),
        ("audit.lost", "audit.lost"),
        ("reader.open", "bankd.reader.open"),
        ("mapping.create", "bankd.mapping.create"),
        ("a", "bankd.a"),
        ("abcdefghijklm.abcdefghijkl", "bankd.abcdefghijklm.abcdefghijkl"),
    ],
)
def test_action_that_is_not_known_is_kept_as_the_bankds(reported: str, kept: str) -> None:
    world = ServerWorld()
    world.receive(world.bank(1, is_own=True), AuditInd(reported, is_refused=False))
    assert [entry.action for entry in world.entries] == [kept]
    assert len(kept) <= (AUDIT.c.action.type.length or 0)  # type: ignore[attr-defined]  # a column of text


@pytest.mark.parametrize("action", ["Command.Block", "a.b.c", "", "command block", "x" * 14, "a.", "command.block\n"])
def test_what_is_no_action_is_refused(action: str) -> None:
    world = ServerWorld()
    world.receive(world.bank(1, is_own=True), AuditInd(action, is_refused=True))
    assert world.entries == []
    assert "odd_audit_action" in world.reported()


def test_slot_of_another_bank_or_one_that_does_not_exist_is_not_believed() -> None:
    world = ServerWorld()
    world.receive(world.bank(2, is_own=True, proof=BANK_2), BLOCKED)
    world.receive(world.bank(1, slots=3, is_own=True, proof=BANK_1), BLOCKED)
    assert world.entries == []
    assert "foreign_audit_entry" in world.reported()


def test_client_has_nothing_to_report() -> None:
    world = ServerWorld()
    world.receive(world.client("7:0", is_own=True), BLOCKED)
    assert world.entries == []
    assert "unexpected_message" in world.reported()


def test_text_that_could_steer_a_terminal_does_not_get_in() -> None:
    world = ServerWorld()
    world.receive(world.bank(1, is_own=True), AuditInd("command.block", is_refused=True, detail="a\x1b[2J\nb\x7f"))
    assert world.entries[0].detail == "a?[2J?b?"


@reaches(LimitName.BANK_AUDIT)
def test_flood_of_one_bankd_is_cut_counted_and_said_once() -> None:
    world = ServerWorld()
    link = world.bank(1, is_own=True, proof=BANK_1)
    assert flood(world, link, BURST + 500) == BURST + 1
    assert world.coordinator.bank_audit.dropped == world.coordinator.limits[LimitName.BANK_AUDIT] == 500
    last = world.entries[-1]
    assert (last.actor.who, last.action, last.target, last.outcome) == ("bank/1", "audit.limit", "B1", REFUSED)
    assert world.reported().count("bankd_audit_limited") == 1
    other = world.bank(2, is_own=True, proof=BANK_2)
    world.receive(other, REVEAL)
    assert world.entries[-1].actor.who == "bank/2"


def test_bankd_that_connects_anew_has_no_more_than_before() -> None:
    world = ServerWorld()
    link = world.bank(1, is_own=True, proof=BANK_1)
    flood(world, link, BURST + 1)
    world.lose(link)
    assert flood(world, world.bank(1, is_own=True, proof=BANK_1), 100) == 0


def test_time_lets_some_more_in_and_the_next_flood_is_said_again() -> None:
    world = ServerWorld()
    link = world.bank(1, is_own=True, proof=BANK_1)
    flood(world, link, BURST + 1)
    world.advance(REFILL_S)
    assert flood(world, link, 10) == 1, "what is let in; the flood is the same, and said already"
    world.advance(REFILL_S * BURST * 10)
    assert flood(world, link, BURST + 10) == BURST + 1
    assert world.reported().count("bankd_audit_limited") == 2


def test_bankds_without_certificates_share_what_one_may_add() -> None:
    world = ServerWorld()
    flood(world, world.bank(1, is_own=True), BURST)
    world.receive(world.bank(2, is_own=True), REVEAL)
    assert world.entries[-1].action == "audit.limit"
    world.receive(world.bank(3, is_own=True, proof=Proof(Identity.bank(3), 3)), REVEAL)
    assert world.entries[-1].actor.who == "bank/3"
