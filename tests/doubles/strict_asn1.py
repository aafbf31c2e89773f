# SPDX-License-Identifier: Apache-2.0
"""A decoder that knows the classic part of our schema and refuses everything else, even behind ``...``.

It is made from the schema file: whatever stands there as an ability of ours is unknown to it. It shares no code with
the codec, and takes DER only: one length form, one form of TRUE, no byte left over.
"""

from collections.abc import Iterator
from typing import Any, Final

from tests.doubles import asn1

#: Alternatives from here on are ours.
_FIRST_OF_OURS: Final = 40
_UNIVERSAL: Final = {
    "BOOLEAN": 0x01,
    "INTEGER": 0x02,
    "OCTET STRING": 0x04,
    "ENUMERATED": 0x0A,
    "IA5String": 0x16,
    "SEQUENCE": 0x30,
}
_EXTENSION: Final = 0xEE
_RSPRO: Final = 0x07
_CCM: Final = 0xFE
#: Control messages of the classic programs.
_CCM_TYPES: Final = frozenset({0x00, 0x01, 0x04, 0x05, 0x06})
#: PING, PONG and ID_ACK are their type and nothing else.
_CCM_BARE: Final = frozenset({0x00, 0x01, 0x06})
_CCM_BARE_LENGTH: Final = 4
_MAX_FRAME: Final = 1024

Node = dict[str, Any]


class StrictError(ValueError):
    """The bytes are not what a classic program sends."""


def frames(raw: bytes) -> Iterator[str]:
    """The name of each message in a stream of whole frames. Raises StrictError."""
    at = 0
    while at < len(raw):
        end = at + 3 + int.from_bytes(raw[at : at + 2], "big")
        frame = raw[at:end]
        if len(frame) != end - at or not 4 <= len(frame) <= _MAX_FRAME:
            raise StrictError(f"frame of {len(frame)} bytes")
        yield _frame(frame)
        at = end


def _frame(frame: bytes) -> str:
    if frame[2] == _CCM:
        if frame[3] not in _CCM_TYPES or (frame[3] in _CCM_BARE and len(frame) != _CCM_BARE_LENGTH):
            raise StrictError(f"CCM {frame[3:].hex()}")
        return f"CCM {frame[3]:02x}"
    if frame[2] != _EXTENSION or frame[3] != _RSPRO:
        raise StrictError(f"protocol {frame[2:4].hex()}")
    return pdu(frame[4:])


def pdu(raw: bytes) -> str:
    """The name of the message in one RsproPDU. Raises StrictError."""
    identifier, value, rest = _element(raw)
    if identifier != 0x30 or rest:
        raise StrictError("no RsproPDU, or bytes behind it")
    found: list[str] = []
    _sequence(_type("RsproPDU"), value, "RsproPDU", found)
    return found[0]


def _type(name: str) -> Node:
    node: Node = asn1.parsed()["types"][name]
    return node


def _resolve(node: Node) -> Node:
    while node["type"] not in _UNIVERSAL and node["type"] != "CHOICE":
        node = {**_type(node["type"]), **{key: node[key] for key in ("tag", "optional", "name") if key in node}}
    return node


def _element(raw: bytes) -> tuple[int, bytes, bytes]:
    if len(raw) < 2:
        raise StrictError("element cut short")
    identifier, length, start = raw[0], raw[1], 2
    if identifier & 0x1F == 0x1F:
        raise StrictError("tag of more than one byte")
    if length == 0x80 or length > 0x82:
        raise StrictError("length form")
    if length > 0x80:
        start = 2 + (length & 0x7F)
        length = int.from_bytes(raw[2:start], "big")
        if length < (0x80 if start == 3 else 0x100):
            raise StrictError("length in more bytes than it needs")
    if len(raw) < start + length:
        raise StrictError("element cut short")
    return identifier, raw[start : start + length], raw[start + length :]


def _identifiers(node: Node) -> dict[int, Node]:
    """By which identifiers an element of this type can begin, and what it is then."""
    target = _resolve(node)
    if target["type"] != "CHOICE":
        universal = _UNIVERSAL[target["type"]]
        tag = node.get("tag")
        return {universal if tag is None else 0x80 | universal & 0x20 | tag["number"]: target}
    if "tag" in node:
        # The tag of a CHOICE is explicit.
        return {0xA0 | node["tag"]["number"]: target}
    found: dict[int, Node] = {}
    for member in target["members"]:
        if member is not None and member["tag"]["number"] < _FIRST_OF_OURS:
            found |= _identifiers(member)
    return found


def _sequence(node: Node, raw: bytes, where: str, found: list[str]) -> None:
    for member in node["members"]:
        if member is None:
            # What stands behind "..." are elements of ours.
            break
        begins = _identifiers(member)
        if raw and raw[0] in begins:
            identifier, value, raw = _element(raw)
            _value(begins[identifier], value, f"{where}.{member['name']}", found)
        elif not member.get("optional"):
            raise StrictError(f"{where}: without {member['name']}")
    if raw:
        raise StrictError(f"{where}: unknown element {raw.hex()}")


def _value(node: Node, raw: bytes, where: str, found: list[str]) -> None:
    kind = node["type"]
    if kind == "SEQUENCE":
        _sequence(node, raw, where, found)
    elif kind == "CHOICE":
        begins = _identifiers({"type": "CHOICE", "members": node["members"]})
        identifier, value, rest = _element(raw)
        if identifier not in begins or rest:
            raise StrictError(f"{where}: unknown alternative {identifier:02x}")
        found.append(str(begins[identifier].get("name")))
        _value(begins[identifier], value, where, found)
    elif kind == "BOOLEAN":
        if raw not in (b"\0", b"\xff"):
            raise StrictError(f"{where}: boolean {raw.hex()}")
    elif kind in ("INTEGER", "ENUMERATED"):
        _integer(node, raw, where)
    else:
        _string(node, raw, where)


def _integer(node: Node, raw: bytes, where: str) -> None:
    number = int.from_bytes(raw, "big", signed=True)
    if not raw or (len(raw) > 1 and raw[0] in (0x00, 0xFF) and raw[0] >> 7 == raw[1] >> 7):
        raise StrictError(f"{where}: number {raw.hex()}")
    if node["type"] == "ENUMERATED":
        if number not in [value[1] for value in node["values"] if value is not None]:
            raise StrictError(f"{where}: unknown value {number}")
        return
    ((low, high),) = node["restricted-to"]
    if not low <= number <= high:
        raise StrictError(f"{where}: {number} is outside {low}..{high}")


def _string(node: Node, raw: bytes, where: str) -> None:
    (size,) = node.get("size", [(0, 65535)])
    low, high = size if isinstance(size, tuple) else (size, size)
    if not low <= len(raw) <= high:
        raise StrictError(f"{where}: {len(raw)} bytes")
    if node["type"] == "IA5String" and not raw.isascii():
        raise StrictError(f"{where}: no IA5String")
