# SPDX-License-Identifier: Apache-2.0
"""The SIMtrace2 emulator and devices that send garbage, fail, or take nothing; and wishes at odd moments."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from remsim.core.limits import LimitName
from remsim.emulators.simtrace2 import emulator as module
from remsim.emulators.simtrace2.transfers import BULK_TRANSFERS, INTERRUPT_TRANSFERS, MAX_FAILURES
from remsim.emulators.simtrace2.usb import TransferEnd
from tests.doubles.reaching import reaches
from tests.doubles.simtrace2_host import ATR, OK, READ, Host, booted
from tests.doubles.usb_bus import FakeBus
from tests.doubles.virtual_modem import SilenceError, VirtualModem


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAILURE_PAUSE_S", 0.0)


@pytest.fixture
async def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
async def host(bus: FakeBus) -> AsyncIterator[Host]:
    host = Host(bus)
    yield host
    await host.emulator.stop()


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    return lambda: capsys.readouterr().err


GARBAGE = [
    bytes(64),
    b"\xff" * 64,
    b"\x01",
    bytes.fromhex("0106000000001300"),
    bytes.fromhex("01060000000013000100000005"),
    bytes.fromhex("0104000000000900aa"),
    bytes.fromhex("0909000000000900aa"),
    bytes.fromhex("010600000000130001000000ff00a0a4000002"),
    bytes.fromhex("010600000000100002000000020011 22"),
    bytes.fromhex("0104000000004000") + bytes(57),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda data: data[:10].hex())
@pytest.mark.parametrize("endpoint", [0x85, 0x86])
async def test_garbage_is_told_without_its_bytes_and_nothing_else_happens(
    bus: FakeBus, host: Host, log: Callable[[], str], garbage: bytes, endpoint: int
) -> None:
    plugged, port, modem = await booted(bus, host)
    log()
    port.inject(garbage, endpoint=endpoint)
    port.inject(b"", endpoint=endpoint)
    # A message in pieces waits for its rest until the next packet shows that there is none.
    await asyncio.sleep(0)
    if len(garbage) % 64 == 0 and garbage[6:8] == bytes.fromhex("4000"):
        port.inject(garbage[:1], endpoint=endpoint)
        await asyncio.sleep(0)
    # Without the times of the lines, which have digits of their own.
    text = "".join(line.partition(" ")[2] for line in log().splitlines())
    if text:
        assert "bytes=" in text or "detail=" in text or "header=" in text
        assert len(garbage) < 6 or garbage[:6].hex() not in text
    try:
        answer = await plugged.modems[0].run(modem.exchange(READ))
    except SilenceError:
        await plugged.modems[0].run(modem.cold_reset())
        answer = await plugged.modems[0].run(modem.exchange(READ))
    assert answer == bytes(2) + OK
    assert host.above.has_device


async def test_header_of_wrong_length_is_answered_so_that_the_modem_goes_on(
    bus: FakeBus, host: Host, log: Callable[[], str]
) -> None:
    plugged, port, modem = await booted(bus, host)
    port.inject(bytes.fromhex("0106000000001100010000000300a0a400"))
    await bus.until(lambda: port.written[-1][-2:] == b"\x6f\x00")
    assert "bad_command_header" in log()
    assert await plugged.modems[0].run(modem.cold_reset()) == ATR
    assert await plugged.modems[0].run(modem.exchange(READ)) == bytes(2) + OK


async def test_floods_of_garbage_do_not_fill_the_log(bus: FakeBus, host: Host, log: Callable[[], str]) -> None:
    _, port, _ = await booted(bus, host)
    log()
    for _ in range(50):
        port.inject(b"\xff" * 63)
        await asyncio.sleep(0)
    assert log().count("bad_message_from_device") == 3


@pytest.mark.parametrize(
    "end", [TransferEnd.ERROR, TransferEnd.STALLED, TransferEnd.OVERFLOW, TransferEnd.TIMED_OUT], ids=lambda e: e.name
)
async def test_transfers_that_fail_are_queued_again(
    bus: FakeBus, host: Host, log: Callable[[], str], end: TransferEnd
) -> None:
    plugged, port, modem = await booted(bus, host)
    for endpoint in (0x85, 0x86):
        port.inject(b"", endpoint=endpoint, end=end)
    port.out_ends.extend([(end, 0), (end, 0)])
    assert await plugged.modems[0].run(modem.exchange(READ)) == bytes(2) + OK
    assert port.waiting == {0x85: BULK_TRANSFERS, 0x86: INTERRUPT_TRANSFERS}
    assert sorted(port.cleared) == ([4, 4, 0x85, 0x86] if end is TransferEnd.STALLED else [])
    assert end.value in log()
    assert port.slot.violations == []


async def test_interface_that_fails_again_and_again_is_opened_afresh(
    bus: FakeBus, host: Host, log: Callable[[], str]
) -> None:
    plugged, port, modem = await booted(bus, host)
    for _ in range(MAX_FAILURES):
        port.inject(b"", end=TransferEnd.ERROR)
        await asyncio.sleep(0)
    await host.above.until(lambda: len(host.above.hardware) == 3)
    assert not port.is_open
    assert plugged.ports[0] is not port
    assert f"{MAX_FAILURES} times in a row" in log()
    await bus.until(lambda: bool(plugged.ports[0].waiting[0x85]) and len(plugged.ports[0].written) > 3)
    assert await plugged.modems[0].run(modem.warm_reset()) == ATR


async def test_device_that_takes_nothing_is_given_up(
    bus: FakeBus, host: Host, log: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remsim.emulators.simtrace2.transfers.OUT_WAIT_S", 0.01)
    plugged, port, _ = await booted(bus, host)
    port.is_stuck = True
    host.emulator.reset_modem()
    await host.above.until(lambda: len(host.above.hardware) == 3)
    assert "the device takes no messages" in log()
    assert plugged.ports[0] is not port


async def test_atr_is_fitted_to_what_hardware_can_do(bus: FakeBus, host: Host, log: Callable[[], str]) -> None:
    plugged = bus.plug()
    await host.start()
    await host.insert(bytes.fromhex("3f00"))
    port = await host.ready(plugged)
    await bus.until(lambda: port.slot.atr == bytes.fromhex("3b00"))
    host.emulator.set_atr(b"\x01\x02\x03")
    assert "atr_is_none" in log()
    await bus.until(lambda: port.slot.atr == b"\x01\x02\x03")


async def test_answer_in_flight_is_dropped_by_a_reset(bus: FakeBus, host: Host) -> None:
    plugged, port, modem = await booted(bus, host)
    stand = plugged.modems[0]
    host.above.card = lambda _tpdu: None
    async with asyncio.TaskGroup() as group:
        running = group.create_task(stand.run(modem.exchange(READ)))
        await host.above.until(lambda: bool(host.above.tpdus))
        # Long enough that a reset status cannot be older than the header.
        await asyncio.sleep(0.02)
        port.is_stuck = True
        host.above.respond(bytes(2) + OK)
        running.cancel()
    seen = len(host.above.lines)
    port.slot.set_rst(is_high=False)
    plugged.pump()
    await host.above.until(lambda: len(host.above.lines) > seen)
    await bus.until(lambda: not port.is_sending)
    port.is_stuck = False
    host.above.card = lambda tpdu: bytes(tpdu[4]) + OK
    assert await stand.run(modem.warm_reset()) == ATR
    assert await stand.run(modem.exchange(READ)) == bytes(2) + OK
    assert port.slot.violations == []


async def test_library_that_fails_is_opened_afresh(bus: FakeBus, host: Host, log: Callable[[], str]) -> None:
    plugged, port, modem = await booted(bus, host)
    port.listener.on_failure("libusb cannot handle its events")
    await host.above.until(lambda: len(host.above.hardware) == 3)
    assert plugged.ports[0] is not port
    assert "device_lost path=1-4 interface=0 reason=" in log()
    await bus.until(lambda: len(plugged.ports[0].written) > 3)
    assert await plugged.modems[0].run(modem.warm_reset()) == ATR


async def test_command_without_an_answer_gets_a_status_word(bus: FakeBus, host: Host) -> None:
    plugged, _, modem = await booted(bus, host)
    host.above.card = lambda _tpdu: None
    async with asyncio.TaskGroup() as group:
        running = group.create_task(plugged.modems[0].run(modem.exchange(READ)))
        await host.above.until(lambda: bool(host.above.tpdus))
        host.above.abort("the bank is away")
    assert running.result() == b"\x6f\x00"
    # Nobody waits any more.
    host.above.abort("late")
    host.above.respond(OK)


async def test_card_taken_away_and_given_back(bus: FakeBus, host: Host) -> None:
    plugged, port, modem = await booted(bus, host)
    host.emulator.remove_card()
    host.emulator.select_sim(remote=False)
    await bus.until(lambda: not port.slot.is_enabled)
    await host.insert()
    await bus.until(lambda: port.slot.is_enabled)
    assert await plugged.modems[0].run(modem.cold_reset()) == ATR


async def test_wishes_from_before_the_device_came_are_kept(bus: FakeBus, host: Host) -> None:
    await host.insert()
    host.emulator.hold_modem_reset(is_held=True)
    host.emulator.remove_card()
    host.emulator.insert_card()
    await host.start()
    plugged = bus.plug("ngff_cardem")
    await host.ready(plugged)
    await bus.until(lambda: plugged.ports[0].slot.atr == ATR)
    # Another board at the same place: everything is asked for again.
    bus.unplug()
    await host.above.until(lambda: not host.above.has_device)
    other = bus.plug("simtrace")
    await host.ready(other)
    await bus.until(lambda: other.ports[0].slot.atr == ATR)


async def test_interfaces_that_no_slot_claims_are_found(bus: FakeBus) -> None:
    bus.plug("qmod", "2-1.1")
    bus.plug("simtrace", "2-1.2")
    assert module.found_settings(bus, []) == [
        {"path": "2-1.1", "interface": 0},
        {"path": "2-1.1", "interface": 1},
        {"path": "2-1.2", "interface": 0},
    ]
    assert module.found_settings(bus, [{"path": "2-1.1"}]) == [{"path": "2-1.2", "interface": 0}]


@reaches(LimitName.USB_MESSAGE)
async def test_message_longer_than_the_firmware_can_send_is_counted_and_the_next_one_heard(
    bus: FakeBus, host: Host
) -> None:
    plugged, port, modem = await booted(bus, host)
    for endpoint in (0x85, 0x86):
        port.inject(bytes.fromhex("0106000000001901"), endpoint=endpoint)
        await asyncio.sleep(0)
    assert host.above.limits == [LimitName.USB_MESSAGE] * 2
    assert await plugged.modems[0].run(modem.exchange(READ)) == bytes(2) + OK


async def test_answer_to_a_command_of_the_board_before_is_not_given_to_this_ones(bus: FakeBus, host: Host) -> None:
    plugged, _, modem = await booted(bus, host)
    host.above.card = lambda _tpdu: None
    async with asyncio.TaskGroup() as group:
        running = group.create_task(plugged.modems[0].run(modem.exchange(READ)))
        await host.above.until(lambda: len(host.above.tpdus) == 1)
        running.cancel()
    old = host.above.number
    bus.unplug()
    await host.above.until(lambda: not host.above.has_device)
    other = bus.plug("ngff_cardem")
    await host.ready(other)
    modem = VirtualModem()
    assert await other.modems[0].run(modem.cold_reset()) == ATR
    async with asyncio.TaskGroup() as group:
        running = group.create_task(other.modems[0].run(modem.exchange(READ)))
        await host.above.until(lambda: len(host.above.tpdus) == 2)
        assert host.above.number > old
        host.emulator.respond(old, b"\x01\x01" + OK)
        host.above.respond(b"\x02\x02" + OK)
    assert running.result() == b"\x02\x02" + OK
