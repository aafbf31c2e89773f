# SPDX-License-Identifier: Apache-2.0
"""What cards say without a PIN, as the server keeps it."""

import pytest

from remsim.core.ids import BankSlot
from remsim.server.core.inventory import CardContents
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.health import InventoryInd
from tests.doubles.server_world import ServerWorld

SLOT, ICCID, OTHER = BankSlot(1, 3), "8900101234567890018", "8900101234567890026"
IMSI, EID = "001010123456789", "89049032000000000000000000000018"
TOLD = InventoryInd(SLOT, ICCID, IMSI, "Mobilé".encode(), EID)


def with_card(world: ServerWorld, *messages: CardInd | InventoryInd) -> None:
    """A bank that tells these."""
    link = world.bank(1, is_own=True)
    for message in messages:
        world.receive(link, message)


def contents(world: ServerWorld) -> CardContents | None:
    found = world.coordinator.inventory.contents(SLOT)
    return None if found is None else found[0]


def test_imsi_is_kept_where_that_is_asked_for_only() -> None:
    asked, unasked = ServerWorld(keeps_imsi=True), ServerWorld()
    for world in (asked, unasked):
        with_card(world, CardInd(SLOT, ICCID), TOLD)
    assert contents(asked) == CardContents(IMSI, "Mobilé", EID)
    assert contents(unasked) == CardContents(None, "Mobilé", EID)
    assert asked.rows.contents[SLOT] == (IMSI, "Mobilé", EID)
    assert unasked.rows.contents[SLOT] == (None, "Mobilé", EID)


def test_it_is_there_after_a_restart_and_an_imsi_is_not_shown_any_more_when_it_is_not_to_be_kept() -> None:
    world = ServerWorld(keeps_imsi=True)
    with_card(world, CardInd(SLOT, ICCID), TOLD)
    world.start()
    assert world.coordinator.inventory.contents(SLOT) == (CardContents(IMSI, "Mobilé", EID), None)
    later = ServerWorld()
    later.rows = world.rows
    later.start()
    assert contents(later) == CardContents(None, "Mobilé", EID)


def test_another_card_takes_it_away() -> None:
    world = ServerWorld(keeps_imsi=True)
    with_card(world, CardInd(SLOT, ICCID), TOLD, CardInd(SLOT, OTHER))
    assert contents(world) is None
    assert world.rows.contents[SLOT] == (None, None, None)


def test_the_same_card_keeps_it() -> None:
    world = ServerWorld(keeps_imsi=True)
    with_card(world, CardInd(SLOT, ICCID), TOLD, CardInd(SLOT, None), CardInd(SLOT, ICCID))
    assert contents(world) == CardContents(IMSI, "Mobilé", EID)


@pytest.mark.parametrize(
    "message",
    [
        InventoryInd(BankSlot(2, 3), ICCID, IMSI),
        InventoryInd(BankSlot(1, 900), ICCID, IMSI),
        InventoryInd(SLOT, OTHER, IMSI),
        InventoryInd(SLOT, None, IMSI),
    ],
)
def test_contents_of_another_card_are_ignored(message: InventoryInd) -> None:
    world = ServerWorld(keeps_imsi=True)
    with_card(world, CardInd(SLOT, ICCID), message)
    assert contents(world) is None
    assert "foreign_card_contents" in world.reported()


def test_what_cannot_be_is_dropped_and_names_are_made_safe() -> None:
    world = ServerWorld(keeps_imsi=True)
    odd = InventoryInd(SLOT, ICCID, "12345\x1b7", b"\x1b[2J\xff" + b"x" * 59, "89049032\x00000000000000000000000x18")
    with_card(world, CardInd(SLOT, ICCID), odd)
    found = contents(world)
    assert found is not None
    assert (found.imsi, found.eid) == (None, None)
    assert found.service_provider is not None
    assert found.service_provider.isprintable()
    assert len(found.service_provider) <= 64


def test_no_event_and_no_note_shows_an_imsi() -> None:
    world = ServerWorld(keeps_imsi=True)
    with_card(world, CardInd(SLOT, ICCID), TOLD)
    said = " ".join(f"{event.name} {event.shown_fields()}" for event in world.log)
    assert IMSI not in said
    assert EID not in said
    assert ICCID not in said
