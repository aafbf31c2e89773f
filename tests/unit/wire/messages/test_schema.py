# SPDX-License-Identifier: Apache-2.0
"""The table in ``schema`` says what the schema file says: names, tags, ranges, optionality, extensibility."""

import dataclasses
from typing import Any

import pytest

from remsim.wire.link.abilities import ABILITY_OF, ABILITY_OF_ELEMENTS
from remsim.wire.messages import rspro, schema
from remsim.wire.messages.schema import (
    ALTERNATIVES,
    FIRST_OF_OURS,
    NUMBER_OF,
    Boolean,
    ByteString,
    Enumerated,
    Integer,
    IpAddress,
    Kind,
    SequenceOf,
    Struct,
    Text,
)
from tests.doubles import asn1, notation

#: Elements of ours in classic messages have numbers from here on.
FIRST_ELEMENT_OF_OURS = 20
UNIVERSAL = {
    "BOOLEAN": schema.BOOLEAN,
    "INTEGER": schema.INTEGER,
    "OCTET STRING": schema.OCTET_STRING,
    "ENUMERATED": schema.ENUMERATED,
    "IA5String": schema.IA5_STRING,
    "SEQUENCE": schema.SEQUENCE,
    "SEQUENCE OF": schema.SEQUENCE,
}
#: OCTET STRING without a size is limited by the frame.
UNLIMITED = [(0, 65535)]


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference to the type that it names."""
    while node["type"] not in UNIVERSAL and node["type"] != "CHOICE":
        node = {**asn1.parsed()["types"][node["type"]], **({"tag": node["tag"]} if "tag" in node else {})}
    return node


def identifier(node: dict[str, Any]) -> int:
    """The identifier byte of a member: implicit tags keep the constructed bit of the type."""
    target = resolve(node)
    if target["type"] == "CHOICE":
        return schema.IPV4  # the table names the first alternative
    universal = UNIVERSAL[target["type"]]
    return 0x80 | universal & 0x20 | node["tag"]["number"] if "tag" in node else universal


def bounds(limits: list[Any]) -> tuple[int, int]:
    """``(1, 32)`` of a list that is [(1, 32)] or [4]."""
    (limit,) = limits
    return limit if isinstance(limit, tuple) else (limit, limit)


def assert_same(kind: Kind, node: dict[str, Any], where: str) -> None:
    """Hold one entry of the table against the type in the file."""
    target = resolve(node)
    match kind:
        case Integer():
            assert (kind.low, kind.high) == bounds(target["restricted-to"]), where
        case Enumerated():
            listed = [value for value in target["values"] if value is not None]
            assert {name: int(member) for name, member in notation.enum_names(kind).items()} == dict(listed), where
            assert kind.is_open == (None in target["values"]), where
        case Boolean():
            assert target["type"] == "BOOLEAN", where
        case Text():
            assert target["type"] == "IA5String", where
            assert (kind.low, kind.high) == bounds(target["size"]), where
        case ByteString():
            assert target["type"] == "OCTET STRING", where
            assert (kind.low, kind.high) == bounds(target.get("size", UNLIMITED)), where
        case IpAddress():
            sizes = [(m["name"], m["tag"]["number"], resolve(m)["size"]) for m in target["members"]]
            assert sizes == [("ipv4", 0, [4]), ("ipv6", 1, [16])], where
        case SequenceOf():
            assert target["type"] == "SEQUENCE OF", where
            assert bounds(target["size"]) == (0, kind.most), where
            assert kind.identifier == identifier(target["element"]), where
            assert_same(kind.item, target["element"], f"{where}[]")
        case Struct():
            assert target is asn1.parsed()["types"][kind.name] or target["members"] == members(kind.name), where


def members(type_name: str) -> list[dict[str, Any] | None]:
    """The components of a SEQUENCE in the file, None where it is extensible."""
    found: list[dict[str, Any] | None] = asn1.parsed()["types"][type_name]["members"]
    return found


@pytest.mark.parametrize("name", sorted(notation.structs()))
def test_structure_of_the_table_equals_the_schema_file(name: str) -> None:
    table = notation.structs()[name]
    listed = members(name)
    assert [field.name for field in table.fields] == [m["name"] for m in listed if m is not None]
    assert table.is_extensible == (None in listed)
    # Behind "..." of what classic programs know stand our elements, which a strict decoder refuses.
    behind = listed[listed.index(None) + 1 :] if None in listed else []
    element = ABILITY_OF_ELEMENTS.get(table.cls)
    is_classic = NUMBER_OF.get(table.cls, FIRST_OF_OURS) < FIRST_OF_OURS
    ours = [field.name for field in table.fields if element is not None and is_classic and field.attr == element[0]]
    assert [m["name"] for m in behind if m is not None] == ours
    assert all(m is not None and m["tag"]["number"] >= FIRST_ELEMENT_OF_OURS and m["optional"] for m in behind)
    for field in table.fields:
        (member,) = [m for m in listed if m is not None and m["name"] == field.name]
        assert field.identifier == identifier(member), field.name
        assert field.is_optional == member.get("optional", False), field.name
        assert_same(field.kind, member, f"{name}.{field.name}")


def test_every_sequence_of_the_schema_file_is_in_the_table() -> None:
    sequences = {name for name, node in asn1.parsed()["types"].items() if node["type"] == "SEQUENCE"}
    assert sequences == {*notation.structs(), "RsproPDU"}


def test_alternatives_have_the_numbers_of_the_schema_file() -> None:
    choice = asn1.parsed()["types"]["RsproMessage"]["members"]
    ours = choice.index(None)
    listed = {m["tag"]["number"]: (m["name"], m["type"]) for m in choice if m is not None}
    assert all(m["tag"]["number"] >= FIRST_OF_OURS for m in choice[ours + 1 :])
    assert all(m["tag"]["number"] < FIRST_OF_OURS for m in choice[:ours])
    table = {number: (s.name, s.name[0].upper() + s.name[1:]) for number, s in ALTERNATIVES.items()}
    assert listed == table


def test_the_pdu_itself_is_what_the_codec_reads() -> None:
    version, tag, msg = (m for m in members("RsproPDU") if m is not None)
    assert [(m["name"], m["tag"]["number"]) for m in (version, tag, msg)] == [("version", 0), ("tag", 1), ("msg", 2)]
    assert bounds(version["restricted-to"]) == (0, 32)
    assert bounds(resolve(tag)["restricted-to"]) == (0, rspro.MAX_OPERATION_TAG)


def test_module_has_implicit_tags() -> None:
    assert asn1.parsed()["tags"] == "IMPLICIT"


def test_fields_of_the_table_are_those_of_the_dataclasses_in_order() -> None:
    for table in notation.structs().values():
        assert tuple(field.attr for field in table.fields) == tuple(f.name for f in dataclasses.fields(table.cls)), (
            table.name
        )


def test_every_element_of_ours_names_its_ability_in_the_schema_file() -> None:
    text = asn1.SCHEMA_FILE.read_text(encoding="utf-8")
    for kind, (attr, ability) in ABILITY_OF_ELEMENTS.items():
        (field,) = [field for field in ALTERNATIVES[NUMBER_OF[kind]].fields if field.attr == attr]
        assert field.is_optional
        before, _, _ = text[text.index(f"\n{kind.__name__} ::=") :].partition(f"\n    {field.name} ")
        comment = before[before.rindex("\n    -- ", 0, before.rindex("Ability: ")) :]
        assert f"Ability: {ability}" in comment, kind.__name__


def test_every_message_of_ours_names_its_ability_in_the_schema_file() -> None:
    text = asn1.SCHEMA_FILE.read_text(encoding="utf-8")
    for kind, ability in ABILITY_OF.items():
        comment = text[: text.index(f"\n{kind.__name__} ::=")].rpartition("\n\n")[2]
        assert f"Ability: {ability}" in comment, kind.__name__
    assert {number for number in ALTERNATIVES if number >= FIRST_OF_OURS} == {
        NUMBER_OF[kind] for kind in ABILITY_OF if NUMBER_OF[kind] >= FIRST_OF_OURS
    }
