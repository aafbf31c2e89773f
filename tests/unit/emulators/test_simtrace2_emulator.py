# SPDX-License-Identifier: Apache-2.0
"""The SIMtrace2 emulator on a bus of the tests' own: life with a device, and without."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from remsim.config.simtrace2 import SimtraceSettings
from remsim.emulators import simtrace2 as module
from remsim.emulators.base import EmulatorEvents, Hardware, Lines, PpsResult
from remsim.emulators.simtrace2 import SimtraceEmulator
from remsim.emulators.simtrace2_find import DeviceError
from remsim.emulators.simtrace2_link import MAX_FAILURES
from remsim.emulators.usb_bus import TransferEnd
from remsim.errors import StartError
from tests.doubles.usb_bus import FakeBus, FakePort, Plugged
from tests.doubles.virtual_modem import SilenceError, VirtualModem

ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")
READ = bytes.fromhex("00b0000002")
OK = b"\x90\x00"


class Above(EmulatorEvents):
    """The client slot: answers with ``card``, None for later."""

    def __init__(self, card: Callable[[bytes], bytes | None]) -> None:
        self.card = card
        self.emulator: SimtraceEmulator | None = None
        self.tpdus: list[bytes] = []
        self.lines: list[Lines] = []
        self.speeds: list[PpsResult] = []
        self.hardware: list[Hardware] = []
        self._changed = asyncio.Event()

    def on_tpdu(self, tpdu: bytes) -> None:
        assert self.emulator is not None
        self.tpdus.append(tpdu)
        response = self.card(tpdu)
        if response is not None:
            self.emulator.respond(response)
        self._changed.set()

    def on_lines(self, lines: Lines) -> None:
        self.lines.append(lines)
        self._changed.set()

    def on_pps(self, result: PpsResult) -> None:
        self.speeds.append(result)

    def on_hardware(self, hardware: Hardware) -> None:
        self.hardware.append(hardware)
        self._changed.set()

    @property
    def has_device(self) -> bool:
        return bool(self.hardware) and self.hardware[-1].is_present

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Host:
    """An emulator on a bus, with its slot above."""

    def __init__(self, bus: FakeBus, **settings: object) -> None:
        self.bus = bus
        self.above = Above(lambda tpdu: bytes(tpdu[4]) + OK if len(tpdu) == 5 else OK)
        self.emulator = SimtraceEmulator(SimtraceSettings.model_validate(settings), bus)
        self.above.emulator = self.emulator

    async def start(self) -> None:
        await self.emulator.start(self.above)

    async def insert(self, atr: bytes = ATR) -> None:
        self.emulator.select_sim(remote=True)
        self.emulator.set_atr(atr)
        self.emulator.insert_card()
        self.emulator.reset_modem()

    async def ready(self, plugged: Plugged) -> FakePort:
        """Until the device is taken and configured, and plays the card that is wanted."""
        await self.above.until(lambda: self.above.has_device)
        port = plugged.ports[0]
        await self.bus.until(lambda: port.slot.is_enabled)
        return port


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


async def booted(bus: FakeBus, host: Host) -> tuple[Plugged, FakePort, VirtualModem]:
    plugged = bus.plug()
    await host.start()
    await host.insert()
    port = await host.ready(plugged)
    modem = VirtualModem()
    assert await plugged.modems[0].run(modem.cold_reset()) == ATR
    return plugged, port, modem


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
    assert port.waiting == {0x85: 6, 0x86: 3}


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
    host.emulator.respond(OK)
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
async def test_garbage_is_told_with_its_octets_and_nothing_else_happens(
    bus: FakeBus, host: Host, log: Callable[[], str], garbage: bytes, endpoint: int
) -> None:
    plugged, port, modem = await booted(bus, host)
    log()
    port.inject(garbage, endpoint=endpoint)
    port.inject(b"", endpoint=endpoint)
    # A message in pieces waits for its rest until the next packet shows that there is none.
    await asyncio.sleep(0.001)
    if len(garbage) % 64 == 0 and garbage[6:8] == bytes.fromhex("4000"):
        port.inject(garbage[:1], endpoint=endpoint)
        await asyncio.sleep(0.001)
    text = log()
    if text:
        assert garbage[:8].hex() in text or "octets=" in text or "detail=" in text
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
    assert port.waiting == {0x85: 6, 0x86: 3}
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
    monkeypatch.setattr("remsim.emulators.simtrace2_link.OUT_WAIT_S", 0.01)
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
        host.emulator.respond(bytes(2) + OK)
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
        host.emulator.abort("the bank is away")
    assert running.result() == b"\x6f\x00"
    # Nobody waits any more.
    host.emulator.abort("late")
    host.emulator.respond(OK)


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
