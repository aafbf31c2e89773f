# SPDX-License-Identifier: Apache-2.0
"""The shape of a file system: directories, files, access rules (ETSI TS 102 221, clauses 8 and 9).

These objects are built once per profile and shared by all cards of it; what a card changes lives in ``state``.
A file is known by its path, such as ``3F00/USIM/6F07``; a directory's last step is its AID's short name for an ADF.
"""

from dataclasses import field
from enum import Enum
from typing import Final

from remsim.card.tlv import encode_tlv
from remsim.core.values import dataclass

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
class AccessRule:
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
    rule: AccessRule
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


# Access rules as records of EF ARR, expanded format (ETSI TS 102 221, clause 9.5; ISO/IEC 7816-4, clause 9.3.3). The
# records say what the card enforces: both come from the same rules.

KEY_REFERENCES: Final = {Access.PIN1: 0x01, Access.PIN2: 0x81, Access.ADM: 0x0A}

# AM_DO 80: bits 1 read, 2 update, 4 deactivate, 5 activate. AM_DO 84: a command by its INS.
_READ: Final = bytes((0x80, 1, 0x01))
_UPDATE: Final = bytes((0x80, 1, 0x02))
_MANAGE: Final = bytes((0x80, 1, 0x18))
_INCREASE: Final = bytes((0x84, 1, 0x32))


def _security_condition(access: Access) -> bytes:
    if access is Access.ALWAYS:
        return encode_tlv(0x90, b"")
    if access is Access.NEVER:
        return encode_tlv(0x97, b"")
    # User authentication with a key reference; 95 01 08: knowledge of a PIN.
    return encode_tlv(0xA4, encode_tlv(0x83, bytes((KEY_REFERENCES[access],))) + encode_tlv(0x95, b"\x08"))


def encode_rule(rule: AccessRule) -> bytes:
    """One EF ARR record without filling: access mode and security condition in turn, equal conditions joined."""
    increase = b"" if rule.increase is Access.NEVER else _INCREASE + _security_condition(rule.increase)
    if rule.read is rule.update:
        joined = bytes((0x80, 1, 0x03)) + _security_condition(rule.read)
    else:
        joined = _READ + _security_condition(rule.read) + _UPDATE + _security_condition(rule.update)
    return joined + _MANAGE + _security_condition(rule.manage) + increase
