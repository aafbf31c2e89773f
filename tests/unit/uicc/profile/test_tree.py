# SPDX-License-Identifier: Apache-2.0
"""File entries of a profile."""

import pytest

from remsim.uicc import ProfileError, Uicc, parse_profile
from tests.doubles.small_profile import DIRECTORIES, HEAD
from tests.doubles.terminal import Terminal


def _card(files: str) -> Terminal:
    return Terminal(Uicc(parse_profile(f"{HEAD}{DIRECTORIES}[files]\n{files}")))


def test_contents_are_filled_and_tokens_replaced() -> None:
    terminal = _card('"3F00/2FE2" = { data = "01 {text:ab}{iccid}", size = 16, fill = "00" }')
    terminal.select("2FE2")
    iccid = terminal.uicc.identity.tokens()["iccid"].hex().upper()
    assert terminal.ok("00B0000010") == f"016162{iccid}000000"


def test_records_are_given_first_and_filled() -> None:
    terminal = _card('"3F00/6F01" = { record_length = 3, records = 3, data = ["01", "0203"] }')
    terminal.select("6F01")
    assert [terminal.ok(f"00B20{n}0403") for n in (1, 2, 3)] == ["01FFFF", "0203FF", "FFFFFF"]


def test_rule_numbers_may_have_gaps() -> None:
    text = HEAD + '3 = { read = "NEV", update = "NEV", manage = "NEV" }\n' + DIRECTORIES
    terminal = Terminal(Uicc(parse_profile(text + '[files]\n"3F00/2F06" = { arr = true, record_length = 30 }')))
    terminal.select("2F06")
    assert terminal.ok("00B202041E") == "FF" * 30
    assert terminal.ok("00B203041E").startswith("8001039700")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ('"3F00/2FE2" = { data = "xx" }', "not hexadecimal"),
        ('"3F00/2FE2" = { data = "{nix}" }', "none of"),
        ('"3F00/2FE2" = { data = "0000", size = 1 }', "exceed 1 bytes by 1"),
        ('"3F00/2FE2" = { data = 1 }', "not a string"),
        ('"3F00/2FE2" = { size = true }', "not a number"),
        ('"3F00/2FE2" = { size = 1, sfi = "0A0B" }', "2 bytes instead of 1"),
        ('"3F00/2FE2" = { size = 1, colour = 1 }', "unknown key 'colour'"),
        ('"3F00/2FE2" = { size = 1, rule = 9 }', "no rule 9"),
        ('"3F00/2FE2" = { objects = { x = "00" } }', "not a tag"),
        ('"3F00/2FE2" = { objects = { 8000000000 = "00" } }', "not a tag"),
        ('"3F00/2FE2" = 3', "not a table"),
        ('"3F00/2fe2" = { size = 1 }', "not a file identifier"),
        ('"3F00/7FFF" = { size = 1 }', "not a file identifier"),
        ('"3F00/7F10" = { size = 1 }', "stands twice"),
        ('"3F00/7F99/2FE2" = { size = 1 }', "no directory"),
        ('"3F00/2FE2" = { same_as = "3F00/2F00" }', "names no file"),
        ('"3F00/2FE2" = { record_length = 4, records = 1, data = ["01", "02"] }', "2 records are given"),
        ('"3F00/2FE2" = { record_length = 4, data = "01" }', "not an array"),
        ('"3F00/2FE2" = { record_length = 4, data = [1] }', "other than strings"),
        ('"3F00/2FE2" = { record_length = 4, cyclic = 1 }', "neither true nor false"),
        ('"3F00/2F01" = { size = 1, sfi = "01" }\n"3F00/2F02" = { size = 1, sfi = "01" }', "stands twice"),
    ],
)
def test_faulty_file_is_told(files: str, reason: str) -> None:
    with pytest.raises(ProfileError, match=reason):
        _card(files)


def test_rules_need_no_first_one() -> None:
    head = HEAD.replace("\n1 = {", "\n2 = {")
    directories = DIRECTORIES.replace("{}", "{ rule = 2 }")
    files = '[files]\n"3F00/2FE2" = { data = "01", rule = 2 }'
    terminal = Terminal(Uicc(parse_profile(head + directories + files)))
    terminal.select("2FE2")
    assert terminal.ok("00B0000001") == "01"
