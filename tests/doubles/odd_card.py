# SPDX-License-Identifier: Apache-2.0
"""A second card, which differs from the software UICC where the specifications leave room.

It has a file system of its own, written in another manner: a path is a tuple, the selection of a channel is a value,
and a command maps one value to the next. What differs: objects of an FCP stand in another order; a response is lost
with whatever comes next, even a command that has no meaning; SELECT by path may be refused; a refused SELECT, and a
SELECT of the file that is selected already, lose the record pointer and, if so wanted, the file; SELECT without data
may be refused; a failed READ by short identifier selects its file.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from remsim.card.class_byte import Family, class_byte
from remsim.card.tlv import encode_tlv

_MF, _ADF = 0x3F00, 0x7FFF
_AID: Final = bytes.fromhex("A0000000871002FF49FFFF89")
Path = tuple[int, ...]

#: Directories, and files: size or record length, number of records (0: transparent), short identifier.
_DIRECTORIES: Final[frozenset[Path]] = frozenset(
    {(_MF,), (_MF, 0x7F10), (_MF, 0x7F20), (_MF, 0x7F10, 0x5F3A), (_ADF,), (_ADF, 0x5F3B)}
)
_FILES: Final[dict[Path, tuple[int, int, int]]] = {
    (_MF, 0x2FE2): (10, 0, 2),
    (_MF, 0x2F05): (6, 0, 5),
    (_MF, 0x2F00): (38, 3, 0x1E),
    (_MF, 0x7F10, 0x6F3A): (20, 8, 0),
    (_MF, 0x7F10, 0x5F3A, 0x4F3A): (20, 8, 0x0D),
    (_MF, 0x7F20, 0x6F07): (9, 0, 0),
    (_ADF, 0x6F07): (9, 0, 7),
    (_ADF, 0x6FAD): (4, 0, 3),
    (_ADF, 0x6F05): (300, 0, 2),
    (_ADF, 0x6FB7): (15, 5, 1),
    (_ADF, 0x6F7E): (11, 0, 0x0B),
    (_ADF, 0x5F3B, 0x4F20): (9, 0, 1),
}


@dataclass(frozen=True, slots=True)
class Manners:
    """In what one of these cards differs."""

    takes_paths: bool = True
    takes_quiet_select: bool = True
    refusal_loses_file: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What one channel has selected."""

    directory: Path = (_MF,)
    file: Path | None = None
    record: int = 0
    has_application: bool = False


Answer = tuple[bytes, int]


@dataclass(slots=True)
class OddCard:
    """One card. ``state`` is all that commands change."""

    manners: Manners = field(default_factory=Manners)
    channels: dict[int, Standing] = field(default_factory=lambda: {0: Standing()})
    contents: dict[Path, bytes] = field(default_factory=dict)
    response: tuple[int, bytes] | None = None
    tries: int = 3
    challenges: int = 0
    is_proactive: bool = False

    def cold_reset(self) -> bytes:
        """Power comes back."""
        self.channels, self.response, self.is_proactive = {0: Standing()}, None, False
        return bytes.fromhex("3B9F96801FC78031A073FE2113676F6464206F646458")

    def state(self) -> tuple[object, ...]:
        """Everything, to be compared."""
        return (
            tuple(sorted(self.channels.items())),
            tuple(sorted(self.contents.items())),
            self.response,
            self.tries,
            self.challenges,
            self.is_proactive,
        )

    def transmit(self, tpdu: bytes) -> bytes:
        """Answer one command."""
        waiting, self.response = self.response, None
        if len(tpdu) < 5 or (len(tpdu) > 5 and len(tpdu) != 5 + tpdu[4]):
            return b"\x67\x00"
        meaning = class_byte(tpdu[0])
        if meaning.family is None or meaning.is_secured or meaning.is_chained or meaning.family is Family.GSM:
            return b"\x6e\x00"
        standing = self.channels.get(meaning.channel)
        if standing is None:
            return b"\x68\x81"
        if tpdu[1] == 0xC0:
            data, sw = self._get_response(meaning.channel, waiting, tpdu)
        else:
            data, sw = self._command(meaning.channel, standing, tpdu)
        if sw == 0x9000 and self.is_proactive:
            sw = 0x9110
        return data + sw.to_bytes(2)

    def _get_response(self, channel: int, waiting: tuple[int, bytes] | None, tpdu: bytes) -> Answer:
        if waiting is None or waiting[0] != channel:
            return b"", 0x6F00
        wanted, data = tpdu[4] or 256, waiting[1]
        if wanted > len(data):
            self.response = waiting
            return b"", 0x6C00 | len(data) & 0xFF
        if wanted < len(data):
            self.response = channel, data[wanted:]
            return data[:wanted], 0x6100 | (len(data) - wanted) & 0xFF
        return data, 0x9000

    def _command(self, channel: int, standing: Standing, tpdu: bytes) -> Answer:
        match tpdu[1]:
            case 0xA4:
                return self._select(channel, standing, tpdu)
            case 0xB0 | 0xD6:
                return self._binary(channel, standing, tpdu)
            case 0xB2:
                return self._read_record(channel, standing, tpdu)
            case 0xA2:
                return self._search(channel, standing, tpdu)
            case 0x20 | 0x2C:
                return self._pin(tpdu)
            case 0x70:
                return self._manage(channel, standing, tpdu)
            case 0x88:
                self.challenges += 1
                return self._leave(channel, bytes(range(40)))
            case 0xF2:
                return b"", 0x9000
            case 0x10 | 0x12 | 0x14:
                self.is_proactive = tpdu[1] == 0x10
                return b"", 0x9000
            case _:
                return b"", 0x6D00

    def _leave(self, channel: int, data: bytes) -> Answer:
        self.response = channel, data
        return b"", 0x6100 | len(data) & 0xFF

    def _select(self, channel: int, standing: Standing, tpdu: bytes) -> Answer:
        p1, p2, data = tpdu[2], tpdu[3], tpdu[5:]
        if p2 == 0x0C and not self.manners.takes_quiet_select:
            return b"", 0x6A86
        found = self._find(standing, p1, data)
        if found is None:
            lost = replace(standing, record=0, file=None if self.manners.refusal_loses_file else standing.file)
            self.channels[channel] = lost
            return b"", 0x6A82
        has_application = standing.has_application or p1 == 0x04
        if found in _FILES:
            self.channels[channel] = Standing(found[:-1], found, 0, has_application)
        else:
            self.channels[channel] = Standing(found, None, 0, has_application)
        return (b"", 0x9000) if p2 == 0x0C else self._leave(channel, self._fcp(found))

    def _find(self, standing: Standing, p1: int, data: bytes) -> Path | None:
        if p1 == 0x04:
            return (_ADF,) if len(data) >= 7 and _AID.startswith(data) else None
        if not data or len(data) % 2:
            return None
        steps = [int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2)]
        if p1 in (0x08, 0x09):
            if not self.manners.takes_paths:
                return None
            start: Path = (_MF,) if p1 == 0x08 else standing.directory
            if p1 == 0x08 and steps[0] == _ADF:
                if not standing.has_application:
                    return None
                start = (_ADF,)
                steps = steps[1:]
            path = (*start, *steps)
            return path if path in _FILES or path in _DIRECTORIES else None
        return self._by_fid(standing, steps[0]) if p1 == 0 and len(steps) == 1 else None

    def _by_fid(self, standing: Standing, fid: int) -> Path | None:
        if fid == _ADF:
            return (_ADF,) if standing.has_application else None
        here = standing.directory
        for path in ((*here, fid), here if here[-1] == fid else (), (*here[:-1], fid), here[:-1], (_MF,)):
            is_known = path in _FILES or path in _DIRECTORIES
            if path and path[-1] == fid and is_known and (path in _DIRECTORIES or path[:-1] == here):
                return path
        return None

    def _fcp(self, path: Path) -> bytes:
        fid = encode_tlv(0x83, path[-1].to_bytes(2))
        if path in _DIRECTORIES:
            return encode_tlv(0x62, encode_tlv(0x8A, b"\x05") + fid + encode_tlv(0x82, b"\x78\x21"))
        length, records, _ = _FILES[path]
        descriptor = b"\x42\x21" + length.to_bytes(2) + bytes((records,)) if records else b"\x41\x21"
        size = encode_tlv(0x80, (length * (records or 1)).to_bytes(2))
        return encode_tlv(0x62, size + encode_tlv(0x8A, b"\x05") + encode_tlv(0x82, descriptor) + fid)

    def _content(self, path: Path) -> bytes:
        length, records, _ = _FILES[path]
        fresh = bytes((path[-1] + at) & 0xFF for at in range(length * (records or 1)))
        return self.contents.get(path, fresh)

    def _by_sfi(self, channel: int, standing: Standing, sfi: int) -> Standing | None:
        for path, (_, _, known) in _FILES.items():
            if path[:-1] == standing.directory and known == sfi:
                if standing.file != path:
                    standing = replace(standing, file=path, record=0)
                # Selected even if the command fails after this.
                self.channels[channel] = standing
                return standing
        return None

    def _binary(self, channel: int, standing: Standing, tpdu: bytes) -> Answer:
        p1, p2, data = tpdu[2], tpdu[3], tpdu[5:]
        found: Standing | None = standing
        offset = p1 << 8 | p2
        if p1 & 0x80:
            found, offset = self._by_sfi(channel, standing, p1 & 0x1F), p2
        if found is None:
            return b"", 0x6A82
        if found.file is None:
            return b"", 0x6986
        if _FILES[found.file][1]:
            return b"", 0x6981
        content = self._content(found.file)
        if offset >= len(content):
            return b"", 0x6B00
        if tpdu[1] == 0xD6:
            if not data or offset + len(data) > len(content):
                return b"", 0x6700
            self.contents[found.file] = content[:offset] + data + content[offset + len(data) :]
            return b"", 0x9000
        wanted = tpdu[4] or 256
        if offset + wanted > len(content):
            return b"", 0x6C00 | (len(content) - offset) & 0xFF
        return content[offset : offset + wanted], 0x9000

    def _records(self, channel: int, standing: Standing, tpdu: bytes) -> Standing | int:
        sfi = tpdu[3] >> 3
        found = self._by_sfi(channel, standing, sfi) if sfi else standing
        if found is None:
            return 0x6A82
        if found.file is None:
            return 0x6986
        return found if _FILES[found.file][1] else 0x6981

    def _read_record(self, channel: int, standing: Standing, tpdu: bytes) -> Answer:
        found = self._records(channel, standing, tpdu)
        if isinstance(found, int):
            return b"", found
        assert found.file is not None
        length, records, _ = _FILES[found.file]
        number, mode = tpdu[2], tpdu[3] & 0x07
        if mode == 0x04:
            number = number or found.record
        elif mode in (0x02, 0x03) and not number:
            number = found.record + 1 if mode == 0x02 else (found.record or records + 1) - 1
        else:
            return b"", 0x6A86
        if not 1 <= number <= records:
            return b"", 0x6A83
        if (tpdu[4] or 256) != length:
            return b"", 0x6C00 | length
        if mode != 0x04:
            self.channels[channel] = replace(found, record=number)
        return self._content(found.file)[(number - 1) * length : number * length], 0x9000

    def _search(self, channel: int, standing: Standing, tpdu: bytes) -> Answer:
        found = self._records(channel, standing, tpdu)
        if isinstance(found, int):
            return b"", found
        assert found.file is not None
        length, records, _ = _FILES[found.file]
        pattern = tpdu[5:]
        if tpdu[3] & 0x07 != 0x04 or not pattern:
            return b"", 0x6A86
        content = self._content(found.file)
        start = tpdu[2] or found.record or 1
        numbers = [
            number
            for number in range(start, records + 1)
            if pattern in content[(number - 1) * length : number * length]
        ]
        if not numbers:
            return b"", 0x6282
        self.channels[channel] = replace(found, record=numbers[0])
        return self._leave(channel, bytes(numbers))

    def _pin(self, tpdu: bytes) -> Answer:
        if len(tpdu) == 5:
            return b"", 0x63C0 | self.tries
        self.tries -= self.tries > 0
        return b"", 0x63C0 | self.tries

    def _manage(self, channel: int, standing: Standing, tpdu: bytes) -> Answer:
        if tpdu[2] == 0x80 and tpdu[3] in self.channels and tpdu[3]:
            del self.channels[tpdu[3]]
            return b"", 0x9000
        free = next((number for number in range(1, 20) if number not in self.channels), 0)
        if tpdu[2] or tpdu[3] or not free:
            return b"", 0x6A86
        if tpdu[4] != 1:
            return b"", 0x6C01
        self.channels[free] = Standing() if channel == 0 else replace(standing, record=0, file=None)
        return bytes((free,)), 0x9000
