# SPDX-License-Identifier: Apache-2.0
"""What a bank's cards say, as records for other programs: GSMTAP as Wireshark reads it (rspro.md, section 14).

A record passes a ``Redactor`` before it is encoded; the sender decides which one. The datagrams are those
of the C bankd, byte for byte, so they carry no slot number. A command that no modem has sent is only among them where
that is asked for, and is marked by its antenna number, which means nothing else for a card. Knows no socket and no
clock.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final

from remsim.core.values import dataclass

#: Version 2, header of four 32-bit words, type 4 (SIM); then eight bytes of radio fields that mean nothing here.
_GSMTAP_PREFIX: Final = bytes((2, 4, 4, 0)) + bytes(8)
#: Sub slot, reserved.
_GSMTAP_SUFFIX: Final = bytes(2)


class GsmtapSubType(IntEnum):
    """What follows the GSMTAP header."""

    APDU = 0
    ATR = 1


class TpduMark(IntEnum):
    """Who asked for a command: the antenna number of its header. Letters, so that a look at the bytes tells."""

    MODEM = 0
    #: The bankd: the modem will probably send it.
    GUESS = ord("G")
    #: The bankd, to select again what the modem believes to be selected.
    RESTORE = ord("R")
    #: The bankd, to learn what card it has.
    INVENTORY = ord("I")


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
    mark: TpduMark = TpduMark.MODEM
    #: The card was asked just now, and not before the modem sent it.
    was_run: bool = True


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
    return _header(GsmtapSubType.APDU, record.mark) + record.tpdu + record.response


def _header(sub_type: GsmtapSubType, mark: TpduMark = TpduMark.MODEM) -> bytes:
    return _GSMTAP_PREFIX + bytes((sub_type, mark)) + _GSMTAP_SUFFIX


__all__ = [
    "AtrRecord",
    "GsmtapSubType",
    "Redactor",
    "TpduMark",
    "TpduRecord",
    "TraceRecord",
    "encode_gsmtap",
    "reveal_all",
]
