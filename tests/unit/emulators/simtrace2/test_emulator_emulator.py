# SPDX-License-Identifier: Apache-2.0
"""The SIMtrace2 emulator on a bus of the tests' own: life with a device, and without."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from remsim.card.apdu_case import CommandRules, UnknownCommandPolicy, parse_override
from remsim.core.errors import StartError
from remsim.emulators.base import Lines, PpsResult
from remsim.emulators.simtrace2 import emulator as module
from remsim.emulators.simtrace2.find import DeviceError
from tests.doubles.simtrace2_host import ATR, OK, READ, Host, booted
from tests.doubles.usb_bus import FakeBus
from tests.doubles.virtual_modem import VirtualModem


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


async def test_modem_boots_and_commands_are_answered(bus: FakeBus, host: Host, log: Callable[[], str]) -> None:
    plugged, port, modem = await booted(bus, host)
    assert await plugged.modems[0].run(modem.exchange(READ)) == bytes(2) + OK
    update = bytes.fromhex("00d6000003010203")
    assert await plugged.modems[0].run(modem.exchange(update)) == OK
    assert host.above.tpdus == [READ, update]
    assert host.above.lines[-1] == Lines(reset_active=False, vcc_present=True, clk_active=True)
    assert host.above.speeds == [PpsResult(9, 6)]
    assert port.slot.violations == []
    await host.emulator.stop()
    assert not port.is_open
    assert port.slot.board_events[-1] == ("sim_switch", "local")
    text = log()
    for words in ("device_opened", "board=SIMtrace2", "device_ready", "device_firmware", "version=0.9.1"):
        assert words in text


@pytest.mark.parametrize("length", [46, 47, 48, 111, 114, 175, 178, 239, 242, 255])
async def test_lengths_around_packets_pass(bus: FakeBus, host: Host, length: int) -> None:
    plugged, port, modem = await booted(bus, host)
    assert await plugged.modems[0].run(modem.exchange(bytes((0, 0xB0, 0, 0, length)))) == bytes(length) + OK
    assert await plugged.modems[0].run(modem.exchange(bytes((0, 0xD6, 0, 0, length)) + bytes(length))) == OK
    assert port.slot.violations == []


async def test_several_transfers_are_queued_all_the_time(bus: FakeBus, host: Host) -> None:
    plugged, port, modem = await booted(bus, host)
    await plugged.modems[0].run(modem.exchange(READ))
    assert port.waiting == {0x85: 6, 0x86: 8}


@pytest.mark.parametrize("moment", ["idle", "waiting for the card", "receiving data", "in reset", "powered off"])
async def test_unplug_in_any_state_and_replug_resumes(
    bus: FakeBus, host: Host, log: Callable[[], str], moment: str
) -> None:
    plugged, port, modem = await booted(bus, host)
    stand = plugged.modems[0]
    running: asyncio.Task[bytes] | None = None
    async with asyncio.TaskGroup() as group:
        if moment == "waiting for the card":
            host.above.card = lambda _tpdu: None
            running = group.create_task(stand.run(modem.exchange(READ)))
            await host.above.until(lambda: bool(host.above.tpdus))
        elif moment == "receiving data":
            port.is_stuck = True
            running = group.create_task(stand.run(modem.exchange(bytes.fromhex("00d6000003010203"))))
            await bus.until(lambda: port.written[-1][-1:] == b"\xd6")
        elif moment == "in reset":
            port.slot.set_rst(is_high=False)
            plugged.pump()
        elif moment == "powered off":
            await stand.run(modem.power_off())
        bus.unplug()
        await host.above.until(lambda: not host.above.has_device)
        if running is not None:
            running.cancel()
    lines = host.above.lines[-1]
    assert lines.reset_active
    assert not lines.vcc_present
    # What the bank says about the command from before the unplug has nowhere to go.
    host.above.respond(OK)
    host.above.card = lambda tpdu: bytes(tpdu[4]) + OK
    bus.replug(plugged)
    port = await host.ready(plugged)
    assert await stand.run(modem.cold_reset()) == ATR
    assert await stand.run(modem.exchange(READ)) == bytes(2) + OK
    assert port.slot.violations == []
    text = log()
    assert "device_lost" in text
    assert text.count("device_not_usable") <= 1


async def test_device_that_comes_later_is_taken(bus: FakeBus, host: Host, log: Callable[[], str]) -> None:
    await host.start()
    await host.insert()
    await host.above.until(lambda: bool(host.above.hardware))
    assert not host.above.has_device
    assert "no SIMtrace2 or related device is plugged in" in log()
    plugged = bus.plug()
    await host.ready(plugged)
    assert await plugged.modems[0].run(VirtualModem().cold_reset()) == ATR


async def test_host_without_usb_waits_for_it(bus: FakeBus, host: Host) -> None:
    bus.has_usb = False
    await host.start()
    await host.above.until(lambda: bool(host.above.hardware))
    bus.has_usb = True
    bus.plug()
    await host.above.until(lambda: host.above.has_device)


async def test_interface_that_is_refused_is_said_once_and_tried_again(
    bus: FakeBus, host: Host, log: Callable[[], str]
) -> None:
    bus.plug()
    bus.refusal = DeviceError("no permission to open it", hint="udev")
    await host.start()
    await host.above.until(lambda: bool(host.above.hardware))
    for _ in range(3):
        bus.change()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    bus.refusal = None
    bus.change()
    await host.above.until(lambda: host.above.has_device)
    assert log().count("no permission to open it") == 1


async def test_two_clients_for_one_interface(bus: FakeBus, host: Host, log: Callable[[], str]) -> None:
    await booted(bus, host)
    other = Host(bus)
    await other.start()
    await other.above.until(lambda: bool(other.above.hardware))
    assert not other.above.has_device
    assert "is in use by another program" in log()
    await host.emulator.stop()
    bus.change()
    await other.above.until(lambda: other.above.has_device)
    await other.emulator.stop()


async def test_settings_that_fit_several_interfaces_are_refused_at_start(bus: FakeBus) -> None:
    bus.plug("qmod", "2-1.1")
    host = Host(bus)
    with pytest.raises(StartError, match=r"2 emulator slots fit: 2-1\.1 interface 0; 2-1\.1 interface 1"):
        await host.start()
    await host.emulator.stop()


async def test_two_slots_of_one_board_are_independent(bus: FakeBus) -> None:
    plugged = bus.plug("qmod", "2-1.1")
    hosts = [Host(bus, path="2-1.1", interface=number) for number in (0, 1)]
    modem = VirtualModem()
    for host in hosts:
        await host.start()
        await host.insert()
        await host.above.until(lambda host=host: host.above.has_device)  # type: ignore[misc]
    await bus.until(lambda: all(slot.is_enabled for slot in plugged.device.slots))
    for number, host in enumerate(hosts):
        assert await plugged.modems[number].run(modem.cold_reset()) == ATR
        assert await plugged.modems[number].run(modem.exchange(READ)) == bytes(2) + OK
        assert host.above.tpdus == [READ]
        assert ("modem_reset", "022c01") in plugged.device.slots[number].board_events
        host.emulator.hold_modem_reset(is_held=True)
        host.emulator.hold_modem_reset(is_held=False)
        await host.emulator.stop()
        assert ("modem_reset", "01") in plugged.device.slots[number].board_events


UNKNOWN = bytes.fromhex("80e00000020102")


async def test_unknown_command_is_refused_and_told_once_with_the_line_that_makes_it_known(
    bus: FakeBus, host: Host, log: Callable[[], str]
) -> None:
    plugged, _, modem = await booted(bus, host)
    for _ in range(3):
        assert await plugged.modems[0].run(modem.exchange(UNKNOWN)) == b"\x6d\x00"
    assert host.above.unknown == [True] * 3
    assert host.above.tpdus == []
    text = log()
    assert text.count("warning simtrace2 unknown_command_refused") == 1
    assert "80e0000002" in text
    assert 'command_cases = ["80 E0 = 3"]' in text.replace("\\", "")
    assert "0102 " not in text


async def test_command_of_the_operators_list_reaches_the_card_with_its_data(bus: FakeBus, host: Host) -> None:
    host.emulator.set_command_rules(CommandRules((parse_override("80 E0 = 3"),)))
    plugged, _, modem = await booted(bus, host)
    assert await plugged.modems[0].run(modem.exchange(UNKNOWN)) == OK
    assert host.above.tpdus == [UNKNOWN]
    assert host.above.unknown == []


async def test_unknown_command_goes_to_the_card_as_a_header_where_the_operator_wants_it(
    bus: FakeBus, host: Host, log: Callable[[], str]
) -> None:
    host.emulator.set_command_rules(CommandRules(unknown=UnknownCommandPolicy.RECEIVE))
    plugged, _, modem = await booted(bus, host)
    assert await plugged.modems[0].run(modem.exchange(UNKNOWN[:5])) == bytes(2) + OK
    assert host.above.tpdus == [UNKNOWN[:5]]
    assert host.above.unknown == [False]
    assert "unknown_command_received" in log()


async def test_toolkit_on_a_channel_above_3_and_a_tag_list_reach_the_card(bus: FakeBus, host: Host) -> None:
    plugged, _, modem = await booted(bus, host)
    commands = ["c01000000401020304", "c012000010", "81ca00fe02df25", "8184000020"]
    for command in commands:
        await plugged.modems[0].run(modem.exchange(bytes.fromhex(command)))
    assert [tpdu.hex() for tpdu in host.above.tpdus] == commands
