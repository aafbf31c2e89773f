# SPDX-License-Identifier: Apache-2.0
"""Where a reader is plugged in: the USB path of its device, which stays the same while it stays in its socket.

PC/SC gives bus and address of a USB device (attribute SCARD_ATTR_CHANNEL_ID), and the kernel's tree of devices has the
path for them.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

#: Linux's USB devices; each is a folder whose name is the path: bus, port, and the ports of hubs between.
USB_DEVICES: Final = Path("/sys/bus/usb/devices")
#: Readers that do not answer within this time are asked again when another program lets go of them.
PATIENCE_S: Final = 2.0
#: How many programs use a reader that nobody uses, as PC/SC counts them; it is less if one has it for itself alone.
FREE: Final = 0
_CHANNEL_USB: Final = 0x0020
_CHANNEL_LENGTH: Final = 4


class PlaceAnswers(NamedTuple):
    """What came of asking readers where they are plugged in."""

    #: USB paths by reader name.
    found: dict[str, str]
    #: Another program holds them, or they did not answer. Of those in neither, the driver does not know.
    unasked: frozenset[str] = frozenset()


class ReaderPlaces:
    """Where the readers of one PC/SC service are plugged in, and which of them are to be asked. No I/O.

    A reader that could not be asked because of another program is asked again when its use changes: without its place
    it may have no slot.
    """

    def __init__(self) -> None:
        #: USB paths by reader name, as far as they are known.
        self.found: dict[str, str] = {}
        # What was known of the use of readers that could not be asked; None: nothing yet.
        self._unasked: dict[str, int | None] = {}

    def on_list(self, names: Iterable[str]) -> None:
        """These are the readers now."""
        there = frozenset(names)
        self.found = {name: place for name, place in self.found.items() if name in there}
        self._unasked = {name: use for name, use in self._unasked.items() if name in there}

    def due(self, use_of: Callable[[str], int | None]) -> list[str]:
        """Which are to be asked again; ``use_of`` tells how many programs use a reader: None if that is not known."""
        due = []
        for name, before in self._unasked.items():
            use = use_of(name)
            if use is not None and use >= FREE and (use == FREE if before is None else use != before):
                due.append(name)
            self._unasked[name] = use
        return due

    def on_answers(self, asked: Sequence[str], answers: PlaceAnswers) -> list[str]:
        """Note what came of asking; return those that were asked in vain before and have a place now."""
        late = [name for name in asked if name in self._unasked and name in answers.found]
        for name in asked:
            if name in answers.unasked:
                self._unasked.setdefault(name, None)
            else:
                self._unasked.pop(name, None)
        self.found = self.found | answers.found
        return late


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
