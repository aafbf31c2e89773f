# SPDX-License-Identifier: Apache-2.0
"""Where a reader is plugged in: the USB path of its device, which stays the same while it stays in its socket.

PC/SC gives bus and address of a USB device (attribute SCARD_ATTR_CHANNEL_ID), and the kernel's tree of devices has the
path for them.
"""

import sys
from pathlib import Path
from typing import Final

#: Linux's USB devices; each is a folder whose name is the path: bus, port, and the ports of hubs between.
USB_DEVICES: Final = Path("/sys/bus/usb/devices")
#: Readers that do not answer within this time have no known place.
PATIENCE_S: Final = 2.0
_CHANNEL_USB: Final = 0x0020
_CHANNEL_LENGTH: Final = 4


def place_of(channel: bytes, devices: Path = USB_DEVICES) -> str | None:
    """The USB path for a value of SCARD_ATTR_CHANNEL_ID; None: it is no USB device that is there."""
    return usb_path(int.from_bytes(channel, sys.byteorder), devices) if len(channel) == _CHANNEL_LENGTH else None


def usb_path(channel: int, devices: Path = USB_DEVICES) -> str | None:
    """The path, such as ``1-2.3``, of the USB device that ``channel`` names; None if it names none that is there."""
    if channel >> 16 != _CHANNEL_USB:
        return None
    wanted = (channel >> 8 & 0xFF, channel & 0xFF)
    try:
        folders = sorted(devices.iterdir())
    except OSError:
        return None
    for folder in folders:
        # Interfaces have a colon in their names, and no numbers of their own.
        if ":" not in folder.name and (_number(folder / "busnum"), _number(folder / "devnum")) == wanted:
            return folder.name
    return None


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
