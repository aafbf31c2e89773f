# SPDX-License-Identifier: Apache-2.0
"""A client slot that is watched: who may order it, what is told, and when it ends."""

from remsim.client.core.assignment import Assignment
from remsim.client.core.tracing import ClientTrace
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.link.actions import LinkId, Send
from remsim.wire.messages.extensions import TraceInd, TraceReq

SLOT, LINK = ClientSlot(7, 0), LinkId(3)
READ, OK = bytes.fromhex("00b0000001"), bytes.fromhex("9000")
WATCH = TraceReq(30_000, client_slot=SLOT)


def trace() -> ClientTrace:
    return ClientTrace(Assignment(SLOT, BankSlot(1, 3)))


def test_slot_is_traced_while_the_server_wants_it() -> None:
    one = trace()
    assert one.next_deadline() is None
    assert one.on_request(WATCH, LINK, 100.0)
    assert one.tap is not None
    one.tap.on_command(READ, OK, 101.0)
    assert one.next_deadline() == 101.1
    assert one.handle_timer(101.05) == []
    (send,) = one.handle_timer(101.1)
    assert isinstance(send, Send)
    assert isinstance(send.message, TraceInd)
    assert (send.link, send.message.bank_slot, send.message.client_slot) == (LINK, BankSlot(1, 3), SLOT)
    assert len(send.message.records) == 1
    assert one.next_deadline() == 130.0
    assert one.handle_timer(130.0) == []
    assert one.tap is None


def test_it_ends_by_order_and_with_the_server() -> None:
    one = trace()
    one.on_request(WATCH, LINK, 100.0)
    tap = one.tap
    one.on_request(WATCH, LINK, 110.0)
    assert one.tap is tap
    assert one.next_deadline() == 140.0
    one.on_link_lost(LinkId(4))
    assert one.tap is tap
    one.on_link_lost(LINK)
    assert one.tap is None
    one.on_request(WATCH, LINK, 100.0)
    assert one.on_request(TraceReq(0, client_slot=SLOT), LINK, 101.0)
    assert one.tap is None


def test_orders_about_other_slots_are_refused() -> None:
    one = trace()
    assert not one.on_request(TraceReq(30_000, client_slot=ClientSlot(7, 1)), LINK, 100.0)
    assert not one.on_request(TraceReq(30_000, bank_slot=BankSlot(1, 3)), LINK, 100.0)
    assert not ClientTrace(Assignment(None)).on_request(TraceReq(30_000), LINK, 100.0)
    assert one.tap is None
