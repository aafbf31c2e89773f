# SPDX-License-Identifier: Apache-2.0
"""RSPRO PDUs to and from BER, driven by the table in ``schema``.

``decode_pdu`` accepts BER with unknown elements behind the listed ones of extensible types, and raises DecodeError,
nothing else, on whatever bytes it is given. ``encode_pdu`` emits DER and refuses values out of range. The two TPDU
messages, and those of answers ahead, take short cuts (``fast_codec``, ``ahead_codec``) that give the same results.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Final, cast

from remsim.wire.errors import DecodeError, LocalProtocolError
from remsim.wire.messages import ahead_codec, ber, extensions, fast_codec, rspro
from remsim.wire.messages.ber import CONSTRUCTED, Element
from remsim.wire.messages.rspro import Message, RsproPdu, UnknownMessage
from remsim.wire.messages.schema import (
    ALTERNATIVES,
    IA5_STRING,
    IPV4,
    IPV6,
    NUMBER_OF,
    OCTET_STRING,
    SEQUENCE,
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

#: X.690, 8.1.2.4: tag numbers from here on, up to 127, stand in a byte of their own.
_HIGH_TAG: Final = 31
_MAX_VERSION: Final = 32
_MAX_SHOWN: Final = 0xFFFF
_VERSION, _TAG, _MSG = 0x80, 0x81, 0xA2
_STRING_PARTS: Final = frozenset({OCTET_STRING, IA5_STRING})
_TPDU_MESSAGES: Final = (rspro.TpduModemToCard, rspro.TpduCardToModem)
_AHEAD_MESSAGES: Final = (extensions.AheadInd, extensions.AheadUsedInd)

#: What a field can hold in Python.
Value = object


def decode_pdu(data: bytes) -> RsproPdu:
    """Read one RsproPDU, which must fill ``data`` to the last byte. Raises DecodeError."""
    return fast_codec.decode(data) or ahead_codec.decode(data) or decode_general(data)


def decode_general(data: bytes) -> RsproPdu:
    """``decode_pdu`` without a short cut. Raises DecodeError."""
    root, end = ber.parse(data)
    if end != len(data):
        raise DecodeError(f"{len(data) - end} bytes behind the PDU")
    if root.identifier != SEQUENCE or root.children is None or len(root.children) != 3:
        raise DecodeError("RsproPDU is no SEQUENCE of version, tag and msg")
    version, tag, wrapper = root.children
    if (version.identifier, tag.identifier, wrapper.identifier) != (_VERSION, _TAG, _MSG):
        raise DecodeError("RsproPDU is no SEQUENCE of version, tag and msg")
    version_nr = _decode_integer(version, Integer(0, _MAX_VERSION), "version")
    operation_tag = _decode_integer(tag, Integer(0, rspro.MAX_OPERATION_TAG), "tag")
    if wrapper.children is None or len(wrapper.children) != 1:
        raise DecodeError("msg does not hold exactly one alternative")
    try:
        return RsproPdu(operation_tag, _decode_alternative(wrapper.children[0]), version_nr)
    except DecodeError as error:
        error.tag, error.version = operation_tag, version_nr
        raise


def _decode_alternative(element: Element) -> Message | UnknownMessage:
    number = _tag_number(element.identifier)
    if number is None:
        raise DecodeError(f"msg: identifier {_identifier(element)} is no alternative")
    struct = ALTERNATIVES.get(number)
    if struct is None:
        return UnknownMessage(number)
    if element.children is None:
        raise DecodeError(f"{struct.name}: primitive form", alternative=number)
    try:
        return cast(Message, _decode_struct(struct, element.children, struct.name))
    except DecodeError as error:
        error.alternative = number
        raise


def _tag_number(identifier: int) -> int | None:
    """The number of a context tag, None for other classes."""
    raw = ber.encode_identifier(identifier)
    if raw[0] & 0xC0 != 0x80:
        return None
    if len(raw) == 1:
        return raw[0] & 0x1F
    number = 0
    for byte in raw[1:]:
        number = number << 7 | byte & 0x7F
    return number


def _decode_struct(struct: Struct, children: list[Element], path: str) -> Value:
    values: list[Value] = []
    index, count = 0, len(children)
    for field in struct.fields:
        if index < count and _matches(field, children[index].identifier):
            values.append(_decode_value(field.kind, children[index], f"{path}.{field.name}"))
            index += 1
        elif field.is_optional:
            values.append(None)
        else:
            raise DecodeError(f"{path}: {field.name} missing", field=f"{path}.{field.name}")
    if index < count and not struct.is_extensible:
        raise DecodeError(f"{path}: {count - index} unexpected elements", field=path)
    # The table's ranges are those that the classes check, so this raises nothing.
    return cast(Value, struct.cls(*values))


def _matches(field: Field, identifier: int) -> bool:
    if identifier == field.identifier:
        return True
    if isinstance(field.kind, Text | ByteString):
        return identifier == field.identifier | CONSTRUCTED
    return isinstance(field.kind, IpAddress) and identifier in (IPV4, IPV6, IPV4 | CONSTRUCTED, IPV6 | CONSTRUCTED)


def _decode_value(kind: Kind, element: Element, path: str) -> Value:
    match kind:
        case Integer():
            return _decode_integer(element, kind, path)
        case Enumerated():
            return _decode_enumerated(element, kind, path)
        case Boolean():
            if len(element.value) != 1:
                raise DecodeError(f"{path}: boolean of {len(element.value)} bytes", field=path)
            return element.value != b"\0"
        case Text():
            return _decode_text(element, kind, path)
        case ByteString():
            raw = _join(element, path)
            _check_size(len(raw), kind.low, kind.high, path)
            return raw
        case IpAddress():
            return _decode_ip(element, path)
        case SequenceOf():
            return _decode_list(element, kind, path)
    return _decode_struct(kind, element.children or [], path)


def _decode_list(element: Element, kind: SequenceOf, path: str) -> Value:
    items = element.children or []
    if len(items) > kind.most:
        raise DecodeError(f"{path}: {len(items)} entries, {kind.most} allowed", field=path)
    for item in items:
        if item.identifier != kind.identifier:
            raise DecodeError(f"{path}: entry with identifier {_identifier(item)}", field=path)
    return tuple(_decode_value(kind.item, item, path) for item in items)


def _decode_integer(element: Element, kind: Integer, path: str) -> int:
    try:
        value = ber.decode_integer(element.value)
    except DecodeError as error:
        raise DecodeError(f"{path}: {error}", field=path) from error
    if not kind.low <= value <= kind.high:
        raise DecodeError(f"{path}: {_shown(value)} is outside {kind.low}..{kind.high}", field=path)
    return value


def _decode_enumerated(element: Element, kind: Enumerated, path: str) -> Value:
    try:
        value = ber.decode_integer(element.value)
    except DecodeError as error:
        raise DecodeError(f"{path}: {error}", field=path) from error
    try:
        return kind.cls(value)
    except ValueError:
        raise DecodeError(f"{path}: {_shown(value)} is no {kind.cls.__name__}", field=path) from None


def _identifier(element: Element) -> str:
    return f"{element.identifier:X}" if element.identifier <= _MAX_SHOWN else "of many bytes"


def _shown(value: int) -> str:
    """A number for an error's text. A large one may be bytes of a PIN in a frame that somebody has broken."""
    return str(value) if abs(value) <= _MAX_SHOWN else "a large number"


def _decode_text(element: Element, kind: Text, path: str) -> str:
    raw = _join(element, path)
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise DecodeError(f"{path}: illegal character", field=path) from error
    # X.680, 51.5.3: the size of a string is its number of characters.
    _check_size(len(text), kind.low, kind.high, path)
    return text


def _decode_ip(element: Element, path: str) -> IPv4Address | IPv6Address:
    raw = _join(element, path)
    is_ipv4 = element.identifier & ~CONSTRUCTED == IPV4
    if len(raw) != (4 if is_ipv4 else 16):
        raise DecodeError(f"{path}: address of {len(raw)} bytes", field=path)
    return IPv4Address(raw) if is_ipv4 else IPv6Address(raw)


def _join(element: Element, path: str) -> bytes:
    """The bytes of a string in primitive form, or of its parts in constructed form (X.690, 8.7.3 and 8.21)."""
    if element.children is None:
        return element.value
    parts: list[bytes] = []
    pending = list(reversed(element.children))
    while pending:
        part = pending.pop()
        if part.identifier & ~CONSTRUCTED not in _STRING_PARTS:
            raise DecodeError(f"{path}: string part with identifier {_identifier(part)}", field=path)
        if part.children is None:
            parts.append(part.value)
        else:
            pending.extend(reversed(part.children))
    return b"".join(parts)


def _check_size(size: int, low: int, high: int, path: str) -> None:
    if not low <= size <= high:
        raise DecodeError(f"{path}: length {size} is outside {low}..{high}", field=path)


def encode_pdu(pdu: RsproPdu) -> bytes:
    """DER of one PDU. Raises LocalProtocolError if a value is out of range."""
    message = pdu.msg
    if isinstance(message, _TPDU_MESSAGES) and pdu.version == rspro.VERSION and 0 <= pdu.tag <= rspro.MAX_OPERATION_TAG:
        return fast_codec.encode(pdu.tag, message)
    if isinstance(message, _AHEAD_MESSAGES) and pdu.version == rspro.VERSION:
        return ahead_codec.encode(pdu.tag, message) or encode_general(pdu)
    return encode_general(pdu)


def encode_general(pdu: RsproPdu) -> bytes:
    """``encode_pdu`` without a short cut. Raises LocalProtocolError."""
    message = pdu.msg
    number = NUMBER_OF.get(type(message))
    if number is None:
        raise LocalProtocolError(f"{type(message).__name__} cannot be sent")
    struct = ALTERNATIVES[number]
    body = ber.encode(_alternative_identifier(number), _encode_fields(struct, message, struct.name))
    return ber.encode(
        SEQUENCE,
        ber.encode(_VERSION, _encode_integer(Integer(0, _MAX_VERSION), pdu.version, "version"))
        + ber.encode(_TAG, _encode_integer(Integer(0, rspro.MAX_OPERATION_TAG), pdu.tag, "tag"))
        + ber.encode(_MSG, body),
    )


def _alternative_identifier(number: int) -> int:
    """The identifier of a constructed context tag (X.690, 8.1.2); alternatives of ours need the form of two bytes."""
    return 0xA0 | number if number < _HIGH_TAG else 0xBF00 | number


def _encode_fields(struct: Struct, message: object, path: str) -> bytes:
    parts: list[bytes] = []
    for field in struct.fields:
        value: Value = getattr(message, field.attr)
        if value is None:
            if not field.is_optional:
                raise LocalProtocolError(f"{path}.{field.name} is missing")
            continue
        identifier = field.identifier
        if isinstance(field.kind, IpAddress):
            identifier = IPV4 if isinstance(value, IPv4Address) else IPV6
        parts.append(ber.encode(identifier, _encode_value(field.kind, value, f"{path}.{field.name}")))
    return b"".join(parts)


def _encode_value(kind: Kind, value: Value, path: str) -> bytes:
    match kind:
        case Integer():
            return _encode_integer(kind, cast(int, value), path)
        case Enumerated():
            return ber.encode_integer(cast(int, value))
        case Boolean():
            return b"\xff" if value else b"\0"
        case Text():
            return _encode_text(kind, cast(str, value), path)
        case ByteString():
            raw = cast(bytes, value)
            _check_local(len(raw), kind.low, kind.high, path)
            return raw
        case IpAddress():
            return cast(IPv4Address | IPv6Address, value).packed
        case SequenceOf():
            items = cast(tuple[Value, ...], value)
            _check_local(len(items), 0, kind.most, path)
            return b"".join(ber.encode(kind.identifier, _encode_value(kind.item, item, path)) for item in items)
    return _encode_fields(kind, value, path)


def _encode_integer(kind: Integer, value: int, path: str) -> bytes:
    _check_local(value, kind.low, kind.high, path)
    return ber.encode_integer(value)


def _encode_text(kind: Text, text: str, path: str) -> bytes:
    try:
        raw = text.encode("ascii")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"{path}: {text!r} has characters that this field cannot hold") from error
    _check_local(len(text), kind.low, kind.high, path)
    return raw


def _check_local(value: int, low: int, high: int, path: str) -> None:
    if not low <= value <= high:
        raise LocalProtocolError(f"{path}: {value} is outside {low}..{high}")
