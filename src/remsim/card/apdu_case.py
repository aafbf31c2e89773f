# SPDX-License-Identifier: Apache-2.0
"""Which way does the data of a T=0 command go? The decision that a card emulator must take after five bytes.

In T=0 the modem sends CLA INS P1 P2 P3 and stops; nothing on the line says whether P3 counts bytes to the card or from
it (ISO/IEC 7816-3, clause 10.3.2). A real card knows its commands. An emulator that forwards to a distant card must
choose before it may ask: receive P3 bytes and forward all, or forward the header as it is. Taking a command that wants
data from the card for one that brings some locks both sides until the modem gives up; the reverse loses the card.

P3 = 00 never means data to the card (clause 10.3.2: zero stands for 256 only in Le), so such a header is always
forwarded. Knows headers and status words; neither hardware nor network.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from remsim.card.apdu_case_tables import Case, look_up
from remsim.card.class_byte import class_byte
from remsim.card.errors import ApduCaseError
from remsim.card.status import SW_CLA_NOT_SUPPORTED, SW_CORRECT_LENGTH, SW_INS_NOT_SUPPORTED
from remsim.card.tpdu import HEADER_LENGTH

__all__ = [
    "AS_TABLES_SAY",
    "Case",
    "CaseOverride",
    "CommandRules",
    "Decision",
    "Direction",
    "Origin",
    "PreviousCommand",
    "UnknownCommands",
    "decide",
    "parse_override",
]


class Direction(Enum):
    """What to do with a header."""

    FORWARD = "forward"  # nothing to receive: the header goes to the card as it is
    RECEIVE = "receive"  # acknowledge with INS, take P3 bytes from the modem, then forward all
    REFUSE = "refuse"  # answer with a status word; the card never sees it


class Origin(Enum):
    """What decided."""

    OVERRIDE = "operator"
    REPEATED = "repeated after 6Cxx"
    TABLE = "table"
    NO_DATA = "P3 = 00"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Decision:
    """``case`` is None for a command that no table knows; ``sw`` is given with REFUSE only."""

    direction: Direction
    case: Case | None
    origin: Origin
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


class UnknownCommands(Enum):
    """What becomes of a command that no table knows and whose P3 is not 00."""

    REFUSE = "refuse"  # 6D00 or 6E00; the card never sees it
    RECEIVE = "receive"  # P3 is taken for the number of bytes that the modem wants to receive


@dataclass(frozen=True, slots=True)
class CommandRules:
    """What an operator says about commands whose direction the tables have wrong, or do not have."""

    overrides: tuple[CaseOverride, ...] = ()
    unknown: UnknownCommands = UnknownCommands.REFUSE


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
    # After 6Cxx the modem repeats the command with P3 = xx, and that P3 is Le even where the tables would take it for
    # Lc: 81 CA DF 20 00, 6C 0B, 81 CA DF 20 0B.
    if previous is None or previous.header[:4] != header[:4] or previous.sw & 0xFF00 != SW_CORRECT_LENGTH:
        return False
    return previous.direction is Direction.FORWARD or previous.sw & 0xFF == header[4]


def _classify(
    header: bytes, previous: PreviousCommand | None, overrides: Sequence[CaseOverride]
) -> tuple[Case | None, Origin]:
    for override in overrides:
        if override.matches(header):
            return override.case, Origin.OVERRIDE
    if _is_repeated(header, previous):
        return Case.FROM_CARD, Origin.REPEATED
    case = look_up(header)
    return case, Origin.UNKNOWN if case is None else Origin.TABLE


def decide(header: bytes, *, previous: PreviousCommand | None = None, rules: CommandRules = AS_TABLES_SAY) -> Decision:
    """Decide what to do with a command header of five bytes. Raises ApduCaseError for any other length.

    A command that nobody knows is refused with 6E00 (class unknown) or 6D00, unless ``rules`` say otherwise: the modem
    copes with that, while a wrong guess would cost it the card.
    """
    if len(header) != HEADER_LENGTH:
        raise ApduCaseError(f"header of {len(header)} bytes; a T=0 command begins with {HEADER_LENGTH}")
    case, origin = _classify(header, previous, rules.overrides)
    if header[4] == 0:
        return Decision(Direction.FORWARD, case, Origin.NO_DATA if case is None else origin)
    if case is None:
        if rules.unknown is UnknownCommands.RECEIVE:
            return Decision(Direction.FORWARD, None, origin)
        sw = SW_CLA_NOT_SUPPORTED if class_byte(header[0]).family is None else SW_INS_NOT_SUPPORTED
        return Decision(Direction.REFUSE, None, origin, sw)
    direction = Direction.RECEIVE if case in (Case.TO_CARD, Case.BOTH) else Direction.FORWARD
    return Decision(direction, case, origin)
