# SPDX-License-Identifier: Apache-2.0
"""Fields of rule files: ranges, types, and what is said about mistakes."""

from collections.abc import Callable

import pytest

from remsim.core.errors import IdRangeError
from remsim.policy.fields import EVERY, MAX_TEXT, NumberRanges, PolicyError, Slots, Table, parse_numbers, parse_slots


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("7", Slots(NumberRanges(7, 7), EVERY)),
        ("20-29", Slots(NumberRanges(20, 29), EVERY)),
        ("*", Slots(EVERY, EVERY)),
        ("7:0", Slots(NumberRanges(7, 7), NumberRanges(0, 0))),
        ("7:0-3", Slots(NumberRanges(7, 7), NumberRanges(0, 3))),
    ],
)
def test_slots_come_back_from_their_text(text: str, slots: Slots) -> None:
    assert parse_slots(text) == slots
    assert str(slots) == text


def test_all_slots_may_be_written_as_a_star() -> None:
    assert parse_slots("7:*") == parse_slots("7")
    assert parse_slots("7").has(7, 1023)
    assert not parse_slots("7").has(8, 0)
    assert not parse_slots("7:1").has(7, 0)


@pytest.mark.parametrize("text", ["", "x", "-1", "1-", "1-2-3", "7:", ":0", "7:x", "1.0", "١"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_slots(text)


def test_number_out_of_range_is_refused() -> None:
    with pytest.raises(IdRangeError):
        parse_numbers("0-1024")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "f: Invalid value"),
        ("a = " + "1" * 5000, "f: Exceeds the limit"),
        ("a = " + "[" * 5000, "f: nested too deeply"),
        ("#" * (MAX_TEXT + 1), "f has more than"),
    ],
)
def test_text_that_is_no_toml_is_refused(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Table.of_text(text, "f")
    assert str(caught.value).startswith(message)


class TestTypes:
    table = Table.of_text('a = 1\nb = "x"\nc = [1.5]\nd = [true]\ne = "\\n"\nf = {}\ng = [{x = 1}]', "f")

    def test_values_of_the_wrong_type_are_named(self) -> None:
        calls: list[Callable[[], object]] = [
            lambda: self.table.text("a"),
            lambda: self.table.text("nothing"),
            lambda: self.table.text("e"),
            lambda: self.table.each("c", str),
            lambda: self.table.each("d", str),
            lambda: self.table.each("f", str),
            lambda: self.table.tables("f"),
            lambda: self.table.tables("c"),
            lambda: self.table.table("a"),
            lambda: self.table.word("b", ("y", "z")),
        ]
        for call in calls:
            with pytest.raises(PolicyError, match=r"^f: "):
                call()

    def test_right_values_are_given(self) -> None:
        assert self.table.text("b") == "x"
        assert self.table.word("b", ("x",)) == "x"
        assert self.table.each("a", str) == ("1",)
        assert self.table.each("nothing", str) == ()
        assert self.table.table("nothing").keys() == []
        assert [inner.has("x") for inner in self.table.tables("g")] == [True]

    def test_unknown_key_is_told_with_what_was_meant_or_is_known(self) -> None:
        for text, hint in [("clients = 1", "did you mean client?"), ("xyz = 1", "known keys: client")]:
            table = Table.of_text(text, "f")
            table.each("client", str)
            with pytest.raises(PolicyError) as caught:
                table.finish()
            assert caught.value.hint == hint
