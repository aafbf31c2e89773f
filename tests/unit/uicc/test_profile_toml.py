# SPDX-License-Identifier: Apache-2.0
"""Profile files: what they can say, and how their mistakes are told."""

import pytest

from remsim.uicc import ProfileError, Uicc, parse_profile
from tests.doubles.terminal import Terminal

_HEAD = """
name = "small"
atr = "3B00"
[pins]
PIN1 = { pin = "1234", puk = "12345678" }
PIN2 = { pin = "1234", puk = "12345678" }
ADM = { pin = "1234", puk = "12345678" }
[rules]
1 = { read = "ALW", update = "ALW" }
"""
_DIRECTORIES = """
[directories]
"3F00" = {}
"3F00/7F10" = {}
"""


def _card(files: str) -> Terminal:
    return Terminal(Uicc(parse_profile(f"{_HEAD}{_DIRECTORIES}[files]\n{files}")))


def test_smallest_profile_makes_a_card() -> None:
    profile = parse_profile(_HEAD + _DIRECTORIES)
    terminal = Terminal(Uicc(profile))
    assert terminal.ok("00A40004023F00").startswith("62")
    assert terminal.sw("0088008122" + "00" * 34) == "6985"
    assert terminal.sw("8010000001FF") == "9000"


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
    text = _HEAD + '3 = { read = "NEV", update = "NEV", manage = "NEV" }\n' + _DIRECTORIES
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


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("=", "no TOML"),
        (_HEAD, "'3F00' is missing"),
        (_HEAD + '[directories]\n"7F10" = {}', "before its parent"),
        (_HEAD + '[directories]\n"3F00" = {}\n"3F00/X" = { aid = "A000" }', "5 to 16 bytes"),
        (_HEAD.replace("3B00", "3BFF") + _DIRECTORIES, "ends before its TA1"),
        (_HEAD.replace("3B00", "3B800181") + _DIRECTORIES, "does not offer T=0"),
        (_HEAD.replace("ALW", "SOMEONE") + _DIRECTORIES, "not one of ALW"),
        (_HEAD.replace("1 = {", "0 = {") + _DIRECTORIES, "not a record number"),
        (_HEAD.replace('pin = "1234"', 'pin = "12"') + _DIRECTORIES, "4 to 8 digits"),
        (_HEAD + _DIRECTORIES + '[quirks]\nno_91xx_after = ["x"]', "knows manage-channel"),
        (_HEAD + _DIRECTORIES + '[[toolkit.commands]]\ncommand = "x"', "none of set-up-menu"),
        (_HEAD + _DIRECTORIES + '[[toolkit.commands]]\ncommand = "set-up-event-list"\nevents = ["x"]', "event 'x'"),
        (
            _HEAD + _DIRECTORIES + f'[[toolkit.commands]]\ncommand = "set-up-menu"\ntitle = "{"x" * 250}"',
            "255 are the most",
        ),
        (_HEAD + _DIRECTORIES + "[toolkit]\ncommands = 1", "not an array"),
        (_HEAD + _DIRECTORIES + "[identity]\nimsi = '1'", "15 digits"),
    ],
)
def test_faulty_profile_is_told(text: str, reason: str) -> None:
    with pytest.raises(ProfileError, match=reason):
        parse_profile(text)


def test_missing_key_is_told() -> None:
    with pytest.raises(ProfileError, match="'name' is missing"):
        parse_profile((_HEAD + _DIRECTORIES).replace("name", "nom"))
