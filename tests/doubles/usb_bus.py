# SPDX-License-Identifier: Apache-2.0
"""USB in the test's own loop: virtual SIMtrace2 devices behind the seam of the card emulation, with modems attached.

Packets, transfers and their ends are as on a bus; what is plugged in or out, refused or broken, the test says.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar, cast

from remsim.emulators.simtrace2.boards import InterfaceSetting
from remsim.emulators.simtrace2.find import DeviceError, DeviceInfo, Found
from remsim.emulators.simtrace2.usb import TransferEnd, UsbBus, UsbListener, UsbPort
from tests.doubles.modem_rig import ModemStand
from tests.doubles.simtrace2_device import InQueue, Slot, VirtualSimtrace2, packets_of
from tests.doubles.usb_descriptors import parse_configuration
from tests.doubles.virtual_modem import ModemError, Procedure
from tests.reference import reference

SERIAL: Final = "00112233445566778899aabbccddeeff"

_T = TypeVar("_T")


def configurations_of(board: str) -> dict[int, tuple[InterfaceSetting, ...]]:
    """What the descriptors of a board's firmware say."""
    boards = json.loads(reference("vectors", "simtrace2", "descriptors.json").read_text(encoding="utf-8"))["boards"]
    parsed = [parse_configuration(bytes.fromhex(raw)) for raw in boards[board]["configurations"]]
    return {value: tuple(settings) for value, settings in parsed}


class Modem:
    """The modem in front of one slot; ``await run(procedure)``."""

    def __init__(self, plugged: "Plugged", number: int) -> None:
        self._stand = ModemStand(lambda: plugged.device.slots[number])
        self._plugged = plugged
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, procedure: Procedure[_T]) -> _T:
        """Run one of the modem's procedures to its end. Raises ModemError. Cancelled, it is left in its middle."""
        result: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

        def done(value: object, error: ModemError | None) -> None:
            if error is not None:
                result.set_exception(error)
            else:
                result.set_result(cast(_T, value))

        self._stand.begin(procedure, done, asyncio.get_running_loop().time())
        self.kick()
        try:
            return await result
        finally:
            self._stand.abandon()
            self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def kick(self) -> None:
        """Something may have happened."""
        loop = asyncio.get_running_loop()
        self._stop_timer()
        due = self._stand.advance(loop.time())
        self._plugged.pump()
        if due is not None:
            self._timer = loop.call_at(due, self.kick)


class Plugged:
    """A device on the bus."""

    def __init__(self, bus: "FakeBus", board: str, info: DeviceInfo) -> None:
        self.device = VirtualSimtrace2(board)
        self.info = info
        self.bus = bus
        #: By number of the interface.
        self.ports: dict[int, FakePort] = {}
        self.modems = [Modem(self, number) for number in range(len(self.device.slots))]

    def pump(self) -> None:
        """Hand what the device has to say to the waiting transfers."""
        for port in tuple(self.ports.values()):
            port.pump()


class FakeBus(UsbBus):
    """What is plugged in, by path."""

    def __init__(self) -> None:
        self.plugged: dict[str, Plugged] = {}
        #: Raised instead of opening, as long as it is set.
        self.refusal: DeviceError | None = None
        self.has_usb = True
        self._changed = asyncio.Event()
        self._activity = asyncio.Event()
        self._address = 6

    def plug(
        self,
        board: str = "simtrace",
        path: str = "1-4",
        *,
        serial: str | None = SERIAL,
        configurations: dict[int, tuple[InterfaceSetting, ...]] | None = None,
    ) -> Plugged:
        """Plug a device in; it gets the next address."""
        self._address += 1
        kind = VirtualSimtrace2(board).kind
        info = DeviceInfo(
            0x1D50,
            kind.product_id,
            int(path.partition("-")[0]),
            self._address,
            path,
            serial,
            configurations_of(board) if configurations is None else configurations,
        )
        plugged = self.plugged[path] = Plugged(self, board, info)
        self.change()
        return plugged

    def unplug(self, path: str = "1-4") -> Plugged:
        """Pull the plug: all transfers in progress end so."""
        plugged = self.plugged.pop(path)
        for port in tuple(plugged.ports.values()):
            port.end_all(TransferEnd.GONE)
        self.change()
        return plugged

    def replug(self, plugged: Plugged) -> None:
        """Plug it in again where it was: it has restarted, the modem's lines are as they are."""
        self._address += 1
        info = plugged.info
        plugged.device.restart()
        plugged.info = DeviceInfo(
            info.vendor_id, info.product_id, info.bus, self._address, info.path, info.serial, info.configurations
        )
        self.plugged[info.path] = plugged
        self.change()

    def change(self) -> None:
        """Let the waiting tasks look again."""
        self._changed.set()

    def note(self) -> None:
        """Something happened on the bus."""
        self._activity.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the host's transfers bring about."""
        async with asyncio.timeout(10):
            while not condition():
                self._activity.clear()
                await self._activity.wait()

    # UsbBus

    def devices(self) -> list[DeviceInfo]:
        self._changed.clear()
        if not self.has_usb:
            raise DeviceError("USB cannot be used")
        return [plugged.info for plugged in self.plugged.values()]

    def open(self, found: Found, listener: UsbListener) -> UsbPort:
        if self.refusal is not None:
            raise self.refusal
        plugged = self.plugged[found.device.path]
        if found.slot.number in plugged.ports:
            raise DeviceError(f"{found} is in use by another program")
        return FakePort(plugged, found, listener)

    async def wait_change(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return


class FakePort(UsbPort):
    """One claimed interface of a virtual device."""

    def __init__(self, plugged: Plugged, found: Found, listener: UsbListener) -> None:
        self.plugged = plugged
        self.found = found
        self.listener = listener
        self.cleared: list[int] = []
        #: What went out, whatever the device makes of it.
        self.written: list[bytes] = []
        #: The device takes nothing, as one that hangs.
        self.is_stuck = False
        #: Answers of the next OUT transfers instead of success: how it ends, and how much was taken.
        self.out_ends: deque[tuple[TransferEnd, int]] = deque()
        self.version: str | None = "0.9.1"
        self.waiting = {found.slot.bulk_in: 0, found.slot.interrupt_in: 0}
        self._packets: dict[int, deque[bytes]] = {endpoint: deque() for endpoint in self.waiting}
        self._out: bytes | None = None
        self._is_open = True
        plugged.ports[found.slot.number] = self

    @property
    def slot(self) -> Slot:
        """The slot behind the interface."""
        return self.plugged.device.slots[self.found.slot.number]

    @property
    def is_open(self) -> bool:
        """Whether somebody holds it."""
        return self._is_open

    def _soon(self, endpoint: int, end: TransferEnd, data: bytes) -> None:
        asyncio.get_running_loop().call_soon(self._tell_in, endpoint, end, data)

    def _tell_in(self, endpoint: int, end: TransferEnd, data: bytes) -> None:
        if self._is_open:
            self.listener.on_in(endpoint, end, data)

    def inject(self, data: bytes, *, endpoint: int | None = None, end: TransferEnd = TransferEnd.COMPLETED) -> None:
        """Let one waiting transfer end like this."""
        endpoint = self.found.slot.bulk_in if endpoint is None else endpoint
        assert self.waiting[endpoint] > 0
        self.waiting[endpoint] -= 1
        self._soon(endpoint, end, data)

    def end_all(self, end: TransferEnd) -> None:
        """Let all transfers end like this, as an unplug does."""
        for endpoint, count in self.waiting.items():
            self.waiting[endpoint] = 0
            for _ in range(count):
                self._soon(endpoint, end, b"")
        if self._out is not None:
            self._out = None
            asyncio.get_running_loop().call_soon(self._tell_out, end, 0)

    def pump(self) -> None:
        """Fill waiting transfers, a packet each."""
        queues: dict[int, InQueue] = {
            self.found.slot.bulk_in: self.slot.bulk,
            self.found.slot.interrupt_in: self.slot.interrupt,
        }
        for endpoint, packets in self._packets.items():
            while self.waiting[endpoint]:
                if not packets and (message := queues[endpoint].take()) is not None:
                    packets.extend(packets_of(message))
                if not packets:
                    break
                self.waiting[endpoint] -= 1
                self._soon(endpoint, TransferEnd.COMPLETED, packets.popleft())

    # UsbPort

    def _check(self) -> None:
        if self.plugged.bus.plugged.get(self.found.device.path) is not self.plugged or not self._is_open:
            raise DeviceError(TransferEnd.GONE.value)

    def submit_in(self, endpoint: int) -> None:
        self._check()
        self.waiting[endpoint] += 1
        self.pump()
        self.plugged.bus.note()

    def submit_out(self, data: bytes, *, has_zero_packet: bool) -> None:
        self._check()
        assert self._out is None, "two OUT transfers at a time"
        self.written.append(data)
        self._out = data
        self.plugged.bus.note()
        if self.is_stuck:
            return
        end, taken = self.out_ends.popleft() if self.out_ends else (TransferEnd.COMPLETED, len(data))
        is_whole = end is TransferEnd.COMPLETED
        self.slot.host_out(data[:taken], has_zero_packet=has_zero_packet and is_whole) if taken or is_whole else None
        asyncio.get_running_loop().call_soon(self._tell_out, end, taken)
        self.plugged.modems[self.found.slot.number].kick()

    @property
    def is_sending(self) -> bool:
        """Whether an OUT transfer is in progress."""
        return self._out is not None

    def _tell_out(self, end: TransferEnd, taken: int) -> None:
        self._out = None
        self.plugged.bus.note()
        if self._is_open:
            self.listener.on_out(end, taken)

    def cancel_out(self) -> None:
        if self._out is not None and self.is_stuck:
            asyncio.get_running_loop().call_soon(self._tell_out, TransferEnd.CANCELLED, 0)

    def clear_halt(self, endpoint: int) -> None:
        self._check()
        self.cleared.append(endpoint)

    async def read_string(self, index: int) -> str | None:
        return self.version if index == 13 else None

    async def close(self) -> None:
        self._is_open = False
        self.plugged.ports.pop(self.found.slot.number, None)
