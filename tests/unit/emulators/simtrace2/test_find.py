# SPDX-License-Identifier: Apache-2.0
"""Which interface is meant, and what is said if there is none, or more than one."""

from dataclasses import replace

import pytest

from remsim.emulators.simtrace2.boards import UNKNOWN_BOARD, Endpoint, InterfaceSetting
from remsim.emulators.simtrace2.find import AmbiguousDeviceError, DeviceError, DeviceInfo, Selector, choose, find
from tests.doubles.usb_bus import configurations_of

SERIAL = "0123456789abcdef0123456789abcdef"
SIMTRACE = DeviceInfo(0x1D50, 0x60E3, 2, 17, "2-1.2", SERIAL, configurations_of("simtrace"))
QMOD = DeviceInfo(0x1D50, 0x4004, 2, 18, "2-1.4", "f" * 32, configurations_of("qmod"))
HUB = DeviceInfo(0x1D50, 0x4002, 2, 5, "2-1", None, {1: ()})
MOUSE = DeviceInfo(0x046D, 0xC077, 1, 3, "1-3", None, {1: ()})
PLUGGED = [MOUSE, HUB, QMOD, SIMTRACE]

_DFU = InterfaceSetting(0, 0, 0xFE, 1, 2)
_SNIFFER = InterfaceSetting(0, 0, 0xFF, 1, 0, (Endpoint(0x82, 2, 64, 0),))


@pytest.mark.parametrize(
    ("selector", "slots"),
    [
        (Selector(), ["2-1.2/0", "2-1.4/0", "2-1.4/1"]),
        (Selector(product_id=0x4004), ["2-1.4/0", "2-1.4/1"]),
        (Selector(vendor_id=0x1D50, product_id=0x60E3), ["2-1.2/0"]),
        (Selector(path="2-1.4", interface=1), ["2-1.4/1"]),
        (Selector(address=17), ["2-1.2/0"]),
        (Selector(serial=SERIAL.upper()), ["2-1.2/0"]),
        (Selector(configuration=2), []),
        (Selector(alternate=1), []),
        (Selector(alternate=0, interface=0), ["2-1.2/0", "2-1.4/0"]),
        (Selector(vendor_id=0x046D), []),
        (Selector(serial="0"), []),
    ],
)
def test_selector_finds_slots_in_order(selector: Selector, slots: list[str]) -> None:
    assert [f"{found.device.path}/{found.slot.number}" for found in find(PLUGGED, selector)] == slots


def test_one_slot_is_chosen() -> None:
    found = choose(PLUGGED, Selector(path="2-1.2"))
    assert (found.board.name, found.configuration, found.slot.bulk_in) == ("SIMtrace2", 1, 0x85)
    assert str(found) == f"SIMtrace2 1d50:60e3 at 2-1.2 (address 17, serial {SERIAL}), interface 0"


def test_several_are_listed() -> None:
    with pytest.raises(AmbiguousDeviceError) as caught:
        choose(PLUGGED, Selector(product_id=0x4004))
    assert str(caught.value) == "2 emulator slots fit: 2-1.4 interface 0; 2-1.4 interface 1"
    assert "path and interface" in caught.value.hint


def test_other_vendors_with_the_same_firmware_can_be_chosen() -> None:
    foreign = replace(SIMTRACE, vendor_id=0x1234, product_id=0x60E3)
    found = choose([foreign], Selector(vendor_id=0x1234))
    assert found.board is UNKNOWN_BOARD
    new = replace(SIMTRACE, product_id=0x7777)
    assert choose([new], Selector(product_id=0x7777)).board is UNKNOWN_BOARD
    assert find([new], Selector()) == []


@pytest.mark.parametrize(
    ("devices", "selector", "words", "hint"),
    [
        ([MOUSE], Selector(), "no SIMtrace2 or related device is plugged in", "lsusb"),
        (PLUGGED, Selector(path="3-1"), "no device fits the settings; there is 1d50:4004 at 2-1.4", "compare"),
        (PLUGGED, Selector(path="2-1"), "is no emulator but a hub of a sysmoQMOD", ""),
        ([replace(SIMTRACE, configurations={1: (_DFU,)})], Selector(), "is in DFU mode", "unplug it"),
        ([replace(SIMTRACE, configurations={1: (_SNIFFER,)})], Selector(), "runs the sniffer firmware", "flash"),
        ([SIMTRACE], Selector(configuration=2), "no card-emulation interface in configuration 2", ""),
        ([QMOD], Selector(interface=2), "has no such interface with bulk OUT", "have them: 0, 1"),
        (
            [replace(SIMTRACE, configurations={1: (InterfaceSetting(0, 0, 0xFF, 2, 0),)})],
            Selector(),
            "has no such interface with bulk OUT",
            "have them: none",
        ),
    ],
)
def test_what_is_wrong_is_said(devices: list[DeviceInfo], selector: Selector, words: str, hint: str) -> None:
    with pytest.raises(DeviceError) as caught:
        choose(devices, selector)
    assert words in str(caught.value)
    assert hint in caught.value.hint
