# SPDX-License-Identifier: Apache-2.0
"""Answers to short APDUs as values, and the limits of both (ISO/IEC 7816-3, clause 12.1). Knows no protocol."""

from typing import Final, Self

from remsim.card.errors import ApduError
from remsim.core.values import dataclass

#: Most data bytes in a short command, and most in a short response.
MAX_LC: Final = 255
MAX_LE: Final = 256


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
