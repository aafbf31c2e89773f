# SPDX-License-Identifier: Apache-2.0
"""Our own additions to RSPRO have vectors of their own, and the oracle agrees with them."""

import json
from typing import Any

import pytest

from remsim.wire.link.abilities import ABILITY_OF, ABILITY_OF_ELEMENTS
from remsim.wire.messages.codec import decode_pdu, encode_pdu
from remsim.wire.messages.rspro import ConnectBankReq, ConnectBankRes, ConnectClientReq, ConnectClientRes, Message
from remsim.wire.messages.schema import ALTERNATIVES, NUMBER_OF
from tests.doubles import asn1, notation
from tests.reference import ROOT

FILE = ROOT / "tests" / "vectors" / "rspro" / "extensions.json"
ENTRIES: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["messages"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry["name"]))
def test_extension_decodes_and_encodes(entry: dict[str, Any]) -> None:
    raw = bytes.fromhex(entry["der"])
    pdu = decode_pdu(raw)
    assert notation.to_json(pdu) == entry["pdu"]
    assert notation.from_json(entry["pdu"]) == pdu
    assert encode_pdu(pdu) == raw
    assert asn1.decode(raw) == pdu
    assert asn1.encode(pdu) == raw


def test_every_message_that_needs_an_ability_has_a_vector() -> None:
    alternatives = {name for entry in ENTRIES for name in entry["pdu"]["msg"]}
    assert {ALTERNATIVES[NUMBER_OF[kind]].name for kind in ABILITY_OF} <= alternatives
    assert {entry["ability"] for entry in ENTRIES} >= set(ABILITY_OF.values())


@pytest.mark.parametrize("kind", ABILITY_OF_ELEMENTS)
def test_every_element_that_needs_an_ability_has_a_vector(kind: type[Message]) -> None:
    attr, ability = ABILITY_OF_ELEMENTS[kind]
    found = [decode_pdu(bytes.fromhex(entry["der"])).msg for entry in ENTRIES if entry["ability"] == ability]
    assert any(isinstance(message, kind) and getattr(message, attr) is not None for message in found)


def test_abilities_of_the_identities_are_those_that_their_versions_name() -> None:
    named = [entry for entry in ENTRIES if "abilities" in entry]
    assert {struct for entry in named for struct in entry["pdu"]["msg"]} == {
        "connectBankReq",
        "connectBankRes",
        "connectClientReq",
        "connectClientRes",
    }
    for entry in named:
        message = decode_pdu(bytes.fromhex(entry["der"])).msg
        assert isinstance(message, ConnectBankReq | ConnectBankRes | ConnectClientReq | ConnectClientRes)
        assert message.identity.abilities == (None if entry["abilities"] is None else tuple(entry["abilities"]))
