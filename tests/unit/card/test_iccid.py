# SPDX-License-Identifier: Apache-2.0
"""Reading the number of a card: what is asked, which answers are a number, and that it always ends."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.card.iccid import decode_iccid, is_iccid, read_iccid
from remsim.readers.sim.profiles import load_profile
from remsim.uicc import Uicc
from remsim.uicc.identity import SubscriberIdentity, bcd

ICCID = "8900101000000000018"
CONTENT = bytes.fromhex("980001010000000010f8")
OK = b"\x90\x00"


def read(answer: Callable[[bytes], bytes]) -> tuple[str | None, list[str]]:
    """What the reading finds with a card that answers so, and what it asked."""
    reading = read_iccid()
    tpdu = next(reading)
    asked: list[str] = []
    while True:
        asked.append(tpdu.hex())
        try:
            tpdu = reading.send(answer(tpdu))
        except StopIteration as end:
            return end.value, asked


def scripted(**answers: str) -> Callable[[bytes], bytes]:
    """Answers in hex by the command's beginning in hex; anything else is refused."""

    def answer(tpdu: bytes) -> bytes:
        found = [text for begin, text in answers.items() if tpdu.hex().startswith(begin.removeprefix("_"))]
        return bytes.fromhex(found[0] if found else "6e00")

    return answer


def test_uicc_is_asked_in_class_00() -> None:
    found, asked = read(scripted(_00a4="612f", _00b0=(CONTENT + OK).hex()))
    assert found == ICCID
    assert asked == ["00a40004023f00", "00a40004022fe2", "00b000000a"]


def test_sim_that_knows_no_class_00_is_asked_in_class_a0() -> None:
    found, asked = read(scripted(_a0a4="9f17", _a0b0=(CONTENT + OK).hex()))
    assert found == ICCID
    assert asked == ["00a40004023f00", "a0a40000023f00", "a0a40000022fe2", "a0b000000a"]


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({"_00b000000a": "6c0a"}, 2),
        ({"_00b000000a": "610a", "_00c000000a": (CONTENT + OK).hex()}, 2),
        ({"_00b000000a": (CONTENT[:4] + b"\x61\x06").hex(), "_00c0000006": (CONTENT[4:] + OK).hex()}, 2),
        ({"_00b000000a": (CONTENT + b"\x91\x20").hex()}, 1),
    ],
    ids=["6Cxx", "61xx", "in two parts", "proactive command pending"],
)
def test_card_that_gives_the_content_its_own_way_is_followed(answers: dict[str, str], asked: int) -> None:
    repeated = {"seen": False}

    def answer(tpdu: bytes) -> bytes:
        if tpdu[1] == 0xA4:
            return OK
        if answers["_00b000000a"] == "6c0a" and repeated["seen"]:
            return CONTENT + OK
        repeated["seen"] = True
        return scripted(**answers)(tpdu)

    found, commands = read(answer)
    assert found == ICCID
    assert len(commands) == 2 + asked


@pytest.mark.parametrize(
    "answer",
    [
        scripted(),
        scripted(_00a4="9000", _a0a4="9404"),
        scripted(_00a4="9000", _00b0="6982", _a0a4="9f17", _a0b0="9804"),
        scripted(_00a4="6283", _00b0=(b"\xff" * 10 + OK).hex()),
        scripted(_00a4="9000", _00b0=(CONTENT[:9] + OK).hex()),
        scripted(_00a4="9000", _00b0=(CONTENT + b"\x62\x81").hex()),
        scripted(_00a4="6c02", _00b0=(CONTENT + OK).hex()),
        scripted(_00a4="9000", _00b0="6c0a", _a0a4="6e00"),
        scripted(_00a4="9000", _00b0="00" * 9 + "61ff", _00c0="00" * 256 + "9000"),
    ],
    ids=[
        "no class",
        "no file",
        "refused",
        "empty",
        "short",
        "damaged",
        "odd select",
        "6Cxx again and again",
        "too much",
    ],
)
def test_card_that_does_not_give_it_has_none(answer: Callable[[bytes], bytes]) -> None:
    assert read(answer)[0] is None


@pytest.mark.parametrize(
    ("content", "number"),
    [
        ("980001010000000010f8", ICCID),
        ("98000101000000001081", "89001010000000000118"),
        ("98ffffffffffffffffff", "89"),
        ("ffffffffffffffffffff", None),
        # As large operators number their cards.
        ("9868005b000000000010", "898600B5000000000001"),
        ("9868005baadc000010f0", "898600B5AACD0000010"),
        ("9800010100000000101a", "890010100000000001A1"),
        # Whatever stands behind the first filler is none of the number.
        ("98000101000000001fff", "8900101000000000"),
        ("98000101000000f01081", "890010100000000"),
        ("f8ffffffffffffffffff", "8"),
        ("8fffffffffffffffffff", None),
        ("98000101000000001", None),
        ("", None),
    ],
)
def test_digits_are_swapped_and_filled(content: str, number: str | None) -> None:
    raw = bytes.fromhex(content if len(content) % 2 == 0 else content + "0")
    assert decode_iccid(raw) == number


@pytest.mark.parametrize("profile", ["default", "iot-modem", "phone"])
def test_software_card_gives_its_number(profile: str) -> None:
    identity = SubscriberIdentity().derive(7)
    card = Uicc(load_profile(profile), None, identity)
    card.cold_reset()
    assert read(card.transmit)[0] == identity.iccid_digits


def test_software_card_gives_its_number_in_class_a0() -> None:
    card = Uicc(load_profile("default"), None, SubscriberIdentity())
    card.cold_reset()
    assert (
        read(lambda tpdu: b"\x6e\x00" if tpdu[0] == 0 else card.transmit(tpdu))[0] == SubscriberIdentity().iccid_digits
    )


@pytest.mark.parametrize("text", ["", "8" * 21, "89*", "89 0", "８９", "89\n", "89F", "89b5", "G"])
def test_what_is_no_number_is_told_apart(text: str) -> None:
    assert not is_iccid(text)
    assert is_iccid("8" * 20)


@given(st.text("0123456789ABCDE", min_size=1, max_size=20))
def test_every_number_comes_back_from_its_coding(number: str) -> None:
    assert decode_iccid(bcd(number.ljust(20, "F"))) == number


_STATUS = st.sampled_from([b"\x90\x00", b"\x61\x0a", b"\x61\x00", b"\x6c\x0a", b"\x6c\x00", b"\x9f\x17", b"\x6e\x00"])
_ANSWERS = st.builds(lambda data, sw: data + sw, st.binary(max_size=12), _STATUS) | st.binary(min_size=2, max_size=258)


@given(st.lists(_ANSWERS, min_size=1, max_size=40))
def test_whatever_a_card_answers_it_ends_with_digits_or_nothing(answers: list[bytes]) -> None:
    turn = iter(answers * 40)
    found, asked = read(lambda _tpdu: next(turn))
    assert len(asked) <= 60
    assert found is None or (found.isascii() and found.isdecimal() and 1 <= len(found) <= 20)
    for tpdu in map(bytes.fromhex, asked):
        # It selects, reads and fetches, and never changes anything.
        assert tpdu[1] in (0xA4, 0xB0, 0xC0)
