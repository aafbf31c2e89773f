# SPDX-License-Identifier: Apache-2.0
"""Mappings that follow their card into other slots, and those that do not."""

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.slotmap import ConflictError
from remsim.wire.link.actions import LinkId
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.rspro import CreateMappingReq, RemoveMappingReq
from tests.doubles.server_world import ServerWorld

CARDS = {"A": "8900101234567890018", "B": "8900101234567890026", "C": "8900101234567890034"}


class Bank(ServerWorld):
    """A server and its bank; the test moves cards."""

    def __init__(self, **places: int) -> None:
        super().__init__()
        self.link: LinkId = self.bank(1, is_own=True)
        for name, number in places.items():
            self.put(name, number)

    def put(self, name: str | None, number: int) -> None:
        self.receive(self.link, CardInd(BankSlot(1, number), None if name is None else CARDS[name]))

    def map_card(self, client: str, slot: str, *, follows: str | None) -> None:
        where = BankSlot.parse(slot)
        cards = None if follows is None else {where: CARDS[follows]}
        decision = self.coordinator.plan_change([], [(where, ClientSlot.parse(client))], follows=cards)
        assert decision is not None
        self.run([decision])
        self.settle()

    def settle(self) -> None:
        while self.unanswered(self.link, CreateMappingReq) or self.unanswered(self.link, RemoveMappingReq):
            for kind in (RemoveMappingReq, CreateMappingReq):
                if self.unanswered(self.link, kind):
                    self.answer(self.link, kind)

    def mapped(self) -> dict[str, str]:
        return {str(mapping.client): str(mapping.bank) for mapping in self.coordinator.slotmap}


def test_a_mapping_goes_with_its_card() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.put(None, 0)
    assert bank.mapped() == {"C7:0": "B1:0"}
    bank.put("A", 4)
    assert bank.mapped() == {"C7:0": "B1:4"}
    bank.settle()
    assert bank.asked(bank.link) == ["+B1:0 C7:0", "-B1:0 C7:0", "+B1:4 C7:0"]
    (entry,) = bank.entries
    assert (entry.actor.who, entry.action, entry.target) == ("server", "mapping.follow", "B1:4 C7:0")
    assert entry.detail == "the card 890010…0018 has moved from B1:0 to B1:4"
    assert "card_followed" in bank.reported()
    # And on, also after a restart.
    bank.start()
    bank.link = bank.bank(1, is_own=True)
    bank.put(None, 4)
    bank.put("A", 2)
    assert bank.mapped() == {"C7:0": "B1:2"}


def test_a_mapping_of_a_slot_stays() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows=None)
    bank.put(None, 0)
    bank.put("A", 4)
    assert bank.mapped() == {"C7:0": "B1:0"}


def test_a_card_that_only_blinks_moves_nothing() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.put(None, 0)
    bank.put("A", 0)
    # Another card with the same number, while the first is there.
    bank.put("A", 5)
    assert bank.mapped() == {"C7:0": "B1:0"}


@pytest.mark.parametrize("order", ["AB", "BA"])
def test_two_cards_change_places(order: str) -> None:
    bank = Bank(A=0, B=1)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.map_card("C8:0", "B1:1", follows="B")
    bank.put(None, 0)
    bank.put(None, 1)
    for name in order:
        bank.put(name, {"A": 1, "B": 0}[name])
        bank.settle()
    assert bank.mapped() == {"C7:0": "B1:1", "C8:0": "B1:0"}


def test_a_slot_that_an_operator_has_mapped_is_not_taken() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.map_card("C8:0", "B1:1", follows=None)
    bank.put(None, 0)
    bank.put("A", 1)
    assert bank.mapped() == {"C7:0": "B1:0", "C8:0": "B1:1"}
    assert bank.reported()[-1] == "card_not_followed"


def test_the_rules_are_asked() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.coordinator.lending.may_use = lambda slot, _client: slot.slot_nr == 0
    bank.put(None, 0)
    bank.put("A", 1)
    assert bank.mapped() == {"C7:0": "B1:0"}
    assert bank.log[-1].fields["reason"] == "the rules do not allow it"


def test_another_card_in_its_slot_is_not_given_to_its_client() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.put(None, 0)
    bank.put("C", 0)
    assert bank.mapped() == {}
    assert bank.entries[-1].detail == "it follows another card than 890010…0034, which is in B1:0 now"


def test_a_card_has_one_follower() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.coordinator.check_follow(ClientSlot(7, 0), CARDS["A"])
    with pytest.raises(ConflictError, match="the mapping of C7:0 follows this card already"):
        bank.coordinator.check_follow(ClientSlot(8, 0), CARDS["A"])
    bank.run([bank.coordinator.plan_follow(bank.mapping("B1:0"), None)])
    bank.coordinator.check_follow(ClientSlot(8, 0), CARDS["A"])
    bank.put(None, 0)
    bank.put("A", 1)
    assert bank.mapped() == {"C7:0": "B1:0"}


def test_mapping_that_is_being_deleted_gets_no_card_to_follow() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows=None)
    bank.is_store_slow = True
    bank.delete("B1:0")
    with pytest.raises(ConflictError, match="the mapping of C7:0 is just being deleted"):
        bank.coordinator.plan_follow(bank.mapping("B1:0"), CARDS["A"])
    # It stays, and may be told to follow after all.
    bank.is_store_broken = True
    bank.commit()
    bank.is_store_broken = bank.is_store_slow = False
    bank.run([bank.coordinator.plan_follow(bank.mapping("B1:0"), CARDS["A"])])
    bank.put(None, 0)
    bank.put("A", 4)
    assert bank.mapped() == {"C7:0": "B1:4"}


def test_mapping_that_is_gone_when_its_card_is_stored_follows_nothing() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows=None)
    follow = bank.coordinator.plan_follow(bank.mapping("B1:0"), CARDS["A"])
    bank.delete("B1:0")
    bank.run([follow])
    assert bank.coordinator.slotmap.follower(CARDS["A"]) is None
    bank.coordinator.check_follow(ClientSlot(8, 0), CARDS["A"])
