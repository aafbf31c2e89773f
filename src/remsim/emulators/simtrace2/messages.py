# SPDX-License-Identifier: Apache-2.0
"""The messages of SIMtrace2's card emulation and modem control as frozen values (simtrace2.md, 3.2 to 3.6).

Each can be built from its fields and from bytes, and gives exactly those bytes again. What they mean for a command is
decided elsewhere; how they are cut into USB transfers, and which must never be sent, is up to
``stream``. The device answers nothing but StatusRequest and Config.
"""

import struct
from enum import IntEnum, IntFlag
from typing import ClassVar, Final, Self

from remsim.core.values import dataclass
from remsim.emulators.errors import BoardFrameError
from remsim.emulators.simtrace2.header import (
    Code,
    Message,
    UnknownBoardMessage,
    check_range,
    require_length,
    split_message,
)
from remsim.emulators.simtrace2.info import (
    BoardInfo,
    ErrorReport,
    ModemStatus,
    SnifferAtr,
    SnifferChange,
    SnifferPps,
    SnifferSpeed,
    SnifferTpdu,
)

#: TS and 32 bytes. The device refuses a longer ATR silently and keeps the one before.
MAX_ATR: Final = 33

_TPDU_PREFIX: Final = struct.Struct("<IH")
_STATUS: Final = struct.Struct("<IHBBBI")


class TpduFlag(IntFlag):
    """Flags of RxData and TxData."""

    HEADER = 0x01  #: RxData: the five bytes of a new command
    FINAL = 0x02  #: RxData: the command's data are complete; TxData: the command is over behind this message
    PB_AND_TX = 0x04  #: TxData: first a procedure byte or SW1, then go on sending
    PB_AND_RX = 0x08  #: TxData: one procedure byte, then receive P3 bytes from the modem


class LineFlag(IntFlag):
    """Flags of Status."""

    VCC = 0x01
    CLK = 0x02  #: not measured: follows VCC one message later
    EMULATION = 0x04  #: never set
    CARD = 0x08  #: never set
    RESET = 0x10  #: the modem holds the card in reset


class Feature(IntFlag):
    """Features that Config switches on."""

    STATUS_IRQ = 0x01  #: a Status on the interrupt endpoint at each change of a line


#: Polarity of the presence pin in Config: leave it, low means present, high means present.
POLARITY_UNCHANGED: Final = 0x00
POLARITY_LOW: Final = 0x02
POLARITY_HIGH: Final = 0x03


@dataclass(frozen=True, slots=True)
class _TpduData(Message):
    """Flags, length, data: the same layout both ways."""

    flags: TpduFlag
    data: bytes

    def payload(self) -> bytes:
        """Flags, number of bytes, bytes."""
        return _TPDU_PREFIX.pack(self.flags, len(self.data)) + self.data

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Raises BoardFrameError if the length field does not count the data."""
        if len(payload) < _TPDU_PREFIX.size:
            raise BoardFrameError(f"{cls.__name__} of {len(payload)} bytes; {_TPDU_PREFIX.size} are the least", payload)
        flags, length = _TPDU_PREFIX.unpack_from(payload)
        data = payload[_TPDU_PREFIX.size :]
        if length != len(data):
            raise BoardFrameError(f"{cls.__name__} announces {length} data bytes and has {len(data)}", payload)
        return cls(TpduFlag(flags), data)


@dataclass(frozen=True, slots=True)
class RxData(_TpduData):
    """From the modem: a command header (HEADER), or all data of a command (FINAL)."""

    CODE: ClassVar[Code] = Code(1, 6)


@dataclass(frozen=True, slots=True)
class TxData(_TpduData):
    """To the modem. Four shapes are of use; each has a constructor."""

    CODE: ClassVar[Code] = Code(1, 1)

    @classmethod
    def acknowledge(cls, ins: int) -> Self:
        """Ask the modem for the command's data."""
        return cls(TpduFlag.PB_AND_RX, bytes((ins,)))

    @classmethod
    def response_data(cls, ins: int, data: bytes) -> Self:
        """The card's data; a status word must follow."""
        return cls(TpduFlag.PB_AND_TX, bytes((ins,)) + data)

    @classmethod
    def status_word(cls, sw: bytes) -> Self:
        """End of the command."""
        return cls(TpduFlag.PB_AND_TX | TpduFlag.FINAL, sw)

    @classmethod
    def whole_answer(cls, ins: int, data: bytes, sw: bytes) -> Self:
        """Data and status word together: no gap for a NULL byte, and half the traffic."""
        return cls(TpduFlag.PB_AND_TX | TpduFlag.FINAL, bytes((ins,)) + data + sw)


@dataclass(frozen=True, slots=True)
class BoardSetAtr(Message):
    """Stored for the next reset; never checked by the device."""

    CODE: ClassVar[Code] = Code(1, 2)
    atr: bytes

    def payload(self) -> bytes:
        """Length and bytes."""
        return bytes((len(self.atr),)) + self.atr

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Raises BoardFrameError if the length does not count the bytes."""
        if not payload or len(payload) != 1 + payload[0]:
            announced = payload[:1].hex() or "nothing"
            raise BoardFrameError(f"{cls.__name__} announces {announced}, has {len(payload)} bytes", payload)
        return cls(payload[1:])


@dataclass(frozen=True, slots=True)
class StatisticsRequest(Message):
    """Never answered."""

    CODE: ClassVar[Code] = Code(1, 3)


@dataclass(frozen=True, slots=True)
class StatusRequest(Message):
    """Answered by a Status on bulk IN, always."""

    CODE: ClassVar[Code] = Code(1, 4)


@dataclass(frozen=True, slots=True)
class Status(Message):
    """The lines, as answer (bulk IN) or at a change (interrupt IN)."""

    CODE: ClassVar[Code] = Code(1, 4)
    flags: LineFlag
    #: VCC in mV where the board measures it, else 0.
    millivolt: int
    f_index: int
    d_index: int
    waiting_integer: int
    waiting_time_etu: int

    def payload(self) -> bytes:
        """13 bytes."""
        return _STATUS.pack(
            self.flags, self.millivolt, self.f_index, self.d_index, self.waiting_integer, self.waiting_time_etu
        )

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Raises BoardFrameError."""
        require_length(cls.__name__, payload, _STATUS.size)
        flags, *rest = _STATUS.unpack(payload)
        return cls(LineFlag(flags), *rest)


@dataclass(frozen=True, slots=True)
class _Switch(Message):
    """One byte, 0 or 1."""

    is_on: bool

    def payload(self) -> bytes:
        """One byte."""
        return bytes((self.is_on,))

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Raises BoardFrameError."""
        require_length(cls.__name__, payload, 1)
        check_range(cls.__name__, payload[0], 1)
        return cls(bool(payload[0]))


@dataclass(frozen=True, slots=True)
class CardInsert(_Switch):
    """Presence contact towards the modem: on = card inserted. Boards without one ignore it."""

    CODE: ClassVar[Code] = Code(1, 5)


@dataclass(frozen=True, slots=True)
class SimSelect(_Switch):
    """On = remote: connects and enables the emulator, on every board. Off = local: the modem's own card."""

    CODE: ClassVar[Code] = Code(2, 2)


@dataclass(frozen=True, slots=True)
class PtsReport(Message):
    """A PPS exchange that the device granted by itself; it has changed its speed if it could."""

    CODE: ClassVar[Code] = Code(1, 7)
    request: bytes
    response: bytes

    def __post_init__(self) -> None:
        """Raise BoardFrameError unless both have the same 3 to 6 bytes."""
        if len(self.request) != len(self.response):
            raise BoardFrameError(f"PPS of {len(self.request)} and {len(self.response)} bytes")
        require_length("PPS", self.request, 3, 6)

    def payload(self) -> bytes:
        """Length, request and response, each padded to six bytes."""
        return bytes((len(self.request),)) + self.request.ljust(6, b"\0") + self.response.ljust(6, b"\0")

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Raises BoardFrameError."""
        require_length(cls.__name__, payload, 13)
        length = payload[0]
        if not 3 <= length <= 6 or any(payload[1 + length : 7] + payload[7 + length :]):
            raise BoardFrameError(f"PtsReport with an exchange of {length} bytes", payload)
        return cls(payload[1 : 1 + length], payload[7 : 7 + length])


@dataclass(frozen=True, slots=True)
class Config(Message):
    """Request, and the answer with what is in force. Absent fields (None) stay as they are; old firmware lacks them."""

    CODE: ClassVar[Code] = Code(1, 8)
    features: int
    #: OCTSIMTEST: the slot that its multiplexer connects. Zero is a number, too.
    mux_slot: int | None = None
    #: One of POLARITY_UNCHANGED, POLARITY_LOW, POLARITY_HIGH; takes effect with the next CardInsert.
    polarity: int | None = None

    def __post_init__(self) -> None:
        """Raise BoardFrameError for what cannot be written down."""
        check_range("features", self.features, 0xFFFF_FFFF)
        check_range("multiplexer slot", self.mux_slot or 0, 0xFF)
        check_range("polarity", self.polarity or 0, 0xFF)
        if self.polarity is not None and self.mux_slot is None:
            raise BoardFrameError("Config with a polarity carries a multiplexer slot, too")

    def payload(self) -> bytes:
        """4, 5 or 6 bytes."""
        optional = (self.mux_slot, self.polarity)
        return self.features.to_bytes(4, "little") + bytes(value for value in optional if value is not None)

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Raises BoardFrameError below four bytes; bytes behind the sixth are of firmware to come, and skipped."""
        if len(payload) < 4:
            raise BoardFrameError(f"Config has a payload of {len(payload)} bytes; 4 are the least", payload)
        return cls(int.from_bytes(payload[:4], "little"), *payload[4:6])


class LineAction(IntEnum):
    """What to do with the modem's reset line."""

    RELEASE = 0
    ASSERT = 1
    PULSE = 2


@dataclass(frozen=True, slots=True)
class ModemReset(Message):
    """The modem's own reset line; boards without one ignore it. ``pulse_ms`` counts for PULSE only."""

    CODE: ClassVar[Code] = Code(2, 1)
    action: LineAction
    pulse_ms: int = 0

    def __post_init__(self) -> None:
        """Raise BoardFrameError for a pulse that cannot be written down."""
        check_range("pulse in ms", self.pulse_ms, 0xFFFF)

    def payload(self) -> bytes:
        """All three bytes, also for those actions that need one: the device insists."""
        return bytes((self.action,)) + self.pulse_ms.to_bytes(2, "little")

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Raises BoardFrameError."""
        require_length(cls.__name__, payload, 3)
        check_range("action on the modem's reset line", payload[0], LineAction.PULSE)
        return cls(LineAction(payload[0]), int.from_bytes(payload[1:], "little"))


_DEVICE_CLASSES: Final[tuple[type[Message], ...]] = (
    RxData,
    Status,
    PtsReport,
    Config,
    ErrorReport,
    BoardInfo,
    ModemStatus,
    SnifferChange,
    SnifferSpeed,
    SnifferAtr,
    SnifferPps,
    SnifferTpdu,
)
#: What a device sends, by code. Some codes mean something else in what a host sends.
FROM_DEVICE: Final[dict[Code, type[Message]]] = {kind.CODE: kind for kind in _DEVICE_CLASSES}


def decode_from_device(raw: bytes) -> Message | UnknownBoardMessage:
    """Read one whole message of a device. Raises BoardFrameError."""
    code, payload = split_message(raw)
    kind = FROM_DEVICE.get(code)
    return UnknownBoardMessage(code, payload) if kind is None else kind.from_payload(payload)
