# SPDX-License-Identifier: Apache-2.0
"""What a modem sends next as a rule, whatever was learnt: it fetches what waits, reads the file that it selected, and
goes on to the next record or part.

What a file is like is taken from the answer to its SELECT (ETSI TS 102 221, clause 11.1.1; 3GPP TS 51.011, 9.2.1), and
is kept for the session only.
"""

from enum import Enum
from typing import Final

from remsim.ahead.return_path import ABSOLUTE, INS_GET_RESPONSE, INS_READ_BINARY, INS_READ_RECORD, INS_SELECT, MODE_MASK
from remsim.ahead.view import CardView
from remsim.card.class_byte import GSM_CLA, Family, class_byte
from remsim.card.errors import TlvError
from remsim.card.selection import is_success, short_identifier
from remsim.card.tlv import parse_tlvs
from remsim.card.tpdu import HEADER_LENGTH
from remsim.core.values import dataclass

_FCP, _DESCRIPTOR, _SIZE = 0x62, 0x82, 0x80
#: File descriptor byte (table 11.5): bits that say DF, and the structure of an EF.
_IS_DF, _STRUCTURE = 0x38, 0x07
_TRANSPARENT, _LINEAR, _CYCLIC = 0x01, 0x02, 0x06
_GSM_EF_LENGTH: Final = 15
_MOST: Final = 255


class Source(Enum):
    """Why a command is expected."""

    FETCH = "fetch"
    LENGTH = "length"
    FIRST_READ = "first-read"
    NEXT_RECORD = "next-record"
    NEXT_PART = "next-part"
    LONG_CONTEXT = "long-context"
    SHORT_CONTEXT = "short-context"
    FOLLOWED = "followed"


@dataclass(frozen=True, slots=True)
class Expected:
    """A command that the modem is expected to send."""

    tpdu: bytes
    source: Source


@dataclass(frozen=True, slots=True)
class Shape:
    """A selected file: bytes in all, or length and number of its records."""

    size: int = 0
    record_length: int = 0
    records: int = 0


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The last exchange, and the file that was selected last."""

    tpdu: bytes = b""
    sw: int = 0
    shape: Shape | None = None
    #: The shape was told by this very exchange.
    is_new: bool = False

    def after(self, tpdu: bytes, response: bytes) -> "Exchanged":
        """After one more exchange."""
        sw = int.from_bytes(response[-2:])
        shape, is_new = self.shape, False
        if len(tpdu) > 1 and tpdu[1] == INS_SELECT:
            shape = None
        elif (
            len(tpdu) > 1 and tpdu[1] == INS_GET_RESPONSE and is_success(sw) and self.tpdu[1:2] == bytes((INS_SELECT,))
        ):
            shape = gsm_shape(response[:-2]) if tpdu[0] == GSM_CLA else fcp_shape(response[:-2])
            is_new = shape is not None
        return Exchanged(bytes(tpdu), sw, shape, is_new)


def fcp_shape(fcp: bytes) -> Shape | None:
    """The file that an FCP template describes; None for a directory, and for what is none."""
    try:
        outer = parse_tlvs(fcp)
        inner = {tlv.tag: tlv.value for tlv in parse_tlvs(outer[0].value)} if outer and outer[0].tag == _FCP else {}
    except TlvError:
        return None
    descriptor = inner.get(_DESCRIPTOR, b"")
    if not descriptor or descriptor[0] & _IS_DF == _IS_DF:
        return None
    structure = descriptor[0] & _STRUCTURE
    if structure == _TRANSPARENT:
        return Shape(size=int.from_bytes(inner.get(_SIZE, b"")))
    if structure in (_LINEAR, _CYCLIC) and len(descriptor) >= HEADER_LENGTH:
        return Shape(record_length=int.from_bytes(descriptor[2:4]), records=descriptor[4])
    return None


def gsm_shape(header: bytes) -> Shape | None:
    """The file that an answer to SELECT in class A0 describes; None for a directory."""
    if len(header) < _GSM_EF_LENGTH or header[6] != 4:
        return None
    size, structure, record_length = int.from_bytes(header[2:4]), header[13], header[14]
    if structure == 0:
        return Shape(size=size)
    return Shape(record_length=record_length, records=size // record_length) if record_length else None


def expected(situation: Exchanged, view: CardView) -> Expected | None:
    """What comes next as a rule, if there is one."""
    tpdu, sw = situation.tpdu, situation.sw
    if len(tpdu) < HEADER_LENGTH:
        return None
    cla = tpdu[0] if tpdu[0] == GSM_CLA or class_byte(tpdu[0]).family is Family.INTER_INDUSTRY else 0x00
    if view.fetching is not None and view.fetching.waiting:
        return Expected(bytes((cla, INS_GET_RESPONSE, 0, 0, view.fetching.waiting & 0xFF)), Source.FETCH)
    if sw >> 8 == 0x6C:
        return Expected(bytes((*tpdu[:4], sw & 0xFF)), Source.LENGTH)
    if not is_success(sw):
        return None
    if situation.is_new and situation.shape is not None:
        return _first_read(cla, situation.shape)
    if tpdu[1] == INS_READ_RECORD and tpdu[3] & MODE_MASK == ABSOLUTE and 0 < tpdu[2] < _MOST:
        return _next_record(tpdu, situation.shape)
    if tpdu[1] == INS_READ_BINARY and short_identifier(tpdu) is None:
        return _next_part(tpdu, situation.shape)
    return None


def _first_read(cla: int, shape: Shape) -> Expected | None:
    if shape.record_length:
        return Expected(bytes((cla, INS_READ_RECORD, 1, ABSOLUTE, shape.record_length & 0xFF)), Source.FIRST_READ)
    if shape.size:
        return Expected(bytes((cla, INS_READ_BINARY, 0, 0, min(shape.size, _MOST))), Source.FIRST_READ)
    return None


def _next_record(tpdu: bytes, shape: Shape | None) -> Expected | None:
    if shape is not None and not tpdu[3] >> 3 and tpdu[2] >= shape.records:
        return None
    return Expected(bytes((*tpdu[:2], tpdu[2] + 1, *tpdu[3:5])), Source.NEXT_RECORD)


def _next_part(tpdu: bytes, shape: Shape | None) -> Expected | None:
    length = tpdu[4] or 256
    offset = int.from_bytes(tpdu[2:4]) + length
    if shape is None or offset >= shape.size or offset >> 15:
        return None
    return Expected(
        bytes((*tpdu[:2], offset >> 8, offset & 0xFF, min(length, shape.size - offset) & 0xFF)), Source.NEXT_PART
    )
