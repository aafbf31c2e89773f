# SPDX-License-Identifier: Apache-2.0
"""Which card is in which slot: what bankds may say of it, what is kept, and when the rules are asked again."""

import pytest

from remsim.core.ids import BankSlot
from remsim.wire.link.actions import LinkId
from remsim.wire.messages import extensions
from tests.doubles.server_world import ServerWorld

SLOT = BankSlot(1, 0)
FIRST, SECOND = "8900101000000000018", "8900101000000000026"


def tell(world: ServerWorld, link: LinkId, slot: str, iccid: str | None) -> None:
    world.receive(link, extensions.CardInd(BankSlot.parse(slot), iccid))


def known(world: ServerWorld, slot: BankSlot = SLOT) -> tuple[str | None, str | None]:
    """The number of the card there, and the last one."""
    inventory = world.coordinator.inventory
    return inventory.number(slot), inventory.last_number(slot)


@pytest.fixture
def world() -> ServerWorld:
    return ServerWorld()


def test_number_is_kept_stored_and_logged_shortened(world: ServerWorld) -> None:
    bank = world.bank(1, is_own=True)
    assert known(world) == (None, None)
    tell(world, bank, "1:0", FIRST)
    tell(world, bank, "1:3", SECOND)
    assert known(world) == (FIRST, FIRST)
    assert world.coordinator.inventory.numbers_of_bank(1) == {0: FIRST, 3: SECOND}
    assert world.rows.cards == {SLOT: FIRST, BankSlot(1, 3): SECOND}
    assert world.asked_policy == [SLOT, BankSlot(1, 3)]
    event = next(event for event in world.log if event.name == "card_number")
    assert (event.bank_slot, event.fields) == (SLOT, {"iccid": "890010…0018"})
    assert FIRST not in repr(world.log)


def test_number_that_is_known_already_changes_nothing(world: ServerWorld) -> None:
    bank = world.bank(1, is_own=True)
    tell(world, bank, "1:0", FIRST)
    tell(world, bank, "1:0", FIRST)
    assert world.asked_policy == [SLOT]
    assert world.reported().count("card_number") == 1


def test_card_that_is_gone_leaves_its_last_number_and_another_replaces_it(world: ServerWorld) -> None:
    bank = world.bank(1, is_own=True)
    tell(world, bank, "1:0", None)
    assert known(world) == (None, None)
    tell(world, bank, "1:0", FIRST)
    tell(world, bank, "1:0", None)
    assert known(world) == (None, FIRST)
    assert world.coordinator.inventory.numbers_of_bank(1) == {}
    tell(world, bank, "1:0", FIRST)
    assert known(world) == (FIRST, FIRST)
    assert world.asked_policy == [SLOT]
    tell(world, bank, "1:0", SECOND)
    assert known(world) == (SECOND, SECOND)
    assert world.asked_policy == [SLOT, SLOT]
    assert world.rows.cards == {SLOT: SECOND}


def test_numbers_are_known_after_a_restart_before_the_bankd_is_back(world: ServerWorld) -> None:
    tell(world, world.bank(1, is_own=True), "1:0", FIRST)
    world.start()
    assert known(world) == (FIRST, FIRST)
    bank = world.bank(1, is_own=True)
    assert known(world) == (FIRST, FIRST)
    tell(world, bank, "1:0", None)
    assert known(world) == (None, FIRST)


def test_loss_of_the_bankd_changes_nothing(world: ServerWorld) -> None:
    bank = world.bank(1, is_own=True)
    tell(world, bank, "1:0", FIRST)
    world.lose(bank)
    assert known(world) == (FIRST, FIRST)


def test_bankd_that_tells_no_numbers_may_have_other_cards(world: ServerWorld) -> None:
    bank = world.bank(1, is_own=True)
    tell(world, bank, "1:0", FIRST)
    world.lose(bank)
    world.bank(1)
    assert known(world) == (None, FIRST)


def test_slots_that_a_bank_has_no_more_are_forgotten(world: ServerWorld) -> None:
    bank = world.bank(1, is_own=True, slots=4)
    for slot_nr in range(4):
        tell(world, bank, f"1:{slot_nr}", FIRST)
    world.lose(bank)
    world.bank(1, is_own=True, slots=2)
    assert world.coordinator.inventory.numbers_of_bank(1) == {0: FIRST, 1: FIRST}
    assert set(world.rows.cards) == {BankSlot(1, 0), BankSlot(1, 1)}


@pytest.mark.parametrize(
    ("slot", "iccid", "name"),
    [
        ("2:0", FIRST, "foreign_card"),
        ("2:0", None, "foreign_card"),
        ("1:8", FIRST, "foreign_card"),
        ("1:0", "89x", "bad_card_number"),
        ("1:0", "8900*", "bad_card_number"),
    ],
)
def test_what_a_bankd_has_no_say_in_is_ignored_and_logged_once(
    world: ServerWorld, slot: str, iccid: str | None, name: str
) -> None:
    bank = world.bank(1, is_own=True, slots=8)
    for _ in range(2):
        tell(world, bank, slot, iccid)
    assert known(world, BankSlot.parse(slot)) == (None, None)
    assert [event.level for event in world.log if event.name == name] == ["warning", "debug"]
    assert not any(iccid in repr(event.fields) for event in world.log if iccid is not None)
    assert bank in world.open


def test_client_has_no_cards(world: ServerWorld) -> None:
    client = world.client("7:0", is_own=True)
    tell(world, client, "1:0", FIRST)
    assert known(world) == (None, None)
    assert "unexpected_message" in world.reported()


def test_mapping_is_stored_with_the_number_that_it_is_judged_by(world: ServerWorld) -> None:
    bank = world.bank(1, is_own=True)
    tell(world, bank, "1:0", FIRST)
    world.rows.cards.clear()
    world.post("1:0", "7:0")
    world.post("1:1", "7:1")
    assert world.rows.cards == {SLOT: FIRST}


def test_number_with_letters_is_one(world: ServerWorld) -> None:
    bank = world.bank(1, is_own=True, slots=8)
    tell(world, bank, "1:0", "898600B5000000000001")
    assert known(world) == ("898600B5000000000001", "898600B5000000000001")
