# SPDX-License-Identifier: Apache-2.0
"""The classic slot file: what the C bankd accepts is accepted, what it passes over in silence is not."""

import re

import pytest

from remsim.bankd.slots.csv import parse_slots_csv, translate_ere
from remsim.core.errors import ConfigError

READERS = [
    "ACS ACR33 ICC Reader 00 00",
    "ACS ACR33 ICC Reader 00 01",
    "HID Global OMNIKEY 3x21 [CCID] (ABC123) 01 00",
    "Reader 1 00 00",
    "Reader 10 00 00",
]


def slot_of(line: str) -> list[str]:
    """The readers that the expression of ``line`` matches."""
    (rule,) = parse_slots_csv(line, bank_id=1, slots=4, origin="f").rules
    return [name for name in READERS if rule.matches(name)]


@pytest.mark.parametrize(
    ("line", "matches"),
    [
        ('"1","0","ACS ACR33 ICC Reader 00 00"', READERS[:1]),
        ("1,0,ACS", READERS[:2]),
        ('1, 0, "ICC Reader"', READERS[:2]),
        ('"1","0","Reader 1"', READERS[3:]),
        ('"1","0","^Reader 1 "', READERS[3:4]),
        ('"1","0","01$"', READERS[1:2]),
        ('"1","0","acs"', []),
        ('"1","0","OMNIKEY.*\\[CCID\\] \\(ABC[0-9]+\\)"', READERS[2:3]),
        ('"1","0","Reader [[:digit:]]{2} "', [READERS[0], READERS[1], READERS[4]]),
        ('"1","0","(ACS|HID) "', READERS[:3]),
        ('1,0,dropped,"Reader 10"', READERS[4:]),
    ],
)
def test_expression_is_searched_in_reader_names(line: str, matches: list[str]) -> None:
    assert slot_of(line) == matches


def test_other_banks_empty_lines_and_comments_are_passed_over() -> None:
    text = '\n# our readers\n"7","0","x"\r\n\n  \n"1","1","y"\n'
    (rule,) = parse_slots_csv(text, bank_id=1, slots=4, origin="f").rules
    assert (rule.slot_nr, rule.text, rule.origin) == (1, "y", "f line 6")


def test_dubious_lines_are_warned_about() -> None:
    text = "1,0,a\n1,0,b\n1,4,c\n1,1,d,e\n"
    read = parse_slots_csv(text, bank_id=1, slots=4, origin="f")
    assert [(rule.slot_nr, rule.text) for rule in read.rules] == [(0, "a"), (1, "e")]
    assert [warning.split(":")[0] for warning in read.warnings] == ["f line 2", "f line 3", "f line 4"]


@pytest.mark.parametrize(
    ("text", "number", "reason"),
    [
        ("1,0", 1, "2 columns"),
        ("1,0,x\nfoo", 2, "1 columns"),
        ("one,0,x", 1, "'one' is no bank number"),
        ("1,-1,x", 1, "no slot number"),
        ("1024,0,x", 1, "outside 0..1023"),
        ("1,0,x\n\n9,99999999,x", 3, "outside 0..1023"),
        ('"1","0","unfinished', 1, "f line 1"),
        ("1,0,(", 1, "no extended POSIX expression"),
        ("1,0,a**", 1, "repeated already"),
        ("1,0,*a", 1, "repeats nothing"),
        ("1,0,(?:a)", 1, "repeats nothing"),
        ("1,0,[a", 1, "[ without ]"),
        ("1,0,[[:foo:]]", 1, "unknown character class"),
        ("1,0,[[.a.]]", 1, "collating"),
        ("1,0,a\\", 1, "backslash"),
        ("1,0,[z-a]", 1, "no extended POSIX expression"),
        ("1,0,a{99999999999999}", 1, "no extended POSIX expression"),
        (f"1,0,{'(' * 2000}x{')' * 2000}", 1, "nested too deeply"),
    ],
)
def test_malformed_line_is_named_with_its_number(text: str, number: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)) as caught:
        parse_slots_csv(text, bank_id=1, slots=4, origin="f")
    assert f"f line {number}" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("expression", "text", "found"),
    [
        (r"[\w]", "\\", True),
        (r"[\w]", "w", True),
        (r"[\w]", "a", False),
        (r"[^]a]", "]a", False),
        (r"[]a]", "]", True),
        (r"[a-c]", "b", True),
        (r"a{2}", "caab", True),
        (r"a{2}b", "caab", True),
        (r"a{", "a{", True),
        (r"a{1,2}c", "aac", True),
        (r"x\.y", "xzy", False),
        (r"\bfoo\>", "a foo", True),
        (r"\<oo", "foo", False),
        (r"a\*", "a*", True),
        (r"#", "#", True),
        (r"a$", "a\n", False),
    ],
)
def test_posix_meaning_is_kept(expression: str, text: str, found: bool) -> None:
    assert (re.search(translate_ere(expression), text) is not None) is found
