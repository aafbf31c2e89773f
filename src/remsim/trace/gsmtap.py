# SPDX-License-Identifier: Apache-2.0
"""What a bank's cards say, as records for other programs: GSMTAP as Wireshark reads it (rspro.md, section 14).

A record passes a ``Redactor`` before it is encoded; the sender decides which one. The datagrams are those
of the C bankd, byte for byte, so they carry no slot number. Knows no socket and no clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

#: Version 2, header of four 32-bit words, type 4 (SIM); then eight bytes of radio fields that mean nothing here.
_GSMTAP_PREFIX: Final = bytes((2, 4, 4, 0)) + bytes(8)
#: Antenna, sub slot, reserved.
_GSMTAP_SUFFIX: Final = bytes(3)


class GsmtapSubType(IntEnum):
    """What follows the GSMTAP header."""

    APDU = 0
    ATR = 1


@dataclass(frozen=True, slots=True)
class AtrRecord:
    """A client was given this ATR."""

    slot_nr: int
    atr: bytes


@dataclass(frozen=True, slots=True)
class TpduRecord:
    """A command TPDU and the card's response to it (data, SW1, SW2)."""

    slot_nr: int
    tpdu: bytes
    response: bytes


TraceRecord = AtrRecord | TpduRecord

#: Returns what may be shown of a record; None withholds it.
Redactor = Callable[[TraceRecord], TraceRecord | None]


def reveal_all(record: TraceRecord) -> TraceRecord | None:
    """Hold nothing back."""
    return record


def encode_gsmtap(record: TraceRecord) -> bytes:
    """The GSMTAP datagram of one record."""
    if isinstance(record, AtrRecord):
        return _header(GsmtapSubType.ATR) + record.atr
    return _header(GsmtapSubType.APDU) + record.tpdu + record.response


def _header(sub_type: GsmtapSubType) -> bytes:
    return _GSMTAP_PREFIX + bytes((sub_type,)) + _GSMTAP_SUFFIX


__all__ = ["AtrRecord", "GsmtapSubType", "Redactor", "TpduRecord", "TraceRecord", "encode_gsmtap", "reveal_all"]
