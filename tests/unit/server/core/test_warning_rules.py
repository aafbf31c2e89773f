# SPDX-License-Identifier: Apache-2.0
"""What is wrong, as the coordinator's state shows it: what is said at once, what after a while, and that it goes."""

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core import warning_rules
from remsim.server.core.warning_rules import FLAPS, PATIENCE_S
from remsim.wire.link.actions import LinkId
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.rspro import (
    BankSlotStatusInd,
    CreateMappingReq,
    ReaderHealthInd,
    ReaderState,
    ResultCode,
    SlotPhysStatus,
)
from tests.doubles.server_world import ServerWorld

ICCID = "8900101234567890018"


def look(world: ServerWorld, lacks: tuple[str, ...] = ()) -> dict[tuple[str, str], str]:
    """Kind and about of all that is wrong, with its text; every mapping lacks ``lacks``."""
    rows = [(mapping, list(lacks), None) for mapping in world.coordinator.slotmap]
    found = world.coordinator.warning_rules.look(rows, world.now)
    return {key: alert.text for key, alert in found.items()}


def world_with_a_mapping(*, is_own: bool = True) -> tuple[ServerWorld, LinkId]:
    world = ServerWorld()
    link = world.bank(1, is_own=is_own)
    world.post("B1:3", "C7:0")
    world.answer(link, CreateMappingReq)
    return world, link


def test_a_bank_that_is_absent_is_said_once_for_all_its_mappings() -> None:
    world, link = world_with_a_mapping()
    world.post("B1:4", "C7:1")
    world.lose(link)
    assert look(world) == {}
    world.advance(PATIENCE_S)
    assert look(world) == {("bank-absent", "B1"): "bank 1 was never connected; 2 mappings wait for it"}
    world.bank(1)
    assert look(world) == {}


def test_a_mapping_that_lacks_something_for_a_while() -> None:
    world, _ = world_with_a_mapping()
    assert look(world, ("client C7:0 was never connected",)) == {}
    world.advance(PATIENCE_S - 1)
    assert look(world, ("x",)) == {}
    assert look(world) == {}
    assert look(world, ("x",)) == {}
    world.advance(PATIENCE_S)
    assert look(world, ("x", "y")) == {("mapping-not-operational", "C7:0"): "C7:0 cannot use B1:3: x; y"}


def test_a_warning_is_as_old_as_what_the_mapping_lacks() -> None:
    world, link = world_with_a_mapping()
    mapping = world.mapping("B1:3")
    rules = world.coordinator.warning_rules
    for lacks, began_at in (["x"], 40.0), ([], 30.0):
        world.receive(link, CardInd(BankSlot(1, 3), ICCID))
        world.receive(link, CardInd(BankSlot(1, 3), None))
        (alert,) = rules.look([(mapping, lacks, began_at)], world.now).values()
        # Since when it could be used is not since when the card is gone.
        assert (alert.kind, alert.since) == ("card-pulled", 40.0 if lacks else 0.0)
    world.receive(link, CardInd(BankSlot(1, 3), ICCID))
    rules.look([(mapping, ["x"], 40.0)], world.now)
    world.advance(PATIENCE_S)
    (alert,) = rules.look([(mapping, ["x"], 40.0)], world.now).values()
    assert (alert.kind, alert.since) == ("mapping-not-operational", 40.0)
    world.lose(link)
    rules.look([(mapping, ["x"], 50.0)], world.now)
    world.advance(PATIENCE_S)
    (alert,) = rules.look([(mapping, ["x"], 50.0)], world.now).values()
    assert (alert.kind, alert.since) == ("bank-absent", 50.0)


def test_a_mapping_that_is_refused() -> None:
    world = ServerWorld()
    link = world.bank(1)
    for slot in ("B1:3", "B1:9"):
        world.post(slot, f"C{slot[-1]}:0")
        world.answer(link, CreateMappingReq, ResultCode.ILLEGAL_SLOT_ID)
    assert look(world, ("x",)) == {
        ("mapping-refused", "C3:0"): "bank 1 refused the mapping of C3:0 to B1:3",
        ("mapping-refused", "C9:0"): "bank 1 has no slot 9, to which C9:0 is mapped",
    }


def test_a_mapping_that_waits_for_its_card_and_cards_with_one_number() -> None:
    world, link = world_with_a_mapping()
    world.receive(link, CardInd(BankSlot(1, 3), ICCID))
    world.run([world.coordinator.plan_follow(world.mapping("B1:3"), ICCID)])
    world.receive(link, CardInd(BankSlot(1, 3), "8900101234567890026"))
    text = "C7:0 waits for the card 890010…0018, which was in B1:3; another card is there now"
    assert look(world) == {("card-away", "C7:0"): text}
    for nr in (4, 5):
        world.receive(link, CardInd(BankSlot(1, nr), ICCID))
    twins = "the cards in B1:4 and B1:5 have one number, 890010…0018"
    # It has gone to the first one, and stays there.
    assert look(world) == {("twins", "B1:4"): twins}
    world.receive(link, CardInd(BankSlot(1, 5), None))
    assert look(world) == {}


def test_a_card_that_is_pulled_while_it_is_mapped() -> None:
    world, link = world_with_a_mapping()
    pulled = {("card-pulled", "B1:3"): "there is no card in B1:3, which C7:0 uses"}
    world.receive(link, CardInd(BankSlot(1, 3), ICCID))
    assert look(world) == {}
    world.receive(link, CardInd(BankSlot(1, 3), None))
    assert look(world) == pulled
    world.receive(link, CardInd(BankSlot(1, 3), ICCID))
    assert look(world) == {}
    absent = SlotPhysStatus(reset_active=False, card_present=False)
    world.receive(link, BankSlotStatusInd(BankSlot(1, 3), ClientSlot(7, 0), absent))
    assert look(world) == pulled
    world.delete("B1:3")
    assert look(world) == {}


def test_a_reader_that_fails() -> None:
    world, link = world_with_a_mapping()
    world.receive(link, ReaderHealthInd(BankSlot(1, 3), ReaderState.SUSPENDED, 4, None))
    text = "the reader of B1:3 has failed 4 times in a row, and is left alone for a while"
    assert look(world, ("x",)) == {("reader", "B1:3"): text}
    world.advance(PATIENCE_S)
    # The mapping lacks the same, so nothing is said twice.
    assert look(world, ("x",)) == {("reader", "B1:3"): text}
    world.receive(link, ReaderHealthInd(BankSlot(1, 3), ReaderState.WORKING, 0, None))
    assert look(world) == {}


def test_one_that_connects_again_and_again() -> None:
    world = ServerWorld()
    for number in range(FLAPS):
        assert look(world) == {}, number
        world.lose(world.client("C7:0"))
        world.advance(1)
    assert list(look(world)) == [("identity", "C7:0")]
    world.advance(warning_rules.FLAP_S)
    assert look(world) == {}


def test_no_more_peers_are_remembered_than_the_limit() -> None:
    arrivals = warning_rules.Arrivals()
    for number in range(20_000):
        for _ in range(2):
            arrivals.note(f"C{number}:0", 1.0)
    assert len(arrivals._times) == warning_rules._MAX_ARRIVALS
