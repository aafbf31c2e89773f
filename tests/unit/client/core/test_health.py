# SPDX-License-Identifier: Apache-2.0
"""When a server hears how a client slot stands (ability ``client.1``), at a simulated clock."""

import pytest

from remsim.client.core.health import FIGURES_S, INTERVAL_S
from remsim.wire.link.actions import Send
from remsim.wire.messages import rspro
from remsim.wire.messages.health import (
    ClientCounters,
    ClientHealthInd,
    ClientPhase,
    Latency,
    ModemLines,
    ModemSpeed,
    NetworkTime,
    Quantiles,
)
from remsim.wire.messages.rspro import ComponentIdentity, SlotPhysStatus
from tests.doubles.client_slot import ADDRESS, BANK_SLOT, BANKD, CLIENT_SLOT, OWN_SERVER, READ, SERVER, Slot

HEARING = OWN_SERVER.with_abilities(("echo.1", "client.1"))
POWERED = SlotPhysStatus(reset_active=False, vcc_present=True, clk_active=True)
OFF = SlotPhysStatus(reset_active=True, vcc_present=False, clk_active=False)


def hear(slot: Slot, seconds: float = 0.0) -> list[ClientHealthInd]:
    """What the server hears within a time."""
    found: list[ClientHealthInd] = []
    until = slot.now + seconds
    while (due := slot.coordinator.next_deadline()) is not None and due <= until:
        slot.now = max(slot.now, due)
        for action in slot.done(slot.coordinator.handle_timer(slot.now)):
            if isinstance(action, Send) and isinstance(action.message, ClientHealthInd):
                assert action.link == SERVER
                found.append(action.message)
    slot.now = until
    return found


def hearing() -> Slot:
    """A slot whose server wants to hear of it."""
    return Slot().with_server(HEARING)


def test_server_hears_how_the_slot_stands() -> None:
    slot = hearing()
    assert hear(slot) == [ClientHealthInd(CLIENT_SLOT, ClientPhase.UNCONFIGURED, 0, ClientCounters())]
    assert hear(slot, 10 * FIGURES_S) == []


@pytest.mark.parametrize("identity", [OWN_SERVER, OWN_SERVER.with_abilities(None)])
def test_server_without_the_ability_hears_nothing_and_nothing_is_due(identity: ComponentIdentity) -> None:
    slot = Slot().with_server(identity)
    slot.lines(POWERED)
    assert slot.coordinator.next_deadline() is None


def test_server_is_not_told_before_it_has_accepted_us() -> None:
    slot = Slot()
    slot.up(SERVER)
    slot.lines(POWERED)
    assert slot.coordinator.next_deadline() is None
    slot.answer(SERVER, HEARING)
    slot.lose(SERVER)
    assert slot.coordinator.next_deadline() is None


def test_all_of_a_modem_at_work_is_told() -> None:
    slot = Slot().with_card()
    slot.lose(SERVER)
    health = slot.coordinator.health
    health.emulator = "simtrace2"
    health.on_board("sysmoQMOD", slot.now, is_present=True)
    health.on_firmware("0.9.0", slot.now)
    slot.lines(POWERED)
    health.on_speed(9, 6, slot.now)
    slot.now += 3.0
    slot.up(SERVER)
    slot.answer(SERVER, HEARING)
    health.on_answered(0.042)
    health.on_answered(None)
    (report,) = hear(slot)
    assert report == ClientHealthInd(
        client_slot=CLIENT_SLOT,
        phase=ClientPhase.OPERATIONAL,
        phase_age_ms=3000,
        counters=ClientCounters(commands=2),
        emulator="simtrace2",
        board="sysmoQMOD",
        firmware="0.9.0",
        has_hardware=True,
        bank_slot=BANK_SLOT,
        lines=ModemLines(3000, is_reset_active=False, has_vcc=True, has_clk=True),
        speed=ModemSpeed(9, 6),
        round_trip=Quantiles(1, 42_000, 42_000),
    )


def test_each_state_is_told_but_not_too_often() -> None:
    slot = hearing()
    hear(slot)
    reports: list[ClientHealthInd] = []
    for number in range(100):
        slot.lines(OFF if number % 2 else POWERED)
        reports += hear(slot, 0.1)
    assert 10.0 / INTERVAL_S - 1 <= len(reports) <= 10.0 / INTERVAL_S + 1
    reports += hear(slot, 2 * FIGURES_S)
    assert reports[-1].lines is not None
    assert reports[-1].lines.is_reset_active
    assert hear(slot, 100.0) == []


def test_figures_are_told_now_and_then() -> None:
    slot = hearing()
    hear(slot)
    reports: list[ClientHealthInd] = []
    for _ in range(300):
        slot.coordinator.health.on_answered(0.1)
        reports += hear(slot, 0.1)
    assert len(reports) in (2, 3)
    assert reports[-1].counters.commands > reports[0].counters.commands


def test_modem_without_power_forgets_its_speed() -> None:
    slot = hearing()
    slot.coordinator.health.on_speed(9, 6, slot.now)
    slot.coordinator.health.on_speed(99, 6, slot.now)
    assert hear(slot)[-1].speed == ModemSpeed(9, 6)
    slot.lines(OFF)
    assert hear(slot, INTERVAL_S)[-1].speed is None


def test_resets_and_failures_are_counted() -> None:
    slot = hearing()
    slot.lines(OFF)
    slot.lines(POWERED)
    slot.coordinator.health.on_failed()
    (report,) = hear(slot)
    assert (report.counters.resets, report.counters.failures) == (1, 1)


def test_other_hardware_has_other_firmware() -> None:
    slot = hearing()
    health = slot.coordinator.health
    health.on_board("\x1b[1m" + "b" * 100, slot.now, is_present=True)
    health.on_firmware("1", slot.now)
    (report,) = hear(slot)
    assert (report.board, report.firmware) == ("?[1m" + "b" * 60, "1")
    health.on_board("", slot.now, is_present=False)
    (report,) = hear(slot, INTERVAL_S)
    assert (report.has_hardware, report.board, report.firmware) == (False, None, None)


def test_server_that_comes_back_hears_everything_again() -> None:
    slot = hearing()
    hear(slot)
    slot.lose(SERVER)
    slot.now += 1.0
    slot.up(SERVER)
    slot.answer(SERVER, HEARING)
    assert len(hear(slot)) == 1


def test_lost_bankd_is_told_though_nothing_else_happens() -> None:
    slot = Slot().with_card()
    slot.lose(SERVER)
    slot.up(SERVER)
    slot.answer(SERVER, HEARING)
    hear(slot)
    slot.lose(BANKD)
    (report,) = hear(slot, INTERVAL_S)
    assert (report.phase, report.phase_age_ms) == (ClientPhase.WAIT_BANKD, 2000)


def test_where_the_waiting_went_is_told() -> None:
    slot = Slot().with_card()
    request = slot.command(READ)
    slot.now += 0.25
    slot.card_answers(request, b"\x90\x00")
    slot.lose(SERVER)
    slot.up(SERVER)
    slot.answer(SERVER, HEARING)
    (report,) = hear(slot)
    assert isinstance(report.latency, Latency)
    assert (report.latency.commands, report.latency.round_trips) == (1, 1)


def network_told(slot: Slot) -> NetworkTime | None:
    """What the server hears of the network next."""
    slot.lines(OFF if slot.coordinator.health._lines == POWERED else POWERED)
    return hear(slot, 2 * INTERVAL_S)[-1].network


def test_network_is_told_by_commands_or_else_by_pings() -> None:
    slot = Slot().with_server(OWN_SERVER.with_abilities(("echo.1", "client.1", "times.1")))
    health = slot.coordinator.health
    assert network_told(slot) is None
    health.on_ping(0.25)
    assert network_told(slot) == NetworkTime(Quantiles(1, 250_000, 250_000), is_of_pings=True)
    health.on_network(0.5)
    health.on_network(0.75)
    assert network_told(slot) == NetworkTime(Quantiles(2, 500_000, 750_000), is_of_pings=False)
    # A bankd in its place that does not say how long it has a command.
    health.on_network(None)
    assert network_told(slot) == NetworkTime(Quantiles(1, 250_000, 250_000), is_of_pings=True)


def test_network_to_another_bankd_is_another_one() -> None:
    slot = Slot().with_server(OWN_SERVER.with_abilities(("echo.1", "client.1", "times.1")))
    slot.coordinator.health.on_ping(0.25)
    slot.coordinator.health.on_network(0.5)
    slot.hear(SERVER, rspro.ConfigClientBankReq(BANK_SLOT, ADDRESS))
    assert network_told(slot) is None


def test_server_without_the_ability_hears_nothing_of_the_network() -> None:
    slot = hearing()
    slot.coordinator.health.on_network(0.5)
    assert network_told(slot) is None
