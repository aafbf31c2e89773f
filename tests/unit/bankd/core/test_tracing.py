# SPDX-License-Identifier: Apache-2.0
"""Slots of a bank that are watched: who may order it, what is told to whom, and when it ends."""

from remsim.bankd.core.actions import TraceTpdu
from remsim.card.reset import ResetKind
from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitName
from remsim.trace.tap import RATE
from remsim.wire.messages.extensions import TraceInd, TraceReq
from tests.doubles.bank import Bank
from tests.doubles.reaching import reaches

READ, OK = bytes.fromhex("00b0000001"), bytes.fromhex("9000")
SLOT = BankSlot(1, 0)


def traced(bank: Bank, slot_nr: int = 0, tag: int = 1) -> None:
    """The runtime tells of a command."""
    bank.coordinator.traces.on_tpdu(TraceTpdu(slot_nr, READ, OK, tag=tag), 0.001, bank.now)


def told(bank: Bank, link: int) -> list[TraceInd]:
    return [message for message in bank.sent[link] if isinstance(message, TraceInd)]


def test_slot_is_traced_while_the_server_wants_it() -> None:
    bank = Bank()
    server = bank.server()
    bank.map(server)
    link = bank.connect()
    slot = bank.coordinator.cards.positions[0]
    bank.command(link)
    assert (bank.cards.datagrams, slot.is_traced) == ([], False)
    bank.say(server, TraceReq(30_000, bank_slot=SLOT))
    assert bank.coordinator.traces.watched == {0}
    bank.command(link)
    assert len(bank.cards.datagrams) == 1
    traced(bank, tag=7)
    bank.coordinator.traces.on_reset(0, ResetKind.WARM, bank.now)
    assert told(bank, server) == []
    bank.wait(bank.now + 0.2)
    (message,) = told(bank, server)
    assert (message.bank_slot, message.client_slot) == (SLOT, ClientSlot(1, 0))
    assert [record.tag for record in message.records] == [7, None]
    bank.say(server, TraceReq(30_000, bank_slot=SLOT))
    bank.wait(bank.now + 29)
    assert bank.coordinator.traces.watched == {0}
    bank.wait(bank.now + 2)
    assert not slot.is_traced
    assert not bank.coordinator.traces.watched
    traced(bank)
    assert len(told(bank, server)) == 1


def test_it_ends_by_order_and_with_the_server() -> None:
    bank = Bank(traced=frozenset({1}))
    server = bank.server()
    for slot_nr in (0, 1):
        bank.say(server, TraceReq(30_000, bank_slot=BankSlot(1, slot_nr)))
    bank.say(server, TraceReq(0, bank_slot=SLOT))
    positions = bank.coordinator.cards.positions
    assert [position.is_traced for position in positions] == [False, True]
    bank.lose(server)
    # Somebody else wants to hear of this one, watched or not.
    assert [position.is_traced for position in positions] == [False, True]
    assert bank.coordinator.traces.watched == frozenset()


def test_orders_about_others_and_of_others_are_ignored() -> None:
    bank = Bank()
    server = bank.server()
    for request in (
        TraceReq(30_000),
        TraceReq(30_000, client_slot=ClientSlot(1, 0)),
        TraceReq(30_000, bank_slot=BankSlot(2, 0)),
        TraceReq(30_000, bank_slot=BankSlot(1, 2)),
    ):
        bank.say(server, request)
    assert bank.coordinator.traces.watched == frozenset()
    bank.map(server)
    client = bank.connect(is_own=True)
    bank.say(client, TraceReq(30_000, bank_slot=SLOT))
    assert bank.closed[client]
    assert bank.coordinator.traces.watched == frozenset()


@reaches(LimitName.TRACE_RATE)
def test_too_many_records_are_counted_and_other_slots_go_on() -> None:
    bank = Bank()
    server = bank.server()
    for slot_nr in (0, 1):
        bank.say(server, TraceReq(30_000, bank_slot=BankSlot(1, slot_nr)))
    for tag in range(RATE + 5):
        traced(bank, tag=tag)
    traced(bank, slot_nr=1)
    bank.wait(bank.now + 0.2)
    assert bank.coordinator.counts.limits[LimitName.TRACE_RATE] == 5
    about = [(message.bank_slot, message.left_out, len(message.records)) for message in told(bank, server)]
    assert about.count((SLOT, 5, 50)) == 4
    assert (BankSlot(1, 1), 0, 1) in about
