# SPDX-License-Identifier: Apache-2.0
"""Typed access to tables."""

import pytest

from remsim.uicc import ProfileError
from remsim.uicc.profile.fields import Fields, parse_bytes


def test_values_are_taken_with_their_types() -> None:
    fields = Fields({"a": "x", "b": 3, "c": True, "d": "0A 0B", "e": {"f": 1}, "g": [{"h": 2}], "i": ["j"]}, "top")
    assert "a" in fields
    assert (fields.text("a"), fields.number("b"), fields.flag("c", default=False)) == ("x", 3, True)
    assert fields.raw("d") == b"\x0a\x0b"
    assert fields.table("e").number("f") == 1
    assert [entry.number("h") for entry in fields.tables("g")] == [2]
    assert fields.texts("i") == ["j"]
    assert fields.names() == []
    fields.finish()


def test_fault_names_the_place() -> None:
    with pytest.raises(ProfileError, match=r"^top\.e: 'f' is missing$"):
        Fields({"e": {}}, "top").table("e").number("f")
    with pytest.raises(ProfileError, match=r"^here is not hexadecimal$"):
        parse_bytes("x", "here")
