# SPDX-License-Identifier: Apache-2.0
"""Which instruction carries data which way, by class byte. Facts only; ``apdu_case`` decides.

Sources: GSM = 3GPP TS 51.011 table 9; UICC = ETSI TS 102 221 table 10.5 and clause 11; 3GPP TS 31.102, 31.103;
GP = GlobalPlatform Card Specification 2.3; ADM = ETSI TS 102 222; ISO = ISO/IEC 7816-4.
"""

from collections.abc import Callable
from enum import Enum, IntEnum
from typing import Final


class Case(IntEnum):
    """Direction of data of a command (ISO/IEC 7816-3, clause 12.1)."""

    NONE = 1  #: header only
    FROM_CARD = 2
    TO_CARD = 3
    BOTH = 4  #: to the card; over T=0 the answer is fetched by a command of its own


class Family(Enum):
    """Groups of class bytes with a table of their own (ETSI TS 102 221, clause 10.1.1)."""

    GSM = "A0"
    INTER_INDUSTRY = "0X, 4X, 6X"
    PROPRIETARY = "8X, CX, EX"


#: A rule looks at the header where P1, P2 or P3 decide; None: the header has no meaning.
Rule = Callable[[bytes], Case | None]
Table = dict[int, Case | Rule]

_FAMILIES: Final = {
    0x0: Family.INTER_INDUSTRY,
    0x4: Family.INTER_INDUSTRY,
    0x6: Family.INTER_INDUSTRY,
    0x8: Family.PROPRIETARY,
    0xC: Family.PROPRIETARY,
    0xE: Family.PROPRIETARY,
}

_N, _F, _T, _B = Case.NONE, Case.FROM_CARD, Case.TO_CARD, Case.BOTH


def family_of(cla: int) -> Family | None:
    """The group of a class byte, None if no specification of ours uses it."""
    return Family.GSM if cla == 0xA0 else _FAMILIES.get(cla >> 4)


def _manage_secure_channel(header: bytes) -> Case | None:
    # TS 102 221, clause 11.1.20: P1 is the step, the top bits of P2 say first or next block of command or response.
    step, block = header[2] & 0x07, header[3] >> 5
    if header[2] == 0x00:
        return _F
    if step == 4:
        return _T
    if step not in (1, 2, 3) or block > 5:
        return None
    return _F if block % 2 else _T


def _transact_data(header: bytes) -> Case:
    # TS 102 221, clause 11.1.21.
    return _T if header[2] & 0x04 else _F


def _authenticate_odd(header: bytes) -> Case:
    # TS 31.102, clause 7.1.2: P1 = 80/00 first and next block of data, A0/20 of the answer, 60 once more.
    return {0x80: _T, 0x00: _T, 0xA0: _F, 0x20: _F, 0x60: _F}.get(header[2], _B)


def _terminate(header: bytes) -> Case:
    return _T if header[4] else _N


def _status(header: bytes) -> Case:
    # UICC STATUS has P1 = 00..02; GP GET STATUS names what it wants in the high bits and carries search criteria.
    return _B if header[2] & 0xF0 else _F


def _get_data(header: bytes) -> Case:
    # A simple data object is asked for without data. GP's lists (2F00) and stores (BFxx) may take a tag list; GP then
    # demands Le = 00, so P3 that is not 00 counts data.
    takes_list = header[2:4] == b"\x2f\x00" or header[2] == 0xBF
    return _B if takes_list and header[4] else _F


def _retrieve_data(header: bytes) -> Case:
    # TS 102 221, clause 11.3.1: the first block names the object, next blocks and retransmissions only fetch.
    if header[2] == 0x00:
        if header[3] & 0xC0 == 0x80:
            return _B
        if header[3] in (0x00, 0x20, 0x40, 0x60):
            return _F
    return _B if header[4] else _F


def _store_data(header: bytes) -> Case:
    # GP, clause 11.11: bit 1 of P1 says that an answer is expected.
    return _B if header[2] & 0x01 else _T


_PINS: Final[Table] = {0x20: _T, 0x24: _T, 0x26: _T, 0x28: _T, 0x2C: _T}
_FILES: Final[Table] = {0xA4: _B, 0xB0: _F, 0xD6: _T, 0xB2: _F, 0xDC: _T, 0xA2: _B, 0x04: _N, 0x44: _N, 0x88: _B}

_GSM: Final[Table] = (
    _FILES
    | _PINS
    | {
        0xF2: _F,  # STATUS
        0x32: _B,  # INCREASE
        0xFA: _N,  # SLEEP
        0x10: _T,  # TERMINAL PROFILE
        0xC2: _B,  # ENVELOPE
        0x12: _F,  # FETCH
        0x14: _T,  # TERMINAL RESPONSE
    }
)

_INTER_INDUSTRY: Final[Table] = (
    _FILES
    | _PINS
    | {
        0x84: _F,  # GET CHALLENGE
        0x70: _F,  # MANAGE CHANNEL
        0x73: _manage_secure_channel,
        0x75: _transact_data,
        0x89: _authenticate_odd,
        0x82: _T,  # EXTERNAL AUTHENTICATE
        0x22: _T,  # MANAGE SECURITY ENVIRONMENT
        0xCA: _F,  # GET DATA; also what Windows sends to every card: 00 CA 7F 68 00
        0xCB: _B,  # GET DATA with a tag list
        0xC2: _B,  # ENVELOPE
    }
)

#: ADM commands, not with the secure messaging of class 6X.
_ADMINISTRATIVE: Final[Table] = {
    0xE0: _T,  # CREATE FILE
    0xE4: _T,  # DELETE FILE
    0xE6: _terminate,  # TERMINATE DF
    0xE8: _terminate,  # TERMINATE EF
    0xFE: _terminate,  # TERMINATE CARD USAGE
}

#: Card application toolkit and the like: class 80 exactly, since they exist on channel 0 only.
_TOOLKIT: Final[Table] = {
    0x10: _T,  # TERMINAL PROFILE
    0xC2: _B,  # ENVELOPE
    0x12: _F,  # FETCH
    0x14: _T,  # TERMINAL RESPONSE
    0x76: _B,  # SUSPEND UICC
    0x7A: _B,  # EXCHANGE CAPABILITIES
}

_PROPRIETARY: Final[Table] = {
    0xF2: _status,
    0xCA: _get_data,
    0xCB: _retrieve_data,
    0xE2: _store_data,
    0x32: _B,  # INCREASE
    0xDB: _T,  # SET DATA
    0xAA: _T,  # TERMINAL CAPABILITY
    0x78: _B,  # GET IDENTITY
    0xE4: _B,  # DELETE
    0xE6: _B,  # INSTALL
    0xE8: _B,  # LOAD
    0xD8: _B,  # PUT KEY
    0xF0: _T,  # SET STATUS
    0x50: _B,  # INITIALIZE UPDATE
    0x82: _T,  # EXTERNAL AUTHENTICATE
    0x2A: _B,  # PERFORM SECURITY OPERATION
    0xD4: _T,  # RESIZE FILE
}

_INS_GET_RESPONSE: Final = 0xC0


def tables_of(cla: int) -> tuple[Table, ...]:
    """The tables for a class byte, the first that has the instruction decides; none for an unknown class."""
    match family_of(cla):
        case Family.GSM:
            return (_GSM,)
        case Family.INTER_INDUSTRY:
            return (_INTER_INDUSTRY,) if cla >> 4 == 0x6 else (_INTER_INDUSTRY, _ADMINISTRATIVE)
        case Family.PROPRIETARY:
            return (_TOOLKIT, _PROPRIETARY) if cla == 0x80 else (_PROPRIETARY,)
    return ()


def look_up(header: bytes) -> Case | None:
    """The case of a 5-byte header by the tables alone, None if they do not know it."""
    if header[1] == _INS_GET_RESPONSE:
        return _F
    for table in tables_of(header[0]):
        entry = table.get(header[1])
        if isinstance(entry, Case):
            return entry
        if entry is not None:
            return entry(header)
    return None
