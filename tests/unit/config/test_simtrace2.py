# SPDX-License-Identifier: Apache-2.0
"""Settings of a client slot on SIMtrace2 hardware."""

import pytest
from pydantic import ValidationError

from remsim.config.simtrace2 import SimtraceSettings


def test_nothing_said_fits_any_device() -> None:
    settings = SimtraceSettings.model_validate({})
    assert (settings.vendor, settings.path, settings.interface, settings.one_message) == (None, None, None, True)


@pytest.mark.parametrize(("text", "number"), [("1d50", 0x1D50), ("0x60E3", 0x60E3), (" 4004 ", 0x4004)])
def test_usb_ids_are_hex_as_lsusb_shows_them(text: str, number: int) -> None:
    assert SimtraceSettings.model_validate({"vendor": text}).vendor == number


@pytest.mark.parametrize("value", ["2-1", "2-1.4", "1-1.2.3"])
def test_usb_path_is_bus_and_ports(value: str) -> None:
    assert SimtraceSettings.model_validate({"path": value}).path == value


@pytest.mark.parametrize("value", [0, 1, "255"])
def test_interface_is_a_small_number(value: object) -> None:
    assert SimtraceSettings.model_validate({"interface": value}).interface == int(str(value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vendor", 1234),
        ("vendor", "12345"),
        ("product", "sim"),
        ("path", "2"),
        ("path", 21),
        ("address", 256),
        ("address", True),
        ("interface", "one"),
        ("interface", 1.0),
        ("presence", "up"),
        ("mux", 8),
        ("colour", "red"),
    ],
)
def test_other_values_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        SimtraceSettings.model_validate({key: value})
