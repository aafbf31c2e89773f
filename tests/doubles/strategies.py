# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies: every message with every legal value, driven by the table of the codec."""

import string
from ipaddress import IPv4Address, IPv6Address
from typing import cast

from hypothesis import strategies as st

from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import Message, RsproPdu
from remsim.wire.messages.schema import (
    ALTERNATIVES,
    Boolean,
    ByteString,
    Enumerated,
    Field,
    Integer,
    IpAddress,
    Kind,
    SequenceOf,
    Struct,
    Text,
)

#: Longer TPDUs are legal in the schema; these sizes reach every form of the length bytes.
_MAX_DATA = 300

tags = st.integers(0, rspro.MAX_OPERATION_TAG)


def _kind(kind: Kind) -> st.SearchStrategy[object]:
    match kind:
        case Integer():
            return st.integers(kind.low, kind.high)
        case Enumerated():
            return st.sampled_from(list(kind.cls))
        case Boolean():
            return st.booleans()
        case Text():
            characters = st.sampled_from(string.printable + "\0\x7f")
            return st.text(characters, min_size=kind.low, max_size=kind.high)
        case ByteString():
            return st.binary(min_size=kind.low, max_size=min(kind.high, _MAX_DATA))
        case IpAddress():
            return st.one_of(
                st.binary(min_size=4, max_size=4).map(IPv4Address), st.binary(min_size=16, max_size=16).map(IPv6Address)
            )
        case SequenceOf():
            return st.lists(_kind(kind.item), max_size=kind.most).map(tuple)
    return struct(kind)


def _field(field: Field) -> st.SearchStrategy[object]:
    value = _kind(field.kind)
    return st.none() | value if field.is_optional else value


def struct(table: Struct) -> st.SearchStrategy[object]:
    """The values of one structure."""
    return st.builds(table.cls, **{field.attr: _field(field) for field in table.fields})


#: The values of each message class.
BY_CLASS: dict[type, st.SearchStrategy[Message]] = {
    table.cls: cast(st.SearchStrategy[Message], struct(table)) for table in ALTERNATIVES.values()
}

messages: st.SearchStrategy[Message] = st.one_of(*BY_CLASS.values())
tpdus: st.SearchStrategy[Message] = BY_CLASS[rspro.TpduModemToCard] | BY_CLASS[rspro.TpduCardToModem]


def pdus(of: st.SearchStrategy[Message] = messages, *, max_version: int = 32) -> st.SearchStrategy[RsproPdu]:
    """PDUs with these messages."""
    return st.builds(RsproPdu, tags, of, st.just(rspro.VERSION) | st.integers(0, max_version))


@st.composite
def cuts(draw: st.DrawFn, raw: bytes) -> list[bytes]:
    """``bytes`` cut into pieces at arbitrary places."""
    places = sorted(draw(st.sets(st.integers(0, len(raw)), max_size=20)))
    return [raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True)]


@st.composite
def mutated(draw: st.DrawFn, raw: bytes) -> bytes:
    """``bytes`` with up to four small damages: bits, bytes, cuts, repeats."""
    damaged = bytearray(raw)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(damaged) - 1)))
        match draw(st.sampled_from(("flip", "set", "delete", "insert", "cut", "repeat"))):
            case "flip" if damaged:
                damaged[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if damaged:
                damaged[at] = draw(st.sampled_from((0x00, 0x01, 0x7F, 0x80, 0x81, 0x82, 0x1F, 0x30, 0xA2, 0xFF)))
            case "delete":
                del damaged[at : at + draw(st.integers(1, 3))]
            case "insert":
                damaged[at:at] = draw(st.binary(min_size=1, max_size=3))
            case "cut":
                del damaged[at:]
            case "repeat":
                damaged[at:at] = damaged[at : at + draw(st.integers(1, 8))]
    return bytes(damaged)
