# SPDX-License-Identifier: Apache-2.0
"""A SIMtrace2 emulator on a bus of the tests' own, with the client slot above it."""

from collections.abc import Callable

from remsim.config.simtrace2 import SimtraceSettings
from remsim.core.limits import LimitName
from remsim.emulators.base import Hardware
from remsim.emulators.simtrace2.emulator import SimtraceEmulator
from tests.doubles.slot_above import SlotAbove
from tests.doubles.usb_bus import FakeBus, FakePort, Plugged
from tests.doubles.virtual_modem import VirtualModem

ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")
READ = bytes.fromhex("00b0000002")
OK = b"\x90\x00"


class Above(SlotAbove):
    """The client slot, with what only hardware tells."""

    def __init__(self, card: Callable[[bytes], bytes | None]) -> None:
        super().__init__(card)
        self.hardware: list[Hardware] = []
        self.limits: list[LimitName] = []
        #: Whether each unknown command was refused.
        self.unknown: list[bool] = []

    def on_hardware(self, hardware: Hardware) -> None:
        self.hardware.append(hardware)
        self.changed.set()

    def on_unknown_command(self, *, is_refused: bool) -> None:
        self.unknown.append(is_refused)

    def on_limit(self, limit: LimitName) -> None:
        self.limits.append(limit)

    @property
    def has_device(self) -> bool:
        return bool(self.hardware) and self.hardware[-1].is_present


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


async def booted(bus: FakeBus, host: Host) -> tuple[Plugged, FakePort, VirtualModem]:
    plugged = bus.plug()
    await host.start()
    await host.insert()
    port = await host.ready(plugged)
    modem = VirtualModem()
    assert await plugged.modems[0].run(modem.cold_reset()) == ATR
    return plugged, port, modem
