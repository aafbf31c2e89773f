# SPDX-License-Identifier: Apache-2.0
"""Card positions: what follows when cards come, go and fail."""

import pytest

from remsim.bankd.core.actions import CloseCard, FaultKind, OpenCard, ResetCard
from remsim.bankd.core.breaker import DELAYS_S, JITTER, TRIPS_AFTER
from remsim.bankd.core.states import BreakerState, CardState
from remsim.card.reset import ResetKind
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.link.abilities import ABILITIES
from remsim.wire.messages import rspro
from remsim.wire.messages.health import CardErrorKind
from remsim.wire.messages.rspro import ResultCode, SlotPhysStatus
from tests.doubles.bank import SERVER, Bank, stub_atr


def kinds(bank: Bank, link: int) -> list[str]:
    return [type(message).__name__ for message in bank.sent[link]]


@pytest.fixture
def bank() -> Bank:
    bank = Bank()
    bank.map(bank.server())
    return bank


def state(bank: Bank, slot_nr: int = 0) -> CardState:
    return bank.coordinator.cards.positions[slot_nr].state


def test_command_that_fails_is_never_repeated_and_ends_a_classic_session(bank: Bank) -> None:
    client = bank.connect()
    bank.command(client, "00fe000000")
    assert bank.closed == {client: "card fault"}
    assert [what for _slot, what in bank.cards.log] == ["open", "transmit 00fe000000", "close"]
    assert bank.coordinator.counts.faults[FaultKind.TRANSMISSION] == 1


def test_command_that_fails_leaves_an_own_client_connected_and_the_card_is_opened_again(bank: Bank) -> None:
    client = bank.connect(is_own=True)
    bank.command(client, "00fe000000")
    assert bank.closed == {}
    assert [what for _slot, what in bank.cards.log] == ["open", "transmit 00fe000000", "close", "open"]
    gone = rspro.BankSlotStatusInd(
        BankSlot(1, 0), ClientSlot(1, 0), SlotPhysStatus(reset_active=False, card_present=False)
    )
    back = rspro.BankSlotStatusInd(
        BankSlot(1, 0), ClientSlot(1, 0), SlotPhysStatus(reset_active=False, card_present=True)
    )
    assert bank.sent[client][2:] == [gone, rspro.SetAtrReq(ClientSlot(1, 0), stub_atr(0)), back]
    bank.command(client)
    assert kinds(bank, client)[-1] == "TpduCardToModem"


def test_server_of_ours_hears_of_the_fault(bank: Bank) -> None:
    client = bank.connect()
    bank.command(client, "00fe000000")
    (error,) = [message for message in bank.sent[1] if isinstance(message, rspro.ErrorInd)]
    assert (error.bank_slot, error.client_slot, error.error_string) == (BankSlot(1, 0), ClientSlot(1, 0), "stub")


@pytest.mark.parametrize("is_own", [False, True])
def test_reader_that_another_program_holds_is_busy_in_words_once_for_server_and_client(is_own: bool) -> None:
    bank = Bank()
    server = bank.server()
    bank.map(server)
    bank.cards.faults[0] = FaultKind.BUSY
    client = bank.connect(is_own=is_own)
    bank.wait(bank.now + 60)
    assert len([what for _slot, what in bank.cards.log if what == "open"]) > 3
    for link, is_told in ((server, True), (client, is_own)):
        words = [message.error_string for message in bank.sent[link] if isinstance(message, rspro.ErrorInd)]
        assert words == (["reader busy: stub"] if is_told else [])
    told = [notice for notice in bank.cards.notices if notice.name == "reader_busy" and notice.level == "warning"]
    assert len(told) == 1
    assert "card_not_powered" not in bank.events()
    assert bank.coordinator.cards.positions[0].record.last_error is CardErrorKind.READER_BUSY
    del bank.cards.faults[0]
    bank.wait(bank.now + 60)
    (position, *_) = bank.coordinator.cards.positions
    assert position.record.last_error is None
    assert state(bank) is CardState.READY


@pytest.mark.parametrize("raw", [2, 258])
def test_response_of_legal_length_is_passed_on(bank: Bank, raw: int) -> None:
    client = bank.connect()
    bank.cards.respond = lambda _tpdu: bytes(raw)
    bank.command(client)
    answer = bank.sent[client][-1]
    assert isinstance(answer, rspro.TpduCardToModem)
    assert len(answer.data) == raw


def test_reset_that_fails_is_reported(bank: Bank) -> None:
    client = bank.connect(is_own=True)
    bank.is_automatic = False
    lines = SlotPhysStatus(reset_active=True)
    bank.say(client, rspro.ClientSlotStatusInd(ClientSlot(1, 0), BankSlot(1, 0), lines))
    assert bank.pending == [ResetCard(0, ResetKind.WARM)]
    bank.fail(FaultKind.MUTE)
    assert kinds(bank, client)[-1] == "BankSlotStatusInd"
    (notice,) = [notice for notice in bank.cards.notices if notice.name == "card_fault"]
    assert notice.fields["during"] == "reset"


def test_atr_that_changed_in_a_reset_is_sent_only_then(bank: Bank) -> None:
    client = bank.connect()
    for rst in (True, False):
        lines = rspro.ClientSlotStatusInd(ClientSlot(1, 0), BankSlot(1, 0), SlotPhysStatus(reset_active=rst))
        bank.say(client, lines)
    assert kinds(bank, client).count("SetAtrReq") == 1
    bank.cards.atr = lambda _slot_nr: b"\x3b\x00"
    bank.say(client, rspro.ClientSlotStatusInd(ClientSlot(1, 0), BankSlot(1, 0), SlotPhysStatus(reset_active=True)))
    assert bank.sent[client][-1] == rspro.SetAtrReq(ClientSlot(1, 0), b"\x3b\x00")


def test_reset_that_ends_after_its_client_left_is_for_nobody(bank: Bank) -> None:
    client = bank.connect()
    bank.is_automatic = False
    bank.say(client, rspro.ClientSlotStatusInd(ClientSlot(1, 0), BankSlot(1, 0), SlotPhysStatus(reset_active=True)))
    bank.lose(client)
    bank.let_cards_act()
    assert bank.pending == [CloseCard(0)]


def test_fault_after_its_client_left_concerns_nobody(bank: Bank) -> None:
    client = bank.connect()
    bank.is_automatic = False
    bank.command(client)
    bank.lose(client)
    bank.fail(FaultKind.NO_CARD)
    bank.let_cards_act()
    assert state(bank) is CardState.OFF


def test_card_that_cannot_be_opened_is_tried_again_with_growing_delays(bank: Bank) -> None:
    bank.cards.faults[0] = FaultKind.MUTE
    client = bank.connect(is_own=True)
    for number, delay_s in enumerate([*DELAYS_S, DELAYS_S[-1], DELAYS_S[-1]], start=2):
        due = bank.coordinator.next_deadline()
        assert due is not None
        assert delay_s * (1 - JITTER) <= due - bank.now <= delay_s * (1 + JITTER)
        bank.wait(due)
        assert bank.cards.log.count((0, "open")) == number
    assert [notice.level for notice in bank.cards.notices if notice.name == "card_not_powered"][:2] == [
        "warning",
        "debug",
    ]
    del bank.cards.faults[0]
    bank.wait(bank.now + DELAYS_S[-1] * (1 + JITTER))
    assert kinds(bank, client)[-2:] == ["SetAtrReq", "BankSlotStatusInd"]
    assert bank.coordinator.next_deadline() is None


def breaker_state(bank: Bank) -> BreakerState:
    return bank.coordinator.cards.positions[0].breaker.state


def test_reader_whose_commands_fail_is_left_alone_for_longer_and_longer(bank: Bank) -> None:
    client = bank.connect(is_own=True)
    for _ in range(TRIPS_AFTER + 3):
        bank.command(client, "00fe000000")
        bank.wait(bank.coordinator.next_deadline() or bank.now)
    # Each time it powers up; that alone is no reason to trust it.
    assert breaker_state(bank) is BreakerState.PROBING
    assert bank.cards.log.count((0, "open")) == 1 + TRIPS_AFTER + 3
    assert bank.now - 100.0 > sum(DELAYS_S[1 : TRIPS_AFTER + 3]) * (1 - JITTER)
    assert bank.events().count("reader_suspended") == 1
    assert bank.coordinator.cards.breaker_counts()[BreakerState.PROBING] == 1
    bank.command(client)
    bank.command(client)
    assert breaker_state(bank) is BreakerState.CLOSED
    assert bank.events().count("reader_recovered") == 1
    assert bank.coordinator.next_deadline() is None


def test_single_fault_is_forgotten_with_the_next_answer(bank: Bank) -> None:
    client = bank.connect(is_own=True)
    for _ in range(TRIPS_AFTER * 2):
        bank.command(client, "00fe000000")
        bank.command(client)
    assert bank.cards.log.count((0, "open")) == 1 + TRIPS_AFTER * 2
    assert "reader_suspended" not in bank.events()
    assert "reader_recovered" not in bank.events()


def test_client_that_comes_while_its_reader_is_left_alone_is_told_and_waits(bank: Bank) -> None:
    bank.cards.faults[0] = FaultKind.MUTE
    first = bank.connect()
    while breaker_state(bank) is BreakerState.CLOSED:
        bank.wait(bank.coordinator.next_deadline() or bank.now)
    bank.lose(first)
    opened = bank.cards.log.count((0, "open"))
    del bank.cards.faults[0]
    second = bank.connect(is_own=True)
    assert bank.result(second) is ResultCode.CARD_UNRESPONSIVE
    assert bank.cards.log.count((0, "open")) == opened
    assert state(bank) is CardState.WAITING
    bank.wait(bank.coordinator.next_deadline() or bank.now)
    assert kinds(bank, second)[-2:] == ["SetAtrReq", "BankSlotStatusInd"]
    assert breaker_state(bank) is BreakerState.PROBING


def test_card_without_t0_ends_a_probe_and_is_not_tried_again_until_another_comes() -> None:
    bank = Bank()
    server = bank.server()
    bank.map(server)
    bank.cards.faults[0] = FaultKind.MUTE
    client = bank.connect(is_own=True)
    while breaker_state(bank) is BreakerState.CLOSED:
        bank.wait(bank.coordinator.next_deadline() or bank.now)
    # At the next attempt the reader powers the card, which turns out to have T=1 only.
    bank.cards.faults[0] = FaultKind.PROTOCOL
    bank.wait(bank.coordinator.next_deadline() or bank.now)
    assert breaker_state(bank) is BreakerState.OPEN
    assert health(bank, server)[1:] == [
        ("PROBING", TRIPS_AFTER, "card mute"),
        ("SUSPENDED", TRIPS_AFTER, "protocol"),
    ]
    assert bank.coordinator.next_deadline() is None
    bank.presence(0, is_present=False)
    assert breaker_state(bank) is BreakerState.CLOSED
    del bank.cards.faults[0]
    bank.presence(0, is_present=True)
    assert "SetAtrReq" in kinds(bank, client)


def health(bank: Bank, server: int) -> list[tuple[str, int, str | None]]:
    found = [message for message in bank.sent[server] if isinstance(message, rspro.ReaderHealthInd)]
    return [(message.state.name, message.failures, message.cause) for message in found]


def test_server_of_ours_hears_of_each_change_and_a_new_one_of_what_lasts() -> None:
    bank = Bank()
    server = bank.server()
    bank.map(server)
    bank.cards.faults[0] = FaultKind.MUTE
    bank.connect(is_own=True)
    while breaker_state(bank) is BreakerState.CLOSED:
        bank.wait(bank.coordinator.next_deadline() or bank.now)
    assert health(bank, server) == [("SUSPENDED", TRIPS_AFTER, "card mute")]
    bank.wait(bank.coordinator.next_deadline() or bank.now)
    told = [("PROBING", TRIPS_AFTER, "card mute"), ("SUSPENDED", TRIPS_AFTER + 1, "card mute")]
    assert health(bank, server)[1:] == told
    bank.lose(server)
    again = bank.link(is_dialled=True)
    bank.say(again, rspro.ConnectBankRes(SERVER.with_abilities(ABILITIES), ResultCode.OK))
    assert health(bank, again) == [("SUSPENDED", TRIPS_AFTER + 1, "card mute")]
    bank.presence(0, is_present=False)
    assert health(bank, again)[1:] == [("WORKING", 0, None)]


def test_classic_server_hears_nothing_of_readers() -> None:
    bank = Bank()
    server = bank.server(is_own=False)
    bank.map(server)
    bank.cards.faults[0] = FaultKind.MUTE
    bank.connect(is_own=True)
    while breaker_state(bank) is BreakerState.CLOSED:
        bank.wait(bank.coordinator.next_deadline() or bank.now)
    assert health(bank, server) == []


def test_card_that_is_pulled_and_inserted_again_is_tried_at_once(bank: Bank) -> None:
    bank.cards.faults[0] = FaultKind.MUTE
    client = bank.connect(is_own=True)
    while breaker_state(bank) is BreakerState.CLOSED:
        bank.wait(bank.coordinator.next_deadline() or bank.now)
    bank.presence(0, is_present=False)
    assert breaker_state(bank) is BreakerState.CLOSED
    del bank.cards.faults[0]
    bank.presence(0, is_present=True)
    assert kinds(bank, client)[-2:] == ["SetAtrReq", "BankSlotStatusInd"]
    assert bank.events().count("reader_suspended") == bank.events().count("reader_recovered") == 1


def test_card_without_t0_is_not_tried_again_until_it_is_changed(bank: Bank) -> None:
    bank.cards.faults[0] = FaultKind.PROTOCOL
    bank.connect(is_own=True)
    assert bank.coordinator.next_deadline() is None
    bank.presence(0, is_present=False)
    bank.presence(0, is_present=True)
    assert bank.cards.log.count((0, "open")) == 2


def test_attempts_end_with_the_client(bank: Bank) -> None:
    bank.cards.faults[0] = FaultKind.MUTE
    client = bank.connect()
    bank.lose(client)
    assert bank.coordinator.next_deadline() is None
    assert state(bank) is CardState.OFF


def test_failure_to_open_after_the_client_left_changes_nothing(bank: Bank) -> None:
    bank.is_automatic = False
    client = bank.connect()
    bank.lose(client)
    bank.fail(FaultKind.MUTE)
    assert state(bank) is CardState.OFF
    assert bank.coordinator.next_deadline() is None


def test_card_that_is_pulled_while_it_waits_is_not_tried(bank: Bank) -> None:
    bank.cards.faults[0] = FaultKind.MUTE
    bank.connect(is_own=True)
    bank.presence(0, is_present=False)
    bank.wait(bank.now + 100)
    assert bank.cards.log == [(0, "open")]


def test_missing_card_is_noticed_when_it_comes(bank: Bank) -> None:
    bank.presence(0, is_present=False)
    client = bank.connect()
    assert bank.result(client) is ResultCode.CARD_NOT_PRESENT
    assert bank.cards.log == []
    bank.presence(0, is_present=True)
    assert kinds(bank, client) == ["ConnectClientRes", "SetAtrReq"]


def test_missing_reader_is_told_apart_in_the_log(bank: Bank) -> None:
    bank.presence(0, is_present=False, reader="")
    bank.connect()
    position = bank.coordinator.cards.positions[0]
    assert position.fault is FaultKind.NO_READER


def test_card_pulled_while_idle_is_reported_and_heals(bank: Bank) -> None:
    client = bank.connect(is_own=True)
    bank.presence(0, is_present=False)
    assert kinds(bank, client)[-1] == "BankSlotStatusInd"
    assert state(bank) is CardState.WAITING
    bank.presence(0, is_present=True)
    assert kinds(bank, client)[-2:] == ["SetAtrReq", "BankSlotStatusInd"]
    assert bank.events().count("card_gone") == bank.events().count("card_present") == 1


def test_card_pulled_and_inserted_before_it_was_powered_off(bank: Bank) -> None:
    client = bank.connect(is_own=True)
    bank.is_automatic = False
    bank.presence(0, is_present=False)
    bank.presence(0, is_present=True)
    assert bank.pending == [CloseCard(0)]
    bank.let_cards_act()
    assert bank.pending == [OpenCard(0)]
    bank.let_cards_act()
    assert kinds(bank, client)[-2:] == ["SetAtrReq", "BankSlotStatusInd"]


def test_card_pulled_while_it_is_opened(bank: Bank) -> None:
    bank.is_automatic = False
    client = bank.connect()
    bank.presence(0, is_present=False)
    bank.let_cards_act()
    bank.let_cards_act()
    assert bank.result(client) is ResultCode.CARD_NOT_PRESENT
    assert state(bank) is CardState.WAITING


def test_card_pulled_during_a_command_that_still_succeeds(bank: Bank) -> None:
    client = bank.connect()
    bank.is_automatic = False
    bank.command(client)
    bank.presence(0, is_present=False)
    assert client not in bank.closed
    bank.let_cards_act()
    assert kinds(bank, client)[-1] == "TpduCardToModem"
    assert bank.closed == {client: "card removed"}


def test_presence_without_change_is_not_logged(bank: Bank) -> None:
    bank.presence(0, is_present=True, reader="another")
    assert bank.events() == ["server_connected", "mapping_created"]
    assert bank.coordinator.cards.positions[0].reader == "another"


def test_presence_at_the_start_is_not_logged() -> None:
    bank = Bank(has_cards=False)
    bank.presence(0, is_present=True, cause="")
    assert [notice.level for notice in bank.cards.notices] == ["debug"]


def test_traces_are_those_of_the_slots_asked_for() -> None:
    bank = Bank(traced=frozenset({1}))
    server = bank.server()
    bank.map(server)
    bank.map(server, "C2:0", "B1:1")
    bank.command(bank.connect())
    assert bank.cards.datagrams == []
    client = bank.connect("C2:0")
    bank.command(client, "00b0000001", client="C2:0", bank="B1:1")
    bank.command(client, "00fe000000", client="C2:0", bank="B1:1")
    assert [datagram[12] for datagram in bank.cards.datagrams] == [1, 0]
    assert bank.cards.datagrams[1][16:] == bytes.fromhex("00b0000001009000")
    assert bank.coordinator.cards.state_counts()[CardState.OFF] == 1
