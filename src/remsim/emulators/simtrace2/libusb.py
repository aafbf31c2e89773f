# SPDX-License-Identifier: Apache-2.0
"""The USB seam on libusb: what is plugged in, and one interface with asynchronous transfers.

Each open interface has a libusb context of its own. A fresh one sees the devices as they are now, also where no udev
tells of changes, and nothing that goes wrong with one device touches another. The library is imported when it is used.
"""

import asyncio
import os
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from remsim.core.errors import StartError
from remsim.core.installation import install_command
from remsim.emulators.simtrace2.boards import Endpoint, InterfaceSetting, usb_path
from remsim.emulators.simtrace2.find import DeviceError, DeviceInfo, Found
from remsim.emulators.simtrace2.stream import PACKET_SIZE
from remsim.emulators.simtrace2.usb import NobodyListens, TransferEnd, UsbBus, UsbListener, UsbPort
from remsim.emulators.simtrace2.usb_pump import EventPump
from remsim.logs import get_logger

if TYPE_CHECKING:
    import usb1

#: Where the kernel shows USB devices, also those that we may not open.
SYSFS: Final = Path("/sys/bus/usb/devices")
UDEV_RULE: Final = "packaging/udev/70-remsim-simtrace2.rules"

#: How often the list of devices is looked at while one is waited for.
_LOOK_S: Final = 0.25
#: Cancelled transfers end at once, and strings come within milliseconds; a device that hangs gives neither.
_CLOSE_WAIT_S: Final = 2.0
_STRING_WAIT_S: Final = 1.0

# GET_DESCRIPTOR for strings (USB 2.0, clauses 9.4.3 and 9.6.7), in US English.
_DEVICE_TO_HOST: Final = 0x80
_GET_DESCRIPTOR: Final = 6
_STRING: Final = 3
_ENGLISH: Final = 0x0409
_MAX_STRING: Final = 255


def load_library() -> None:
    """Raise StartError, with what to install, unless libusb can be used."""
    try:
        import usb1
    except ImportError:
        raise StartError(
            "the Python package libusb1 is missing", hint=f"{install_command('usb')}, or Debian's python3-usb1"
        ) from None
    try:
        usb1.USBContext().open().close()
    except OSError:
        raise StartError("the library libusb-1.0 is missing", hint="apt-get install libusb-1.0-0") from None
    except usb1.USBError:
        # The library is there. That there is no USB, now, is no reason not to wait for it.
        return


def _describe(device: "usb1.USBDevice") -> DeviceInfo:
    path = usb_path(device.getBusNumber(), device.getPortNumberList())
    configurations = {
        configuration.getConfigurationValue(): tuple(
            InterfaceSetting(
                setting.getNumber(),
                setting.getAlternateSetting(),
                setting.getClass(),
                setting.getSubClass(),
                setting.getProtocol(),
                tuple(
                    Endpoint(
                        endpoint.getAddress(),
                        endpoint.getAttributes() & 0x03,
                        endpoint.getMaxPacketSize(),
                        endpoint.getInterval(),
                    )
                    for endpoint in setting
                ),
                setting.getDescriptor(),
            )
            for interface in configuration
            for setting in interface
        )
        for configuration in device.iterConfigurations()
    }
    return DeviceInfo(
        device.getVendorID(),
        device.getProductID(),
        device.getBusNumber(),
        device.getDeviceAddress(),
        path,
        _serial(path),
        configurations,
    )


def _serial(path: str) -> str | None:
    """The kernel has read it at enumeration; asking the device again would need permission and time."""
    try:
        return (SYSFS / path / "serial").read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None


def device_node(device: DeviceInfo) -> str:
    """The file that is opened."""
    return f"/dev/bus/usb/{device.bus:03d}/{device.address:03d}"


def _device_error(error: "usb1.USBError", found: Found) -> DeviceError:
    import usb1

    device = found.device
    match error:
        case usb1.USBErrorAccess():
            node = device_node(device)
            return DeviceError(f"no permission to open {node} ({device})", hint=f"install {UDEV_RULE} as a udev rule")
        case usb1.USBErrorBusy():
            return DeviceError(
                f"{found} is in use by another program", hint="each interface can be used by one program at a time"
            )
        case usb1.USBErrorNoDevice() | usb1.USBErrorNotFound():
            return DeviceError(f"{found} has gone")
    return DeviceError(f"{found} cannot be used: {error}")


class LibusbBus(UsbBus):
    """What libusb and the kernel know."""

    def __init__(self) -> None:
        self._seen = frozenset[tuple[str, int]]()
        self._is_loaded = False

    def devices(self) -> list[DeviceInfo]:
        """What is plugged in."""
        if not self._is_loaded:
            load_library()
            self._is_loaded = True
        import usb1

        self._seen = self._look()
        try:
            with usb1.USBContext() as context:
                # A root hub has no port.
                return [
                    _describe(device)
                    for device in context.getDeviceIterator(skip_on_error=True)
                    if device.getPortNumberList()
                ]
        except usb1.USBError as error:
            raise DeviceError(f"USB cannot be used: {error}", hint="has this host USB, and is /sys mounted?") from None

    def open(self, found: Found, listener: UsbListener) -> UsbPort:
        """Claim an interface."""
        return self._open(found, listener, is_claimed=True)

    def open_unclaimed(self, found: Found) -> UsbPort:
        """Open the device without disturbing a program that uses the interface: only strings can be read."""
        return self._open(found, NobodyListens(), is_claimed=False)

    def _open(self, found: Found, listener: UsbListener, *, is_claimed: bool) -> UsbPort:
        import usb1

        with ExitStack() as stack:
            try:
                context = usb1.USBContext().open()
                stack.callback(context.close)
                pump = EventPump(context, listener.on_failure)
                stack.callback(pump.stop)
                pump.start()
                handle = self._find(context, found).open()
                stack.callback(handle.close)
                if is_claimed:
                    _claim(handle, found)
            except usb1.USBError as error:
                raise _device_error(error, found) from None
            pump.settle()
            stack.pop_all()
        return LibusbPort(context, pump, handle, found, listener)

    def _find(self, context: "usb1.USBContext", found: Found) -> "usb1.USBDevice":
        for device in list(context.getDeviceIterator(skip_on_error=True)):
            if (device.getBusNumber(), device.getDeviceAddress()) == (found.device.bus, found.device.address):
                return device
        raise DeviceError(f"{found} has gone")

    async def wait_change(self, timeout_s: float) -> None:
        """Look at the kernel's list, a tenth of a millisecond's work, until it differs from what ``devices`` saw."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while loop.time() < deadline:
            await asyncio.sleep(min(_LOOK_S, timeout_s))
            if self._look() != self._seen:
                return

    @staticmethod
    def _look() -> frozenset[tuple[str, int]]:
        # A device that was plugged in again has the name it had, but is another entry.
        try:
            with os.scandir(SYSFS) as entries:
                return frozenset((entry.name, entry.inode()) for entry in entries)
        except OSError:
            return frozenset()


def _claim(handle: "usb1.USBDeviceHandle", found: Found) -> None:
    """Set as little as possible: a configuration that is set again makes the device forget what it was doing."""
    if handle.getConfiguration() != found.configuration:
        handle.setConfiguration(found.configuration)
    handle.claimInterface(found.slot.number)
    if found.slot.alternate:
        handle.setInterfaceAltSetting(found.slot.number, found.slot.alternate)


class LibusbPort(UsbPort):
    """One claimed interface."""

    def __init__(
        self,
        context: "usb1.USBContext",
        pump: EventPump,
        handle: "usb1.USBDeviceHandle",
        found: Found,
        listener: UsbListener,
    ) -> None:
        import usb1

        self._usb1 = usb1
        self._context = context
        self._pump = pump
        self._handle = handle
        self._found = found
        self._listener = listener
        self._ends = {
            usb1.TRANSFER_COMPLETED: TransferEnd.COMPLETED,
            usb1.TRANSFER_STALL: TransferEnd.STALLED,
            usb1.TRANSFER_OVERFLOW: TransferEnd.OVERFLOW,
            usb1.TRANSFER_TIMED_OUT: TransferEnd.TIMED_OUT,
            usb1.TRANSFER_NO_DEVICE: TransferEnd.GONE,
            usb1.TRANSFER_CANCELLED: TransferEnd.CANCELLED,
        }
        self._transfers: set[usb1.USBTransfer] = set()
        self._free: dict[int, list[usb1.USBTransfer]] = {found.slot.bulk_in: [], found.slot.interrupt_in: []}
        self._out = self._new_transfer()
        self._pending = 0
        self._is_closing = False
        self._drained = asyncio.Event()
        if pump.has_thread:
            get_logger("simtrace2").debug("usb_events_by_thread", path=found.device.path)

    def _new_transfer(self) -> "usb1.USBTransfer":
        transfer = self._handle.getTransfer()
        self._transfers.add(transfer)
        return transfer

    def _submit(self, transfer: "usb1.USBTransfer") -> None:
        try:
            transfer.submit()
        except self._usb1.USBErrorNoDevice:
            raise DeviceError(TransferEnd.GONE.value) from None
        except self._usb1.USBError as error:
            raise _device_error(error, self._found) from None
        self._pending += 1

    def _on_ended(self) -> bool:
        """One transfer less; return whether its end is to be told."""
        self._pending -= 1
        if self._is_closing and self._pending == 0:
            self._drained.set()
        return not self._is_closing

    # IN

    def submit_in(self, endpoint: int) -> None:
        """Queue one transfer of one packet: whatever its length, a packet ends it, and nothing can get stuck."""
        free = self._free[endpoint]
        if not free:
            free.append(self._new_in_transfer(endpoint))
        self._submit(free[-1])
        free.pop()

    def _new_in_transfer(self, endpoint: int) -> "usb1.USBTransfer":
        transfer = self._new_transfer()
        is_interrupt = endpoint == self._found.slot.interrupt_in
        setup = transfer.setInterrupt if is_interrupt else transfer.setBulk
        setup(endpoint, PACKET_SIZE, partial(self._on_in, endpoint))
        return transfer

    def _on_in(self, endpoint: int, transfer: "usb1.USBTransfer") -> None:
        end = self._ends.get(transfer.getStatus(), TransferEnd.ERROR)
        # The buffer is only ours until the transfer is submitted again.
        data = bytes(transfer.getBuffer()[: transfer.getActualLength()])
        self._pump.post(partial(self._tell_in, endpoint, end, data, transfer))

    def _tell_in(self, endpoint: int, end: TransferEnd, data: bytes, transfer: "usb1.USBTransfer") -> None:
        self._free[endpoint].append(transfer)
        if self._on_ended():
            self._listener.on_in(endpoint, end, data)

    # OUT

    def submit_out(self, data: bytes, *, has_zero_packet: bool) -> None:
        """Begin the OUT transfer."""
        self._out.setBulk(self._found.slot.bulk_out, data, self._on_out)
        # An empty transfer is the empty packet itself.
        self._out.setAddZeroPacket(has_zero_packet and bool(data))
        self._submit(self._out)

    def _on_out(self, transfer: "usb1.USBTransfer") -> None:
        end = self._ends.get(transfer.getStatus(), TransferEnd.ERROR)
        self._pump.post(partial(self._tell_out, end, transfer.getActualLength()))

    def _tell_out(self, end: TransferEnd, taken: int) -> None:
        if self._on_ended():
            self._listener.on_out(end, taken)

    def cancel_out(self) -> None:
        """End it, unless it has ended already."""
        self._cancel(self._out)

    def _cancel(self, transfer: "usb1.USBTransfer") -> None:
        if transfer.isSubmitted():
            # It may end by itself between the two calls, or the device may be gone.
            with suppress(self._usb1.USBError):
                transfer.cancel()

    def clear_halt(self, endpoint: int) -> None:
        """Let an endpoint go on that has stalled."""
        try:
            self._handle.clearHalt(endpoint)
        except self._usb1.USBErrorNoDevice:
            raise DeviceError(TransferEnd.GONE.value) from None
        except self._usb1.USBError as error:
            raise _device_error(error, self._found) from None

    # Strings

    async def read_string(self, index: int) -> str | None:
        """A string descriptor, asked for asynchronously: a device that hangs must not stop the loop."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def tell(data: bytes) -> None:
            self._on_ended()
            if not answer.done():
                answer.set_result(data)

        def ended(transfer: "usb1.USBTransfer") -> None:
            is_good = transfer.getStatus() == self._usb1.TRANSFER_COMPLETED
            data = bytes(transfer.getBuffer()[: transfer.getActualLength()]) if is_good else b""
            self._pump.post(partial(tell, data))

        transfer = self._new_transfer()
        transfer.setControl(_DEVICE_TO_HOST, _GET_DESCRIPTOR, _STRING << 8 | index, _ENGLISH, _MAX_STRING, ended)
        try:
            self._submit(transfer)
            async with asyncio.timeout(_STRING_WAIT_S):
                data = await answer
        except (DeviceError, TimeoutError):
            self._cancel(transfer)
            return None
        return data[2 : data[0]].decode("utf-16-le", "replace") if len(data) > 2 else None

    # End

    async def close(self) -> None:
        """End all transfers, wait for libusb to say so, and let go."""
        if self._is_closing:
            return
        self._is_closing = True
        for transfer in self._transfers:
            self._cancel(transfer)
        if self._pending:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_WAIT_S):
                    await self._drained.wait()
        self._pump.stop()
        for transfer in self._transfers:
            if not transfer.isSubmitted():
                transfer.close()
        # After an unplug the release fails, too.
        with suppress(self._usb1.USBError):
            self._handle.releaseInterface(self._found.slot.number)
        self._handle.close()
        self._context.close()
