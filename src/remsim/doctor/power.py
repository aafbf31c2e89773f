# SPDX-License-Identifier: Apache-2.0
"""Whether USB gives the readers enough power, as far as the kernel tells (USB 2.0, chapters 7.2 and 9.6).

``read_devices`` gathers; ``judge_power`` only thinks.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from remsim.core.values import dataclass
from remsim.doctor.check import Finding, Outcome, Situation

_NAME: Final = "power"
#: Linux's USB devices: each is a folder whose name is the path: bus, port, and the ports of hubs between.
USB_DEVICES: Final = Path("/sys/bus/usb/devices")
_HUB_CLASS: Final = 0x09
_CCID_CLASS: Final = 0x0B
#: bmAttributes: the device has a power supply of its own.
_SELF_POWERED: Final = 0x40
#: A hub without a power supply gets 500 mA, needs one unit of 100 mA itself, and has one for each of its ports.
_BUS_POWERED_PORT_MA: Final = 100
_BUS_POWERED_HUB_MA: Final = 400


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


def judge_power(devices: Sequence[UsbDevice]) -> list[Finding]:
    """Hubs that give too little, and ports that were switched off; a word if all is well and there are readers."""
    found: list[Finding] = []
    for hub in (device for device in devices if device.is_hub):
        children = [device for device in devices if device.parent == hub.path and device is not hub]
        found += _judge_hub(hub, children)
    readers = sum(device.is_reader for device in devices)
    if not found and readers:
        text = f"{readers} USB reader{'' if readers == 1 else 's'}, no hub gives them too little"
        return [Finding(_NAME, Outcome.OK, text)]
    return found


def _judge_hub(hub: UsbDevice, children: Sequence[UsbDevice]) -> list[Finding]:
    found = []
    if hub.over_currents:
        text = f"hub {hub}: ports were switched off {hub.over_currents} times since the start, for too much current"
        mend = "plug the readers into another hub with a power supply of its own; look for a broken cable"
        found.append(Finding(_NAME, Outcome.PROBLEM, text, mend))
    is_root = hub.path.startswith("usb")
    if is_root or hub.is_self_powered:
        return found
    needed = sum(device.needs_ma for device in children)
    greedy = [device for device in children if device.needs_ma > _BUS_POWERED_PORT_MA]
    mend = "give the hub a power supply, or use one that has one"
    if needed > _BUS_POWERED_HUB_MA or greedy:
        text = (
            f"hub {hub} has no power supply, and its {len(children)} devices ask for {needed} mA: such a hub has "
            f"{_BUS_POWERED_HUB_MA} mA, and {_BUS_POWERED_PORT_MA} mA for each port"
        )
        found.append(Finding(_NAME, Outcome.NOTE, text, mend))
    return found


async def check_power(situation: Situation) -> Sequence[Finding]:
    """The USB hubs of a bank's host; nothing for software cards."""
    if situation.bankd is not None and situation.bankd.reader not in (None, "pcscd", "pcsc"):
        return []
    return judge_power(read_devices())
