# SPDX-License-Identifier: Apache-2.0
"""Events for people."""

from remsim.core.ids import BankSlot
from remsim.core.log_event import LogEvent


def test_fields_without_a_value_are_not_shown() -> None:
    event = LogEvent("info", "card_gone", BankSlot(1, 3), fields={"reader": "", "cause": None, "count": 0, "why": "x"})
    assert event.shown_fields() == {"count": 0, "why": "x"}
