# SPDX-License-Identifier: Apache-2.0
"""The one path of a command; and reset edges, every pair of what is remembered and what arrives."""

import pytest

from remsim.bankd.core.actions import CardDetached, FaultKind, Origin
from remsim.bankd.core.session import CardSession
from remsim.bankd.core.states import CardEvent, CardState, ConnectionState
from remsim.card.reset import ResetKind
from remsim.core.ids import BankSlot, ClientSlot
from remsim.session.lines import ResetEdges
from remsim.wire.link.actions import LinkId
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import SlotPhysStatus, TpduCardToModem
from tests.doubles.bank import Bank

COLD, WARM = ResetKind.COLD, ResetKind.WARM


@pytest.mark.parametrize(
    ("vcc", "rst", "new_vcc", "new_rst", "kind", "vcc_after"),
    [
        (True, False, False, False, COLD, False),
        (True, False, False, True, COLD, False),
        (True, True, False, True, COLD, False),
        (False, False, False, True, None, False),
        (False, True, False, False, None, False),
        (True, False, True, True, WARM, True),
        (True, True, True, True, None, True),
        (True, False, None, True, WARM, True),
        (False, False, None, True, WARM, False),
        (False, False, True, True, WARM, True),
        (False, True, True, True, None, True),
        (True, False, True, False, None, True),
        (True, False, None, False, None, True),
    ],
)
def test_edges(
    vcc: bool, rst: bool, new_vcc: bool | None, new_rst: bool, kind: ResetKind | None, vcc_after: bool
) -> None:
    edges = ResetEdges(vcc, rst)
    status = SlotPhysStatus(reset_active=new_rst, vcc_present=new_vcc, clk_active=True, card_present=False)
    assert edges.on_status(status) is kind
    assert (edges.vcc, edges.rst) == (vcc_after, new_rst)


TPDU = bytes.fromhex("00a40004023f00")
OTHER = bytes.fromhex("00b0000001")
OK = b"\x9f\x17"


def in_service(bank: Bank, *, is_own: bool = False) -> int:
    """A client with its card; cards answer later from now on."""
    bank.map(bank.server())
    client = bank.connect(is_own=is_own)
    bank.is_automatic = False
    return client


def session_of(bank: Bank, client: int) -> CardSession:
    """The session that the client's connection is attached to."""
    session = bank.coordinator.clients.connections[LinkId(client)].session
    assert session is not None
    return session


def state(bank: Bank) -> CardState:
    return bank.coordinator.cards.positions[0].state


def answers(bank: Bank, client: int) -> list[tuple[int | None, bytes]]:
    """The tags and bytes of the responses that were sent as messages."""
    pairs = zip(bank.reply_tags[client], bank.sent[client], strict=True)
    return [(tag, message.data) for tag, message in pairs if isinstance(message, TpduCardToModem)]


def test_card_that_answers_at_once_answers_through_the_call() -> None:
    bank = Bank()
    client = in_service(bank)
    bank.is_automatic = True
    steps: list[CardEvent] = []
    position = bank.coordinator.cards.positions[0]
    step = type(position).step
    position_type = type(position)

    def noted(self: object, event: CardEvent) -> CardState:
        steps.append(event)
        return step(position, event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(position_type, "step", noted)
        assert bank.submit(client, TPDU, tag=7) == OK
    # Once through the table, as with any other card.
    assert steps == [CardEvent.COMMAND, CardEvent.DONE]
    assert answers(bank, client) == []
    assert bank.coordinator.counts.tpdus == 1


def test_card_that_answers_later_is_busy_meanwhile() -> None:
    bank = Bank()
    client = in_service(bank)
    assert bank.submit(client, TPDU, tag=7) is None
    assert (state(bank), bank.coordinator.counts.tpdus) == (CardState.BUSY, 0)
    bank.let_cards_act()
    assert (state(bank), bank.coordinator.counts.tpdus) == (CardState.READY, 1)
    assert answers(bank, client) == [(7, OK)]


def test_commands_wait_for_their_turn_however_they_arrive() -> None:
    bank = Bank()
    client = in_service(bank)
    assert bank.submit(client, TPDU, tag=1001) is None
    assert bank.submit(client, OTHER, tag=1002) is None
    tag = bank.command(client)
    assert bank.submit(client, b"\x00", tag=1003) is None
    for _ in range(3):
        assert len(bank.pending) == 1
        bank.let_cards_act()
    assert [sent for sent, _data in answers(bank, client)] == [1001, 1002, tag, 1003]
    assert answers(bank, client)[-1] == (1003, b"\x67\x00")
    assert [what for _slot, what in bank.cards.log[1:]] == [f"transmit {data.hex()}" for data in (TPDU, OTHER, OTHER)]


def test_card_that_answers_at_once_works_off_a_queue_of_any_length() -> None:
    bank = Bank()
    client = in_service(bank)
    bank.submit(client, TPDU)
    for tag in range(200):
        assert bank.submit(client, OTHER, tag=tag) is None
    bank.is_automatic = True
    bank.let_cards_act()
    assert [tag for tag, _data in answers(bank, client)] == [0, *range(200)]


@pytest.mark.parametrize("size", [0, 261])
def test_command_of_illegal_length_ends_the_session(size: int) -> None:
    bank = Bank()
    client = in_service(bank)
    assert bank.submit(client, bytes(size)) is None
    assert client in bank.closed
    assert bank.coordinator.counts.protocol_errors == 1


def test_short_command_of_an_idle_card_is_answered_through_the_call() -> None:
    bank = Bank()
    client = in_service(bank)
    assert bank.submit(client, bytes(4)) == b"\x67\x00"
    assert bank.pending == []
    assert state(bank) is CardState.READY


@pytest.mark.parametrize("is_own", [False, True])
def test_command_that_fails_at_once_costs_the_card_and_is_not_repeated(is_own: bool) -> None:
    bank = Bank()
    client = in_service(bank, is_own=is_own)
    bank.is_automatic = True
    bank.cards.respond = lambda _tpdu: None
    assert bank.submit(client, TPDU) is None
    assert bank.coordinator.counts.faults[FaultKind.TRANSMISSION] == 1
    assert [what for _slot, what in bank.cards.log][:3] == ["open", f"transmit {TPDU.hex()}", "close"]
    assert (client in bank.closed) is not is_own
    assert any(isinstance(action, CardDetached) for action in bank.attached) is is_own
    assert answers(bank, client) == []


def test_trace_and_count_see_every_command_once() -> None:
    bank = Bank(traced=frozenset({0}))
    client = in_service(bank)
    before = len(bank.cards.datagrams)
    bank.is_automatic = True
    assert bank.submit(client, TPDU) == OK
    bank.command(client)
    bank.is_automatic = False
    bank.submit(client, OTHER)
    bank.let_cards_act()
    assert len(bank.cards.datagrams) - before == bank.coordinator.counts.tpdus == 3


@pytest.mark.parametrize("happens", ["lost", "pulled", "stopped", "reset"])
def test_response_that_comes_when_something_else_is_due(happens: str) -> None:
    bank = Bank()
    client = in_service(bank)
    bank.submit(client, TPDU, tag=7)
    match happens:
        case "lost":
            bank.lose(client)
        case "pulled":
            bank.presence(0, is_present=False)
        case "stopped":
            bank.do(bank.coordinator.stop(bank.now))
        case _:
            status = SlotPhysStatus(reset_active=True, vcc_present=True)
            bank.say(client, rspro.ClientSlotStatusInd(ClientSlot(1, 0), BankSlot(1, 0), status))
    bank.let_cards_act()
    assert bank.coordinator.counts.tpdus == 1
    assert answers(bank, client) == ([] if happens == "lost" else [(7, OK)])
    bank.is_automatic = True
    bank.let_cards_act()
    assert bank.cards.log[-1] == (0, "warm" if happens == "reset" else "close")


def test_command_of_a_session_that_is_over_does_nothing() -> None:
    bank = Bank()
    first = in_service(bank)
    bank.is_automatic = True
    old = session_of(bank, first)
    bank.lose(first)
    second = bank.connect()
    log = list(bank.cards.log)
    assert old.submit(7, TPDU, Origin.MODEM, bank.now) is None
    assert bank.coordinator.take() == []
    assert bank.cards.log == log
    assert bank.submit(second, TPDU) == OK


def test_command_that_crosses_the_message_that_its_card_is_gone_is_dropped() -> None:
    bank = Bank()
    client = in_service(bank, is_own=True)
    session = session_of(bank, client)
    bank.presence(0, is_present=False)
    assert session.submit(7, TPDU, Origin.MODEM, bank.now) is None
    assert bank.coordinator.take() == []
    assert client not in bank.closed


def test_connection_can_be_detached_without_ending_the_session() -> None:
    bank = Bank()
    client = in_service(bank)
    session = session_of(bank, client)
    connection = session.connection
    assert connection is not None
    bank.submit(client, TPDU, tag=7)
    session.detach()
    assert bank.coordinator.clients.connections[LinkId(client)].session is None
    bank.let_cards_act()
    assert answers(bank, client) == []
    assert bank.coordinator.counts.tpdus == 1
    session.attach(connection)
    assert connection.session is session
    assert connection.state is ConnectionState.CONNECTED_CLIENT_MAPPED_CARD
    bank.is_automatic = True
    assert bank.submit(client, OTHER) == b"\x00\x90\x00"
