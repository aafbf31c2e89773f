# SPDX-License-Identifier: Apache-2.0
"""Messages in other notations: the JSON of the captured vectors, and the values of asn1tools.

Both name everything as the ASN.1 does, so the conversion is driven by the same table as the codec and knows no
message by itself. Byte strings are hex text in JSON and bytes in asn1tools.
"""

from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Any, cast

from remsim.wire.messages import schema
from remsim.wire.messages.rspro import Message, RsproPdu, UnknownMessage
from remsim.wire.messages.schema import (
    ALTERNATIVES,
    NUMBER_OF,
    ByteString,
    Enumerated,
    IpAddress,
    Kind,
    SequenceOf,
    Struct,
)

#: What a JSON document holds, and what asn1tools takes and gives.
Notation = Any

NUMBER_BY_NAME = {struct.name: number for number, struct in ALTERNATIVES.items()}


def asn1_name(member: IntEnum) -> str:
    """``ILLEGAL_SLOT_ID`` as the schema writes it: ``illegalSlotId``."""
    first, *others = member.name.lower().split("_")
    return first + "".join(word.capitalize() for word in others)


def enum_names(kind: Enumerated) -> dict[str, IntEnum]:
    """The listed members by their name in the schema."""
    return {asn1_name(member): member for member in kind.cls}


def to_json(pdu: RsproPdu) -> dict[str, Notation]:
    """The PDU as the vectors show it."""
    message = _message(pdu)
    struct = ALTERNATIVES[NUMBER_OF[type(message)]]
    return {"version": pdu.version, "tag": pdu.tag, "msg": {struct.name: _fields_out(struct, message, is_json=True)}}


def from_json(document: dict[str, Notation]) -> RsproPdu:
    """The PDU that a vector describes."""
    ((name, fields),) = document["msg"].items()
    message = _fields_in(ALTERNATIVES[NUMBER_BY_NAME[name]], fields, is_json=True)
    return RsproPdu(document["tag"], cast(Message, message), document["version"])


def to_asn1tools(pdu: RsproPdu) -> dict[str, Notation]:
    """The PDU as asn1tools takes it."""
    message = _message(pdu)
    struct = ALTERNATIVES[NUMBER_OF[type(message)]]
    return {"version": pdu.version, "tag": pdu.tag, "msg": (struct.name, _fields_out(struct, message, is_json=False))}


def from_asn1tools(value: dict[str, Notation]) -> RsproPdu:
    """The PDU that asn1tools decoded."""
    name, fields = value["msg"]
    message = _fields_in(ALTERNATIVES[NUMBER_BY_NAME[name]], fields, is_json=False)
    return RsproPdu(value["tag"], cast(Message, message), value["version"])


def _message(pdu: RsproPdu) -> Message:
    if isinstance(pdu.msg, UnknownMessage):
        raise TypeError(f"alternative {pdu.msg.number} has no name")
    return pdu.msg


def _fields_out(struct: Struct, value: object, *, is_json: bool) -> dict[str, Notation]:
    present = [(field, getattr(value, field.attr)) for field in struct.fields]
    return {field.name: _out(field.kind, item, is_json) for field, item in present if item is not None}


def _out(kind: Kind, value: Notation, is_json: bool) -> Notation:
    match kind:
        case Enumerated():
            return asn1_name(value)
        case ByteString():
            return value.hex() if is_json else value
        case IpAddress():
            name = "ipv4" if isinstance(value, IPv4Address) else "ipv6"
            return {name: value.packed.hex()} if is_json else (name, value.packed)
        case SequenceOf():
            return [_out(kind.item, item, is_json) for item in value]
        case Struct():
            return _fields_out(kind, value, is_json=is_json)
    return value


def _fields_in(struct: Struct, fields: dict[str, Notation], *, is_json: bool) -> object:
    unknown = set(fields) - {field.name for field in struct.fields}
    if unknown:
        raise KeyError(f"{struct.name} has no {', '.join(sorted(unknown))}")
    values = {
        field.attr: _in(field.kind, fields[field.name], is_json) for field in struct.fields if field.name in fields
    }
    return struct.cls(**values)


def _in(kind: Kind, value: Notation, is_json: bool) -> object:
    match kind:
        case Enumerated():
            return enum_names(kind)[value]
        case ByteString():
            return bytes.fromhex(value) if is_json else value
        case IpAddress():
            ((name, address),) = value.items() if is_json else (value,)
            packed = bytes.fromhex(address) if is_json else address
            return IPv4Address(packed) if name == "ipv4" else IPv6Address(packed)
        case SequenceOf():
            return tuple(_in(kind.item, item, is_json) for item in value)
        case Struct():
            return _fields_in(kind, value, is_json=is_json)
    return cast(object, value)


def structs() -> dict[str, Struct]:
    """Every structure of the table by its name as a type of the schema (``ConnectBankReq``)."""
    found: dict[str, Struct] = {}

    def visit(kind: Kind) -> None:
        if isinstance(kind, SequenceOf):
            visit(kind.item)
        elif isinstance(kind, Struct) and kind.name not in found:
            found[kind.name[0].upper() + kind.name[1:]] = kind
            for field in kind.fields:
                visit(field.kind)

    for struct in schema.ALTERNATIVES.values():
        visit(struct)
    return found
