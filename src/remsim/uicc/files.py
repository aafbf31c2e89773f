# SPDX-License-Identifier: Apache-2.0
"""The shape of a file system: directories, files, access rules (ETSI TS 102 221, clauses 8 and 9).

These objects are built once per profile and shared by all cards of it; what a card changes lives in ``state``.
A file is known by its path, such as ``3F00/USIM/6F07``; a directory's last step is its AID's short name for an ADF.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

MF_FID: Final = 0x3F00
CURRENT_APP_FID: Final = 0x7FFF


class EfKind(Enum):
    """Structures of an EF (clause 8.2.2)."""

    TRANSPARENT = "transparent"
    LINEAR = "linear"
    CYCLIC = "cyclic"
    BER_TLV = "ber-tlv"


class Access(Enum):
    """Who may: always, after PIN1, after PIN2, after ADM1, never."""

    ALWAYS = "ALW"
    PIN1 = "PIN1"
    PIN2 = "PIN2"
    ADM = "ADM"
    NEVER = "NEV"


@dataclass(frozen=True, slots=True)
class Rule:
    """One access rule: the record of EF ARR that files refer to. ``manage`` is activate and deactivate."""

    number: int
    read: Access
    update: Access
    increase: Access
    manage: Access


class SfiStyle(Enum):
    """How the FCP speaks of the short file identifier (clause 11.1.1.4.8)."""

    VALUE = "value"  # 88 01 xx
    NONE = "none"  # 88 00
    IMPLICIT = "implicit"  # no TLV: the five low bits of the file identifier


@dataclass(eq=False, slots=True)
class Df:
    """MF, DF or ADF."""

    path: str
    fid: int
    name: str
    parent: "Df | None"
    #: None unless this is an ADF.
    aid: bytes | None = None
    #: File identifier of the EF ARR that holds the rules of this directory's files, and this directory's own rule.
    arr_fid: int = 0x2F06
    rule: int = 1
    #: Key references listed in the PIN status template.
    pins: tuple[int, ...] = (0x01, 0x81)
    #: Content of the proprietary template A5, empty: no template.
    proprietary: bytes = b""
    #: Total file size (tag 81), None: not told.
    size: int | None = None
    children: "dict[int, Df | Ef]" = field(default_factory=dict)
    by_sfi: "dict[int, Ef]" = field(default_factory=dict)

    def child_df(self, fid: int) -> "Df | None":
        """The directory ``fid`` right below."""
        node = self.children.get(fid)
        return node if isinstance(node, Df) else None


@dataclass(eq=False, slots=True)
class Ef:
    """An elementary file. Files that share their contents (USIM and GSM views) have the same ``key``."""

    path: str
    key: str
    fid: int
    name: str
    parent: Df
    kind: EfKind
    size: int
    record_length: int
    rule: Rule
    sfi: int | None
    sfi_style: SfiStyle
    #: Content of the proprietary template A5, empty: no template.
    proprietary: bytes
    #: Contents of a fresh card, all records joined.
    content: bytes
    #: Data objects of a fresh card by tag, each the value alone.
    objects: dict[int, bytes]

    @property
    def record_count(self) -> int:
        """Number of records, 0 for files without."""
        return self.size // self.record_length if self.record_length else 0


@dataclass(slots=True)
class FileSystem:
    """The tree of one profile and its applications in the order of EF DIR."""

    mf: Df
    apps: list[Df]
    efs: dict[str, Ef]
