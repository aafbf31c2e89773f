# SPDX-License-Identifier: Apache-2.0
"""The settings of one client slot on SIMtrace2 hardware: which interface of which USB device, and how it is wired."""

import re
from typing import Annotated, Final, Literal

from pydantic import PlainValidator

from remsim.config import fields
from remsim.config.models import EmulatorSettings
from remsim.config.values import ValueTextError

_USB_PATH: Final = re.compile(r"[0-9]{1,3}-[0-9]{1,3}(\.[0-9]{1,3}){0,6}")
_MAX_BYTE: Final = 255


def _usb_id(value: object) -> int:
    """Text only, as ``lsusb`` shows it: the number 1234 in a TOML file would not be 0x1234."""
    if not isinstance(value, str) or re.fullmatch(r"(0[xX])?[0-9A-Fa-f]{1,4}", value.strip(), re.ASCII) is None:
        raise ValueTextError('must be a string of up to four hex digits, such as "1d50"')
    return int(value, 16)


def _usb_path(value: object) -> str:
    if not isinstance(value, str) or _USB_PATH.fullmatch(value) is None:
        raise ValueTextError('must be a string such as "2-1.4": bus, a minus, ports joined by dots')
    return value


def _byte(value: object) -> int:
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    if re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) is None or int(text) > _MAX_BYTE:
        raise ValueTextError(f"must be a number in 0..{_MAX_BYTE}")
    return int(text)


UsbId = Annotated[int, PlainValidator(_usb_id)]
UsbPath = Annotated[str, PlainValidator(_usb_path)]
Byte = Annotated[int, PlainValidator(_byte)]


class SimtraceSettings(EmulatorSettings):
    """Settings of one slot of a SIMtrace2, sysmoQMOD or relative. What is not said fits any device."""

    #: Vendor id as `lsusb` shows it; without it `1d50`.
    vendor: UsbId | None = None
    #: Product id as `lsusb` shows it; without it that of any known board.
    product: UsbId | None = None
    #: Where the device is plugged in, such as `2-1.4`: the name of its folder in `/sys/bus/usb/devices`.
    path: UsbPath | None = None
    #: Address on its bus. It changes whenever the device is plugged in or restarts: prefer `path` or `serial`.
    address: Byte | None = None
    #: Serial number: 32 hex digits.
    serial: fields.PlainText | None = None
    #: Number of the interface; a board with two slots has 0 and 1.
    interface: Byte | None = None
    #: USB configuration; without it 1, the one with the card emulation.
    config: Byte | None = None
    #: Alternate setting of the interface; without it none is chosen.
    altsetting: Byte | None = None
    #: Level of the presence contact that means "card inserted", where the board can set it.
    presence: Literal["high", "low"] | None = None
    #: Which slot the multiplexer of a sysmoOCTSIM tester connects, 0 to 7; without it, the one it is at.
    mux: Literal[0, 1, 2, 3, 4, 5, 6, 7] | None = None
    #: Send data and status word to the device in one message, which leaves no gap and halves the traffic.
    one_message: fields.Switch = True
