# SPDX-License-Identifier: Apache-2.0
"""Text of others is shown without what it does to a terminal or a log."""

import pytest

from remsim.core.text import counted, escape


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
