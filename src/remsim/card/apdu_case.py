# SPDX-License-Identifier: Apache-2.0
"""Which way does the data of a T=0 command go? The tables, and the decision a card emulator must take after five bytes.

In T=0 the modem sends CLA INS P1 P2 P3 and stops; nothing on the line says whether P3 counts bytes to the card or from
it (ISO/IEC 7816-3, clause 10.3.2). A real card knows its commands. An emulator that forwards to a distant card must
choose before it may ask: receive P3 bytes and forward all, or forward the header as it is. Taking a command that wants
data from the card for one that brings some locks both sides until the modem gives up; the reverse loses the card.

P3 = 00 never means data to the card (clause 10.3.2: zero stands for 256 only in Le), so such a header is always
forwarded. Knows headers and status words; neither hardware nor network. One file, because tables and decision are read
together.

Sources of the tables: GSM = 3GPP TS 51.011 table 9; UICC = ETSI TS 102 221 table 10.5 and clause 11, with 3GPP TS
31.102 and 31.103; GP = GlobalPlatform Card Specification 2.3.1 with its amendments, and Secure Element Access Control;
ADM = ETSI TS 102 222; ISO = ISO/IEC 7816-4, whose table of commands has those of parts 7, 8, 9, 11 and 13, too; IoT
SAFE = GSMA IoT.05. GSMA SGP.02, SGP.22 and SGP.32 add no instruction: they use STORE DATA, GET DATA and the toolkit.
"""

import re
from collections.abc import Callable, Sequence
from enum import Enum, IntEnum
from typing import Final

from remsim.card.class_byte import Family, class_byte
from remsim.card.errors import ApduCaseError
from remsim.card.status import SW_CLA_NOT_SUPPORTED, SW_CORRECT_LENGTH, SW_INS_NOT_SUPPORTED
from remsim.card.tpdu import HEADER_LENGTH
from remsim.core.values import dataclass


class Case(IntEnum):
    """Direction of data of a command (ISO/IEC 7816-3, clause 12.1)."""

    NONE = 1  #: header only
    FROM_CARD = 2
    TO_CARD = 3
    BOTH = 4  #: to the card; over T=0 the answer is fetched by a command of its own


#: A rule looks at the header where P1, P2 or P3 decide; None: the header has no meaning.
Rule = Callable[[bytes], Case | None]
Table = dict[int, Case | Rule]

_N, _F, _T, _B = Case.NONE, Case.FROM_CARD, Case.TO_CARD, Case.BOTH


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


def _names_its_file(header: bytes) -> Case:
    # TS 102 221, clauses 11.1.14 and 11.1.15, and ISO: without data it is about the current file.
    return _T if header[4] else _N


def _status(header: bytes) -> Case:
    # UICC STATUS has P1 = 00..02; GP GET STATUS names what it wants in the high bits and carries search criteria.
    return _B if header[2] & 0xF0 else _F


#: GET DATA of these objects may come with data that says which part is wanted: lists of applications (GP, clause 11.3),
#: production data of NXP's cards, rules of one application and the configuration of the device (Secure Element Access
#: Control, clause 4).
_SELECTED_BY_DATA: Final = frozenset({0x2F00, 0x00FE, 0xFF50, 0xDF21})
#: So may stores of certificates and forwarded data (GP, amendments A and F).
_STORES_P1: Final = 0xBF


def _get_data(header: bytes) -> Case:
    # A simple data object is asked for without data. GP demands Le = 00 where there may be some, so P3 that is not 00
    # counts data.
    tag = int.from_bytes(header[2:4])
    # In secure messaging the data may be no more than the checksum: 84 CA 00 E0 08.
    has_data = tag in _SELECTED_BY_DATA or header[2] == _STORES_P1 or class_byte(header[0]).is_secured
    return _B if header[4] and has_data else _F


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


_GSM: Final[Table] = {
    0x04: _N,  # INVALIDATE
    0x10: _T,  # TERMINAL PROFILE
    0x12: _F,  # FETCH
    0x14: _T,  # TERMINAL RESPONSE
    0x20: _T,  # VERIFY CHV
    0x24: _T,  # CHANGE CHV
    0x26: _T,  # DISABLE CHV
    0x28: _T,  # ENABLE CHV
    0x2C: _T,  # UNBLOCK CHV
    0x32: _B,  # INCREASE
    0x44: _N,  # REHABILITATE
    0x88: _B,  # RUN GSM ALGORITHM
    0xA2: _B,  # SEEK
    0xA4: _B,  # SELECT
    0xB0: _F,  # READ BINARY
    0xB2: _F,  # READ RECORD
    0xC2: _B,  # ENVELOPE
    0xD6: _T,  # UPDATE BINARY
    0xDC: _T,  # UPDATE RECORD
    0xF2: _F,  # STATUS
    0xFA: _N,  # SLEEP
}

#: ISO and UICC. An odd instruction has data objects in its data where the even one has none (ISO, clause 5.4.2).
_INTER_INDUSTRY: Final[Table] = {
    0x04: _names_its_file,  # DEACTIVATE FILE
    0x06: _names_its_file,  # DEACTIVATE RECORD
    0x08: _names_its_file,  # ACTIVATE RECORD
    0x0C: _names_its_file,  # ERASE RECORD
    0x0E: _names_its_file,  # ERASE BINARY
    0x0F: _T,  # ERASE BINARY
    0x10: _B,  # PERFORM SCQL OPERATION
    0x12: _names_its_file,  # PERFORM TRANSACTION OPERATION
    0x14: _B,  # PERFORM USER OPERATION
    0x20: _T,  # VERIFY PIN
    0x21: _T,  # VERIFY
    0x22: _T,  # MANAGE SECURITY ENVIRONMENT
    0x24: _T,  # CHANGE PIN
    0x25: _T,  # CHANGE REFERENCE DATA
    0x26: _T,  # DISABLE PIN
    0x28: _T,  # ENABLE PIN
    0x2A: _B,  # PERFORM SECURITY OPERATION
    0x2B: _B,  # PERFORM SECURITY OPERATION
    0x2C: _T,  # UNBLOCK PIN
    0x2D: _T,  # RESET RETRY COUNTER
    0x2E: _B,  # PERFORM BIOMETRIC OPERATION
    0x2F: _B,  # PERFORM BIOMETRIC OPERATION
    0x33: _B,  # COMPARE
    0x35: _B,  # GET ATTRIBUTE
    0x40: _B,  # APPLICATION MANAGEMENT REQUEST
    0x41: _B,  # APPLICATION MANAGEMENT REQUEST
    0x44: _names_its_file,  # ACTIVATE FILE
    0x46: _B,  # GENERATE ASYMMETRIC KEY PAIR
    0x47: _B,  # GENERATE ASYMMETRIC KEY PAIR
    0x48: _T,  # IMPORT CARD SECRET
    0x70: _F,  # MANAGE CHANNEL
    0x73: _manage_secure_channel,
    0x75: _transact_data,
    0x82: _B,  # EXTERNAL and MUTUAL AUTHENTICATE
    0x84: _F,  # GET CHALLENGE
    0x86: _B,  # GENERAL AUTHENTICATE
    0x87: _B,  # GENERAL AUTHENTICATE
    0x88: _B,  # AUTHENTICATE
    0x89: _authenticate_odd,
    0xA0: _B,  # SEARCH BINARY
    0xA1: _B,  # SEARCH BINARY
    0xA2: _B,  # SEARCH RECORD
    0xA4: _B,  # SELECT
    0xA5: _B,  # SELECT DATA
    0xB0: _F,  # READ BINARY
    0xB1: _B,  # READ BINARY
    0xB2: _F,  # READ RECORD
    0xB3: _B,  # READ RECORD
    0xC2: _B,  # ENVELOPE
    0xC3: _B,  # ENVELOPE
    0xCA: _get_data,  # also what Windows sends to every card: 00 CA 7F 68 00
    0xCB: _B,  # GET DATA
    0xCC: _F,  # GET NEXT DATA
    0xCD: _B,  # GET NEXT DATA
    0xCF: _T,  # MANAGE DATA
    0xD0: _T,  # WRITE BINARY
    0xD1: _T,  # WRITE BINARY
    0xD2: _T,  # WRITE RECORD
    0xD6: _T,  # UPDATE BINARY
    0xD7: _T,  # UPDATE BINARY
    0xD8: _T,  # PUT NEXT DATA
    0xD9: _T,  # PUT NEXT DATA
    0xDA: _T,  # PUT DATA
    0xDB: _T,  # PUT DATA
    0xDC: _T,  # UPDATE RECORD
    0xDD: _T,  # UPDATE RECORD
    0xDE: _T,  # UPDATE DATA
    0xDF: _T,  # UPDATE DATA
    0xE0: _T,  # CREATE FILE
    0xE2: _T,  # APPEND RECORD
    0xE4: _T,  # DELETE FILE
    0xE6: _names_its_file,  # TERMINATE DF
    0xE8: _names_its_file,  # TERMINATE EF
    0xEA: _B,  # LOAD APPLICATION
    0xEB: _B,  # LOAD APPLICATION
    0xEC: _B,  # REMOVE APPLICATION
    0xED: _B,  # REMOVE APPLICATION
    0xEE: _T,  # DELETE DATA
    0xFE: _names_its_file,  # TERMINATE CARD USAGE
}

#: UICC, ADM, GP and IoT SAFE: they share class bytes and, but for STATUS, no instruction of unlike direction.
_PROPRIETARY: Final[Table] = {
    0x10: _T,  # TERMINAL PROFILE
    0x12: _F,  # FETCH
    0x14: _T,  # TERMINAL RESPONSE
    0x22: _T,  # MANAGE SECURITY ENVIRONMENT
    0x24: _T,  # PUT PUBLIC KEY, first part
    0x2A: _B,  # PERFORM SECURITY OPERATION; COMPUTE SIGNATURE, first part
    0x2B: _B,  # COMPUTE SIGNATURE, next part
    0x2C: _T,  # VERIFY SIGNATURE, first part
    0x2D: _B,  # VERIFY SIGNATURE, next part
    0x32: _B,  # INCREASE
    0x46: _B,  # COMPUTE DH
    0x48: _B,  # COMPUTE PRF
    0x4A: _B,  # COMPUTE HKDF
    0x50: _B,  # INITIALIZE UPDATE
    0x76: _B,  # SUSPEND UICC
    0x78: _B,  # GET IDENTITY; END R-MAC SESSION, whose P3 is 00
    0x7A: _B,  # EXCHANGE CAPABILITIES; BEGIN R-MAC SESSION
    0x7C: _B,  # MANAGE LSI
    0x82: _B,  # EXTERNAL and MUTUAL AUTHENTICATE
    0x84: _F,  # GET RANDOM, GET CHALLENGE
    0x88: _B,  # INTERNAL AUTHENTICATE
    0xAA: _T,  # TERMINAL CAPABILITY
    0xB0: _B,  # READ FILE: the data name the file
    0xB9: _B,  # GENERATE KEY PAIR
    0xC2: _B,  # ENVELOPE
    0xCA: _get_data,
    0xCB: _retrieve_data,
    0xCD: _B,  # READ PUBLIC KEY
    0xD4: _T,  # RESIZE FILE
    0xD8: _B,  # PUT KEY; PUT PUBLIC KEY, next part
    0xDB: _T,  # SET DATA
    0xE2: _store_data,
    0xE4: _B,  # DELETE
    0xE6: _B,  # INSTALL
    0xE8: _B,  # LOAD
    0xEA: _B,  # MANAGE ELF UPGRADE
    0xF0: _T,  # SET STATUS
    0xF2: _status,
}

_INS_GET_RESPONSE: Final = 0xC0

_TABLES: Final = {Family.GSM: _GSM, Family.INTER_INDUSTRY: _INTER_INDUSTRY, Family.PROPRIETARY: _PROPRIETARY}


def look_up(header: bytes) -> Case | None:
    """The case of a 5-byte header by the tables alone, None if they do not know it."""
    if header[1] == _INS_GET_RESPONSE:
        return _F
    cla = class_byte(header[0])
    if cla.family is None:
        return None
    entry = _TABLES[cla.family].get(header[1])
    case = entry if entry is None or isinstance(entry, Case) else entry(header)
    if case is _F and header[4] and cla.is_secured and cla.family is Family.INTER_INDUSTRY:
        # ISO, clause 10: in secure messaging at least Le and checksum travel as data: 0C B0 00 00 0D 97 01 05 8E 08 …
        case = _B
    # A part of a chain carries a part of the command's data: what brings none cannot come in parts.
    return None if cla.is_chained and case in (_N, _F) else case


__all__ = [
    "AS_TABLES_SAY",
    "Case",
    "CaseDecision",
    "CaseOverride",
    "CaseSource",
    "CommandRules",
    "Direction",
    "PreviousCommand",
    "UnknownCommandPolicy",
    "decide",
    "parse_override",
]


class Direction(Enum):
    """What to do with a header."""

    FORWARD = "forward"  # nothing to receive: the header goes to the card as it is
    RECEIVE = "receive"  # acknowledge with INS, take P3 bytes from the modem, then forward all
    REFUSE = "refuse"  # answer with a status word; the card never sees it


class CaseSource(Enum):
    """What decided."""

    OVERRIDE = "operator"
    REPEATED = "repeated after 6Cxx"
    TABLE = "table"
    NO_DATA = "P3 = 00"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CaseDecision:
    """``case`` is None for a command that no table knows; ``sw`` is given with REFUSE only."""

    direction: Direction
    case: Case | None
    origin: CaseSource
    sw: int | None = None


@dataclass(frozen=True, slots=True)
class PreviousCommand:
    """The command before, if no reset came in between."""

    header: bytes
    sw: int
    direction: Direction


@dataclass(frozen=True, slots=True)
class CaseOverride:
    """An operator's word on all class bytes that agree with ``cla`` in the bits of ``mask``, for one instruction.

    ``p1``: only where P1 has this value.
    """

    cla: int
    mask: int
    ins: int
    case: Case
    p1: int | None = None

    def matches(self, header: bytes) -> bool:
        """Whether this is about the command."""
        return (
            header[1] == self.ins
            and (header[0] ^ self.cla) & self.mask == 0
            and (self.p1 is None or header[2] == self.p1)
        )

    def __str__(self) -> str:
        mask = "" if self.mask == _EXACT else f"/{self.mask:02X}"
        p1 = "" if self.p1 is None else f" {self.p1:02X}"
        return f"{self.cla:02X}{mask} {self.ins:02X}{p1} = {int(self.case)}"


class UnknownCommandPolicy(Enum):
    """What becomes of a command that no table knows and whose P3 is not 00."""

    REFUSE = "refuse"  # 6D00 or 6E00; the card never sees it
    RECEIVE = "receive"  # P3 is taken for the number of bytes that the modem wants to receive


@dataclass(frozen=True, slots=True)
class CommandRules:
    """What an operator says about commands whose direction the tables have wrong, or do not have."""

    overrides: tuple[CaseOverride, ...] = ()
    unknown: UnknownCommandPolicy = UnknownCommandPolicy.REFUSE


AS_TABLES_SAY: Final = CommandRules()

_EXACT: Final = 0xFF
_MAX_OVERRIDE: Final = 64
_HEX_BYTE: Final = "([0-9A-F]{2})"
_OVERRIDE: Final = re.compile(
    rf"{_HEX_BYTE}(?:/{_HEX_BYTE})?\s+{_HEX_BYTE}(?:\s+{_HEX_BYTE})?\s*[:=]\s*([1-4])", re.IGNORECASE | re.ASCII
)


def parse_override(text: str) -> CaseOverride:
    """Read ``CLA[/MASK] INS [P1] = CASE`` (hex; case 1 to 4). Raises ApduCaseError.

    ``80/F0 E0 = 3``: INS E0 brings data in all classes from 80 to 8F.
    """
    found = _OVERRIDE.fullmatch(text.strip()) if len(text) <= _MAX_OVERRIDE else None
    if found is None:
        raise ApduCaseError(
            f"{text[:_MAX_OVERRIDE]!r} is not CLA[/MASK] INS [P1] = CASE: two hex digits each, and a case from 1 to 4",
            hint="80/F0 E0 = 3 says that INS E0 brings data (3) in all classes from 80 to 8F; 2 fetches data",
        )
    cla, mask, ins, p1, case = found.groups()
    return CaseOverride(
        int(cla, 16), int(mask or "FF", 16), int(ins, 16), Case(int(case)), None if p1 is None else int(p1, 16)
    )


def _is_repeated(header: bytes, previous: PreviousCommand | None) -> bool:
    # After 6Cxx the modem repeats the command with P3 = xx (ISO/IEC 7816-3, clause 12.2.3), and that P3 is Le even
    # where the tables would take it for Lc: 81 CA BF 20 00, 6C 0B, 81 CA BF 20 0B.
    if previous is None or previous.header[:4] != header[:4] or previous.sw & 0xFF00 != SW_CORRECT_LENGTH:
        return False
    # With another P3 it is a new command, which may bring data: 81 CA 00 FE 00, 6C 2D, 81 CA 00 FE 02 DF 25. Of a
    # command that is in no table, nothing is known but that it was a question before.
    is_unknown = look_up(header) is None and previous.direction is Direction.FORWARD
    return is_unknown or previous.sw & 0xFF == header[4]


def _classify(
    header: bytes, previous: PreviousCommand | None, overrides: Sequence[CaseOverride]
) -> tuple[Case | None, CaseSource]:
    for override in overrides:
        if override.matches(header):
            return override.case, CaseSource.OVERRIDE
    if _is_repeated(header, previous):
        return Case.FROM_CARD, CaseSource.REPEATED
    case = look_up(header)
    return case, CaseSource.UNKNOWN if case is None else CaseSource.TABLE


def decide(
    header: bytes, *, previous: PreviousCommand | None = None, rules: CommandRules = AS_TABLES_SAY
) -> CaseDecision:
    """Decide what to do with a command header of five bytes. Raises ApduCaseError for any other length.

    A command that nobody knows is refused with 6E00 (class unknown) or 6D00, unless ``rules`` say otherwise: the modem
    copes with that, while a wrong guess would cost it the card.
    """
    if len(header) != HEADER_LENGTH:
        raise ApduCaseError(f"header of {len(header)} bytes; a T=0 command begins with {HEADER_LENGTH}")
    case, origin = _classify(header, previous, rules.overrides)
    if header[4] == 0:
        return CaseDecision(Direction.FORWARD, case, CaseSource.NO_DATA if case is None else origin)
    if case is None:
        if rules.unknown is UnknownCommandPolicy.RECEIVE:
            return CaseDecision(Direction.FORWARD, None, origin)
        sw = SW_CLA_NOT_SUPPORTED if class_byte(header[0]).family is None else SW_INS_NOT_SUPPORTED
        return CaseDecision(Direction.REFUSE, None, origin, sw)
    direction = Direction.RECEIVE if case in (Case.TO_CARD, Case.BOTH) else Direction.FORWARD
    return CaseDecision(direction, case, origin)
