# SPDX-License-Identifier: Apache-2.0
"""Messages of the SIMtrace2 protocol that card-emulation firmware does not send: some are only defined, the others are
those of the sniffer.

Read and written all the same (simtrace2.md, 3.7 and 3.8), so that other firmware shows up in a log as what it is and
not as garbage. Nothing may wait for any of them.
"""

import struct
from enum import IntFlag
from typing import ClassVar, Final, Self

from remsim.core.values import dataclass
from remsim.emulators.errors import BoardFrameError
from remsim.emulators.simtrace2.header import Code, Message, check_range, require_length

_ERROR: Final = struct.Struct("<BBHB")
_STRING: Final = 32
_BOARD_NUMBERS: Final = struct.Struct("<IIBB")
_SNIFFED: Final = struct.Struct("<IH")


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class ErrorReport(Message):
    """Never sent by the firmware that we know."""

    CODE: ClassVar[Code] = Code(0, 0)
    severity: int
    subsystem: int
    error_code: int
    text: bytes = b""

    def payload(self) -> bytes:
        """Three numbers and a counted text."""
        return _ERROR.pack(self.severity, self.subsystem, self.error_code, len(self.text)) + self.text

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Raises BoardFrameError."""
        if len(payload) < _ERROR.size:
            raise BoardFrameError(f"ErrorReport of {len(payload)} bytes; {_ERROR.size} are the least", payload)
        severity, subsystem, code, length = _ERROR.unpack_from(payload)
        require_length(cls.__name__, payload, _ERROR.size + length)
        return cls(severity, subsystem, code, payload[_ERROR.size :])


@dataclass(frozen=True, slots=True)
class BoardInfoRequest(Message):
    """Never answered."""

    CODE: ClassVar[Code] = Code(0, 1)


class BoardAbility(IntFlag):
    """Generic bits of BoardInfo."""

    VCC_5V = 0x0001
    VCC_3V3 = 0x0002
    VCC_1V8 = 0x0004
    LED_1 = 0x0008
    LED_2 = 0x0010
    SIM_SWITCH = 0x0020
    BUS_SWITCH = 0x0040
    VSIM_BY_ADC = 0x0080
    TEMPERATURE_BY_ADC = 0x0100
    DFU = 0x0200
    ERASE_FLASH = 0x0400
    READ_CARD_DETECT = 0x0800
    DRIVE_CARD_DETECT = 0x1000
    DRIVE_MODEM_RESET = 0x2000


@dataclass(frozen=True, slots=True)
class BoardInfo(Message):
    """Seven strings, two numbers, two bit masks (bytes, lowest bits first)."""

    CODE: ClassVar[Code] = Code(0, 1)
    #: Hardware manufacturer, model, version; software provider, name, version, build host: 32 bytes each, zero-padded.
    strings: tuple[bytes, ...]
    crc: int
    max_baud_rate: int
    generic: bytes = b""
    vendor: bytes = b""

    def __post_init__(self) -> None:
        """Raise BoardFrameError unless there are seven strings of at most 32 bytes."""
        if len(self.strings) != 7 or any(len(value) > _STRING for value in self.strings):
            raise BoardFrameError(f"BoardInfo has seven strings of at most {_STRING} bytes")

    @property
    def abilities(self) -> BoardAbility:
        """The generic bits."""
        return BoardAbility(int.from_bytes(self.generic, "little"))

    def describe(self) -> tuple[str, ...]:
        """The strings as text."""
        return tuple(_text(value) for value in self.strings)

    def payload(self) -> bytes:
        """Strings, numbers, masks."""
        fixed = b"".join(value.ljust(_STRING, b"\0") for value in self.strings)
        numbers = _BOARD_NUMBERS.pack(self.crc, self.max_baud_rate, len(self.generic), len(self.vendor))
        return fixed + numbers + self.generic + self.vendor

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Raises BoardFrameError."""
        start = 7 * _STRING
        if len(payload) < start + _BOARD_NUMBERS.size:
            raise BoardFrameError(f"BoardInfo of {len(payload)} bytes is cut short", payload)
        strings = tuple(payload[at : at + _STRING] for at in range(0, start, _STRING))
        crc, baud, generic, vendor = _BOARD_NUMBERS.unpack_from(payload, start)
        masks = payload[start + _BOARD_NUMBERS.size :]
        require_length("BoardInfo's masks", masks, generic + vendor)
        return cls(strings, crc, baud, masks[:generic], masks[generic:])


@dataclass(frozen=True, slots=True)
class ModemStatusRequest(Message):
    """Never answered."""

    CODE: ClassVar[Code] = Code(2, 3)


@dataclass(frozen=True, slots=True)
class ModemStatus(Message):
    """Bit 0: the modem's WWAN LED, bit 1: card inserted."""

    CODE: ClassVar[Code] = Code(2, 3)
    supported: int
    current: int
    changed: int

    def payload(self) -> bytes:
        """Three masks."""
        return bytes((self.supported, self.current, self.changed))

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Raises BoardFrameError."""
        require_length(cls.__name__, payload, 3)
        return cls(*payload)


@dataclass(frozen=True, slots=True)
class SnifferChange(Message):
    """Bits: card inserted, card ejected, RST asserted, RST released, waiting time exceeded."""

    CODE: ClassVar[Code] = Code(3, 0)
    flags: int

    def payload(self) -> bytes:
        """Four bytes."""
        return self.flags.to_bytes(4, "little")

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Raises BoardFrameError."""
        require_length(cls.__name__, payload, 4)
        return cls(int.from_bytes(payload, "little"))


@dataclass(frozen=True, slots=True)
class SnifferSpeed(Message):
    """A new speed, coded as TA1."""

    CODE: ClassVar[Code] = Code(3, 1)
    ta1: int

    def __post_init__(self) -> None:
        """Raise BoardFrameError unless it is one byte."""
        check_range("TA1", self.ta1, 0xFF)

    def payload(self) -> bytes:
        """One byte."""
        return bytes((self.ta1,))

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Raises BoardFrameError."""
        require_length(cls.__name__, payload, 1)
        return cls(payload[0])


@dataclass(frozen=True, slots=True)
class _Sniffed(Message):
    """Flags (incomplete 0x20, malformed 0x40, checksum 0x80, overrun 0x100, framing 0x200, parity 0x400) and data."""

    flags: int
    data: bytes

    def payload(self) -> bytes:
        """Flags, number of bytes, bytes."""
        return _SNIFFED.pack(self.flags, len(self.data)) + self.data

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Raises BoardFrameError."""
        if len(payload) < _SNIFFED.size:
            raise BoardFrameError(f"{cls.__name__} of {len(payload)} bytes; {_SNIFFED.size} are the least", payload)
        flags, length = _SNIFFED.unpack_from(payload)
        require_length(cls.__name__, payload, _SNIFFED.size + length)
        return cls(flags, payload[_SNIFFED.size :])


@dataclass(frozen=True, slots=True)
class SnifferAtr(_Sniffed):
    """An answer to reset, as seen on the line."""

    CODE: ClassVar[Code] = Code(3, 2)


@dataclass(frozen=True, slots=True)
class SnifferPps(_Sniffed):
    """A PPS exchange, as seen on the line."""

    CODE: ClassVar[Code] = Code(3, 3)


@dataclass(frozen=True, slots=True)
class SnifferTpdu(_Sniffed):
    """A whole command with its answer, procedure bytes removed."""

    CODE: ClassVar[Code] = Code(3, 4)
