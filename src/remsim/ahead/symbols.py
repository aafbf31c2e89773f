# SPDX-License-Identifier: Apache-2.0
"""Commands as they are learnt: without what may be secret or personal.

A symbol is the header of a command, with its data only where these are public: what a SELECT names, and a pattern of
SEARCH RECORD that is a file identifier or a tag. Of a longer pattern, it is only noted if all of it is what unused
records are filled with: one byte behind the header says with what. PINs, challenges, file contents and numbers are
never part of a symbol.
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
#: Records that are not in use hold nothing else (TS 102 221, 10.2.1.2: FF; some cards are delivered with 00).
_FILLERS: Final = frozenset({0x00, 0xFF})


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
    if header[1] == INS_SEARCH and data[0] in _FILLERS and data.count(data[0]) == len(data):
        return header + data[:1]
    return header


def command_of(symbol: bytes) -> bytes | None:
    """The command that a symbol stands for; None if data are missing, or there was no command."""
    if len(symbol) == HEADER_LENGTH + 1 and symbol[1] == INS_SEARCH and symbol[4] > _MAX_PATTERN:
        return symbol[:HEADER_LENGTH] + symbol[HEADER_LENGTH:] * symbol[4]
    # A SEARCH always has data.
    return symbol if len(symbol) > HEADER_LENGTH or (len(symbol) == HEADER_LENGTH and symbol[1] != INS_SEARCH) else None


def is_symbol(raw: bytes) -> bool:
    """Whether bytes are what ``symbol_of`` makes: for what is read from a file."""
    if len(raw) == 1:
        return True
    whole = command_of(raw) or raw
    return is_well_formed(whole) and symbol_of(whole) == raw
