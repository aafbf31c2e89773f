# SPDX-License-Identifier: Apache-2.0
"""The file system part of a profile file: directory and file entries to the tree of ``files``."""

import re
from typing import Final

from remsim.uicc.errors import ProfileError
from remsim.uicc.files import CURRENT_APP_FID, MF_FID, AccessRule, Df, Ef, EfKind, FileSystem, SfiStyle, encode_rule
from remsim.uicc.identity import SubscriberIdentity
from remsim.uicc.profile.fields import Fields, parse_bytes

_FID: Final = re.compile(r"[0-9A-F]{4}")
_TAG: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){1,3}", re.ASCII)
_TOKEN: Final = re.compile(r"\{([^{}]*)\}")
_MAX_RECORDS: Final = 254

#: A piece of a file's contents: bytes, or the name of a token of ``Identity.tokens``.
Part = bytes | str


class TreeBuilder:
    """Collects directories first, then files; ``finish`` returns the tree."""

    def __init__(self, identity: SubscriberIdentity, rules: dict[int, AccessRule], proprietary: bytes) -> None:
        """``proprietary``: content of the template A5 of files whose entry does not give its own."""
        self._tokens = identity.tokens()
        self._rules = rules
        self._proprietary = proprietary.hex()
        self._dfs: dict[str, Df] = {}
        self._apps: list[Df] = []
        self._efs: dict[str, Ef] = {}
        self.personal: dict[str, tuple[Part, ...]] = {}

    def add_directories(self, table: Fields) -> None:
        """All ``[directories]`` entries, parents first."""
        for path in table.names():
            entry = table.table(path)
            self._add_directory(path, entry)
            entry.finish()

    def _add_directory(self, path: str, entry: Fields) -> None:
        parent_path, _, step = path.rpartition("/")
        aid = entry.raw("aid") if "aid" in entry else None
        parent = self._dfs.get(parent_path)
        if parent is None and path != "3F00":
            raise entry.fault(f"directory {path!r} stands before its parent, or has none")
        if aid is not None and not 5 <= len(aid) <= 16:
            raise entry.fault("an AID has 5 to 16 bytes")
        fid = CURRENT_APP_FID if aid is not None else self._fid(step, entry)
        df = Df(
            path=path,
            fid=fid,
            name=entry.text("name", path),
            parent=parent,
            aid=aid,
            arr_fid=int.from_bytes(entry.raw("arr", f"{parent.arr_fid if parent else 0x2F06:04X}", length=2)),
            rule=self._rule(entry).number,
            pins=tuple(entry.raw("pins", "01 81")),
            proprietary=entry.raw("proprietary", "80 01 71"),
            size=entry.number("size") if "size" in entry else None,
        )
        self._dfs[path] = df
        if aid is not None:
            self._apps.append(df)
        elif parent is not None:
            self._attach(parent, df, entry)

    def add_files(self, table: Fields) -> None:
        """All ``[files]`` entries; a file named by ``same_as`` stands before."""
        for path in table.names():
            entry = table.table(path)
            self._add_file(path, entry)
            entry.finish()

    def finish(self) -> FileSystem:
        """The tree. Raises ProfileError without a master file."""
        mf = self._dfs.get("3F00")
        if mf is None or mf.fid != MF_FID:
            raise ProfileError("profile: directory '3F00' is missing")
        return FileSystem(mf, self._apps, self._efs)

    def _fid(self, step: str, entry: Fields) -> int:
        if not _FID.fullmatch(step) or int(step, 16) == CURRENT_APP_FID:
            raise entry.fault(f"{step!r} is not a file identifier of four hexadecimal digits in capitals")
        return int(step, 16)

    def _rule(self, entry: Fields) -> AccessRule:
        number = entry.number("rule", 1, low=1, high=_MAX_RECORDS)
        rule = self._rules.get(number)
        if rule is None:
            raise entry.fault(f"there is no rule {number}")
        return rule

    def _attach(self, parent: Df, node: Df | Ef, entry: Fields) -> None:
        if node.fid in parent.children:
            raise entry.fault(f"{node.path!r} stands twice")
        parent.children[node.fid] = node

    def _add_file(self, path: str, entry: Fields) -> None:
        parent_path, _, step = path.rpartition("/")
        parent = self._dfs.get(parent_path)
        if parent is None:
            raise entry.fault(f"there is no directory {parent_path!r}")
        fid = self._fid(step, entry)
        sfi, style = self._sfi(fid, entry)
        rule = self._rule(entry)
        proprietary = entry.raw("proprietary", self._proprietary)
        name = entry.text("name", step)
        if "same_as" in entry:
            other = self._efs.get(entry.text("same_as"))
            if other is None:
                raise entry.fault("'same_as' names no file that stands before")
            ef = _with_contents_of(other, path, fid, name, parent)
        else:
            ef = self._new_file(path, fid, name, parent, entry, rule)
        ef.rule, ef.sfi, ef.sfi_style, ef.proprietary = rule, sfi, style, proprietary
        self._attach(parent, ef, entry)
        self._efs[path] = ef
        if sfi is not None:
            if sfi in parent.by_sfi:
                raise entry.fault(f"short file identifier {sfi:02X} stands twice in {parent_path!r}")
            parent.by_sfi[sfi] = ef

    def _sfi(self, fid: int, entry: Fields) -> tuple[int | None, SfiStyle]:
        if "sfi" not in entry:
            return None, SfiStyle.NONE
        if entry.flag("sfi_implicit", default=False):
            entry.take("sfi")
            return fid & 0x1F, SfiStyle.IMPLICIT
        return entry.raw("sfi", length=1)[0] & 0x1F, SfiStyle.VALUE

    def _tag(self, text: str, table: Fields) -> int:
        if not _TAG.fullmatch(text):
            raise table.fault(f"{text!r} is not a tag of one to three bytes in hexadecimal digits")
        return int(text, 16)

    def _new_file(self, path: str, fid: int, name: str, parent: Df, entry: Fields, rule: AccessRule) -> Ef:
        fill = entry.raw("fill", "FF", length=1)
        objects: dict[int, bytes] = {}
        parts: tuple[Part, ...] = ()
        record_length = 0
        if "record_length" in entry or "arr" in entry:
            kind = EfKind.CYCLIC if entry.flag("cyclic", default=False) else EfKind.LINEAR
            record_length = entry.number("record_length", low=1, high=255)
            parts, size = self._records(entry, record_length, fill)
        elif "objects" in entry:
            kind = EfKind.BER_TLV
            size = entry.number("size", 4096)
            table = entry.table("objects")
            objects = {self._tag(tag, table): table.raw(tag) for tag in table.names()}
        else:
            kind = EfKind.TRANSPARENT
            parts = self._parts(entry.text("data", ""), entry)
            size = entry.number("size", self._length(parts), low=0, high=0x7FFF)
            parts = self._padded(parts, size, fill, entry)
        if any(isinstance(part, str) for part in parts):
            self.personal[path] = parts
        content = b"".join(self._tokens[part] if isinstance(part, str) else part for part in parts)
        return Ef(
            path=path,
            key=path,
            fid=fid,
            name=name,
            parent=parent,
            kind=kind,
            size=size,
            record_length=record_length,
            rule=rule,
            sfi=None,
            sfi_style=SfiStyle.NONE,
            proprietary=b"",
            content=content,
            objects=objects,
        )

    def _records(self, entry: Fields, length: int, fill: bytes) -> tuple[tuple[Part, ...], int]:
        """Parts of all records and their total size: ``records`` is a count, ``data`` the first of them."""
        if entry.flag("arr", default=False):
            texts = [encode_rule(rule).hex() if rule else "" for rule in self._all_rules()]
        else:
            texts = entry.texts("data")
        count = entry.number("records", max(1, len(texts)), low=1, high=_MAX_RECORDS)
        if len(texts) > count:
            raise entry.fault(f"{len(texts)} records are given and {count} announced")
        parts: list[Part] = []
        for text in texts + [""] * (count - len(texts)):
            # A record without contents is filled; GSM 51.011 counts FF as unused.
            parts += self._padded(self._parts(text, entry), length, fill, entry)
        return tuple(parts), count * length

    def _all_rules(self) -> list[AccessRule | None]:
        return [self._rules.get(number) for number in range(1, max(self._rules, default=0) + 1)]

    def _parts(self, text: str, entry: Fields) -> tuple[Part, ...]:
        parts: list[Part] = []
        position = 0
        for match in _TOKEN.finditer(text):
            parts.append(parse_bytes(text[position : match.start()], entry.where))
            kind, _, value = match[1].partition(":")
            if kind == "text":
                parts.append(value.encode("utf-8"))
            elif kind in self._tokens:
                parts.append(kind)
            else:
                raise entry.fault(f"{match[0]} is none of {{text:...}}, {', '.join(sorted(self._tokens))}")
            position = match.end()
        parts.append(parse_bytes(text[position:], entry.where))
        return tuple(part for part in parts if part)

    def _length(self, parts: tuple[Part, ...]) -> int:
        return sum(len(self._tokens[part]) if isinstance(part, str) else len(part) for part in parts)

    def _padded(self, parts: tuple[Part, ...], length: int, fill: bytes, entry: Fields) -> tuple[Part, ...]:
        missing = length - self._length(parts)
        if missing < 0:
            raise entry.fault(f"contents exceed {length} bytes by {-missing}")
        return (*parts, fill * missing) if missing else parts


def _with_contents_of(other: Ef, path: str, fid: int, name: str, parent: Df) -> Ef:
    return Ef(
        path=path,
        key=other.key,
        fid=fid,
        name=name,
        parent=parent,
        kind=other.kind,
        size=other.size,
        record_length=other.record_length,
        rule=other.rule,
        sfi=None,
        sfi_style=SfiStyle.NONE,
        proprietary=b"",
        content=other.content,
        objects=other.objects,
    )
