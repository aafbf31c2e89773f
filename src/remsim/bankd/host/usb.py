# SPDX-License-Identifier: Apache-2.0
"""USB devices of this host, as the kernel shows them (USB 2.0, chapter 9.6). Judges nothing."""

import contextlib
from pathlib import Path
from typing import Final

from remsim.core.values import dataclass

#: Linux's USB devices: each is a folder whose name is the path: bus, port, and the ports of hubs between.
USB_DEVICES: Final = Path("/sys/bus/usb/devices")
_HUB_CLASS: Final = 0x09
_CCID_CLASS: Final = 0x0B
#: bmAttributes: the device has a power supply of its own.
_SELF_POWERED: Final = 0x40


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """One device, hub or root hub (``usb1``)."""

    path: str
    name: str = ""
    is_hub: bool = False
    is_reader: bool = False
    is_self_powered: bool = False
    #: What it asks for.
    needs_ma: int = 0
    #: How often one of its ports was switched off because too much current flowed; hubs only.
    over_currents: int = 0

    @property
    def parent(self) -> str:
        """Path of the hub that it is plugged into; of a root hub its own."""
        head, dot, _ = self.path.rpartition(".")
        if dot:
            return head
        return f"usb{self.path.partition('-')[0]}" if "-" in self.path else self.path

    def __str__(self) -> str:
        """For people."""
        return f"{self.name} at {self.path}" if self.name else self.path


def read_devices(folder: Path = USB_DEVICES) -> list[UsbDevice]:
    """All devices that the kernel knows; none where it has no such tree."""
    try:
        folders = sorted(place for place in folder.iterdir() if ":" not in place.name)
    except OSError:
        return []
    return [_read_device(place) for place in folders]


def _read_device(place: Path) -> UsbDevice:
    # Interfaces are folders beside or below their device, depending on whether this is the bus's view.
    interfaces = sorted(place.glob(f"{place.name}:*")) + sorted(place.parent.glob(f"{place.name}:*"))
    power = _text(place / "bMaxPower").removesuffix("mA")
    ports = {file.resolve() for hub in (place, *interfaces) for file in hub.glob("*-port*/over_current_count")}
    return UsbDevice(
        path=place.name,
        name=_text(place / "product"),
        is_hub=_number(place / "bDeviceClass", 16) == _HUB_CLASS,
        is_reader=any(_number(one / "bInterfaceClass", 16) == _CCID_CLASS for one in interfaces),
        is_self_powered=bool(_number(place / "bmAttributes", 16) & _SELF_POWERED),
        needs_ma=int(power) if power.isdecimal() else 0,
        over_currents=sum(_number(file, 10) for file in ports),
    )


def _text(file: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text(encoding="utf-8").strip()
    return ""


def _number(file: Path, base: int) -> int:
    with contextlib.suppress(ValueError):
        return int(_text(file), base)
    return 0
