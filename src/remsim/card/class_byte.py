# SPDX-License-Identifier: Apache-2.0
"""The class byte of a command, read once and for all: family, logical channel, secure messaging, chaining.

Sources: ISO/IEC 7816-4, clause 5.4.1; ETSI TS 102 221, clause 10.1.1; GlobalPlatform Card Specification, clause 11.1.4.

======  ==================================================================
0X, 1X  first interindustry values: channels 0 to 3
2X, 3X  reserved
4X-7X   further interindustry values: channels 4 to 19
8X, 9X  proprietary, coded like 0X and 1X
A0      3GPP TS 51.011
A1-BF   reserved here; cards and applications use them in their own way
CX-FE   proprietary, coded like 4X to 7X
FF      invalid
======  ==================================================================

Direction tables, software card, guard and redaction all ask here, so that they agree on every value.
"""

from enum import Enum
from typing import Final

from remsim.core.values import dataclass

GSM_CLA: Final = 0xA0

_INVALID: Final = 0xFF
_PROPRIETARY: Final = 0x80
_FURTHER: Final = 0x40
_RESERVED: Final = 0x20
_CHAINED: Final = 0x10
_FIRST_SECURED: Final = 0x0C
_FURTHER_SECURED: Final = 0x20
_FIRST_CHANNELS: Final = 4


class Family(Enum):
    """Groups of class bytes in which an instruction means the same."""

    GSM = "A0"
    INTER_INDUSTRY = "0X, 1X, 4X to 7X"
    PROPRIETARY = "8X, 9X, CX to FE"


@dataclass(frozen=True, slots=True)
class ClassByte:
    """What one class byte says. Where no specification gives it a meaning, ``family`` is None.

    Then the other fields are the cautious ones: data may be wrapped, and the channel is that of the lowest bits.
    """

    family: Family | None
    channel: int
    #: Data may be wrapped in secure messaging.
    is_secured: bool
    #: Another part of the same command follows.
    is_chained: bool


def _parse(cla: int) -> ClassByte:
    if cla == GSM_CLA:
        return ClassByte(Family.GSM, 0, is_secured=False, is_chained=False)
    is_chained = cla & _CHAINED != 0
    if cla == _INVALID:
        return ClassByte(None, cla & (_FIRST_CHANNELS - 1), is_secured=True, is_chained=is_chained)
    family = Family.PROPRIETARY if cla & _PROPRIETARY else Family.INTER_INDUSTRY
    if cla & _FURTHER:
        return ClassByte(family, _FIRST_CHANNELS + (cla & 0x0F), cla & _FURTHER_SECURED != 0, is_chained)
    channel = cla & (_FIRST_CHANNELS - 1)
    if cla & _RESERVED:
        return ClassByte(None, channel, is_secured=True, is_chained=is_chained)
    return ClassByte(family, channel, cla & _FIRST_SECURED != 0, is_chained)


_ALL: Final = tuple(_parse(cla) for cla in range(256))


def class_byte(cla: int) -> ClassByte:
    """The meaning of a class byte, 0 to 255."""
    return _ALL[cla]
