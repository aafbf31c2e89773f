# SPDX-License-Identifier: Apache-2.0
"""Which interface of which USB device is meant by a slot's settings, and why there is none.

Works on descriptions of what is plugged in, so it needs neither the USB library nor a device.
"""

from collections.abc import Iterable, Mapping, Sequence

from remsim.core.values import dataclass
from remsim.emulators.errors import EmulatorError
from remsim.emulators.simtrace2.boards import (
    BOARDS,
    CONFIGURATION,
    OTHER_PRODUCTS,
    UNKNOWN_BOARD,
    VENDOR_ID,
    Board,
    DeviceMode,
    InterfaceSetting,
    SlotInterface,
    device_mode,
    emulator_slots,
)


class DeviceError(EmulatorError):
    """The interface cannot be used now. It may be possible later: somebody plugs it in, or gives permission."""


class AmbiguousDeviceError(DeviceError):
    """Several interfaces fit the settings: which one is meant must be said."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A USB device as it is plugged in."""

    vendor_id: int
    product_id: int
    bus: int
    #: Changes with each enumeration.
    address: int
    #: ``2-1.4``; stays as long as the plug stays where it is.
    path: str
    #: None if the device has none, or if it cannot be read.
    serial: str | None
    #: Settings of the interfaces by bConfigurationValue.
    configurations: Mapping[int, tuple[InterfaceSetting, ...]]

    @property
    def board(self) -> Board:
        """What the table says about it."""
        return BOARDS.get(self.product_id, UNKNOWN_BOARD) if self.vendor_id == VENDOR_ID else UNKNOWN_BOARD

    def __str__(self) -> str:
        """For people."""
        serial = f", serial {self.serial}" if self.serial else ""
        return f"{self.vendor_id:04x}:{self.product_id:04x} at {self.path} (address {self.address}{serial})"


@dataclass(frozen=True, slots=True)
class Selector:
    """What is known of the wanted interface; None: any."""

    vendor_id: int | None = None
    product_id: int | None = None
    path: str | None = None
    address: int | None = None
    serial: str | None = None
    interface: int | None = None
    configuration: int | None = None
    alternate: int | None = None

    def fits(self, device: DeviceInfo) -> bool:
        """Whether the device is one of those that are meant."""
        return (
            self._fits_ids(device)
            and self.path in (None, device.path)
            and self.address in (None, device.address)
            and (self.serial is None or (device.serial or "").lower() == self.serial.lower())
        )

    def _fits_ids(self, device: DeviceInfo) -> bool:
        vendor_id = VENDOR_ID if self.vendor_id is None else self.vendor_id
        if device.vendor_id != vendor_id:
            return False
        if self.product_id is not None:
            return device.product_id == self.product_id
        return device.product_id in BOARDS or vendor_id != VENDOR_ID


@dataclass(frozen=True, slots=True)
class Found:
    """An interface that is an emulator slot, on a device that is plugged in."""

    device: DeviceInfo
    configuration: int
    slot: SlotInterface

    @property
    def board(self) -> Board:
        """What the table says about the device."""
        return self.device.board

    def __str__(self) -> str:
        """For people."""
        return f"{self.board.name} {self.device}, interface {self.slot.number}"


def find(devices: Iterable[DeviceInfo], selector: Selector) -> list[Found]:
    """All emulator slots that fit, in the order of path and interface."""
    configuration = CONFIGURATION if selector.configuration is None else selector.configuration
    found = [
        Found(device, configuration, slot)
        for device in devices
        if selector.fits(device)
        for slot in emulator_slots(device.configurations.get(configuration, ()))
        if selector.interface in (None, slot.number) and slot.alternate == (selector.alternate or 0)
    ]
    return sorted(found, key=lambda one: (one.device.path, one.slot.number))


def choose(devices: Sequence[DeviceInfo], selector: Selector) -> Found:
    """The one emulator slot that fits. Raises DeviceError if there is none, AmbiguousDeviceError if there are more."""
    found = find(devices, selector)
    if len(found) == 1:
        return found[0]
    if found:
        listing = "; ".join(f"{one.device.path} interface {one.slot.number}" for one in found)
        raise AmbiguousDeviceError(
            f"{len(found)} emulator slots fit: {listing}", hint="say which one with path and interface"
        )
    raise _no_slot(devices, selector)


def _no_slot(devices: Sequence[DeviceInfo], selector: Selector) -> DeviceError:
    for device in devices:
        if selector.fits(device):
            return _unfit(device, selector)
    for device in devices:
        if device.vendor_id == VENDOR_ID and device.product_id in OTHER_PRODUCTS and selector.path == device.path:
            return DeviceError(f"{device} is no emulator but a {OTHER_PRODUCTS[device.product_id]}")
    others = [device for device in devices if Selector().fits(device)]
    if others:
        there = ", ".join(str(device) for device in others)
        return DeviceError(f"no device fits the settings; there is {there}", hint="compare path, address and serial")
    return DeviceError("no SIMtrace2 or related device is plugged in", hint="lsusb shows 1d50:60e3 or a related id")


def _unfit(device: DeviceInfo, selector: Selector) -> DeviceError:
    """Why a device that is meant has no slot that is."""
    wanted = CONFIGURATION if selector.configuration is None else selector.configuration
    settings = device.configurations.get(wanted, ())
    match device_mode(settings):
        case DeviceMode.BOOT_LOADER:
            return DeviceError(f"{device} is in DFU mode", hint="unplug it and plug it in again, or flash the firmware")
        case DeviceMode.SNIFFER:
            return DeviceError(f"{device} runs the sniffer firmware", hint="flash the cardem firmware")
        case DeviceMode.OTHER:
            return DeviceError(f"{device} has no card-emulation interface in configuration {wanted}")
        case _:
            numbers = ", ".join(str(slot.number) for slot in emulator_slots(settings)) or "none"
            return DeviceError(
                f"{device} has no such interface with bulk OUT, bulk IN and interrupt IN endpoints",
                hint=f"interfaces that have them: {numbers}",
            )
