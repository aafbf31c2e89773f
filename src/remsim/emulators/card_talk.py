# SPDX-License-Identifier: Apache-2.0
"""What the interactive shell's helpers say to a UICC: SELECT, READ BINARY, READ RECORD, with what a modem would add.

Clauses are those of ETSI TS 102 221. Knows no terminal and no network: commands go out through one function.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from remsim.card.apdu import ResponseApdu
from remsim.card.errors import ApduError, TlvError, TpduError
from remsim.card.status import SwKind, sw_kind
from remsim.card.tlv import parse_tlvs
from remsim.card.tpdu import CommandTpdu, tpdu_of_apdu
from remsim.errors import RemsimError

_HEX_DIGITS: Final = re.compile(r"[0-9A-Fa-f]+", re.ASCII)
_MF: Final = "3F00"
#: An application identifier has 5..16 bytes (ISO/IEC 7816-4, clause 8.2.1.2); the card takes a beginning of it.
_MIN_AID, _MAX_AID = 5, 16
#: Data of one READ BINARY: Le 00 asks for 256.
_MAX_READ: Final = 256
#: Clause 11.1.3: offsets of READ BINARY have 15 bits.
_MAX_OFFSET: Final = 0x7FFF
_MAX_RECORD: Final = 254


class UsageError(RemsimError):
    """A line that the shell does not understand."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What the FCP template of a selected file says (clause 11.1.1.3); None: it does not say."""

    structure: str
    size: int | None = None
    record_length: int | None = None
    records: int | None = None

    def __str__(self) -> str:
        parts = [self.structure]
        if self.records is not None and self.record_length is not None:
            parts.append(f"{self.records} records of {self.record_length} bytes")
        if self.size is not None:
            parts.append(f"{self.size} bytes")
        return ", ".join(parts)


_STRUCTURES: Final = {1: "transparent EF", 2: "linear fixed EF", 6: "cyclic EF"}


def parse_fcp(data: bytes) -> FileInfo | None:
    """Read an FCP template; None if ``data`` is none."""
    try:
        (template,) = parse_tlvs(data)
        fields = {tlv.tag: tlv.value for tlv in parse_tlvs(template.value)}
    except (TlvError, ValueError):
        return None
    descriptor = fields.get(0x82, b"")
    if template.tag != 0x62 or not descriptor:
        return None
    size = int.from_bytes(fields[0x80]) if 0x80 in fields else None
    if descriptor[0] & 0x38 == 0x38:
        is_ef = descriptor[0] & 0x07 == 1 and len(descriptor) > 1 and descriptor[0] == 0x39
        return FileInfo("BER-TLV EF" if is_ef else "DF or ADF", size)
    structure = _STRUCTURES.get(descriptor[0] & 0x07, "EF")
    if len(descriptor) >= 5:
        return FileInfo(structure, size, int.from_bytes(descriptor[2:4]), descriptor[4])
    return FileInfo(structure, size)


def parse_command(octets: bytes) -> bytes:
    """Turn what a person typed, an APDU of any case or a TPDU, into the TPDU to send. Raises UsageError."""
    tpdu = tpdu_of_apdu(octets)
    try:
        return CommandTpdu.from_bytes(tpdu).to_bytes()
    except TpduError as error:
        raise UsageError(f"not a command: {error}", hint="CLA INS P1 P2 P3, then P3 bytes of data or none") from None


def select_command(target: str) -> bytes:
    """SELECT for ``3f00``, a path such as ``7fff/6f07``, or an AID. Raises UsageError."""
    parts = [part for part in target.strip().strip("/").split("/") if part]
    if not parts or not all(_HEX_DIGITS.fullmatch(part) and len(part) % 2 == 0 for part in parts):
        raise UsageError(f"{target!r} is neither a path nor an AID", hint="for example select 3f00/7f20/6f07")
    if len(parts) == 1 and len(parts[0]) > 4:
        aid = bytes.fromhex(parts[0])
        if not _MIN_AID <= len(aid) <= _MAX_AID:
            raise UsageError(f"an AID has {_MIN_AID}..{_MAX_AID} bytes, this one {len(aid)}")
        return bytes((0x00, 0xA4, 0x04, 0x04, len(aid))) + aid
    if any(len(part) != 4 for part in parts):
        raise UsageError(f"{target!r} is no path: file identifiers have four digits")
    if len(parts) == 1:
        return bytes.fromhex("00A4000402" + parts[0])
    if parts[0].upper() == _MF:
        # Clause 11.1.1.2: a path from the MF is given without the MF's own identifier.
        parts = parts[1:]
    path = bytes.fromhex("".join(parts))
    return bytes((0x00, 0xA4, 0x08, 0x04, len(path))) + path


class CardTalk:
    """A conversation with one card. ``exchange`` may raise; its errors pass through."""

    def __init__(self, exchange: Callable[[bytes], Awaitable[ResponseApdu]]) -> None:
        self._exchange = exchange
        #: The file selected last, if its FCP was readable.
        self.file: FileInfo | None = None

    async def command(self, tpdu: bytes) -> ResponseApdu:
        """Send ``tpdu``; fetch what the card holds ready (61xx, 9Fxx), repeat with the right length (6Cxx)."""
        response = await self._exchange(tpdu)
        if sw_kind(response.sw) is SwKind.LENGTH and len(tpdu) == 5:
            response = await self._exchange(tpdu[:4] + bytes((response.sw2,)))
        if sw_kind(response.sw) is SwKind.MORE:
            response = await self._exchange(bytes((tpdu[0], 0xC0, 0x00, 0x00, response.sw2)))
        return response

    async def select(self, target: str) -> ResponseApdu:
        """SELECT by file identifier, path or AID. Raises UsageError."""
        response = await self.command(select_command(target))
        self.file = parse_fcp(response.data)
        return response

    async def read_binary(self, length: int | None = None, offset: int = 0) -> ResponseApdu:
        """Read the selected transparent file, or ``length`` bytes from ``offset``. Stops at the end or at an error."""
        if length is None:
            size = self.file.size if self.file is not None else None
            length = max(0, size - offset) if size is not None else _MAX_READ
        if not 0 <= offset <= _MAX_OFFSET or not 1 <= length <= _MAX_OFFSET + 1:
            raise UsageError(f"offset {offset} and length {length}: 0..{_MAX_OFFSET} and at least 1 are possible")
        data = b""
        while True:
            chunk = min(length - len(data), _MAX_READ)
            at = offset + len(data)
            response = await self.command(bytes((0x00, 0xB0, at >> 8, at & 0xFF, chunk & 0xFF)))
            data += response.data
            # Fewer bytes than asked for, after 6Cxx, are the end of the file.
            if sw_kind(response.sw) is not SwKind.OK or len(response.data) < chunk or len(data) >= length:
                return ResponseApdu(data, response.sw)

    async def read_record(self, number: int, length: int | None = None) -> ResponseApdu:
        """Read one record, counted from 1. Raises UsageError."""
        if not 1 <= number <= _MAX_RECORD:
            raise UsageError(f"record {number}: 1..{_MAX_RECORD} are possible")
        if length is None:
            length = self.file.record_length if self.file is not None else None
        if length is not None and not 1 <= length <= _MAX_READ:
            raise UsageError(f"length {length}: 1..{_MAX_READ} are possible")
        # Clause 11.1.5.2: P2 04 is absolute mode in the selected file. Without a length the card tells by 6Cxx.
        return await self.command(bytes((0x00, 0xB2, number, 0x04, (length or 0) & 0xFF)))


def parse_response(raw: bytes) -> ResponseApdu:
    """Data and status word. Raises UsageError in the impossible case of less than two octets."""
    try:
        return ResponseApdu.from_bytes(raw)
    except ApduError as error:
        raise UsageError(str(error)) from None
