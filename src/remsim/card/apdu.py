# SPDX-License-Identifier: Apache-2.0
"""Short command and response APDUs as values (ISO/IEC 7816-3, clause 12.1). Knows no transport protocol."""

from dataclasses import dataclass
from typing import Final, Self

from remsim.card.errors import ApduError

#: Most data bytes in a short command, and most in a short response.
MAX_LC: Final = 255
MAX_LE: Final = 256


@dataclass(frozen=True, slots=True)
class CommandApdu:
    """CLA INS P1 P2, command data, and ``le``: bytes expected (1..256), or None. Raises ApduError when built wrong."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    le: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("CLA", self.cla), ("INS", self.ins), ("P1", self.p1), ("P2", self.p2)):
            if not 0 <= value <= 0xFF:
                raise ApduError(f"{name} {value} is not one byte")
        if len(self.data) > MAX_LC:
            raise ApduError(f"{len(self.data)} data bytes; {MAX_LC} are the most in a short APDU")
        if self.le is not None and not 1 <= self.le <= MAX_LE:
            raise ApduError(f"Le {self.le} is outside 1..{MAX_LE}")

    @property
    def case(self) -> int:
        """1: header only, 2: data from the card, 3: data to the card, 4: both."""
        return 1 + 2 * bool(self.data) + (self.le is not None)

    def to_bytes(self) -> bytes:
        """The APDU as a program hands it to a reader."""
        out = bytes((self.cla, self.ins, self.p1, self.p2))
        if self.data:
            out += bytes((len(self.data),)) + self.data
        return out if self.le is None else out + bytes((self.le & 0xFF,))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read a short APDU of any case. Raises ApduError."""
        if len(raw) < 4:
            raise ApduError(f"APDU of {len(raw)} bytes; 4 are the least")
        (cla, ins, p1, p2), body = raw[:4], raw[4:]
        if not body:
            return cls(cla, ins, p1, p2)
        if len(body) == 1:
            return cls(cla, ins, p1, p2, le=body[0] or MAX_LE)
        length = body[0]
        if length == 0 or len(body) not in (1 + length, 2 + length):
            raise ApduError(f"APDU announces {length} data bytes and has {len(body) - 1} after Lc")
        le = (body[-1] or MAX_LE) if len(body) == 2 + length else None
        return cls(cla, ins, p1, p2, bytes(body[1 : 1 + length]), le)


@dataclass(frozen=True, slots=True)
class ResponseApdu:
    """Data and status word of an answer; the same shape serves T=0 response TPDUs."""

    data: bytes
    sw: int

    @property
    def sw1(self) -> int:
        """High byte of the status word."""
        return self.sw >> 8

    @property
    def sw2(self) -> int:
        """Low byte of the status word."""
        return self.sw & 0xFF

    def to_bytes(self) -> bytes:
        """Data, SW1, SW2."""
        return self.data + self.sw.to_bytes(2)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read an answer. Raises ApduError outside 2..258 bytes."""
        if not 2 <= len(raw) <= MAX_LE + 2:
            raise ApduError(f"response of {len(raw)} bytes; 2 to {MAX_LE + 2} are possible")
        return cls(bytes(raw[:-2]), int.from_bytes(raw[-2:]))
