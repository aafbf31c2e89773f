# SPDX-License-Identifier: Apache-2.0
"""Who is lent which card, in which order, for how long, and over restarts."""

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core import leases, lending
from remsim.server.core.actions import Actor, LeaseEnd
from remsim.server.core.card_choice import CardChoice
from remsim.server.core.leases import LeaseState, NoFreeCardError, TooManyLeasesError, UnknownLeaseError
from remsim.server.core.slotmap import ConflictError
from remsim.wire.link.actions import LinkId
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.rspro import CreateMappingReq, ReaderHealthInd, ReaderState, RemoveMappingReq
from tests.doubles.server_world import ServerWorld

POOL = "label:roaming"


class Shop(ServerWorld):
    """A server whose bank 1 has cards with a label in its first slots."""

    def __init__(self, cards: int = 2) -> None:
        super().__init__()
        self.cards = [f"B1:{nr}" for nr in range(cards)]
        for slot in self.cards:
            self.rows.labels[slot] = ("roaming",)
        self.start()
        self.link = self.bank(1)
        self.token_id = ""

    def take(
        self,
        client: str,
        *,
        pool: str = POOL,
        for_s: float = 100.0,
        wait_s: float = 0.0,
        priority: int = 0,
        banks: frozenset[int] | None = None,
    ) -> int:
        decision = self.coordinator.lending.plan(
            CardChoice.parse(pool),
            ClientSlot.parse(client),
            banks=banks,
            by=Actor("token 1 program", "-", self.token_id),
            priority=priority,
            duration_s=for_s,
            wait_s=wait_s,
            wall=self.rows.wall,
            now=self.now,
        )
        self.run([decision])
        return decision.order.id

    def release(self, number: int) -> None:
        self.run([self.coordinator.lending.plan_release(number)])

    def lease(self, number: int) -> leases.Lease:
        found = self.coordinator.lending.table.find(number)
        assert found is not None
        return found

    def card(self, number: int) -> str | None:
        found = self.lease(number)
        return str(found.bank) if found.state is LeaseState.GRANTED else None

    def settle(self, link: LinkId | None = None) -> None:
        """Let the bank answer everything."""
        link = self.link if link is None else link
        while self.unanswered(link, CreateMappingReq) or self.unanswered(link, RemoveMappingReq):
            for kind in (RemoveMappingReq, CreateMappingReq):
                if self.unanswered(link, kind):
                    self.answer(link, kind)


def test_a_free_card_is_lent_and_its_mapping_ends_with_the_lease() -> None:
    shop = Shop()
    one = shop.take("C7:0", for_s=60)
    assert shop.card(one) == "B1:0"
    assert shop.mapping("B1:0").client == ClientSlot(7, 0)
    shop.settle()
    assert shop.asked(shop.link) == ["+B1:0 C7:0"]
    shop.advance(59.9)
    assert shop.card(one) == "B1:0"
    shop.advance(0.2)
    shop.settle()
    assert (shop.lease(one).state, shop.lease(one).end) == (LeaseState.ENDED, LeaseEnd.EXPIRED)
    assert not list(shop.coordinator.slotmap)
    assert shop.asked(shop.link) == ["+B1:0 C7:0", "-B1:0 C7:0"]
    assert [name for name in shop.reported() if name.startswith("lease")] == ["lease_granted", "lease_expired"]
    assert [entry.action for entry in shop.entries] == ["lease.expire"]


def test_the_card_that_was_lent_longest_ago_comes_next() -> None:
    shop = Shop(cards=3)
    given: list[str | None] = []
    for client in range(7):
        number = shop.take(f"C{client}:0")
        given.append(shop.card(number))
        shop.advance(1)
        shop.release(number)
    assert given == ["B1:0", "B1:1", "B1:2", "B1:0", "B1:1", "B1:2", "B1:0"]
    shop.start()
    shop.bank(1)
    assert shop.card(shop.take("C7:0")) == "B1:1"


def test_nobody_gets_a_card_that_there_is_not() -> None:
    shop = Shop(cards=1)
    shop.take("C7:0")
    with pytest.raises(NoFreeCardError, match="none of the 1 cards of label:roaming is free"):
        shop.take("C8:0")
    with pytest.raises(NoFreeCardError, match="no bank has a card of label:other now"):
        shop.take("C8:0", pool="label:other")
    with pytest.raises(ConflictError, match="C7:0 has a card on loan already, by lease 1"):
        shop.take("C7:0", wait_s=5)
    shop.take("C8:0", wait_s=5)
    with pytest.raises(ConflictError, match="C8:0 waits for a card already, by lease 2"):
        shop.take("C8:0", wait_s=5)
    shop.post("B1:5", "C9:0")
    with pytest.raises(ConflictError, match="C9:0 is mapped already"):
        shop.take("C9:0", wait_s=5)
    assert len(shop.coordinator.lending.table) == 2


def test_the_queue_goes_by_priority_and_then_by_order() -> None:
    shop = Shop(cards=1)
    first = shop.take("C1:0")
    waiting = [shop.take(f"C{2 + nr}:0", wait_s=1000, priority=level) for nr, level in enumerate((0, 5, 0, 5, -5))]
    order = [waiting[1], waiting[3], waiting[0], waiting[2], waiting[4]]
    assert [lease.order.id for lease in shop.coordinator.lending.table.queue()] == order
    served = [first]
    for _ in order:
        shop.release(served[-1])
        (now_lent,) = [lease for lease in shop.coordinator.lending.table if lease.state is LeaseState.GRANTED]
        served.append(now_lent.order.id)
    assert served == [first, *order]


def test_one_whose_client_is_mapped_by_other_means_is_passed_over_and_keeps_its_place() -> None:
    shop = Shop(cards=1)
    first = shop.take("C1:0")
    passed, behind = shop.take("C2:0", wait_s=1000), shop.take("C3:0", wait_s=1000)
    shop.post("B1:7", "C2:0")
    shop.release(first)
    assert (shop.card(passed), shop.card(behind)) == (None, "B1:0")
    shop.delete("B1:7")
    shop.release(behind)
    assert shop.card(passed) == "B1:0"


def test_waiting_in_vain_ends() -> None:
    shop = Shop(cards=1)
    shop.take("C1:0", for_s=1000)
    number = shop.take("C2:0", wait_s=30)
    shop.advance(29.9)
    assert shop.lease(number).state is LeaseState.WAITING
    shop.advance(0.2)
    assert shop.lease(number).end is LeaseEnd.TIMED_OUT
    assert shop.entries[-1].action == "lease.time_out"
    # Its client slot may ask anew.
    shop.take("C2:0", wait_s=30)


def test_renewal_counts_from_now() -> None:
    shop = Shop()
    number = shop.take("C7:0", for_s=60)
    shop.advance(50)
    shop.run([shop.coordinator.lending.plan_renewal(number, 60)])
    shop.advance(59)
    assert shop.card(number) == "B1:0"
    shop.advance(2)
    assert shop.lease(number).end is LeaseEnd.EXPIRED
    with pytest.raises(UnknownLeaseError):
        shop.coordinator.lending.plan_renewal(number, 60)


def test_a_lease_ends_with_its_mapping() -> None:
    shop = Shop()
    number = shop.take("C7:0")
    shop.delete("B1:0")
    assert (shop.lease(number).end, shop.rows.leases) == (LeaseEnd.UNMAPPED, {})
    assert shop.reported()[-1] == "lease_released"


def test_leases_and_the_queue_survive_a_restart() -> None:
    shop = Shop(cards=1)
    lent = shop.take("C1:0", for_s=100)
    waiting = [shop.take(f"C{nr}:0", wait_s=1000, priority=nr % 2) for nr in range(2, 6)]
    before = [lease.order for lease in shop.coordinator.lending.table.queue()]
    shop.advance(40)
    shop.start()
    shop.bank(1)
    assert [lease.order for lease in shop.coordinator.lending.table.queue()] == before
    assert shop.card(lent) == "B1:0"
    shop.advance(59)
    assert shop.card(lent) == "B1:0"
    shop.advance(2)
    assert shop.card(waiting[1]) == "B1:0"
    # A new number is none that there was.
    assert shop.take("C9:0", wait_s=10) > max(waiting)


def test_a_clock_that_was_wrong_makes_no_lease_longer() -> None:
    shop = Shop()
    number = shop.take("C1:0", for_s=100)
    shop.rows.wall -= 1e6
    shop.start()
    shop.advance(101)
    assert shop.lease(number).end is LeaseEnd.EXPIRED


def test_what_cannot_be_stored_is_tried_again() -> None:
    shop = Shop(cards=1)
    lent, waiting = shop.take("C1:0", for_s=10), shop.take("C2:0", wait_s=1000)
    shop.is_store_broken = True
    shop.advance(60)
    assert shop.card(lent) == "B1:0"
    shop.is_store_broken = False
    shop.advance(lending.RETRY_S + 1)
    assert (shop.lease(lent).end, shop.card(waiting)) == (LeaseEnd.EXPIRED, "B1:0")
    # A grant, too.
    shop.run([shop.coordinator.lending.plan_release(waiting)])
    third = shop.take("C3:0")
    fourth = shop.take("C4:0", wait_s=1000)
    shop.is_store_slow = True
    shop.release(third)
    shop.is_store_slow = False
    shop.commit()
    assert shop.card(fourth) == "B1:0"


def test_a_grant_that_is_not_stored_leaves_its_card_to_the_same_one() -> None:
    shop = Shop(cards=1)
    lent, waiting = shop.take("C1:0"), shop.take("C2:0", wait_s=1000)
    shop.take("C3:0", wait_s=1000)
    shop.is_store_slow = True
    shop.release(lent)
    deletion = shop.waiting.pop()
    shop.run(shop.coordinator.on_stored(deletion, shop.now, created_at=shop.rows.wall))
    shop.rows.decide(deletion)
    shop.is_store_broken = True
    shop.commit()
    shop.is_store_broken = shop.is_store_slow = False
    assert shop.card(waiting) is None
    shop.advance(lending.RETRY_S + 1)
    assert shop.card(waiting) == "B1:0"


def test_nobody_jumps_the_queue_between_two_commits() -> None:
    shop = Shop(cards=1)
    lent = shop.take("C1:0")
    shop.is_store_slow = True
    first = shop.take("C2:0", wait_s=1000)
    shop.waiting.insert(0, shop.coordinator.lending.plan_release(lent))
    deletion = shop.waiting.pop(0)
    shop.rows.decide(deletion)
    shop.run(shop.coordinator.on_stored(deletion, shop.now, created_at=shop.rows.wall))
    # The card is free, and who waits for it is not stored yet.
    with pytest.raises(NoFreeCardError):
        shop.take("C3:0")
    second = shop.take("C3:0", wait_s=1000)
    shop.is_store_slow = False
    shop.commit()
    assert (shop.card(first), shop.card(second)) == ("B1:0", None)


def test_a_new_lease_that_is_not_stored_leaves_nothing() -> None:
    shop = Shop(cards=1)
    shop.is_store_broken = True
    number = shop.take("C1:0")
    assert shop.coordinator.lending.table.find(number) is None
    shop.is_store_broken = False
    assert shop.card(shop.take("C1:0")) == "B1:0"


def test_a_renewal_that_is_not_stored_leaves_the_lease_as_it_was() -> None:
    shop = Shop()
    number = shop.take("C7:0", for_s=60)
    shop.is_store_broken = True
    shop.run([shop.coordinator.lending.plan_renewal(number, 1000)])
    shop.is_store_broken = False
    shop.advance(50)
    # Another one may be ordered, and counts.
    shop.run([shop.coordinator.lending.plan_renewal(number, 20)])
    shop.advance(19)
    assert shop.card(number) == "B1:0"
    shop.advance(2)
    assert shop.lease(number).end is LeaseEnd.EXPIRED


def test_one_whose_release_is_not_stored_waits_on() -> None:
    shop = Shop(cards=1)
    lent, waiting = shop.take("C1:0"), shop.take("C2:0", wait_s=1000)
    shop.is_store_broken = True
    shop.release(waiting)
    shop.is_store_broken = False
    assert shop.lease(waiting).state is LeaseState.WAITING
    shop.release(lent)
    assert shop.card(waiting) == "B1:0"


def test_a_token_gets_cards_of_its_banks_only() -> None:
    shop = Shop(cards=1)
    shop.rows.labels["B2:0"] = ("roaming",)
    shop.start()
    shop.bank(1)
    shop.bank(2)
    assert shop.card(shop.take("C1:0", banks=frozenset({2}))) == "B2:0"
    with pytest.raises(NoFreeCardError, match="none of the 1 cards"):
        shop.take("C2:0", banks=frozenset({2}))
    number = shop.take("C2:0", banks=frozenset({2}), wait_s=10)
    assert shop.card(number) is None
    assert shop.card(shop.take("C3:0")) == "B1:0"


def test_rules_are_asked() -> None:
    shop = Shop()
    shop.coordinator.lending.may_use = lambda bank, _client: bank == BankSlot(1, 1)
    assert shop.card(shop.take("C1:0")) == "B1:1"
    with pytest.raises(NoFreeCardError):
        shop.take("C2:0")


ICCID = "8900101234567890018"


def test_cards_that_are_of_use_come_first_and_pulled_ones_not_at_all() -> None:
    shop = Shop(cards=3)
    shop.rows.labels["B2:0"] = ("roaming",)
    shop.start()
    link = shop.bank(1, is_own=True)
    for nr in range(3):
        shop.receive(link, CardInd(BankSlot(1, nr), ICCID[:-1] + str(nr)))
    shop.receive(link, CardInd(BankSlot(1, 0), None))
    shop.receive(link, ReaderHealthInd(BankSlot(1, 1), ReaderState.SUSPENDED, 3, None))
    # A bank that is not there may have its card still.
    assert [shop.card(shop.take(f"C{nr}:0")) for nr in range(3)] == ["B1:2", "B1:1", "B2:0"]
    number = shop.take("C9:0", wait_s=1000)
    assert shop.card(number) is None
    shop.receive(link, CardInd(BankSlot(1, 0), ICCID))
    shop.advance(lending.GATHER_S * 2)
    assert shop.card(number) == "B1:0"


def test_a_card_that_is_pulled_while_it_is_lent_stays_lent() -> None:
    shop = Shop(cards=0)
    shop.rows.labels[f"iccid:{ICCID}"] = ("roaming",)
    shop.start()
    link = shop.bank(1, is_own=True)
    shop.receive(link, CardInd(BankSlot(1, 4), ICCID))
    number = shop.take("C1:0", for_s=100)
    other = shop.take("C2:0", wait_s=1000)
    shop.receive(link, CardInd(BankSlot(1, 4), None))
    shop.settle(link)
    shop.advance(50)
    assert (shop.card(number), shop.card(other)) == ("B1:4", None)
    shop.advance(51)
    shop.settle(link)
    # It is given back, and to nobody, because it is not there.
    assert (shop.lease(number).end, shop.card(other)) == (LeaseEnd.EXPIRED, None)
    shop.receive(link, CardInd(BankSlot(1, 6), ICCID))
    shop.advance(1)
    assert shop.card(other) == "B1:6"


def test_there_are_no_more_leases_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "MAX_LEASES", 2)
    shop = Shop()
    shop.take("C1:0")
    shop.take("C2:0")
    with pytest.raises(TooManyLeasesError):
        shop.take("C3:0", wait_s=10)


def test_those_that_ended_longest_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "MAX_ENDED", 2)
    shop = Shop()
    numbers: list[int] = []
    for _ in range(3):
        numbers.append(shop.take("C1:0"))
        shop.release(numbers[-1])
    assert [lease.order.id for lease in shop.coordinator.lending.table.ended()] == numbers[1:]


def test_leases_of_a_token_that_is_not_good_any_more_end_whether_they_wait_or_have_a_card() -> None:
    shop = Shop(cards=1)
    shop.token_id = "0123456789ab"
    has, waits = shop.take("C7:0"), shop.take("C8:0", wait_s=1000.0)
    shop.token_id = ""
    next_one = shop.take("C9:0", wait_s=1000.0)
    assert [shop.lease(number).order.token_id for number in (has, next_one)] == ["0123456789ab", ""]
    shop.run(shop.coordinator.lending.revoke({waits: "its token was revoked", has: "its token was revoked", 99: "x"}))
    assert [shop.lease(number).end for number in (has, waits)] == [LeaseEnd.REVOKED, LeaseEnd.REVOKED]
    assert shop.card(next_one) == "B1:0"
    assert shop.reported().count("lease_revoked") == 2
    details = [(entry.action, entry.target, entry.detail) for entry in shop.entries if entry.action == "lease.revoke"]
    assert details == [
        ("lease.revoke", "C8:0", f"lease {waits}: its token was revoked"),
        ("lease.revoke", "B1:0 C7:0", f"lease {has}: its token was revoked"),
    ]


def test_a_lease_about_which_a_decision_waits_is_not_revoked_at_the_same_time() -> None:
    shop = Shop(cards=1)
    number = shop.take("C7:0")
    shop.is_store_slow = True
    shop.release(number)
    assert shop.coordinator.lending.revoke({number: "x"}) == []
    shop.commit()
    assert shop.lease(number).end is LeaseEnd.RELEASED


def test_a_mapping_that_takes_any_card_gets_one_that_can_be_used() -> None:
    shop = Shop(cards=6)
    lending = shop.coordinator.lending
    slots = [BankSlot(1, nr) for nr in range(6)]
    shop.receive(shop.link, CardInd(slots[2], ICCID))
    shop.receive(shop.link, CardInd(slots[2], None))
    shop.receive(shop.link, ReaderHealthInd(slots[1], ReaderState.SUSPENDED, 3, None))
    shop.take("C7:0", pool="B1:0")
    lending.may_use = lambda bank, _client: bank != slots[3]
    assert lending.free_for(ClientSlot(8, 0), slots) == [slots[4], slots[5], slots[1], slots[2], slots[3]]
    assert lending.best_first(ClientSlot(8, 0), slots)[0] == slots[0]


def test_wait_that_is_shorter_than_its_commit_begins_with_it() -> None:
    shop = Shop(cards=1)
    shop.take("C7:0")
    lending_ = shop.coordinator.lending
    decision = lending_.plan(
        CardChoice.parse(POOL),
        ClientSlot(8, 0),
        banks=None,
        by=Actor("token 1 program", "-", ""),
        priority=0,
        duration_s=100.0,
        wait_s=0.05,
        wall=shop.rows.wall,
        now=shop.now,
    )
    shop.advance(1.0)
    shop.run([decision])
    assert shop.lease(decision.order.id).state is LeaseState.WAITING
    shop.advance(0.1)
    assert shop.lease(decision.order.id).end is LeaseEnd.TIMED_OUT
