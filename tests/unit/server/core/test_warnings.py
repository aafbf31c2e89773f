# SPDX-License-Identifier: Apache-2.0
"""The registry of warnings: they appear, keep their time, and go; and who may see them."""

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.core.limits import LimitCounts, LimitName
from remsim.server.core import warnings as module
from remsim.server.core.tokens import Scope
from remsim.server.core.warnings import WARNING_KINDS, Alert, Warnings


def test_a_warning_is_told_once_and_keeps_its_time() -> None:
    found = Warnings(LimitCounts())
    (event,) = found.set("reader", BankSlot(1, 3), "it failed 3 times", "look", wall=100.0)
    assert (event.name, event.level, event.bank_slot) == ("warning", "warning", BankSlot(1, 3))
    assert event.fields == {
        "warning": 1,
        "kind": "reader",
        "about": "B1:3",
        "bank": 1,
        "severity": "warning",
        "text": "it failed 3 times",
        "hint": "look",
    }
    assert found.set("reader", "B1:3", "it failed 4 times", "look", wall=160.0) == []
    alert = found.get("reader", "B1:3")
    assert alert is not None
    assert (alert.since, alert.text, alert.number) == (100.0, "it failed 4 times", 1)
    assert found.counts() == {**dict.fromkeys(WARNING_KINDS, 0), "reader": 1}
    (event,) = found.clear("reader", BankSlot(1, 3))
    assert (event.name, event.level, event.fields["warning"]) == ("warning_cleared", "info", 1)
    assert found.clear("reader", "B1:3") == []
    (event,) = found.set("reader", "B1:3", "again", "look", wall=200.0)
    assert event.fields["warning"] == 2


def test_a_new_one_is_as_old_as_what_is_wrong() -> None:
    warnings = Warnings(LimitCounts())
    found = {("disk", "server"): Alert(0, "disk", "server", 40.0, "x", "y")}
    warnings.replace(frozenset({"disk"}), found, 100.0)
    warnings.replace(frozenset({"disk"}), {("disk", "server"): Alert(0, "disk", "server", 70.0, "x", "y")}, 110.0)
    (alert,) = warnings
    assert alert.since == 40.0
    warnings.replace(frozenset({"disk"}), {("disk", "server"): Alert(0, "disk", "server", 0.0, "x", "y")}, 120.0)
    # Not known, or a clock that was set back: since it was found.
    for since in (0.0, 900.0):
        fresh = Warnings(LimitCounts())
        fresh.replace(frozenset({"disk"}), {("disk", "server"): Alert(0, "disk", "server", since, "x", "y")}, 120.0)
        assert next(iter(fresh)).since == 120.0


def test_what_is_not_found_any_more_is_over() -> None:
    found = Warnings(LimitCounts())
    found.set("disk", "server", "full", "make room", wall=1.0)
    found.set("reader", "B1:3", "x", "y", wall=1.0)
    now = {("reader", "B1:4"): module.Alert(0, "reader", "B1:4", 0.0, "x", "y", "error")}
    events = found.replace(frozenset({"reader"}), now, 5.0)
    assert [(event.name, event.fields["about"]) for event in events] == [
        ("warning_cleared", "B1:3"),
        ("warning", "B1:4"),
    ]
    assert [(alert.kind, alert.about, alert.since) for alert in found] == [
        ("disk", "server", 1.0),
        ("reader", "B1:4", 5.0),
    ]


@pytest.mark.parametrize(
    ("about", "other", "scope", "is_visible"),
    [
        ("B1:3", None, Scope(frozenset({1}), None), True),
        ("B1:3", None, Scope(frozenset({2}), None), False),
        ("B1", None, Scope(frozenset({2}), None), False),
        ("C7:0", BankSlot(1, 3), Scope(frozenset({1}), frozenset({7})), True),
        ("C7:0", BankSlot(2, 3), Scope(frozenset({1}), frozenset({7})), False),
        ("B1:3", ClientSlot(8, 0), Scope(None, frozenset({7})), False),
        ("C7", None, Scope(None, frozenset({7})), True),
        ("server", None, Scope(None, frozenset({7})), False),
        ("server", None, Scope(), True),
    ],
)
def test_who_may_see_it(about: str, other: BankSlot | ClientSlot | None, scope: Scope, is_visible: bool) -> None:
    found = Warnings(LimitCounts())
    found.set("mapping-refused", about, "x", "y", wall=1.0, other=other)
    (alert,) = found
    assert alert.is_visible(scope) is is_visible


def test_there_are_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WARNINGS", 1)
    limits = LimitCounts()
    found = Warnings(limits)
    assert found.set("reader", "B1:3", "x", "y", wall=1.0)
    assert found.set("reader", "B1:4", "x", "y", wall=1.0) == []
    assert (len(found), limits[LimitName.WARNINGS]) == (1, 1)
    found.clear("reader", "B1:3")
    assert found.set("reader", "B1:4", "x", "y", wall=1.0)
