# SPDX-License-Identifier: Apache-2.0
"""Commands as they are learnt: without what may be secret or personal.

A symbol is the header of a command, with its data only where these are public: what a SELECT names, and a pattern of
SEARCH RECORD that is a file identifier or a tag. PINs, challenges, file contents and numbers are never part of one.
"""

from typing import Final

from remsim.ahead.return_path import INS_SEARCH, INS_SELECT
from remsim.card.class_byte import Family, class_byte
from remsim.card.tpdu import HEADER_LENGTH, is_well_formed

#: The card was reset. Begins each recording.
START: Final = b""

#: An AID has at most so many bytes, a path no more.
_MAX_SELECTED: Final = 16
#: A file identifier has two bytes, a tag that is searched for one or two.
_MAX_PATTERN: Final = 2


def symbol_of(tpdu: bytes) -> bytes:
    """What of a command may be learnt: 5 bytes, or more for SELECT and SEARCH RECORD. Not well-formed: its length."""
    if not is_well_formed(tpdu):
        return bytes((min(len(tpdu), 255),))
    header, data = bytes(tpdu[:HEADER_LENGTH]), bytes(tpdu[HEADER_LENGTH:])
    meaning = class_byte(tpdu[0])
    if meaning.is_secured or meaning.is_chained or meaning.family not in (Family.GSM, Family.INTER_INDUSTRY):
        return header
    if header[1] == INS_SELECT and len(data) <= _MAX_SELECTED:
        return header + data
    if header[1] == INS_SEARCH and len(data) <= _MAX_PATTERN:
        return header + data
    return header


def is_symbol(raw: bytes) -> bool:
    """Whether bytes are what ``symbol_of`` makes: for what is read from a file."""
    return len(raw) == 1 or (is_well_formed(raw) and symbol_of(raw) == raw)
