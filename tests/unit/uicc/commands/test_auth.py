# SPDX-License-Identifier: Apache-2.0
"""AUTHENTICATE and RUN GSM ALGORITHM, with the key of 3GPP TS 35.208, test set 1."""

import pytest

from remsim.uicc.milenage import Milenage
from tests.doubles.terminal import Terminal, pin

_KI = bytes.fromhex("465B5CE8B199B49FAA5F0A2EE238A6BC")
_OPC = bytes.fromhex("CD63CB71954A9F4E48A5994E37A02BAF")
_RAND = bytes.fromhex("23553CBE9637A89D218AE64DAE47BF35")
_AMF = bytes.fromhex("8000")
_NETWORK = Milenage(_KI, _OPC)


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def _challenge(sqn: int, rand: bytes = _RAND) -> str:
    mac, _ = _NETWORK.f1_and_f1_star(rand, sqn.to_bytes(6), _AMF)
    _, ak = _NETWORK.f2_and_f5(rand)
    autn = _xor(sqn.to_bytes(6), ak) + _AMF + mac
    return "0088008122" + "10" + rand.hex() + "10" + autn.hex()


@pytest.fixture
def terminal() -> Terminal:
    terminal = Terminal.of()
    terminal.select_usim()
    return terminal


def test_good_challenge_is_answered_with_the_test_sets_values(terminal: Terminal) -> None:
    assert terminal.sw(_challenge(1 << 5)) == "6135"
    answer = terminal.ok(_challenge(2 << 5))
    assert answer == (
        "DB08A54211D5E3BA50BF10B40BA9A3C58B2A05BBF0D987B21BF8CB10F769BCD751044604127672711C6D344108EAE4BE823AF9A08B"
    )


def test_repeated_sqn_gets_auts_from_which_the_network_learns(terminal: Terminal) -> None:
    terminal.ok(_challenge(7 << 5 | 3))
    answer = bytes.fromhex(terminal.ok(_challenge(7 << 5 | 3)))
    assert answer[:2].hex() == "dc0e"
    auts = answer[2:]
    sqn_ms = _xor(auts[:6], _NETWORK.f5_star(_RAND))
    assert int.from_bytes(sqn_ms) == 7 << 5 | 3
    _, mac_s = _NETWORK.f1_and_f1_star(_RAND, sqn_ms, bytes(2))
    assert auts[6:] == mac_s
    assert terminal.ok(_challenge((7 << 5) + 32)).startswith("DB")


def test_sqn_is_remembered_over_reset_and_storage(terminal: Terminal) -> None:
    terminal.ok(_challenge(9 << 5))
    again = terminal.stored_and_back()
    again.select_usim()
    assert again.ok(_challenge(9 << 5)).startswith("DC")


def test_each_index_has_its_own_sequence(terminal: Terminal) -> None:
    assert terminal.ok(_challenge(100 << 5 | 1)).startswith("DB")
    assert terminal.ok(_challenge(50 << 5 | 2)).startswith("DB")
    assert terminal.ok(_challenge(50 << 5 | 1)).startswith("DC")


def test_jump_too_far_ahead_is_a_synchronisation_failure(terminal: Terminal) -> None:
    assert terminal.ok(_challenge((1 << 28) + 1 << 5)).startswith("DC")
    assert terminal.ok(_challenge(1 << 28 << 5)).startswith("DB")


def test_fresh_card_tells_sequence_number_zero(terminal: Terminal) -> None:
    auts = bytes.fromhex(terminal.ok(_challenge(0)))[2:]
    assert _xor(auts[:6], _NETWORK.f5_star(_RAND)) == bytes(6)


def test_wrong_mac_is_refused_and_counts_nothing(terminal: Terminal) -> None:
    wrong = _challenge(5 << 5)[:-2] + "00"
    assert terminal.sw(wrong) == "9862"
    assert terminal.ok(_challenge(5 << 5)).startswith("DB")


def test_gsm_context_answers_sres_and_kc(terminal: Terminal) -> None:
    assert terminal.ok("0088008011" + "10" + _RAND.hex()) == "0446F8416A08EAE4BE823AF9A08B"


def test_run_gsm_algorithm_works_in_df_gsm_only(terminal: Terminal) -> None:
    command = "A088000010" + _RAND.hex()
    assert terminal.sw(command) == "9804"
    assert terminal.raw("A0A40000027F20")[1] == "9F17"
    assert terminal.ok(command) == "46F8416AEAE4BE823AF9A08B"
    assert terminal.sw("A088000110" + _RAND.hex()) == "6B00"
    assert terminal.sw("A08800000F" + _RAND.hex()[:30]) == "6700"


def test_it_needs_pin_and_application() -> None:
    terminal = Terminal.of()
    assert terminal.sw(_challenge(1 << 5)) == "6985"
    terminal.sw("0028000108" + pin("1234"))
    terminal.uicc.cold_reset()
    terminal.select_usim()
    assert terminal.sw(_challenge(1 << 5)) == "6982"


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("0088008210" + "00" * 16, "6A86"),
        ("0088018110" + "00" * 16, "6A86"),
        ("0088008121" + "00" * 33, "6700"),
        ("0088008122" + "00" * 34, "6A80"),
        ("0088008100", "6700"),
    ],
)
def test_wrong_command_is_refused(terminal: Terminal, command: str, sw: str) -> None:
    assert terminal.sw(command) == sw


def test_blank_challenge_is_good_only_where_the_profile_says_so() -> None:
    phone = Terminal.of("phone")
    phone.select_usim()
    answer = phone.ok("0088008122" + "00" * 34)
    res, _ = _NETWORK.f2_and_f5(bytes(16))
    assert answer.startswith("DB04" + res[:4].hex().upper())
    assert len(answer) == 2 * 49
