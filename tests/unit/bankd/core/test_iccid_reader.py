# SPDX-License-Identifier: Apache-2.0
"""The numbers of cards: when one is read, that it disturbs nobody, and what the server hears."""

from itertools import pairwise

import pytest

from remsim.bankd.core.actions import CloseCard, FaultKind, OpenCard, ReadNumber
from remsim.bankd.core.breaker import JITTER, MAX_BUSY_DELAY_S, TRIPS_AFTER
from remsim.bankd.core.iccid_reader import MAX_READINGS
from remsim.bankd.core.states import BreakerState, CardState
from remsim.card.identity import CardIdentity
from remsim.core.ids import BankSlot
from remsim.wire.link import abilities as known_abilities
from remsim.wire.link.abilities import CARDS, INVENTORY
from remsim.wire.messages import extensions, rspro
from remsim.wire.messages.health import CardErrorKind
from remsim.wire.messages.rspro import ResultCode
from tests.doubles.bank import SERVER, Bank

#: A server that wants numbers, and no more; see test_iccid_reader_inventory.
ABILITIES = tuple(name for name in known_abilities.ABILITIES if name != INVENTORY)
NUMBERS = {0: "8900101000000000018", 1: "8900101000000000026"}


def heard(bank: Bank, server: int) -> list[tuple[int, str | None]]:
    """What the server was told of numbers, in order."""
    said = [message for message in bank.sent[server] if isinstance(message, extensions.CardInd)]
    assert all(message.bank_slot.bank_id == 1 for message in said)
    return [(message.bank_slot.slot_nr, message.iccid) for message in said]


def active_server(bank: Bank, *abilities: str) -> int:
    """A server with these abilities that we dialled; what it heard is kept."""
    link = bank.link(is_dialled=True)
    bank.say(link, rspro.ConnectBankRes(SERVER.with_abilities(abilities), ResultCode.OK))
    return link


@pytest.fixture
def bank() -> Bank:
    """Two cards, which are not read yet."""
    bank = Bank(reads_numbers=True)
    bank.cards.numbers = dict(NUMBERS)
    return bank


def state(bank: Bank, slot_nr: int = 0) -> CardState:
    return bank.coordinator.cards.positions[slot_nr].state


def done(bank: Bank) -> list[str]:
    return [what for _slot, what in bank.cards.log]


def test_cards_are_read_once_and_told_when_a_server_wants_numbers(bank: Bank) -> None:
    assert bank.cards.log == []
    server = active_server(bank, *ABILITIES)
    assert bank.cards.log == [(0, "read"), (1, "read")]
    assert heard(bank, server) == list(NUMBERS.items())
    bank.lose(server)
    again = active_server(bank, *ABILITIES)
    assert heard(bank, again) == list(NUMBERS.items())
    assert bank.cards.log == [(0, "read"), (1, "read")]


@pytest.mark.parametrize("abilities", [None, tuple(name for name in ABILITIES if name != CARDS)])
def test_server_that_knows_no_numbers_gets_none_and_no_card_is_powered(
    bank: Bank, abilities: tuple[str, ...] | None
) -> None:
    link = bank.link(is_dialled=True)
    bank.say(link, rspro.ConnectBankRes(SERVER.with_abilities(abilities), ResultCode.OK))
    bank.presence(0, is_present=False)
    bank.presence(0, is_present=True)
    bank.map(link)
    client = bank.connect()
    assert bank.result(client) is ResultCode.OK
    assert done(bank) == ["open"]
    assert heard(bank, link) == []


def test_switched_off_no_card_is_read_and_the_server_hears_that_there_are_no_numbers() -> None:
    bank = Bank(reads_numbers=False)
    server = active_server(bank, *ABILITIES)
    bank.presence(0, is_present=False)
    bank.presence(0, is_present=True)
    assert bank.cards.log == []
    assert heard(bank, server) == [(0, None), (1, None)]


def test_card_that_goes_and_another_that_comes_are_told(bank: Bank) -> None:
    server = active_server(bank, *ABILITIES)
    bank.sent[server].clear()
    bank.presence(0, is_present=False)
    assert heard(bank, server) == [(0, None)]
    bank.cards.numbers[0] = "89"
    bank.presence(0, is_present=True)
    assert heard(bank, server) == [(0, None), (0, "89")]


def test_card_that_cannot_be_read_is_tried_once_and_serves_all_the_same(bank: Bank) -> None:
    del bank.cards.numbers[0]
    server = active_server(bank, *ABILITIES)
    assert heard(bank, server) == [(0, None), (1, NUMBERS[1])]
    (notice,) = [notice for notice in bank.cards.notices if notice.name == "card_number_unreadable"]
    assert (notice.level, notice.fields) == ("info", {"reader": "reader", "error": "stub"})
    bank.map(server)
    client = bank.connect()
    assert bank.result(client) is ResultCode.OK
    bank.lose(client)
    assert done(bank) == ["read", "read", "open", "close"]


def test_number_is_logged_shortened(bank: Bank) -> None:
    active_server(bank, *ABILITIES)
    notices = [notice for notice in bank.cards.notices if notice.name == "card_number"]
    assert [notice.fields["iccid"] for notice in notices] == ["890010…0018", "890010…0026"]
    assert not any(number in repr(bank.cards.notices) for number in NUMBERS.values())


def test_client_that_comes_during_the_reading_gets_the_card_afterwards(bank: Bank) -> None:
    bank.is_automatic = False
    server = active_server(bank, *ABILITIES)
    bank.map(server)
    client = bank.connect()
    assert bank.pending == [ReadNumber(0), ReadNumber(1)]
    assert bank.sent[client] == []
    bank.let_cards_act()
    assert bank.pending == [OpenCard(0)]
    bank.let_cards_act()
    assert [type(message).__name__ for message in bank.sent[client]] == ["ConnectClientRes", "SetAtrReq"]


def test_client_that_waits_for_a_card_gets_it_read_first(bank: Bank) -> None:
    bank.presence(0, is_present=False)
    server = active_server(bank, *ABILITIES)
    bank.map(server)
    client = bank.connect(is_own=True)
    assert bank.result(client) is ResultCode.CARD_NOT_PRESENT
    assert state(bank) is CardState.WAITING
    bank.cards.log.clear()
    bank.presence(0, is_present=True)
    assert bank.cards.log == [(0, "read"), (0, "open")]
    assert heard(bank, server)[-1] == (0, NUMBERS[0])


def test_client_that_does_not_wait_any_longer_leaves_a_card_that_is_read(bank: Bank) -> None:
    bank.is_automatic = False
    server = active_server(bank, *ABILITIES)
    bank.map(server)
    bank.lose(bank.connect())
    bank.let_cards_act()
    assert bank.pending == []
    assert state(bank) is CardState.OFF
    assert heard(bank, server) == list(NUMBERS.items())


def test_card_exchanged_during_the_reading_is_read_again(bank: Bank) -> None:
    bank.is_automatic = False
    server = active_server(bank, *ABILITIES)
    bank.presence(0, is_present=False)
    bank.presence(0, is_present=True)
    assert bank.pending == [ReadNumber(0), ReadNumber(1)]
    bank.cards.numbers[0] = "89"
    bank.let_cards_act()
    assert bank.pending == [ReadNumber(0)]
    bank.let_cards_act()
    assert heard(bank, server) == [(0, None), (1, NUMBERS[1]), (0, "89")]


def test_card_pulled_during_the_reading_has_no_number(bank: Bank) -> None:
    bank.is_automatic = False
    server = active_server(bank, *ABILITIES)
    bank.presence(0, is_present=False)
    bank.let_cards_act()
    assert heard(bank, server) == [(0, None), (1, NUMBERS[1])]
    assert bank.coordinator.cards.positions[0].iccid is None


def test_card_exchanged_while_it_is_powered_up_for_a_client_is_read_before_it_serves(bank: Bank) -> None:
    server = active_server(bank, *ABILITIES)
    bank.map(server)
    bank.is_automatic = False
    client = bank.connect()
    bank.presence(0, is_present=False)
    bank.presence(0, is_present=True)
    bank.let_cards_act()
    assert bank.sent[client] == []
    assert bank.pending == [CloseCard(0)]
    bank.let_cards_act()
    assert bank.pending == [ReadNumber(0)]
    bank.let_cards_act()
    bank.let_cards_act()
    assert bank.result(client) is ResultCode.OK


def test_card_in_use_is_not_disturbed_when_a_server_wants_numbers_later(bank: Bank) -> None:
    classic = active_server(bank)
    bank.map(classic)
    client = bank.connect()
    bank.lose(classic)
    server = active_server(bank, *ABILITIES)
    bank.command(client)
    assert heard(bank, server) == [(1, NUMBERS[1])]
    assert client not in bank.closed
    bank.lose(client)
    assert heard(bank, server) == [(1, NUMBERS[1]), (0, NUMBERS[0])]


def test_card_that_waits_to_be_tried_again_is_read_then(bank: Bank) -> None:
    bank.cards.faults[0] = FaultKind.MUTE
    classic = active_server(bank)
    bank.map(classic)
    client = bank.connect(is_own=True)
    bank.lose(classic)
    active_server(bank, *ABILITIES)
    del bank.cards.faults[0]
    bank.wait(bank.now + 1)
    assert bank.cards.log == [(0, "open"), (1, "read"), (0, "read"), (0, "open")]
    assert client not in bank.closed


def test_card_whose_client_gave_up_waiting_is_read(bank: Bank) -> None:
    bank.cards.faults[0] = FaultKind.MUTE
    classic = active_server(bank)
    bank.map(classic)
    client = bank.connect()
    bank.lose(classic)
    active_server(bank, *ABILITIES)
    bank.lose(client)
    assert bank.cards.log == [(0, "open"), (1, "read"), (0, "read")]


def test_only_so_many_cards_are_powered_at_a_time() -> None:
    bank = Bank(slots=MAX_READINGS + 3, reads_numbers=True)
    bank.is_automatic = False
    server = active_server(bank, *ABILITIES)
    bank.map(server, "C1:0", "B1:6")
    bank.connect()
    # The one that a client waits for comes on top: it would be powered anyhow.
    assert bank.pending == [*(ReadNumber(nr) for nr in range(MAX_READINGS)), ReadNumber(6)]
    rest = bank.pending[1:]
    bank.pending = bank.pending[:1]
    bank.let_cards_act()
    assert bank.pending == []
    bank.pending = rest[:1]
    bank.let_cards_act()
    assert bank.pending == [ReadNumber(MAX_READINGS)]
    bank.pending += rest[1:]
    for _ in range(3):
        bank.let_cards_act()
    assert [nr for nr, _number in heard(bank, server)] == [0, 1, 4, 2, 3, 6, 5]


def test_server_that_accepts_a_bank_that_stops_has_no_card_read(bank: Bank) -> None:
    link = bank.link(is_dialled=True)
    bank.do(bank.coordinator.stop(bank.now))
    bank.say(link, rspro.ConnectBankRes(SERVER.with_abilities(ABILITIES), ResultCode.OK))
    bank.presence(0, is_present=False)
    bank.presence(0, is_present=True)
    assert bank.cards.log == []
    assert bank.coordinator.is_at_rest


def test_nothing_is_read_any_more_when_the_bank_stops() -> None:
    bank = Bank(slots=MAX_READINGS + 2, reads_numbers=True)
    bank.is_automatic = False
    bank.map(active_server(bank, *ABILITIES))
    client = bank.connect()
    bank.do(bank.coordinator.stop(bank.now))
    assert not bank.coordinator.is_at_rest
    bank.presence(1, is_present=False)
    bank.presence(1, is_present=True)
    bank.let_cards_act()
    assert bank.pending == []
    assert client in bank.closed
    assert bank.coordinator.is_at_rest


def test_reader_that_appears_brings_its_card() -> None:
    bank = Bank(has_cards=False, reads_numbers=True)
    server = active_server(bank, *ABILITIES)
    assert heard(bank, server) == [(0, None), (1, None)]
    bank.cards.numbers = dict(NUMBERS)
    bank.presence(1, is_present=True, reader="new", cause="reader plugged in")
    assert heard(bank, server)[2:] == [(1, NUMBERS[1])]
    assert bank.sent[server][-1] == extensions.CardInd(BankSlot(1, 1), NUMBERS[1])


class TestReaderThatAnotherProgramHas:
    """No card was asked, so it is when the reader is ours again: a rule by number denies it until then."""

    @pytest.fixture
    def server(self, bank: Bank) -> int:
        """A server that wants numbers; another program has the reader of slot 0."""
        bank.cards.faults[0] = FaultKind.BUSY
        return active_server(bank, *ABILITIES)

    def test_card_is_read_when_the_reader_is_ours_again(self, bank: Bank, server: int) -> None:
        assert heard(bank, server) == [(0, None), (1, NUMBERS[1])]
        assert state(bank) is CardState.OFF
        # Nothing that happens elsewhere brings the next attempt about.
        bank.presence(1, is_present=False)
        bank.presence(1, is_present=True)
        assert bank.cards.log == [(0, "read"), (1, "read"), (1, "read")]
        del bank.cards.faults[0]
        bank.wait(bank.now + 1.25)
        assert bank.cards.log[3:] == [(0, "read")]
        assert heard(bank, server)[-1] == (0, NUMBERS[0])
        bank.wait(bank.now + 600)
        assert bank.cards.log[4:] == []

    def test_attempts_become_rarer_but_no_rarer_than_for_a_client(self, bank: Bank, server: int) -> None:
        attempts: list[float] = []
        for _ in range(600):
            before = len(bank.cards.log)
            bank.wait(bank.now + 0.5)
            attempts += [bank.now] * (len(bank.cards.log) - before)
        gaps = [later - earlier for earlier, later in pairwise(attempts)]
        assert gaps[0] < 4
        assert 6 <= gaps[-1] <= max(gaps) <= MAX_BUSY_DELAY_S * (1 + JITTER) + 0.5
        # It is said once, even if clients connect meanwhile.
        assert [notice.name for notice in bank.cards.notices if notice.level == "warning"] == ["reader_busy"]
        assert heard(bank, server) == [(0, None), (1, NUMBERS[1])]
        errors = [message for message in bank.sent[server] if isinstance(message, rspro.ErrorInd)]
        assert [error.error_string for error in errors] == ["reader busy: stub"]
        bank.lose(server)
        assert heard(bank, active_server(bank, *ABILITIES)) == [(0, None), (1, NUMBERS[1])]

    def test_no_failure_is_left_of_it(self, bank: Bank, server: int) -> None:
        bank.wait(bank.now + 600)
        position = bank.coordinator.cards.positions[0]
        assert position.breaker.failures > TRIPS_AFTER
        assert position.breaker.state is BreakerState.CLOSED
        assert position.record.last_error is CardErrorKind.READER_BUSY
        del bank.cards.faults[0]
        bank.wait(bank.now + 11)
        after = bank.coordinator.cards.positions[0]
        assert (after.breaker.failures, after.fault, after.record.last_error) == (0, None, None)
        bank.map(server)
        assert bank.result(bank.connect(is_own=True)) is ResultCode.OK

    def test_client_that_waits_hears_why_and_gets_the_card_read_first(self, bank: Bank, server: int) -> None:
        bank.map(server)
        client = bank.connect(is_own=True)
        assert bank.result(client) is ResultCode.CARD_UNRESPONSIVE
        assert state(bank) is CardState.WAITING
        bank.wait(bank.now + 30)
        assert (0, "open") not in bank.cards.log
        del bank.cards.faults[0]
        bank.wait(bank.now + 11)
        assert bank.cards.log[-2:] == [(0, "read"), (0, "open")]
        assert heard(bank, server)[-1] == (0, NUMBERS[0])
        assert state(bank) is CardState.READY

    def test_client_that_gives_up_leaves_a_card_that_is_read(self, bank: Bank, server: int) -> None:
        bank.map(server)
        bank.lose(bank.connect(is_own=True))
        assert state(bank) is CardState.OFF
        del bank.cards.faults[0]
        bank.wait(bank.now + 11)
        assert heard(bank, server)[-1] == (0, NUMBERS[0])

    def test_card_that_is_pulled_is_asked_no_more(self, bank: Bank, server: int) -> None:
        bank.presence(0, is_present=False)
        bank.wait(bank.now + 60)
        assert bank.cards.log == [(0, "read"), (1, "read")]
        bank.cards.numbers[0] = "89"
        del bank.cards.faults[0]
        bank.presence(0, is_present=True)
        assert heard(bank, server)[-1] == (0, "89")

    def test_card_that_is_exchanged_during_the_attempt_is_another_one(self, bank: Bank) -> None:
        bank.is_automatic = False
        bank.cards.faults[0] = FaultKind.BUSY
        server = active_server(bank, *ABILITIES)
        bank.presence(0, is_present=False)
        bank.presence(0, is_present=True)
        bank.let_cards_act()
        assert bank.pending == [ReadNumber(0)]
        assert bank.coordinator.cards.positions[0].fault is None
        del bank.cards.faults[0]
        bank.let_cards_act()
        assert heard(bank, server)[-1] == (0, NUMBERS[0])

    def test_what_else_a_card_says_is_asked_again_too(self, bank: Bank) -> None:
        bank.cards.identities[0] = identity = CardIdentity(NUMBERS[0], "001010000000001")
        bank.lose(active_server(bank, *ABILITIES))
        bank.cards.faults[0] = FaultKind.BUSY
        server = active_server(bank, *ABILITIES, INVENTORY)
        # The number is known, and stays so.
        assert set(heard(bank, server)) == set(NUMBERS.items())
        del bank.cards.faults[0]
        bank.wait(bank.now + 1.25)
        assert bank.cards.log[2:] == [(0, "read all"), (1, "read all"), (0, "read all")]
        assert bank.coordinator.cards.positions[0].identity == identity
