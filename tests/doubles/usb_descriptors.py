# SPDX-License-Identifier: Apache-2.0
"""Recorded configuration descriptors, read as libusb reads them for the programs."""

from collections.abc import Iterator
from typing import Final

from remsim.emulators.simtrace2.boards import Endpoint, InterfaceSetting

_TYPE_CONFIGURATION: Final = 2
_TYPE_INTERFACE: Final = 4
_TYPE_ENDPOINT: Final = 5
_TRANSFER_TYPE: Final = 0x03


def _descriptors(raw: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(raw):
        length = raw[position]
        if length < 2 or position + length > len(raw):
            raise ValueError(f"descriptor at byte {position} is cut short")
        yield raw[position : position + length]
        position += length


def parse_configuration(raw: bytes) -> tuple[int, list[InterfaceSetting]]:
    """Return bConfigurationValue and the settings of a configuration descriptor with all that belongs to it.

    Raises ValueError (USB 2.0, clause 9.6). Descriptors of other types are skipped.
    """
    first, *rest = _descriptors(raw) if raw else (b"",)
    if len(first) < 9 or first[1] != _TYPE_CONFIGURATION or int.from_bytes(first[2:4], "little") != len(raw):
        raise ValueError("no configuration descriptor, or not all of it")
    settings: list[InterfaceSetting] = []
    endpoints: list[Endpoint] = []

    def finish() -> None:
        if settings:
            last = settings[-1]
            settings[-1] = InterfaceSetting(
                last.number,
                last.alternate,
                last.interface_class,
                last.subclass,
                last.protocol,
                tuple(endpoints),
                last.name_index,
            )
            endpoints.clear()

    for part in rest:
        if part[1] == _TYPE_INTERFACE and len(part) >= 9:
            finish()
            settings.append(InterfaceSetting(part[2], part[3], part[5], part[6], part[7], (), part[8]))
        elif part[1] == _TYPE_ENDPOINT and len(part) >= 7:
            size = int.from_bytes(part[4:6], "little")
            endpoints.append(Endpoint(part[2], part[3] & _TRANSFER_TYPE, size, part[6]))
    finish()
    return first[5], settings
