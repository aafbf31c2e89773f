# SPDX-License-Identifier: Apache-2.0
"""What the interactive shell's helpers say to a UICC: SELECT, READ BINARY, READ RECORD, with what a modem would add.

Clauses are those of ETSI TS 102 221. Knows no terminal and no network: commands go out through one function.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final

from remsim.card.apdu import ResponseApdu
from remsim.card.contents import describe_contents
from remsim.card.errors import ApduError, TlvError, TpduError
from remsim.card.filenames import NAMED_PATHS, NamedPath, application_aid, path_names
from remsim.card.selection import CURRENT_APPLICATION, MF, Path, Selected, SelectionTracker, is_success
from remsim.card.status import SwKind, sw_kind
from remsim.card.t0_exchange import exchange_apdu, first_tpdu
from remsim.card.tlv import parse_tlvs
from remsim.card.tpdu import HEADER_LENGTH
from remsim.core.errors import RemsimError
from remsim.core.values import dataclass

_HEX_DIGITS: Final = re.compile(r"[0-9A-Fa-f]+", re.ASCII)
_USIM: Final = "ADF.USIM"
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
    sfi: int | None = None
    #: Where it is not the usual one, "activated".
    state: str = ""

    def __str__(self) -> str:
        parts = [self.structure]
        if self.records is not None and self.record_length is not None:
            records = "1 record" if self.records == 1 else f"{self.records} records"
            parts.append(f"{records} of {_bytes(self.record_length)}")
        if self.size is not None:
            parts.append(_bytes(self.size))
        if self.sfi is not None:
            parts.append(f"SFI {self.sfi:02X}")
        if self.state:
            parts.append(self.state)
        return ", ".join(parts)


def _bytes(number: int) -> str:
    return "1 byte" if number == 1 else f"{number} bytes"


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
    sfi = fields[0x88][0] >> 3 if fields.get(0x88) else None
    state = _life_cycle(fields.get(0x8A, b""))
    if descriptor[0] & 0x38 == 0x38:
        is_ef = descriptor[0] & 0x07 == 1 and len(descriptor) > 1 and descriptor[0] == 0x39
        return FileInfo("BER-TLV EF" if is_ef else "DF or ADF", size, sfi=sfi, state=state)
    structure = _STRUCTURES.get(descriptor[0] & 0x07, "EF")
    if len(descriptor) >= 5:
        return FileInfo(structure, size, int.from_bytes(descriptor[2:4]), descriptor[4], sfi, state)
    return FileInfo(structure, size, sfi=sfi, state=state)


def _life_cycle(status: bytes) -> str:
    """Words for a file that is not simply activated (clause 11.1.1.4.9)."""
    if not status or status[0] & 0xFD == 0x05:
        return ""
    if status[0] & 0xFD == 0x04:
        return "deactivated"
    return "terminated" if status[0] & 0xFC == 0x0C else "being created" if status[0] in (0x01, 0x03) else ""


def parse_gsm_file(data: bytes) -> FileInfo | None:
    """Read the answer of a SIM to SELECT in class A0 (3GPP TS 51.011, clause 9.2.1); None if ``data`` is none."""
    if len(data) < 14 or data[:1] == b"\x62":
        return None
    if data[6] in (0x01, 0x02):
        return FileInfo("MF" if data[6] == 0x01 else "DF")
    structure = {0: "transparent EF", 1: "linear fixed EF", 3: "cyclic EF"}.get(data[13])
    if data[6] != 0x04 or structure is None:
        return None
    size, state = int.from_bytes(data[2:4]), "" if data[11] & 0x01 else "invalidated"
    if data[13] == 0 or len(data) < 15 or not data[14]:
        return FileInfo(structure, size, state=state)
    return FileInfo(structure, size, data[14], size // data[14], state=state)


def parse_command(raw: bytes) -> bytes:
    """Turn what a person typed, an APDU of any case or a TPDU, into the TPDU to send. Raises UsageError."""
    try:
        return first_tpdu(raw)
    except TpduError as error:
        raise UsageError(f"not a command: {error}", hint="CLA INS P1 P2 P3, then P3 bytes of data or none") from None


def select_commands(target: str, selected: Selected) -> list[bytes]:
    """SELECT for ``3f00``, a path such as ``7fff/6f07``, an AID, or a name such as ``EF.IMSI``; one after the other.

    ``selected`` is what is selected now: of several files with one name, the one there is meant, and an application is
    selected first where the file is in one. Raises UsageError.
    """
    parts = [part for part in target.replace(" ", "").strip("/").split("/") if part]
    if len(parts) == 1 and _HEX_DIGITS.fullmatch(parts[0]) and len(parts[0]) > 4:
        return [_select_aid(parts[0])]
    if len(parts) == 1 and _HEX_DIGITS.fullmatch(parts[0]):
        file = _fid(parts[0], target)
        before = _application_first(_USIM, selected) if file == CURRENT_APPLICATION else []
        return [*before, bytes.fromhex("00A4000402") + file.to_bytes(2)]
    if not parts:
        raise UsageError("select what?", hint=_EXAMPLES)
    first, *rest = parts
    head = _named(first, selected) if not _HEX_DIGITS.fullmatch(first) else (_fid(first, target),)
    if head is None:
        raise UsageError(f"{target!r} is neither a path, an AID nor the name of a file", hint=_EXAMPLES)
    return _select_path((*head, *(_fid(part, target) for part in rest)), selected)


_EXAMPLES: Final = "for example select EF.IMSI, select 3f00/7f20/6f07, or select a0000000871002"


def _fid(part: str, target: str) -> int:
    """The file identifier of one step: four digits, or a name."""
    if _HEX_DIGITS.fullmatch(part):
        if len(part) != 4:
            raise UsageError(f"{target!r} is no path: file identifiers have four digits")
        return int(part, 16)
    found = _named(part, None)
    if found is None or not isinstance(found[-1], int):
        raise UsageError(f"{part!r} is not the name of a file", hint=_EXAMPLES)
    return found[-1]


def _named(name: str, selected: Selected | None) -> NamedPath | None:
    """Where a name leads: to the file in the selected directory if there is one, else to the usual place."""
    if name.upper() == "CURRENTADF":
        return (CURRENT_APPLICATION,)
    paths = NAMED_PATHS.get(name.upper())
    if not paths:
        return None
    directory = None if selected is None else selected.directory
    return next((path for path in paths if path[:-1] == directory), paths[0])


def _select_aid(digits: str) -> bytes:
    aid = bytes.fromhex(digits) if len(digits) % 2 == 0 else b""
    if not _MIN_AID <= len(aid) <= _MAX_AID:
        size = len(aid) if aid else f"{len(digits)} digits"
        raise UsageError(f"an AID has {_MIN_AID}..{_MAX_AID} bytes, this one {size}")
    return bytes((0x00, 0xA4, 0x04, 0x04, len(aid))) + aid


def _application_first(name: str, selected: Selected) -> list[bytes]:
    """SELECT of an application, unless it is the one that 7FFF stands for already, or any is where 7FFF was typed."""
    aid = application_aid(name)
    if aid is None or selected.application is not None:
        return []
    return [_select_aid(aid.hex())]


def _select_path(steps: NamedPath, selected: Selected) -> list[bytes]:
    first, *rest = steps
    before: list[bytes] = []
    if isinstance(first, str):
        aid = application_aid(first)
        if aid is None:
            raise UsageError(f"no AID is known for {first}", hint=_EXAMPLES)
        if not rest:
            return [_select_aid(aid.hex())]
        before = [] if selected.application == first else [_select_aid(aid.hex())]
        first = CURRENT_APPLICATION
    elif first == CURRENT_APPLICATION:
        before = _application_first(_USIM, selected)
    fids = [step for step in (first, *rest) if isinstance(step, int)]
    if fids == [MF]:
        return [bytes.fromhex("00A40004023F00")]
    # Clause 11.1.1.2: a path from the MF is given without the MF's own identifier.
    path = b"".join(fid.to_bytes(2) for fid in (fids[1:] if fids[0] == MF else fids))
    return [*before, bytes((0x00, 0xA4, 0x08, 0x04, len(path))) + path]


_SELECT, _GET_RESPONSE, _READ_BINARY, _READ_RECORD = 0xA4, 0xC0, 0xB0, 0xB2


class CardTalk:
    """A conversation with one card. ``exchange`` may raise; its errors pass through."""

    def __init__(
        self,
        exchange: Callable[[bytes], Awaitable[ResponseApdu]],
        *,
        on_words: Callable[[list[str]], None] = lambda _words: None,
    ) -> None:
        """``on_words`` is given what an answer means, if that is known."""
        self._exchange = exchange
        self._on_words = on_words
        self._tracker = SelectionTracker()
        self._is_select_open = False
        #: The file selected last, if the card has described it.
        self.file: FileInfo | None = None

    @property
    def path(self) -> Path | None:
        """What is selected on the basic channel; None if it is not known."""
        return self._tracker.selected(0x00).path

    def forget(self) -> None:
        """The card was reset, or it is another one."""
        self._tracker.on_reset()
        self._is_select_open = False
        self.file = None

    async def send(self, tpdu: bytes) -> ResponseApdu:
        """Send one command as it is, and follow what it does to the selection."""
        response = await self._exchange(tpdu)
        self._on_words(self._observe(tpdu, response))
        return response

    def _observe(self, tpdu: bytes, response: ResponseApdu) -> list[str]:
        """Follow a command; return words for what it brought."""
        path = self._tracker.target(tpdu)
        self._tracker.on_exchange(tpdu, response.data + response.sw.to_bytes(2))
        ins = tpdu[1]
        is_select = ins == _SELECT and is_success(response.sw)
        is_answer = is_select or (self._is_select_open and ins == _GET_RESPONSE)
        is_wrong_length = sw_kind(response.sw) is SwKind.LENGTH
        self._is_select_open = is_select or (self._is_select_open and ins == _GET_RESPONSE and is_wrong_length)
        if is_select:
            self.file = None
        if is_answer and response.data:
            self.file = parse_fcp(response.data) or parse_gsm_file(response.data)
            return [] if self.file is None else [str(self.file)]
        is_whole = ins == _READ_RECORD or (ins == _READ_BINARY and tpdu[3] == 0 and (tpdu[2] == 0 or tpdu[2] & 0x80))
        return describe_contents(path, response.data) if is_whole and is_success(response.sw) else []

    async def command(self, tpdu: bytes) -> ResponseApdu:
        """Send ``tpdu``; fetch what the card holds ready (61xx, 9Fxx, a warning), repeat with the right length (6Cxx).

        Clauses 7.3.1.1.4 and 7.3.1.1.5.
        """
        # With Le behind its data, the command says that an answer is expected.
        exchange = exchange_apdu(tpdu + b"\x00" if len(tpdu) > HEADER_LENGTH else tpdu)
        following = next(exchange)
        while True:
            response = await self.send(following)
            try:
                following = exchange.send(response.to_bytes())
            except StopIteration as end:
                whole: bytes = end.value
                return ResponseApdu(whole[:-2], int.from_bytes(whole[-2:]))

    async def select(self, target: str) -> ResponseApdu:
        """SELECT by file identifier, path, AID or name. Raises UsageError."""
        commands = select_commands(target, self._tracker.selected(0x00))
        for tpdu in commands[:-1]:
            response = await self.command(tpdu)
            if not is_success(response.sw):
                return response
        return await self.command(commands[-1])

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
    """Data and status word. Raises UsageError in the impossible case of less than two bytes."""
    try:
        return ResponseApdu.from_bytes(raw)
    except ApduError as error:
        raise UsageError(str(error)) from None


def path_text(path: Path) -> str:
    """``MF/EF.ICCID``, ``ADF.USIM/EF.IMSI``."""
    return "/".join(path_names(path))
