# SPDX-License-Identifier: Apache-2.0
"""The boards that run SIMtrace2's card-emulation firmware, and which interfaces of a USB device are emulator slots.

The firmware never says what its board can do, so a table by product id does (simtrace2.md, 1 and 8). Endpoints are read
from the descriptors and never assumed. The boot loader and the sniffer bear the same product ids; only their interface
class tells them apart. Knows descriptors, not how they are got.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

from remsim.core.values import dataclass

VENDOR_ID: Final = 0x1D50
#: The configuration with the emulator; the other one only carries the firmware's version as a string.
CONFIGURATION: Final = 1
#: String descriptor with the firmware's version.
VERSION_STRING: Final = 13

_VENDOR_CLASS: Final = 0xFF
_CARD_EMULATION: Final = 0x02
_SNIFFER: Final = 0x01
_APPLICATION_CLASS: Final = 0xFE
_DFU: Final = 0x01

_DIRECTION_IN: Final = 0x80
_BULK: Final = 2
_INTERRUPT: Final = 3


@dataclass(frozen=True, slots=True)
class Board:
    """What a board can do. Requests that it cannot fulfil are accepted by its firmware, without any effect."""

    name: str
    product_id: int
    slots: int
    is_bus_powered: bool
    #: Pulsing the modem's reset line works.
    has_modem_reset: bool = False
    #: CARD_INSERT drives a presence contact.
    has_presence: bool = False
    #: CONFIG's polarity has an effect.
    has_polarity: bool = False
    #: SIM_SELECT moves a switch between the emulator and a card; it enables the emulator on every board.
    has_sim_switch: bool = False
    #: The voltage in STATUS times this is VCC in mV; None where it is not measured.
    voltage_scale: float | None = None
    #: A multiplexer chooses which of several slots is in use.
    has_mux: bool = False


BOARDS: Final[dict[int, Board]] = {
    board.product_id: board
    for board in (
        Board("SIMtrace2", 0x60E3, 1, is_bus_powered=True, has_sim_switch=True),
        Board(
            "sysmoQMOD",
            0x4004,
            2,
            is_bus_powered=False,
            has_modem_reset=True,
            has_sim_switch=True,
            voltage_scale=1.0,
        ),
        Board("OWHW", 0x4001, 2, is_bus_powered=False, has_presence=True, has_polarity=True),
        Board(
            "sysmoOCTSIM tester",
            0x616D,
            1,
            is_bus_powered=True,
            has_presence=True,
            has_polarity=True,
            voltage_scale=1 / 0.61,
            has_mux=True,
        ),
        Board(
            "ngff-cardem",
            0x616E,
            1,
            is_bus_powered=False,
            has_modem_reset=True,
            has_presence=True,
            has_polarity=True,
            has_sim_switch=True,
            voltage_scale=1.0,
        ),
    )
}

#: Not to be opened: the hub on a sysmoQMOD, and boot loaders of old devices.
OTHER_PRODUCTS: Final = {
    0x4002: "hub of a sysmoQMOD",
    0x60E2: "old boot loader of a SIMtrace2",
    0x4000: "old boot loader of an OWHW",
    0x4003: "old boot loader of a sysmoQMOD",
}

#: A device whose product id is not in the table, chosen by the operator all the same.
UNKNOWN_BOARD: Final = Board("unknown board", 0, 1, is_bus_powered=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``address`` has bit 7 set for IN; ``interval`` is bInterval."""

    address: int
    transfer_type: int
    packet_size: int
    interval: int

    @property
    def is_in(self) -> bool:
        """From the device."""
        return bool(self.address & _DIRECTION_IN)


@dataclass(frozen=True, slots=True)
class InterfaceSetting:
    """One interface descriptor with its endpoints."""

    number: int
    alternate: int
    interface_class: int
    subclass: int
    protocol: int
    endpoints: tuple[Endpoint, ...] = ()
    #: Index of the string that names it, 0 if none.
    name_index: int = 0


@dataclass(frozen=True, slots=True)
class SlotInterface:
    """An interface that is an emulator slot."""

    number: int
    alternate: int
    bulk_out: int
    bulk_in: int
    interrupt_in: int
    #: Polling interval of the interrupt endpoint in ms: 1, with firmware from before 2022 16.
    interval_ms: int


class DeviceMode(Enum):
    """Which firmware runs on a device."""

    CARD_EMULATION = "card emulation"
    SNIFFER = "sniffer firmware"
    BOOT_LOADER = "boot loader (DFU mode)"
    OTHER = "no firmware that we know"


def device_mode(settings: Iterable[InterfaceSetting]) -> DeviceMode:
    """Tell the firmware by the interfaces of configuration 1."""
    kinds = {(setting.interface_class, setting.subclass) for setting in settings}
    if (_VENDOR_CLASS, _CARD_EMULATION) in kinds:
        return DeviceMode.CARD_EMULATION
    if (_VENDOR_CLASS, _SNIFFER) in kinds:
        return DeviceMode.SNIFFER
    if (_APPLICATION_CLASS, _DFU) in kinds:
        return DeviceMode.BOOT_LOADER
    return DeviceMode.OTHER


def emulator_slots(settings: Iterable[InterfaceSetting]) -> list[SlotInterface]:
    """The card-emulation interfaces that have one bulk OUT, one bulk IN and one interrupt IN endpoint."""
    found = []
    for setting in settings:
        if (setting.interface_class, setting.subclass) != (_VENDOR_CLASS, _CARD_EMULATION):
            continue
        bulk_out = [e for e in setting.endpoints if e.transfer_type == _BULK and not e.is_in]
        bulk_in = [e for e in setting.endpoints if e.transfer_type == _BULK and e.is_in]
        interrupts = [e for e in setting.endpoints if e.transfer_type == _INTERRUPT and e.is_in]
        if (len(bulk_out), len(bulk_in), len(interrupts)) == (1, 1, 1):
            found.append(
                SlotInterface(
                    setting.number,
                    setting.alternate,
                    bulk_out[0].address,
                    bulk_in[0].address,
                    interrupts[0].address,
                    max(1, interrupts[0].interval),
                )
            )
    return found


def usb_path(bus: int, ports: Iterable[int]) -> str:
    """``2-1.4``: bus, and the ports from the root hub downwards, as the kernel names the device's folder."""
    return f"{bus}-{'.'.join(str(port) for port in ports)}"
