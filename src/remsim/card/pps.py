# SPDX-License-Identifier: Apache-2.0
"""Protocol and parameters selection, and the speed that it agrees on (ISO/IEC 7816-3, clause 9).

PPSS (FF), PPS0 with the protocol and one bit for each of PPS1..PPS3 that follow, then PCK, which makes the exclusive
or of all bytes zero. Knows values, not who sends them when.
"""

from functools import reduce
from operator import xor
from typing import Final, Self

from remsim.card.atr import DI, FI
from remsim.card.errors import PpsError
from remsim.core.values import dataclass

PPSS: Final = 0xFF
#: PPSS, PPS0 and PCK; with PPS1, PPS2 and PPS3 it is six.
MIN_PPS: Final = 3
MAX_PPS: Final = 6


@dataclass(frozen=True, slots=True)
class Speed:
    """A pair of indices as in TA1 and PPS1: ``f_index`` is the high nibble, ``d_index`` the low one."""

    f_index: int
    d_index: int

    @classmethod
    def from_byte(cls, value: int) -> Self:
        """Split TA1 or PPS1."""
        return cls(value >> 4, value & 0x0F)

    @property
    def fi(self) -> int | None:
        """Clock rate conversion integer, None if reserved."""
        return FI[self.f_index]

    @property
    def di(self) -> int | None:
        """Baud rate adjustment integer, None if reserved."""
        return DI[self.d_index]

    def __str__(self) -> str:
        return f"F={self.fi or 'reserved'} D={self.di or 'reserved'}"


#: Clause 8.3: F = 372, D = 1 until something else is agreed on.
DEFAULT_SPEED: Final = Speed(1, 1)


@dataclass(frozen=True, slots=True)
class Pps:
    """A request or a response. ``protocol`` is the T that is proposed; a None byte is absent."""

    protocol: int
    pps1: int | None = None
    pps2: int | None = None
    pps3: int | None = None

    @property
    def speed(self) -> Speed | None:
        """What PPS1 asks for; None without PPS1, which leaves the speed as it is."""
        return None if self.pps1 is None else Speed.from_byte(self.pps1)

    def to_bytes(self) -> bytes:
        """The exchange as it stands on the line, with PCK."""
        optional = (self.pps1, self.pps2, self.pps3)
        pps0 = self.protocol | sum(0x10 << place for place, value in enumerate(optional) if value is not None)
        body = bytes((PPSS, pps0, *(value for value in optional if value is not None)))
        return body + bytes((reduce(xor, body),))


def pps_length(start: bytes) -> int:
    """Length of the exchange that begins with PPSS and PPS0. Raises PpsError if it begins otherwise."""
    if len(start) < 2 or start[0] != PPSS:
        raise PpsError(f"PPS begins with {start[:2].hex() or 'nothing'}; PPSS is FF and PPS0 follows")
    return MIN_PPS + (start[1] >> 4 & 0x07).bit_count()


def parse_pps(raw: bytes) -> Pps:
    """Read a request or response. Raises PpsError if it is cut short, has bytes left over, or PCK does not match."""
    length = pps_length(raw)
    if len(raw) != length:
        raise PpsError(f"PPS {raw.hex()} has {len(raw)} bytes instead of {length}")
    if reduce(xor, raw):
        raise PpsError(f"PPS {raw.hex()} fails its check byte PCK")
    values = iter(raw[2:-1])
    pps1, pps2, pps3 = (next(values) if raw[1] & 0x10 << place else None for place in range(3))
    return Pps(raw[1] & 0x0F, pps1, pps2, pps3)
