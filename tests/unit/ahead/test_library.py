# SPDX-License-Identifier: Apache-2.0
"""All that a bank has learnt, and its text form."""

import pytest

from remsim.ahead.bank_side import symbols
from remsim.ahead.context_model import ContextModel
from remsim.ahead.library import MAX_PAIRS, LearntError, Library, Pair, from_text, to_text
from remsim.core.ids import BankSlot, ClientSlot
from tests.doubles.ahead_equivalence import recorded

_PAIR = Pair(BankSlot(1, 3), ClientSlot(7, 0), bytes.fromhex("3b9f96801f"))
_START = symbols(recorded("iot-modem"))


def test_text_holds_all() -> None:
    pair, model = from_text(to_text(_PAIR, [_START, _START[:20] + _START[40:]]))
    assert pair == _PAIR
    assert model.recordings == (_START, _START[:20] + _START[40:])


def test_text_of_nothing_is_read() -> None:
    assert from_text(to_text(_PAIR, []))[1].size == 0


def test_every_change_of_a_byte_is_noticed() -> None:
    text = to_text(_PAIR, [_START[:6]])
    for at in range(len(text) - 1):
        changed = text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]
        with pytest.raises(LearntError):
            from_text(changed)
        with pytest.raises(LearntError):
            from_text(text[:at])


@pytest.mark.parametrize("line", ["00d6000003010203 00b0000001 00b0000001 00b0000001", "00b0000001", "xyz", ""])
def test_what_is_never_learnt_is_not_read_either(line: str) -> None:
    from hashlib import sha256

    body = "".join(to_text(_PAIR, []).splitlines(keepends=True)[:-1]) + f"{line}\n"
    with pytest.raises(LearntError):
        from_text(f"{body}sha256 {sha256(body.encode()).hexdigest()}\n")


def test_file_of_a_start_has_nothing_personal() -> None:
    """Contents that the modem wrote, patterns that it looked for, challenges and PINs are not there."""
    commands = [
        *recorded("phone"),
        bytes.fromhex("00d60000090809101010325476f8"),  # an IMSI is written
        bytes.fromhex("00a201040691214365870f"),  # a number is looked for
        bytes.fromhex("002000010831323334ffffffff"),
        bytes.fromhex("00880081221011223344556677"[:12] + "11" * 32),
    ]
    text = to_text(_PAIR, [symbols(commands)])
    for personal in ("0809101010325476f8", "91214365870f", "31323334ffffffff", "1111111111"):
        assert personal not in text.replace(" ", "")


def test_what_a_pair_learns_helps_its_atr_and_all() -> None:
    library = Library()
    assert library.learn(_PAIR, _START)
    assert not library.learn(_PAIR, _START)
    assert not library.learn(_PAIR, _START[:2])
    same_atr = Pair(BankSlot(1, 4), ClientSlot(8, 0), _PAIR.atr)
    other = Pair(BankSlot(1, 5), ClientSlot(9, 0), b"\x3b\x00")
    assert [model.size > 0 for model in library.models(_PAIR)] == [True, True, True]
    assert [model.size > 0 for model in library.models(same_atr)] == [False, True, True]
    assert [model.size > 0 for model in library.models(other)] == [False, False, True]


def test_memory_is_bounded() -> None:
    library = Library()
    for number in range(MAX_PAIRS + 10):
        library.learn(Pair(BankSlot(1, number), ClientSlot(1, number), b"\x3b\x00"), _START[:5])
    assert not library.knows(Pair(BankSlot(1, 0), ClientSlot(1, 0), b"\x3b\x00"))
    assert library.knows(Pair(BankSlot(1, MAX_PAIRS), ClientSlot(1, MAX_PAIRS), b"\x3b\x00"))


def test_what_a_file_had_is_used_by_all() -> None:
    library = Library([_START[:30]])
    library.put(_PAIR, ContextModel([_START]))
    assert library.knows(_PAIR)
    assert library.models(_PAIR)[2].size == len(_START)
