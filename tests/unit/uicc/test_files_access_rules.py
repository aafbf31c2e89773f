# SPDX-License-Identifier: Apache-2.0
"""Access rules as records of EF ARR."""

import pytest

from remsim.uicc.files import Access, AccessRule, encode_rule
from tests.doubles.terminal import Terminal


@pytest.mark.parametrize(
    ("read", "update", "record"),
    [
        (Access.ALWAYS, Access.ALWAYS, "8001039000"),
        (Access.NEVER, Access.NEVER, "8001039700"),
        (Access.ALWAYS, Access.PIN2, "8001019000" + "800102A406830181950108"),
    ],
)
def test_equal_conditions_are_joined(read: Access, update: Access, record: str) -> None:
    rule = AccessRule(1, read, update, increase=Access.NEVER, manage=Access.NEVER)
    assert encode_rule(rule).hex().upper() == record + "8001189700"


def test_rules_in_ef_arr_say_what_the_card_enforces() -> None:
    terminal = Terminal.of()
    terminal.select("2F06")
    assert terminal.ok("00B2010430").startswith("8001019000" + "800102A40683010A950108" + "800118A40683010A950108")
    assert terminal.ok("00B2020430").startswith("800103A406830101950108")
    assert terminal.ok("00B2060430").startswith("8001019000" + "8001029700" + "8001189700")
    assert "840132A406830101950108" in terminal.ok("00B2070430")
