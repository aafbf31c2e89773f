# SPDX-License-Identifier: Apache-2.0
"""Who may be given which card."""

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.policy.fields import PolicyError
from remsim.policy.mapping import OPEN, parse_mapping_policy

RULES = """
[[client]]
client = ["23", "30-39:0"]
banks = ["1", "5-8"]
slots = ["2:0-3"]
numbers = ["89001001*", "8900101000000000018"]

[[client]]
client = 23
slots = "4:*"
"""
POLICY = parse_mapping_policy(RULES, "rules.toml")


@pytest.mark.parametrize(
    ("client", "bank", "number", "is_allowed"),
    [
        ("23:5", "1:9", None, True),
        ("23:5", "6:0", None, True),
        ("23:5", "9:0", None, False),
        ("23:5", "2:3", None, True),
        ("23:5", "2:4", None, False),
        ("23:5", "4:9", None, True),
        ("30:0", "4:9", None, False),
        ("30:1", "4:9", None, True),
        ("24:0", "9:9", None, True),
        ("23:0", "9:0", "8900100112345678901", True),
        ("23:0", "9:0", "8900101000000000018", True),
        ("23:0", "9:0", "89001010000000000181", False),
        ("23:0", "9:0", "8900200", False),
        ("31:1", "9:0", "8900100112345678901", True),
        ("30:0", "9:0", "8900100112345678901", True),
        ("30:0", "9:0", "8900200", False),
    ],
)
def test_rules_decide(client: str, bank: str, number: str | None, is_allowed: bool) -> None:
    decision = POLICY.decide(ClientSlot.parse(client), BankSlot.parse(bank), number)
    assert decision.is_allowed is is_allowed
    assert decision.reason


def test_reason_names_the_rule() -> None:
    client = ClientSlot(23, 0)
    assert POLICY.decide(client, BankSlot(4, 0)).reason == "client rule 2 allows B4:0 for C23:0"
    reason = POLICY.decide(client, BankSlot(9, 0), "8900200").reason
    assert reason == "B9:0 is not among what client rule 1, 2 allows C23:0"


def test_reason_says_where_a_number_is_missing() -> None:
    reason = POLICY.decide(ClientSlot(23, 0), BankSlot(9, 0)).reason
    assert reason == "B9:0, whose card's number is not known, is not among what client rule 1, 2 allows C23:0"
    other = parse_mapping_policy('[[client]]\nclient = "1"\nbanks = "1"', "x")
    assert other.decide(ClientSlot(1, 0), BankSlot(2, 0)).reason == "B2:0 is not among what client rule 1 allows C1:0"


def test_without_rules_everything_is_allowed_or_nothing() -> None:
    client, bank = ClientSlot(1, 0), BankSlot(1, 0)
    assert OPEN.decide(client, bank).is_allowed
    assert parse_mapping_policy("", "x").decide(client, bank) == OPEN.decide(client, bank)
    denied = parse_mapping_policy('default = "deny"', "x").decide(client, bank)
    assert not denied.is_allowed
    assert denied.reason == "no rule names C1:0, and the default is to deny"


def test_rules_are_counted_in_words() -> None:
    rule = '[[client]]\nclient = "*"\n'
    assert [parse_mapping_policy(rule * count, "x").size for count in range(3)] == ["0 rules", "1 rule", "2 rules"]


def test_rule_without_cards_forbids_all() -> None:
    policy = parse_mapping_policy('[[client]]\nclient = "*"', "x")
    assert not policy.decide(ClientSlot(1, 0), BankSlot(1, 0)).is_allowed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('default = "maybe"', "r.toml: default 'maybe' is not one of allow, deny"),
        ("[[client]]", "r.toml: client 1: client is missing"),
        ('[[client]]\nclient = "x"', "r.toml: client 1: client: 'x' is neither a number nor a range"),
        ('[[client]]\nclient = "1"\nbanks = ["9-2"]', "r.toml: client 1: banks: the range 9-2 runs backwards"),
        ('[[client]]\nclient = "1"\nbanks = ["1024"]', "r.toml: client 1: banks: id 1024 is outside 0..1023"),
        ('[[client]]\nclient = "1"\nslot = ["1"]', "r.toml: client 1: unknown key 'slot'"),
        ('[[client]]\nclient = "1"\nnumbers = ["89*1"]', "r.toml: client 1: numbers: '89*1' is no card number (ICCID)"),
        ("cleint = 1", "r.toml: unknown key 'cleint'"),
    ],
)
def test_mistake_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_mapping_policy(text, "r.toml")
    assert str(caught.value) == message


def test_number_with_letters_is_met_however_it_is_written() -> None:
    policy = parse_mapping_policy('[[client]]\nclient = "1"\nnumbers = ["898600b5*", "89E0"]\n', "r.toml")

    def allows(number: str) -> bool:
        return policy.decide(ClientSlot(1, 0), BankSlot(1, 0), number).is_allowed

    assert allows("898600B5000000000001")
    assert allows("89E0")
    assert not allows("8986000000000000000B")
    with pytest.raises(PolicyError, match="'89F' is no card number"):
        parse_mapping_policy('[[client]]\nclient = "1"\nnumbers = "89F"\n', "r.toml")
