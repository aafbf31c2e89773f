# SPDX-License-Identifier: Apache-2.0
"""Where a reader is plugged in: the USB path of its device, which stays the same while it stays in its socket.

PC/SC gives bus and address of a USB device (attribute SCARD_ATTR_CHANNEL_ID), and the kernel's tree of devices has the
path for them. Asking connects to the reader without touching its card, and blocks while another program has a
transaction there, so it is done in a thread of its own.
"""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from remsim.readers.pcsc import codes
from remsim.readers.pcsc.scard import ATTR_CHANNEL_ID, CHANNEL_USB, LEAVE_CARD, Scard

#: Linux's USB devices; each is a folder whose name is the path: bus, port, and the ports of hubs between.
USB_DEVICES: Final = Path("/sys/bus/usb/devices")
#: Readers that do not answer within this time have no known place.
_PATIENCE_S: Final = 2.0
_NO_PROTOCOL: Final = 0
_CHANNEL_LENGTH: Final = 4


def find_places(scard: Scard, names: Sequence[str], devices: Path = USB_DEVICES) -> dict[str, str]:
    """USB paths by reader name, of those readers where it can be found out. Blocks for ``_PATIENCE_S`` at most."""
    found: dict[str, str] = {}

    def look() -> None:
        code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
        if code != codes.SUCCESS:
            return
        for name in names:
            channel = _channel_of(scard, context, name)
            path = None if channel is None else usb_path(channel, devices)
            if path is not None:
                found[name] = path
        scard.SCardReleaseContext(context)

    thread = threading.Thread(target=look, name="pcsc-places", daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    return dict(found)


def _channel_of(scard: Scard, context: int, reader: str) -> int | None:
    code, card, _ = scard.SCardConnect(context, reader, scard.SCARD_SHARE_DIRECT, _NO_PROTOCOL)
    if code != codes.SUCCESS:
        return None
    code, value = scard.SCardGetAttrib(card, ATTR_CHANNEL_ID)
    scard.SCardDisconnect(card, LEAVE_CARD)
    if code != codes.SUCCESS or len(value) != _CHANNEL_LENGTH:
        return None
    return int.from_bytes(bytes(value), sys.byteorder)


def usb_path(channel: int, devices: Path = USB_DEVICES) -> str | None:
    """The path, such as ``1-2.3``, of the USB device that ``channel`` names; None if it names none that is there."""
    if channel >> 16 != CHANNEL_USB:
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
