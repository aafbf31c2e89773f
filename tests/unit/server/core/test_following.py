# SPDX-License-Identifier: Apache-2.0
"""Mappings that follow their card into other slots, and those that do not."""

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.actions import StoreLock
from remsim.server.core.following import NOTICED_S
from remsim.server.core.slotmap import ConflictError
from remsim.wire.link.actions import LinkId
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.rspro import CreateMappingReq, RemoveMappingReq
from tests.doubles.server_world import ServerWorld

CARDS = {"A": "8900101234567890018", "B": "8900101234567890026", "C": "8900101234567890034"}


class Bank(ServerWorld):
    """A server and its bank, and another that comes when it is wanted; the test moves cards."""

    def __init__(self, **places: int) -> None:
        super().__init__()
        self.link: LinkId = self.bank(1, is_own=True)
        for name, number in places.items():
            self.put(name, number)

    def put(self, name: str | None, number: int, *, other: LinkId | None = None) -> None:
        link, bank_id = (self.link, 1) if other is None else (other, 2)
        self.receive(link, CardInd(BankSlot(bank_id, number), None if name is None else CARDS[name]))

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

    def parked_clients(self) -> list[str]:
        return [str(parked.client) for parked in self.coordinator.slotmap.parked()]


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


def test_another_card_in_its_slot_is_not_given_to_its_client_which_waits_for_its_own() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.put(None, 0)
    bank.put("C", 0)
    assert (bank.mapped(), bank.parked_clients()) == ({}, ["C7:0"])
    assert bank.entries[-1].detail == "the card 890010…0018 is in no slot that it can have"
    assert bank.reported()[-1] == "mapping_parked"
    # Over a restart, too; and then in a slot of whichever bank.
    bank.start()
    assert bank.parked_clients() == ["C7:0"]
    bank.link = bank.bank(1, is_own=True)
    bank.put("C", 0)
    other = bank.bank(2, is_own=True)
    bank.put("A", 3, other=other)
    assert (bank.mapped(), bank.parked_clients()) == ({"C7:0": "B2:3"}, [])
    assert bank.rows.parked == {}
    bank.put(None, 3, other=other)
    bank.put("A", 5)
    assert bank.mapped() == {"C7:0": "B1:5"}


def test_one_that_waits_keeps_its_client_slot() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.put("C", 0)
    for taking in (
        lambda: bank.coordinator.plan_creation(BankSlot(1, 3), ClientSlot(7, 0)),
        lambda: bank.coordinator.check_follow(ClientSlot(8, 0), CARDS["A"]),
    ):
        with pytest.raises(ConflictError, match=r"waits for the card|follows this card already"):
            taking()
    (parked,) = bank.coordinator.slotmap.parked()
    assert bank.coordinator.slotmap.parked_of_client(ClientSlot(7, 0)) is parked
    assert bank.coordinator.slotmap.parked_of_client(ClientSlot(8, 0)) is None
    change = bank.coordinator.plan_change([], [(BankSlot(1, 3), ClientSlot(7, 0))], unparked=[parked])
    assert change is not None
    bank.run([change])
    assert (bank.mapped(), bank.parked_clients(), bank.rows.parked) == ({"C7:0": "B1:3"}, [], {})
    assert bank.coordinator.slotmap.unpark(parked.id, 5.0) is None


def test_what_an_operator_decides_about_one_that_waits_holds_though_its_card_comes() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.put("C", 0)
    (parked,) = bank.coordinator.slotmap.parked()
    bank.is_store_slow = True
    change = bank.coordinator.plan_change([], [], unparked=[parked])
    assert change is not None
    bank.run([change])
    assert bank.coordinator.slotmap.is_held(parked)
    with pytest.raises(ConflictError, match="just being changed by another request"):
        bank.coordinator.plan_change([], [], unparked=[parked])
    bank.put("A", 4)
    # The database refuses it: it waits on, and goes to its card when the database takes something.
    bank.is_store_broken = True
    bank.commit()
    bank.is_store_broken = bank.is_store_slow = False
    assert bank.parked_clients() == ["C7:0"]
    bank.run([bank.coordinator.plan_labels("B1:0", ["x"])])
    assert (bank.mapped(), bank.parked_clients()) == ({"C7:0": "B1:4"}, [])
    bank.put("C", 4)
    (parked,) = bank.coordinator.slotmap.parked()
    bank.is_store_slow = True
    change = bank.coordinator.plan_change([], [], unparked=[parked])
    assert change is not None
    bank.run([change])
    bank.put("A", 5)
    bank.commit()
    assert (bank.mapped(), bank.parked_clients()) == ({}, [])
    assert bank.coordinator.plan_change([], []) is None


def test_one_that_cannot_get_its_new_slot_waits_on() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.map_card("C8:0", "B1:1", follows=None)
    bank.put("C", 0)
    (parked,) = bank.coordinator.slotmap.parked()
    with pytest.raises(ConflictError, match="B1:1 is mapped"):
        bank.coordinator.plan_change([], [(BankSlot(1, 1), ClientSlot(7, 0))], unparked=[parked])
    bank.put("A", 3)
    assert bank.mapped() == {"C8:0": "B1:1", "C7:0": "B1:3"}


def test_a_slot_that_becomes_free_is_given_to_the_one_that_waits_for_its_card() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.map_card("C8:0", "B1:1", follows=None)
    bank.put("C", 0)
    bank.put("A", 1)
    assert (bank.mapped(), bank.parked_clients()) == ({"C8:0": "B1:1"}, ["C7:0"])
    assert bank.log[-1].fields["reason"] == "C8:0 has that slot"
    bank.delete("B1:1")
    assert (bank.mapped(), bank.parked_clients()) == ({"C7:0": "B1:1"}, [])


def test_a_locked_slot_is_given_when_it_is_unlocked() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.run([bank.coordinator.slotmap.locks.plan(BankSlot(1, 3), "worn", "alice")])
    bank.put("C", 0)
    bank.put("A", 3)
    assert (bank.parked_clients(), bank.log[-1].fields["reason"]) == (["C7:0"], "that slot is locked")
    bank.run([StoreLock(BankSlot(1, 3), None, "alice")])
    assert bank.mapped() == {"C7:0": "B1:3"}


def test_one_that_waits_goes_on_when_the_rules_allow_it() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.put("C", 0)
    bank.coordinator.lending.may_use = lambda _slot, _client: False
    bank.put("A", 1)
    assert bank.parked_clients() == ["C7:0"]
    bank.coordinator.lending.may_use = lambda _slot, _client: True
    bank.run(bank.coordinator.following.look())
    assert bank.mapped() == {"C7:0": "B1:1"}


def test_cards_are_recognised_in_whatever_order_two_banks_tell_of_them() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    other = bank.bank(2, is_own=True)
    # The new slot is read before the old one has been noticed to be empty.
    bank.put("A", 3, other=other)
    assert bank.mapped() == {"C7:0": "B1:0"}
    bank.put(None, 0)
    assert bank.mapped() == {"C7:0": "B2:3"}


def test_a_card_that_was_taken_out_of_a_bank_that_is_away_is_recognised() -> None:
    bank = Bank(A=0, B=1)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.map_card("C8:0", "B1:1", follows="B")
    other = bank.bank(2, is_own=True)
    bank.put("A", 3, other=other)
    bank.lose(bank.link)
    bank.put("B", 4, other=other)
    assert bank.mapped() == {"C7:0": "B2:3", "C8:0": "B2:4"}
    # A bank that is away alone moves nothing.
    bank.lose(other)
    assert bank.mapped() == {"C7:0": "B2:3", "C8:0": "B2:4"}


def test_two_cards_with_one_number_move_nothing() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    for nr in (2, 3):
        bank.put("A", nr)
    bank.put(None, 0)
    assert bank.mapped() == {"C7:0": "B1:0"}
    assert bank.log[-1].fields["reason"] == "2 slots have a card with this number"
    bank.put(None, 2)
    assert bank.mapped() == {"C7:0": "B1:3"}


def test_a_bank_that_is_lost_leaves_no_mapping_to_a_twin_of_its_card() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    other = bank.bank(2, is_own=True)
    bank.put("A", 3, other=other)
    bank.advance(NOTICED_S + 1.0)
    bank.lose(bank.link)
    assert bank.mapped() == {"C7:0": "B1:0"}
    assert bank.log[-1].fields["reason"] == "2 slots have a card with this number"
    (warning,) = bank.coordinator.warning_rules.look([], bank.now).values()
    assert warning.text == "the cards in B1:0 and B2:3 have one number, 890010…0018"
    # Nothing that happens besides changes that, until the bank is back and its slot is empty.
    bank.put("B", 4, other=other)
    bank.run(bank.coordinator.following.look())
    assert bank.mapped() == {"C7:0": "B1:0"}
    bank.link = bank.bank(1, is_own=True)
    assert bank.mapped() == {"C7:0": "B1:0"}
    bank.put(None, 0)
    assert bank.mapped() == {"C7:0": "B2:3"}


def test_one_that_waits_does_not_choose_between_twins_of_which_one_is_in_a_lost_bank() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.put("C", 0)
    bank.settle()
    other = bank.bank(2, is_own=True)
    bank.coordinator.lending.may_use = lambda _slot, _client: False
    bank.put("A", 5)
    bank.put("A", 3, other=other)
    bank.coordinator.lending.may_use = lambda _slot, _client: True
    bank.advance(NOTICED_S + 1.0)
    bank.lose(bank.link)
    bank.put("A", 3, other=other)
    assert (bank.mapped(), bank.parked_clients()) == ({}, ["C7:0"])
    bank.put(None, 3, other=other)
    bank.put("A", 3, other=other)
    # Both were not seen together for long now: the card may have been moved.
    assert bank.mapped() == {"C7:0": "B2:3"}


def test_one_whose_slot_gets_the_card_of_another_that_waited_waits_itself() -> None:
    bank = Bank(A=0, B=1)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.map_card("C8:0", "B1:1", follows="B")
    bank.put("C", 0)
    bank.put("A", 1)
    assert (bank.mapped(), bank.parked_clients()) == ({"C7:0": "B1:1"}, ["C8:0"])
    bank.put("B", 0)
    assert (bank.mapped(), bank.parked_clients()) == ({"C7:0": "B1:1", "C8:0": "B1:0"}, [])


def test_what_an_operator_does_meanwhile_counts_and_then_it_is_looked_at_again() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.put("C", 0)
    bank.is_store_slow = True
    bank.post("B1:1", "C9:0")
    bank.put("A", 1)
    bank.is_store_broken = True
    bank.commit()
    bank.is_store_broken = bank.is_store_slow = False
    # It is not stored after all; the next decision lets it be looked at.
    bank.run([bank.coordinator.plan_labels("B1:0", ["x"])])
    assert (bank.mapped(), bank.parked_clients()) == ({"C7:0": "B1:1"}, [])


def test_a_move_that_cannot_be_stored_changes_nothing() -> None:
    bank = Bank(A=0)
    bank.map_card("C7:0", "B1:0", follows="A")
    bank.is_store_broken = True
    bank.put("C", 0)
    assert (bank.mapped(), bank.parked_clients()) == ({"C7:0": "B1:0"}, [])
    bank.is_store_broken = False
    bank.put("C", 0)
    assert (bank.mapped(), bank.parked_clients()) == ({}, ["C7:0"])


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
