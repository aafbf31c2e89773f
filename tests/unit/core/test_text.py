# SPDX-License-Identifier: Apache-2.0
"""Text of others is shown without what it does to a terminal or a log."""

import pytest

from remsim.core.text import counted, escape, lasting, rfc3339


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", ""), ("bank 1, ü", "bank 1, ü"), ("a\nb", "a\\nb"), ("\x1b[2J", "\\x1b[2J"), ("\ud800", "\\ud800")],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown
    assert escape(text).isprintable()


@pytest.mark.parametrize(("number", "text"), [(0, "no command"), (1, "1 command"), (2, "2 commands")])
def test_number_and_noun_agree(number: int, text: str) -> None:
    assert counted(number, "command") == text


@pytest.mark.parametrize(
    ("wall", "shown"), [(0.0, "1970-01-01T00:00:00.000Z"), (1796047380.123, "2026-11-30T14:03:00.123Z")]
)
def test_times_are_rfc_3339_in_utc(wall: float, shown: str) -> None:
    assert rfc3339(wall) == shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (172_799, "47 h"),
        (172_800, "2 days"),
    ],
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert lasting(seconds) == text
