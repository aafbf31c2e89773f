# SPDX-License-Identifier: Apache-2.0
"""What cards say without a PIN: that it is read with the number, for a server that wants it, and told behind it."""

import pytest

from remsim.bankd.core.actions import Origin
from remsim.card.identity import CardIdentity
from remsim.core.ids import BankSlot
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.health import MAX_PROVIDER, InventoryInd
from tests.doubles.bank import Bank

ICCID = "8900101000000000018"
WHOLE = CardIdentity(ICCID, "001010123456789", "Mobilé", "89049032000000000000000000000018")


@pytest.fixture
def bank() -> Bank:
    """A bank with one card, which is not read yet."""
    bank = Bank(slots=1, reads_numbers=True)
    bank.cards.numbers[0] = ICCID
    bank.cards.identities[0] = WHOLE
    return bank


def told(bank: Bank, *, wants_all: bool = True) -> list[CardInd | InventoryInd]:
    """What a server hears that connects now."""
    if (before := bank.coordinator.control.active_server) is not None:
        bank.lose(before.link)
    server = bank.server(wants_all=wants_all, keeps=True)
    return [message for message in bank.sent[server] if isinstance(message, CardInd | InventoryInd)]


def test_all_is_read_at_once_and_told_behind_the_number(bank: Bank) -> None:
    inventory = InventoryInd(BankSlot(1, 0), ICCID, WHOLE.imsi, "Mobilé".encode(), WHOLE.eid)
    assert told(bank) == [CardInd(BankSlot(1, 0), ICCID), inventory]
    assert bank.cards.log == [(0, "read all")]
    # Another server hears it, and the card is left alone.
    assert told(bank) == [CardInd(BankSlot(1, 0), ICCID), inventory]
    assert bank.cards.log == [(0, "read all")]


def test_server_that_does_not_want_it_gets_the_number_only(bank: Bank) -> None:
    assert told(bank, wants_all=False) == [CardInd(BankSlot(1, 0), ICCID)]
    assert bank.cards.log == [(0, "read")]


def test_what_a_server_did_not_want_is_read_when_another_one_wants_it_and_nobody_uses_the_card(bank: Bank) -> None:
    inventory = InventoryInd(BankSlot(1, 0), ICCID, WHOLE.imsi, "Mobilé".encode(), WHOLE.eid)
    first = bank.server(wants_all=False)
    bank.map(first)
    client = bank.connect()
    assert bank.cards.log == [(0, "read"), (0, "open")]
    # The card is in use: it is left alone, and the number is told.
    bank.lose(first)
    server = bank.server(wants_all=True, keeps=True)
    assert [each for each in bank.sent[server] if isinstance(each, InventoryInd)] == []
    assert bank.cards.log == [(0, "read"), (0, "open")]
    bank.lose(client)
    assert bank.cards.log[-1] == (0, "read all")
    assert [each for each in bank.sent[server] if isinstance(each, InventoryInd)] == [inventory]
    # That was once.
    assert told(bank)[-1] == inventory
    assert [what for _, what in bank.cards.log].count("read all") == 1


def test_a_second_reading_that_fails_takes_no_number_away(bank: Bank) -> None:
    told(bank, wants_all=False)
    bank.cards.numbers.clear()
    bank.cards.identities.clear()
    assert told(bank) == [CardInd(BankSlot(1, 0), ICCID)]
    assert told(bank) == [CardInd(BankSlot(1, 0), ICCID)]
    assert bank.cards.log == [(0, "read"), (0, "read all")]


def test_a_card_that_had_no_number_is_not_asked_again(bank: Bank) -> None:
    bank.cards.numbers.clear()
    told(bank, wants_all=False)
    assert told(bank) == [CardInd(BankSlot(1, 0), None)]
    assert bank.cards.log == [(0, "read")]


def test_bank_that_may_not_reads_the_number_only(bank: Bank) -> None:
    bank.coordinator.cards.numbers.takes_inventory = False
    assert told(bank) == [CardInd(BankSlot(1, 0), ICCID)]
    assert bank.cards.log == [(0, "read")]


def test_nothing_is_told_of_the_card_that_was_there_before(bank: Bank) -> None:
    told(bank)
    bank.presence(0, is_present=False)
    bank.cards.numbers.clear()
    bank.cards.identities.clear()
    bank.presence(0, is_present=True)
    assert told(bank) == [CardInd(BankSlot(1, 0), None)]


def test_long_names_are_cut_between_characters(bank: Bank) -> None:
    bank.cards.identities[0] = CardIdentity(ICCID, service_provider="x" + "é" * 40)
    (_, inventory) = told(bank)
    assert isinstance(inventory, InventoryInd)
    assert inventory.service_provider == ("x" + "é" * 31).encode()
    assert len(inventory.service_provider) <= MAX_PROVIDER


def test_client_finds_the_card_powered_anew(bank: Bank) -> None:
    server = bank.server(wants_all=True)
    bank.map(server)
    bank.connect(is_own=True)
    assert bank.cards.log == [(0, "read all"), (0, "open")]
    assert Origin.INVENTORY.value == "inventory"


def test_log_shows_no_identity(bank: Bank) -> None:
    told(bank)
    shown = " ".join(str(notice.shown_fields()) for notice in bank.cards.notices)
    assert "890010" in shown
    for secret in (ICCID, WHOLE.imsi, WHOLE.eid):
        assert str(secret) not in shown
