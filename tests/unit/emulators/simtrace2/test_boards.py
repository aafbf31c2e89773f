# SPDX-License-Identifier: Apache-2.0
"""Boards and their interfaces, from the descriptors of the real firmware."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.emulators.simtrace2.boards import (
    BOARDS,
    CONFIGURATION,
    OTHER_PRODUCTS,
    VENDOR_ID,
    DeviceMode,
    Endpoint,
    InterfaceSetting,
    SlotInterface,
    device_mode,
    emulator_slots,
    usb_path,
)
from tests.doubles.usb_descriptors import parse_configuration
from tests.reference import reference

SLOT_0 = SlotInterface(0, 0, 0x04, 0x85, 0x86, 1)
SLOT_1 = SlotInterface(1, 0, 0x01, 0x82, 0x83, 1)


def _boards() -> dict[str, dict[str, Any]]:
    path = reference("vectors", "simtrace2", "descriptors.json")
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["boards"]
    return found


@pytest.mark.parametrize("entry", _boards().values(), ids=_boards())
class TestRealDescriptors:
    def test_board_is_in_the_table(self, entry: dict[str, Any]) -> None:
        device = bytes.fromhex(entry["device"])
        assert int.from_bytes(device[8:10], "little") == VENDOR_ID
        assert int.from_bytes(device[10:12], "little") in BOARDS

    def test_slots_are_found_with_their_endpoints(self, entry: dict[str, Any]) -> None:
        board = BOARDS[int.from_bytes(bytes.fromhex(entry["device"])[10:12], "little")]
        value, settings = parse_configuration(bytes.fromhex(entry["configurations"][0]))
        assert value == CONFIGURATION
        assert emulator_slots(settings) == [SLOT_0, SLOT_1][: board.slots]
        assert device_mode(settings) is DeviceMode.CARD_EMULATION
        assert all(endpoint.packet_size == 64 for setting in settings for endpoint in setting.endpoints)
        assert bool(bytes.fromhex(entry["configurations"][0])[7] & 0x40) is not board.is_bus_powered

    def test_version_configuration_has_no_slot(self, entry: dict[str, Any]) -> None:
        value, settings = parse_configuration(bytes.fromhex(entry["configurations"][1]))
        assert value == 2
        assert emulator_slots(settings) == []
        assert device_mode(settings) is DeviceMode.OTHER


def _setting(interface_class: int, subclass: int, *endpoints: Endpoint) -> InterfaceSetting:
    return InterfaceSetting(0, 0, interface_class, subclass, 0, endpoints)


def test_boot_loader_and_sniffer_are_told_apart() -> None:
    assert device_mode([_setting(0xFE, 0x01)]) is DeviceMode.BOOT_LOADER
    assert device_mode([_setting(0xFF, 0x01)]) is DeviceMode.SNIFFER


def test_interface_without_all_endpoints_is_no_slot() -> None:
    bulk_out, bulk_in = Endpoint(0x04, 2, 64, 0), Endpoint(0x85, 2, 64, 0)
    assert emulator_slots([_setting(0xFF, 0x02, bulk_out, bulk_in)]) == []
    assert emulator_slots([_setting(0xFF, 0x02, bulk_out, bulk_in, bulk_in, Endpoint(0x86, 3, 64, 1))]) == []


def test_products_that_are_no_boards_are_named() -> None:
    assert not OTHER_PRODUCTS.keys() & BOARDS.keys()


def test_usb_path_is_the_kernels() -> None:
    assert usb_path(2, [1, 4]) == "2-1.4"
    assert usb_path(1, [7]) == "1-7"


@pytest.mark.parametrize("raw", ["", "00", "0902", "090209000101058032" + "09", "0904000003ff020007"])
def test_cut_descriptor_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match="descriptor"):
        parse_configuration(bytes.fromhex(raw))


@given(st.binary(max_size=64))
def test_arbitrary_bytes_raise_nothing_but_value_errors(raw: bytes) -> None:
    for data in (raw, b"\x09\x02" + (len(raw) + 9).to_bytes(2, "little") + bytes(5) + raw):
        try:
            emulator_slots(parse_configuration(data)[1])
        except ValueError:
            continue
