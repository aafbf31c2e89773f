# SPDX-License-Identifier: Apache-2.0
"""The header that every SIMtrace2 USB message begins with, and what all message classes have in common.

Eight bytes: class, type, sequence number, slot number, two reserved bytes, and the length of the whole message
(simtrace2.md, 3.1). Numbers are little-endian. Sequence, slot and reserved bytes mean nothing: sent as zero, ignored.
Knows neither USB transfers nor the meaning of the messages.
"""

import struct
from typing import ClassVar, Final, NamedTuple, Self

from remsim.core.values import dataclass
from remsim.emulators.errors import BoardFrameError

HEADER_SIZE: Final = 8
#: The firmware's message buffers.
MAX_MESSAGE: Final = 280
MAX_PAYLOAD: Final = MAX_MESSAGE - HEADER_SIZE

_HEADER: Final = struct.Struct("<BBBBHH")


class Code(NamedTuple):
    """Message class and type."""

    msg_class: int
    msg_type: int


def message_length(data: bytes) -> int:
    """The length field of a message of which at least the header is there."""
    return int.from_bytes(data[6:HEADER_SIZE], "little")


def split_message(raw: bytes) -> tuple[Code, bytes]:
    """Return code and payload of one whole message. Raises BoardFrameError if its length is not the one it states."""
    if len(raw) < HEADER_SIZE:
        raise BoardFrameError(f"message of {len(raw)} bytes; its header has {HEADER_SIZE}", raw)
    stated = message_length(raw)
    if stated != len(raw):
        raise BoardFrameError(f"message states {stated} bytes and has {len(raw)}", raw)
    return Code(raw[0], raw[1]), bytes(raw[HEADER_SIZE:])


def join_message(code: Code, payload: bytes) -> bytes:
    """The message with this payload. Raises BoardFrameError if it exceeds the firmware's buffer."""
    if len(payload) > MAX_PAYLOAD:
        raise BoardFrameError(f"payload of {len(payload)} bytes; {MAX_PAYLOAD} are the most", payload)
    return _HEADER.pack(*code, 0, 0, 0, HEADER_SIZE + len(payload)) + payload


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all messages. A class has one code; its fields are the payload."""

    CODE: ClassVar[Code]

    def payload(self) -> bytes:
        """Everything behind the header."""
        return b""

    def to_bytes(self) -> bytes:
        """The message as it goes over USB."""
        return join_message(self.CODE, self.payload())

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Read the payload. Raises BoardFrameError."""
        require_length(cls.__name__, payload, 0)
        return cls()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read one whole message of this class. Raises BoardFrameError."""
        code, payload = split_message(raw)
        if code != cls.CODE:
            raise BoardFrameError(f"message {code.msg_class}/{code.msg_type} is no {cls.__name__}", raw)
        return cls.from_payload(payload)


@dataclass(frozen=True, slots=True)
class UnknownBoardMessage:
    """A class or type that has no meaning in its direction. The device drops such silently, and so do we."""

    code: Code
    rest: bytes = b""

    def to_bytes(self) -> bytes:
        """The message as it went over USB, but for the meaningless header fields."""
        return join_message(self.code, self.rest)


def require_length(name: str, payload: bytes, least: int, most: int | None = None) -> None:
    """Raise BoardFrameError unless ``payload`` has ``least`` bytes, or up to ``most``."""
    if not least <= len(payload) <= (least if most is None else most):
        wanted = f"{least}" if most is None else f"{least} to {most}"
        raise BoardFrameError(f"{name} has a payload of {len(payload)} bytes instead of {wanted}", payload)


def check_range(name: str, value: int, most: int) -> None:
    """Raise BoardFrameError unless ``value`` is in 0..``most``."""
    if not 0 <= value <= most:
        raise BoardFrameError(f"{name} {value} is outside 0..{most}")
