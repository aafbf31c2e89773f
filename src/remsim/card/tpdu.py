# SPDX-License-Identifier: Apache-2.0
"""T=0 command TPDUs as values: five header bytes, then P3 bytes or none (ISO/IEC 7816-3, clause 10.3).

Whether P3 counts bytes to the card or from it is not written in the TPDU; here the presence of data tells.
"""

from typing import Final, Self

from remsim.card.errors import TpduError
from remsim.core.values import dataclass

HEADER_LENGTH: Final = 5
MAX_TPDU: Final = HEADER_LENGTH + 255


@dataclass(frozen=True, slots=True)
class CommandTpdu:
    """One command as it stands on the line. ``data`` is empty or has exactly ``p3`` bytes."""

    cla: int
    ins: int
    p1: int
    p2: int
    p3: int
    data: bytes = b""

    @property
    def le(self) -> int:
        """P3 read as a number of expected bytes: 00 means 256."""
        return self.p3 or 256

    def to_bytes(self) -> bytes:
        """Header and data."""
        return bytes((self.cla, self.ins, self.p1, self.p2, self.p3)) + self.data

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read a TPDU. Raises TpduError if the length fits neither a bare header nor header and P3 bytes."""
        if len(raw) == HEADER_LENGTH:
            return cls(*raw)
        if len(raw) < HEADER_LENGTH:
            raise TpduError(f"TPDU of {len(raw)} bytes; {HEADER_LENGTH} are the least")
        if len(raw) != HEADER_LENGTH + raw[4]:
            raise TpduError(f"TPDU announces {raw[4]} data bytes and has {len(raw) - HEADER_LENGTH}")
        return cls(raw[0], raw[1], raw[2], raw[3], raw[4], bytes(raw[HEADER_LENGTH:]))


def is_well_formed(tpdu: bytes) -> bool:
    """Whether bytes are a header with either no data or as many as its P3 says."""
    return len(tpdu) == HEADER_LENGTH or (len(tpdu) > HEADER_LENGTH and len(tpdu) == HEADER_LENGTH + tpdu[4])


def tpdu_of_apdu(apdu: bytes) -> bytes:
    """The T=0 command TPDU that a reader makes of a short APDU (clause 12.2).

    Case 1 gains P3 = 00, case 4 loses its Le. Anything else is returned as it is, for the card to judge.
    """
    if len(apdu) == HEADER_LENGTH - 1:
        return apdu + b"\x00"
    if len(apdu) > HEADER_LENGTH + 1 and len(apdu) == HEADER_LENGTH + apdu[4] + 1:
        return apdu[:-1]
    return apdu
