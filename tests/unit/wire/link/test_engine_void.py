# SPDX-License-Identifier: Apache-2.0
"""Commands that a lost card leaves behind are forgotten at both ends of the link."""

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.link.engine import MAX_UNANSWERED, LinkEngine
from remsim.wire.link.events import LinkFailed, Received
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import NO_FLAGS, ComponentIdentity, ComponentType, ResultCode, SlotPhysStatus
from tests.doubles.engines import events

CLIENT, BANK = ClientSlot(1, 0), BankSlot(1, 2)
COMMAND = rspro.TpduModemToCard(CLIENT, BANK, NO_FLAGS, bytes(5))
GONE = rspro.BankSlotStatusInd(BANK, CLIENT, SlotPhysStatus(reset_active=False, card_present=False))
BACK = rspro.BankSlotStatusInd(BANK, CLIENT, SlotPhysStatus(reset_active=False, card_present=True))


def linked() -> tuple[LinkEngine, LinkEngine]:
    """A client and a bankd of ours that have accepted each other."""
    identity = ComponentIdentity(ComponentType.REMSIM_BANKD, "bank", "remsim-b", "1")
    bankd = LinkEngine(identity=identity, peer=ComponentType.REMSIM_CLIENT, now=0)
    client = LinkEngine(
        identity=ComponentIdentity(ComponentType.REMSIM_CLIENT, "c", "remsim-c", "1"),
        peer=ComponentType.REMSIM_BANKD,
        now=0,
    )
    tag = client.send(rspro.ConnectClientReq(client.identity, CLIENT), now=0)
    bankd.receive_data(client.data_to_send(), 0)
    bankd.send(rspro.ConnectClientRes(identity, ResultCode.OK), now=0, reply_to=tag)
    client.receive_data(bankd.data_to_send(), 0)
    events(bankd)
    events(client)
    return client, bankd


def test_commands_that_a_lost_card_did_not_answer_do_not_add_up() -> None:
    client, bankd = linked()
    for _ in range(MAX_UNANSWERED + 1):
        client.send(COMMAND, now=0)
        bankd.receive_data(client.data_to_send(), 0)
        bankd.send(GONE, now=0)
        bankd.send(BACK, now=0)
        client.receive_data(bankd.data_to_send(), 0)
        assert not [event for event in (*events(client), *events(bankd)) if isinstance(event, LinkFailed)]


def test_answer_that_crosses_the_report_belongs_to_no_request() -> None:
    client, bankd = linked()
    tag = client.send(COMMAND, now=0)
    bankd.receive_data(client.data_to_send(), 0)
    response = rspro.TpduCardToModem(BANK, CLIENT, NO_FLAGS, b"\x90\0")
    bankd.send(response, now=0, reply_to=tag)
    answer = bankd.data_to_send()
    bankd.send(GONE, now=0)
    client.receive_data(bankd.data_to_send() + answer, 0)
    assert events(client) == [Received(GONE, 1), Received(response, tag, None)]


def test_presence_alone_voids_nothing() -> None:
    client, bankd = linked()
    tag = client.send(COMMAND, now=0)
    bankd.receive_data(client.data_to_send(), 0)
    bankd.send(BACK, now=0)
    bankd.send(rspro.TpduCardToModem(BANK, CLIENT, NO_FLAGS, b"\x90\0"), now=0, reply_to=tag)
    client.receive_data(bankd.data_to_send(), 0)
    last = events(client)[-1]
    assert isinstance(last, Received)
    assert last.request == COMMAND
