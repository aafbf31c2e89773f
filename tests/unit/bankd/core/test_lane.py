# SPDX-License-Identifier: Apache-2.0
"""The short cut for cards that answer later does what the long way does, and leaves it all but the plain case."""

import pytest

from remsim.bankd.core.lane import DeferredLane
from remsim.bankd.core.states import CardState
from remsim.wire.link.actions import LinkId
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import SlotPhysStatus
from tests.doubles.bank import Bank

TPDU = bytes(5)
OK = b"\x90\x00"


def in_service(bank: Bank, *, is_own: bool = False) -> tuple[int, DeferredLane]:
    """A client with its card, and the lane between them; cards wait from now on."""
    bank.map(bank.server())
    client = bank.connect(is_own=is_own)
    lane = bank.coordinator.deferred_lane(LinkId(client))
    assert lane is not None
    bank.is_automatic = False
    return client, lane


def test_command_and_response_take_the_card_and_give_it_back() -> None:
    bank = Bank()
    _, lane = in_service(bank)
    position = bank.coordinator.cards.positions[0]
    assert lane.begin(7, TPDU)
    assert position.state is CardState.BUSY
    assert lane.finish(OK) == 7
    assert (position.state, position.caller) == (CardState.READY, None)
    assert bank.coordinator.counts.tpdus == 1
    assert lane.begin(8, TPDU)


def test_command_goes_the_long_way_while_the_card_is_busy_or_others_wait() -> None:
    bank = Bank()
    client, lane = in_service(bank)
    assert lane.begin(7, TPDU)
    assert not lane.begin(8, TPDU)
    bank.command(client)  # waits
    assert lane.finish(OK) is None
    bank.do(bank.coordinator.on_card_response(0, OK, bank.now))
    assert bank.reply_tags[client][-1] == 7
    assert not lane.begin(9, TPDU)


@pytest.mark.parametrize("size", [0, 4, 261])
def test_command_of_illegal_length_goes_the_long_way(size: int) -> None:
    _, lane = in_service(Bank())
    assert not lane.begin(7, bytes(size))


@pytest.mark.parametrize("size", [0, 1, 259])
def test_response_of_illegal_length_goes_the_long_way(size: int) -> None:
    _, lane = in_service(Bank())
    assert lane.begin(7, TPDU)
    assert lane.finish(bytes(size)) is None


def test_response_goes_the_long_way_when_a_reset_waits() -> None:
    bank = Bank()
    client, lane = in_service(bank)
    assert lane.begin(7, TPDU)
    slots = bank.coordinator.clients.sessions[LinkId(client)]
    assert slots.client is not None
    for is_active in (True, False):
        status = SlotPhysStatus(reset_active=is_active, vcc_present=True)
        bank.say(client, rspro.ClientSlotStatusInd(slots.client, bank.coordinator.cards.positions[0].bank_slot, status))
    assert lane.finish(OK) is None


def test_response_goes_the_long_way_when_the_client_or_its_card_is_gone_or_the_bank_stops() -> None:
    for happen in ("lost", "pulled", "stopped"):
        bank = Bank()
        client, lane = in_service(bank)
        assert lane.begin(7, TPDU)
        match happen:
            case "lost":
                bank.lose(client)
            case "pulled":
                bank.presence(0, is_present=False)
            case "stopped":
                bank.do(bank.coordinator.stop(bank.now))
        assert lane.finish(OK) is None, happen
        bank.is_automatic = True
        bank.do(bank.coordinator.on_card_response(0, OK, bank.now))
        assert (bank.reply_tags[client][-1] == 7) is (happen != "lost")


def test_lane_of_an_earlier_session_takes_nothing() -> None:
    bank = Bank()
    client, lane = in_service(bank)
    bank.is_automatic = True
    bank.lose(client)
    bank.connect()
    assert not lane.begin(7, TPDU)
    assert lane.finish(OK) is None


def test_lane_is_not_offered_where_it_would_hide_something() -> None:
    bank = Bank(traced=frozenset({0}))
    bank.map(bank.server())
    client, unmapped = bank.connect(), bank.connect("C2:0")
    for link in (client, unmapped, 99):
        assert bank.coordinator.deferred_lane(LinkId(link)) is None
