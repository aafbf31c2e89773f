# SPDX-License-Identifier: Apache-2.0
"""When a server hears how slots stand (ability ``slots.2``), at a simulated clock."""

from collections import Counter
from itertools import pairwise

import pytest

from remsim.bankd.core.actions import FaultKind
from remsim.bankd.core.slot_reports import BURST, FIGURES_S, INTERVAL_S, MIN_SAME, PER_SECOND
from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.messages.health import (
    CardErrorKind,
    LastError,
    RecentErrors,
    SessionPhase,
    SlotCounters,
    SlotHealthInd,
)
from tests.doubles.bank import Bank, stub_atr

READ = "00b0000001"


@pytest.fixture
def bank() -> Bank:
    return Bank()


def hear(bank: Bank, server: int) -> list[SlotHealthInd]:
    """What the server heard of slots since the last call."""
    found = [message for message in bank.sent[server] if isinstance(message, SlotHealthInd)]
    bank.sent[server].clear()
    return found


def settle(bank: Bank, server: int, seconds: float = INTERVAL_S) -> list[SlotHealthInd]:
    """What it hears within a time."""
    bank.wait(bank.now + seconds)
    return hear(bank, server)


def test_server_hears_of_all_slots_once(bank: Bank) -> None:
    bank.now += 3.5
    server = bank.server(hears_health=True)
    found = settle(bank, server, 0.0)
    assert found == [
        SlotHealthInd(
            bank_slot=BankSlot(1, nr),
            is_present=True,
            presence_age_ms=3500,
            phase=SessionPhase.NONE,
            phase_age_ms=0,
            counters=SlotCounters(),
            recent=RecentErrors(),
            reader="reader",
        )
        for nr in range(2)
    ]
    # Where nothing changes, nothing is said.
    assert settle(bank, server, 10 * FIGURES_S) == []


@pytest.mark.parametrize("is_own", [True, False])
def test_server_without_the_ability_hears_nothing_and_nothing_is_due(bank: Bank, is_own: bool) -> None:
    server = bank.server(is_own=is_own)
    bank.map(server)
    bank.connect(is_own=True)
    assert bank.coordinator.next_deadline() is None
    assert settle(bank, server, 100.0) == []


def test_session_is_told_with_its_client_and_age(bank: Bank) -> None:
    server = bank.server(hears_health=True)
    settle(bank, server)
    bank.map(server)
    link = bank.connect(is_own=True)
    (begun,) = settle(bank, server)
    assert (begun.bank_slot, begun.phase, begun.client) == (BankSlot(1, 0), SessionPhase.ATTACHED, ClientSlot(1, 0))
    assert begun.atr == stub_atr(0)
    bank.lose(link)
    (over,) = settle(bank, server)
    assert (over.phase, over.client, over.phase_age_ms) == (SessionPhase.NONE, None, 0)
    # It is what the card that has no power now answered last.
    assert over.atr == stub_atr(0)


def test_fault_is_told_with_its_age(bank: Bank) -> None:
    server = bank.server(hears_health=True)
    bank.map(server)
    link = bank.connect(is_own=True)
    settle(bank, server)
    bank.is_automatic = False
    bank.command(link)
    bank.fail(FaultKind.TRANSMISSION)
    bank.is_automatic = True
    bank.let_cards_act()
    failed = settle(bank, server)[0]
    assert failed.last_error == LastError(CardErrorKind.TRANSMISSION, 0)
    assert (failed.counters.transmission_errors, failed.recent.transmission_errors) == (1, 1)
    bank.command(link)
    recovered = settle(bank, server, FIGURES_S)[-1]
    assert recovered.counters.recoveries == 1
    assert recovered.last_error is not None
    assert recovered.last_error.age_ms >= 2000
    # The hour being over, that is told, too, and nothing else.
    hear(bank, server)
    later = settle(bank, server, 3600.0)
    assert [report.recent.transmission_errors for report in later] == [0]
    assert later[0].counters.transmission_errors == 1


def test_a_slot_that_flaps_is_told_every_two_seconds_and_as_it_is_in_the_end(bank: Bank) -> None:
    server = bank.server(hears_health=True)
    settle(bank, server)
    times: list[float] = []
    for number in range(101):
        bank.presence(0, is_present=bool(number % 2))
        times += [bank.now] * len(settle(bank, server, 0.1))
    assert len(times) <= 10.1 / INTERVAL_S + 1
    assert all(later - earlier >= INTERVAL_S - 0.1 for earlier, later in pairwise(times))
    last = settle(bank, server)
    assert [report.is_present for report in last] in ([False], [])
    assert settle(bank, server, 100.0) == []


def test_figures_are_told_now_and_then(bank: Bank) -> None:
    server = bank.server(hears_health=True)
    bank.map(server)
    link = bank.connect(is_own=True)
    settle(bank, server)
    counts = []
    for _ in range(300):
        bank.command(link)
        counts += [report.counters.commands for report in settle(bank, server, 0.1)]
    assert len(counts) in (2, 3)
    assert counts == sorted(set(counts))


def test_card_that_says_no_to_everything_is_told(bank: Bank) -> None:
    server = bank.server(hears_health=True)
    bank.map(server)
    link = bank.connect(is_own=True)
    bank.cards.respond = lambda _tpdu: b"\x6f\x00"
    for _ in range(MIN_SAME - 1):
        bank.command(link)
    assert all(report.same_status is None for report in settle(bank, server, 2 * FIGURES_S))
    bank.command(link)
    told = settle(bank, server, 2 * FIGURES_S)[-1]
    assert told.same_status is not None
    assert (told.same_status.status_word, told.same_status.count) == (0x6F00, MIN_SAME)
    bank.cards.respond = lambda _tpdu: b"\x90\x00"
    bank.command(link)
    assert settle(bank, server, 2 * FIGURES_S)[-1].same_status is None


def test_a_thousand_slots_share_a_budget() -> None:
    bank = Bank(slots=1000)
    server = bank.server(hears_health=True)
    at_once = len(settle(bank, server, 0.0))
    # The clock is a float.
    assert at_once in (BURST - 1, BURST)
    per_second = [len(settle(bank, server, 1.0)) for _ in range(12)]
    assert max(per_second) <= PER_SECOND + 1
    assert at_once + sum(per_second) == 1000
    # All of them again, faster than the budget allows: everybody is heard, nobody twice as often as others.
    heard: Counter[int] = Counter()
    for number in range(40):
        for slot_nr in range(1000):
            bank.presence(slot_nr, is_present=True, reader=f"reader {number}")
        heard.update(report.bank_slot.slot_nr for report in settle(bank, server, 1.0))
    assert set(heard) == set(range(1000))
    assert sum(heard.values()) <= BURST + 40 * (PER_SECOND + 1)
    assert max(heard.values()) <= 2 * min(heard.values()) + 1


def test_states_come_before_figures() -> None:
    bank = Bank(slots=300)
    server = bank.server(hears_health=True)
    settle(bank, server, 5.0)
    for position in bank.coordinator.cards.positions:
        position.record.commands += 1
    bank.now = (bank.coordinator.cards.reports.due or 0.0) - 0.001
    bank.presence(299, is_present=False)
    bank.wait(bank.now + 0.01)
    first = hear(bank, server)
    assert not first[0].is_present
    assert len(first) <= BURST + 1


def test_server_that_comes_back_hears_everything_again(bank: Bank) -> None:
    server = bank.server(hears_health=True)
    assert len(settle(bank, server)) == 2
    bank.lose(server)
    assert bank.coordinator.next_deadline() is None
    bank.presence(0, is_present=False)
    server = bank.server(hears_health=True)
    found = settle(bank, server)
    assert [report.is_present for report in found] == [False, True]


def test_names_of_readers_are_cut_and_cleaned(bank: Bank) -> None:
    server = bank.server(hears_health=True)
    settle(bank, server)
    bank.presence(0, is_present=False, reader="\x1b[31mLesegerät " + "x" * 200)
    (report,) = settle(bank, server)
    assert report.reader == ("?[31mLeseger?t " + "x" * 200)[:128]
    bank.presence(0, is_present=False, reader="")
    (report,) = settle(bank, server)
    assert report.reader is None
