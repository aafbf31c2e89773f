# SPDX-License-Identifier: Apache-2.0
"""What is said where libusb is missing or refuses. The library itself is used in tests/integration."""

import asyncio
import sys
from collections.abc import Callable

import pytest
import usb1

from remsim.core.errors import StartError
from remsim.core.installation import install_command
from remsim.emulators.simtrace2.boards import SlotInterface
from remsim.emulators.simtrace2.find import DeviceError, DeviceInfo, Found
from remsim.emulators.simtrace2.libusb import LibusbBus
from remsim.emulators.simtrace2.usb import NobodyListens
from remsim.emulators.simtrace2.usb_pump import EventPump

DEVICE = DeviceInfo(0x1D50, 0x60E3, 2, 17, "2-1.2", None, {})
FOUND = Found(DEVICE, 1, SlotInterface(0, 0, 4, 0x85, 0x86, 1))


def test_python_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usb1", None)
    with pytest.raises(StartError, match="Python package libusb1 is missing") as caught:
        LibusbBus().devices()
    assert install_command("usb") in caught.value.hint


def test_system_library_that_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_context: usb1.USBContext) -> usb1.USBContext:
        raise OSError("cannot find a suitable libusb-1.0")

    monkeypatch.setattr(usb1.USBContext, "open", missing)
    with pytest.raises(StartError, match=r"the library libusb-1\.0 is missing") as caught:
        LibusbBus().devices()
    assert caught.value.hint == "apt-get install libusb-1.0-0"


def test_host_without_usb_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_context: usb1.USBContext) -> usb1.USBContext:
        raise usb1.USBError

    monkeypatch.setattr(usb1.USBContext, "open", refuse)
    with pytest.raises(DeviceError, match="USB cannot be used"):
        LibusbBus().devices()


@pytest.mark.parametrize(
    ("error", "words", "hint"),
    [
        (usb1.USBErrorAccess, "no permission to open /dev/bus/usb/002/017", "udev rule"),
        (usb1.USBErrorBusy, "interface 0 is in use by another program", "one program at a time"),
        (usb1.USBErrorNoDevice, "has gone", ""),
        (usb1.USBError, "cannot be used", ""),
    ],
)
async def test_refusal_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: type[usb1.USBError], words: str, hint: str
) -> None:
    def refuse(_context: usb1.USBContext) -> usb1.USBContext:
        raise error

    monkeypatch.setattr(usb1.USBContext, "open", refuse)
    with pytest.raises(DeviceError, match=words) as caught:
        LibusbBus().open(FOUND, NobodyListens())
    assert hint in caught.value.hint


async def test_device_that_is_away_cannot_be_opened() -> None:
    with pytest.raises(DeviceError):
        LibusbBus().open(FOUND, NobodyListens())


class BrokenContext(usb1.USBContext):
    """Its events cannot be handled."""

    def __init__(self) -> None:
        self.error: Callable[[], usb1.USBError] = usb1.USBErrorInterrupted

    def handleEventsTimeout(self, tv: float = 0) -> None:  # noqa: N802  # the library's name
        raise self.error()


async def test_library_that_fails_is_told_and_an_interruption_is_not() -> None:
    reasons: list[str] = []
    told = asyncio.Event()

    def on_failure(reason: str) -> None:
        reasons.append(reason)
        told.set()

    context = BrokenContext()
    pump = EventPump(context, on_failure)
    pump._on_ready()
    context.error = usb1.USBErrorBusy
    pump._on_ready()
    async with asyncio.timeout(5):
        await told.wait()
    assert len(reasons) == 1
    assert reasons[0].startswith("libusb cannot handle its events")
