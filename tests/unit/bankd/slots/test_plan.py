# SPDX-License-Identifier: Apache-2.0
"""Which reader gets which slot, when readers come and go."""

import re
from pathlib import Path

from remsim.bankd.slots.plan import OrderPlan, ReaderAssignment, RulePlan, SlotRule, table_rules
from remsim.config import BankdConfig, SlotReader

A, B, C = "ACS ACR33 00 00", "ACS ACR33 01 00", "HID (SN1) 02 00"


def rule(slot_nr: int, pattern: str) -> SlotRule:
    return SlotRule(slot_nr, pattern, "here", pattern=re.compile(pattern), is_anchored=False)


def events(assignment: ReaderAssignment) -> list[str]:
    return [problem.event for problem in assignment.problems]


def test_first_match_in_the_drivers_order_is_taken_and_several_are_reported() -> None:
    found = RulePlan([rule(0, "ACS"), rule(1, "HID")]).assign([B, A, C], {})
    assert found.readers == {0: B, 1: C}
    assert events(found) == ["several_readers_match"]


def test_slot_keeps_its_reader_while_that_is_plugged_in() -> None:
    plan = RulePlan([rule(0, "ACS")])
    assert plan.assign([B, A], {0: A}).readers == {0: A}
    assert plan.assign([B], {0: A}).readers == {0: B}
    assert plan.assign([C], {0: A}) == ReaderAssignment({}, plan.assign([], {}).problems)


def test_missing_and_shared_readers_are_reported() -> None:
    found = RulePlan([rule(0, "HID"), rule(1, "HID"), rule(2, "nothing")]).assign([C], {})
    assert found.readers == {0: C, 1: C}
    assert events(found) == ["reader_of_two_slots", "no_such_reader"]
    assert [problem.slot_nr for problem in found.problems] == [1, 2]


def test_order_decides_for_sources_that_make_their_readers() -> None:
    plan = OrderPlan(2)
    assert plan.assign(["a", "b", "c"], {}).readers == {0: "a", 1: "b"}
    assert plan.assign(["b"], {0: "a", 1: "b"}).readers == {0: "a", 1: "b"}


def test_tables_of_the_configuration_are_exact_or_anchored() -> None:
    tables = (
        SlotReader(slot=0, reader=A),
        SlotReader(slot=1, pattern=re.compile("ACS"), shared=True),
        SlotReader(slot=2, pattern=re.compile("HID .*")),
    )
    config = BankdConfig(state_dir=Path("state"), slot=tables)
    rules = table_rules(config)
    assert [rule.matches(A) for rule in rules] == [True, False, False]
    assert [rule.matches(C) for rule in rules] == [False, False, True]
    assert [rule.is_shared for rule in rules] == [None, True, None]
    assert rules[1].text == "ACS"
