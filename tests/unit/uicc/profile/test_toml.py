# SPDX-License-Identifier: Apache-2.0
"""Profile files: what they can say, and how their mistakes are told."""

import pytest

from remsim.uicc import ProfileError, Uicc, parse_profile
from tests.doubles.small_profile import DIRECTORIES, HEAD
from tests.doubles.terminal import Terminal


def test_smallest_profile_makes_a_card() -> None:
    profile = parse_profile(HEAD + DIRECTORIES)
    terminal = Terminal(Uicc(profile))
    assert terminal.ok("00A40004023F00").startswith("62")
    assert terminal.sw("0088008122" + "00" * 34) == "6985"
    assert terminal.sw("8010000001FF") == "9000"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("=", "no TOML"),
        (f"name = {'9' * 5000}", "no TOML"),
        (f"name = {'[' * 2000}{']' * 2000}", "nested too deeply"),
        (HEAD.replace("1 = {", f"{'9' * 5000} = {{"), "not a record number"),
        (HEAD, "'3F00' is missing"),
        (HEAD + '[directories]\n"7F10" = {}', "before its parent"),
        (HEAD + '[directories]\n"3F00" = {}\n"3F00/X" = { aid = "A000" }', "5 to 16 bytes"),
        (HEAD.replace("3B00", "3BFF") + DIRECTORIES, "ends before its TA1"),
        (HEAD.replace("3B00", "3B800181") + DIRECTORIES, "does not offer T=0"),
        (HEAD.replace("ALW", "SOMEONE") + DIRECTORIES, "not one of ALW"),
        (HEAD.replace("1 = {", "0 = {") + DIRECTORIES, "not a record number"),
        (HEAD.replace('pin = "1234"', 'pin = "12"') + DIRECTORIES, "4 to 8 digits"),
        (HEAD + DIRECTORIES + '[quirks]\nno_91xx_after = ["x"]', "knows manage-channel"),
        (HEAD + DIRECTORIES + '[[toolkit.commands]]\ncommand = "x"', "none of set-up-menu"),
        (HEAD + DIRECTORIES + '[[toolkit.commands]]\ncommand = "set-up-event-list"\nevents = ["x"]', "event 'x'"),
        (
            HEAD + DIRECTORIES + f'[[toolkit.commands]]\ncommand = "set-up-menu"\ntitle = "{"x" * 250}"',
            "255 are the most",
        ),
        (HEAD + DIRECTORIES + "[toolkit]\ncommands = 1", "not an array"),
        (HEAD + DIRECTORIES + "[identity]\nimsi = '1'", "15 digits"),
        (HEAD + DIRECTORIES + "[identity]\nimsi = '00101000000000\u0661'", "15 digits"),
    ],
)
def test_faulty_profile_is_told(text: str, reason: str) -> None:
    with pytest.raises(ProfileError, match=reason):
        parse_profile(text)


def test_missing_key_is_told() -> None:
    with pytest.raises(ProfileError, match="'name' is missing"):
        parse_profile((HEAD + DIRECTORIES).replace("name", "nom"))


def test_answer_without_gsm_access_has_no_kc() -> None:
    text = HEAD + f'[authentication]\nki = "{"00" * 16}"\nopc = "{"00" * 16}"\ngsm_access = false\n'
    text += "[quirks]\naccept_blank_challenge = true\n" + DIRECTORIES + '"3F00/USIM" = { aid = "A0000000871002" }\n'
    terminal = Terminal(Uicc(parse_profile(text)))
    terminal.select_usim()
    terminal.verify("01", "1234")
    assert len(terminal.ok("0088008122" + "00" * 34)) == 2 * (1 + 9 + 17 + 17)
