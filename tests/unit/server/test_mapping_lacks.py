# SPDX-License-Identifier: Apache-2.0
"""What a mapping lacks, since when, and who says so; and since when it lacks nothing."""

import pytest

from remsim.core.identity import Identity, Proof
from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.actions import NoteBank, NoteClient
from remsim.server.mapping_lacks import Lack, MappingLacks, Usability
from remsim.wire.link.actions import LinkId
from remsim.wire.messages.extensions import CardInd
from remsim.wire.messages.health import RecentErrors, SessionPhase, SlotCounters, SlotHealthInd
from remsim.wire.messages.rspro import (
    BankSlotStatusInd,
    ConfigClientBankReq,
    CreateMappingReq,
    ReaderHealthInd,
    ReaderState,
    ResultCode,
    SlotPhysStatus,
)
from tests.doubles.server_world import ServerWorld

STARTED_AT = 900.0
BANK, CLIENT = BankSlot(1, 3), ClientSlot(7, 0)
ICCID = "8900101234567890018"


class Mapped:
    """A mapping whose bankd and client are there, in force for ten seconds by now; the wall clock is 1000 s ahead."""

    def __init__(self) -> None:
        self.world = ServerWorld()
        self.began = self.world.now
        self.bank = self.world.bank(1, is_own=True)
        self.world.post("B1:3", "C7:0")
        self.world.answer(self.bank, CreateMappingReq)
        self.client = self.comes()
        self.world.advance(10)

    def comes(self, result: ResultCode = ResultCode.OK) -> LinkId:
        """The client connects, and answers what it is told."""
        link = self.world.client("C7:0", is_own=True)
        self.world.answer(link, ConfigClientBankReq, result)
        return link

    def at(self, ago_s: float) -> float:
        """So long ago, by the wall clock."""
        return self.world.now + 1000 - ago_s

    @property
    def lacks(self) -> MappingLacks:
        now = self.world.now
        mapping = self.world.mapping("B1:3")
        return MappingLacks(mapping, self.world.coordinator, now=now, wall=now + 1000, started_at=STARTED_AT)

    def says_card(self, *, is_there: bool) -> None:
        """As a classic bankd."""
        status = SlotPhysStatus(reset_active=False, card_present=is_there)
        self.world.receive(self.bank, BankSlotStatusInd(BANK, CLIENT, status))

    def reports(self, *, is_there: bool, age_ms: int) -> None:
        """As a bankd of ours."""
        report = SlotHealthInd(
            bank_slot=BANK,
            is_present=is_there,
            presence_age_ms=age_ms,
            phase=SessionPhase.NONE,
            phase_age_ms=0,
            counters=SlotCounters(),
            recent=RecentErrors(),
            reader="R",
        )
        self.world.receive(self.bank, report)


@pytest.fixture
def mapped() -> Mapped:
    return Mapped()


def test_what_came_last_says_since_when_it_can_be_used(mapped: Mapped) -> None:
    assert mapped.lacks.all() == []
    assert mapped.lacks.usability() == Usability(is_operational=True, since=mapped.at(10), source="C7:0")
    mapped.world.lose(mapped.client)
    mapped.world.advance(5)
    mapped.comes()
    mapped.world.advance(2)
    assert mapped.lacks.usability() == Usability(is_operational=True, since=mapped.at(2), source="C7:0")
    mapped.world.lose(mapped.bank)
    mapped.world.advance(3)
    mapped.bank = mapped.world.bank(1, is_own=True)
    mapped.world.answer(mapped.bank, CreateMappingReq)
    mapped.world.advance(1)
    assert mapped.lacks.usability() == Usability(is_operational=True, since=mapped.at(1), source="B1")


def test_who_is_away_is_so_since_it_left(mapped: Mapped) -> None:
    known = mapped.world.coordinator.known
    mapped.world.lose(mapped.client)
    known.note(NoteClient(CLIENT, "modem", "remsim-client", "1", None, "192.0.2.1"), mapped.world.now + 1000)
    mapped.world.advance(4)
    (lack,) = mapped.lacks.all()
    assert lack.text.startswith("client C7:0 is not connected since ")
    assert (lack.since, lack.source) == (mapped.at(4), "server")
    assert mapped.lacks.usability() == Usability(is_operational=False, since=mapped.at(4), source="server")
    mapped.world.lose(mapped.bank)
    known.note(NoteBank(1, "bank", "remsim-bankd", "1", 8, ()), mapped.world.now + 1000)
    mapped.world.advance(2)
    assert [(lack.since, lack.source) for lack in mapped.lacks.all()] == [
        (mapped.at(2), "server"),
        (mapped.at(6), "server"),
    ]


def test_who_never_came_is_away_since_the_start() -> None:
    world = ServerWorld()
    world.post("B1:3", "C7:0")
    lacks = MappingLacks(world.mapping("B1:3"), world.coordinator, now=world.now, wall=2000.0, started_at=STARTED_AT)
    assert lacks.all() == [
        Lack("bank 1 was never connected", STARTED_AT, "database"),
        Lack("client C7:0 was never connected", STARTED_AT, "database"),
    ]


def test_card_is_missing_since_its_bankd_says(mapped: Mapped) -> None:
    mapped.says_card(is_there=False)
    mapped.world.advance(3)
    (lack,) = mapped.lacks.all()
    assert lack == Lack("there is no card in the slot, or no reader", mapped.at(3), "B1")
    # A report tells more exactly, and may be the only one that tells.
    mapped.reports(is_there=False, age_ms=7000)
    assert mapped.lacks.usability().since == mapped.at(7)
    mapped.says_card(is_there=True)
    mapped.world.advance(1)
    assert mapped.lacks.usability() == Usability(is_operational=True, since=mapped.at(1), source="B1")
    mapped.reports(is_there=True, age_ms=500)
    assert mapped.lacks.usability().since == mapped.at(0.5)
    mapped.reports(is_there=False, age_ms=0)
    assert [lack.source for lack in mapped.lacks.all()] == ["B1"]


def test_reader_fails_and_works_again(mapped: Mapped) -> None:
    for _ in range(2):
        mapped.world.receive(mapped.bank, ReaderHealthInd(BANK, ReaderState.SUSPENDED, 4, None))
        mapped.world.advance(3)
    text = "the reader has failed several times; it is tried again by itself"
    assert mapped.lacks.all() == [Lack(text, mapped.at(6), "B1")]
    mapped.world.receive(mapped.bank, ReaderHealthInd(BANK, ReaderState.WORKING, 0, None))
    mapped.world.advance(1)
    assert mapped.lacks.usability() == Usability(is_operational=True, since=mapped.at(1), source="B1")


def test_refusals_and_answers_that_have_not_come() -> None:
    world = ServerWorld()
    world.client("C7:0", is_own=True)
    bank = world.bank(1)
    world.post("B1:3", "C7:0")
    world.advance(2)

    def found() -> list[Lack]:
        mapping = world.mapping("B1:3")
        lacks = MappingLacks(mapping, world.coordinator, now=world.now, wall=world.now, started_at=STARTED_AT)
        return lacks.all()

    assert found() == [Lack("bank 1 has not answered yet", world.now - 2, "server")]
    world.answer(bank, CreateMappingReq, ResultCode.ILLEGAL_SLOT_ID)
    world.advance(1)
    assert found() == [Lack("bank 1 has no slot 3", world.now - 1, "B1")]


def test_client_that_owes_its_answer_or_refuses() -> None:
    mapped = Mapped()
    mapped.world.lose(mapped.client)
    link = mapped.world.client("C7:0", is_own=True)
    mapped.world.advance(4)
    assert mapped.lacks.all() == [Lack("client C7:0 has not answered yet", mapped.at(4), "server")]
    mapped.world.answer(link, ConfigClientBankReq, ResultCode.ILLEGAL_CLIENT_ID)
    mapped.world.advance(2)
    assert mapped.lacks.all() == [Lack("client C7:0 refused: ILLEGAL_CLIENT_ID", mapped.at(2), "C7:0")]


def test_card_that_is_followed_came_or_is_away(mapped: Mapped) -> None:
    world = mapped.world
    world.receive(mapped.bank, CardInd(BANK, ICCID))
    world.run([world.coordinator.plan_follow(world.mapping("B1:3"), ICCID)])
    world.advance(1)
    assert mapped.lacks.usability() == Usability(is_operational=True, since=mapped.at(1), source="B1")
    world.receive(mapped.bank, CardInd(BANK, None))
    world.advance(6)
    (lack,) = mapped.lacks.all()
    assert lack.text.startswith("card 890010…0018 is in no slot since ")
    assert (lack.since, lack.source) == (mapped.at(6), "B1")


def test_client_that_no_address_is_for() -> None:
    world = ServerWorld()
    bank = world.bank(1)
    world.client("C7:0", is_own=True, proof=Proof(Identity.client(7), 1))
    world.post("B1:3", "C7:0")
    world.answer(bank, CreateMappingReq)
    world.advance(3)
    lacks = MappingLacks(world.mapping("B1:3"), world.coordinator, now=world.now, wall=world.now, started_at=STARTED_AT)
    (lack,) = lacks.all()
    assert lack.text.startswith("bank 1 has no TLS address")
    assert (lack.since, lack.source) == (world.now - 3, "server")
