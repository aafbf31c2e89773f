# SPDX-License-Identifier: Apache-2.0
"""T=0 for a modem over a card that answers APDUs."""

import pytest

from remsim.card.errors import TpduError
from remsim.card.t0_over_apdu import T0OverApdu, shows_apdu_level

SELECT = bytes.fromhex("00a40004023f00")
SELECT_GSM = bytes.fromhex("a0a40000023f00")
OK = b"\x90\x00"


def get_response(length: int, cla: int = 0x00) -> bytes:
    return bytes((cla, 0xC0, 0x00, 0x00, length & 0xFF))


class Play:
    """Runs TPDUs through an adapter; ``answers`` are the card's, in their order."""

    def __init__(self, *answers: bytes, names_le: bool = False) -> None:
        self.adapter = T0OverApdu(names_le=names_le)
        self.answers = list(answers)
        self.sent: list[bytes] = []

    def __call__(self, tpdu: bytes | str) -> bytes:
        exchange = self.adapter.exchange(bytes.fromhex(tpdu) if isinstance(tpdu, str) else tpdu)
        try:
            apdu = next(exchange)
            while True:
                self.sent.append(apdu)
                apdu = exchange.send(self.answers.pop(0))
        except StopIteration as end:
            response: bytes = end.value
            return response


@pytest.mark.parametrize(
    ("tpdu", "response", "expected"),
    [
        (SELECT, OK, False),
        (SELECT, b"\x61\x10", False),
        (SELECT, b"\x62\x10\x90\x00", True),
        (bytes.fromhex("00b0000002"), b"\x01\x02\x90\x00", False),
        (bytes.fromhex("00b0000002"), b"\x69\x86", False),
        (bytes.fromhex("00b0000002"), b"\x01\x90\x00", True),
        (bytes.fromhex("00b0000000"), bytes(256) + OK, False),
        (bytes.fromhex("00b0000000"), bytes(10) + OK, True),
    ],
)
def test_only_what_no_t0_card_says_shows_the_apdu_level(tpdu: bytes, response: bytes, expected: bool) -> None:
    assert shows_apdu_level(tpdu, response) is expected


@pytest.mark.parametrize(("select", "sw1", "cla"), [(SELECT, 0x61, 0x00), (SELECT_GSM, 0x9F, 0xA0)])
def test_data_is_announced_and_fetched_as_a_modem_does_it(select: bytes, sw1: int, cla: int) -> None:
    play = Play(bytes(range(23)) + b"\x91\x05")
    assert play(select) == bytes((sw1, 23))
    assert play(get_response(0, cla)) == bytes((0x6C, 23))
    assert play(get_response(200, cla)) == bytes((0x6C, 23))
    assert play(get_response(23, cla)) == bytes(range(23)) + b"\x91\x05"
    assert play.sent == [select]


def test_answer_to_a_command_without_its_data_is_announced_too() -> None:
    play = Play(bytes(5) + OK)
    assert play("00a4000000") == b"\x61\x05"
    assert play(get_response(5)) == bytes(5) + OK


def test_data_is_fetched_in_parts() -> None:
    play = Play(bytes(range(23)) + b"\x62\x82")
    assert play(SELECT) == b"\x61\x17"
    assert play(get_response(20)) == bytes(range(20)) + b"\x61\x03"
    assert play(get_response(3)) == bytes((20, 21, 22)) + b"\x62\x82"
    assert len(play.sent) == 1


def test_class_a0_gets_as_much_as_it_asks_for_and_no_more() -> None:
    play = Play(bytes(range(23)) + OK, b"\x6f\x00")
    assert play(SELECT_GSM) == b"\x9f\x17"
    assert play(get_response(15, 0xA0)) == bytes(range(15)) + OK
    assert play(get_response(8, 0xA0)) == b"\x6f\x00"


def test_256_bytes_are_announced_as_00() -> None:
    play = Play(bytes(256) + OK)
    assert play(SELECT) == b"\x61\x00"
    assert play(get_response(0)) == bytes(256) + OK


def test_wrong_length_is_corrected_without_asking_the_card_again() -> None:
    play = Play(b"\x01\x02\x03" + OK)
    assert play("00b2010400") == b"\x6c\x03"
    assert play("00b2010403") == b"\x01\x02\x03" + OK
    assert play.sent == [bytes.fromhex("00b2010400")]


def test_another_command_drops_what_was_kept() -> None:
    play = Play(b"\x01\x02" + OK, OK, b"\x6f\x00", b"\x07" + OK, b"\x08\x09" + OK)
    assert play(SELECT) == b"\x61\x02"
    assert play("0020000100") == OK
    assert play(get_response(2)) == b"\x6f\x00"
    assert play("00b2010400") == b"\x6c\x01"
    assert play("00b2010402") == b"\x08\x09" + OK
    assert len(play.sent) == 5


def test_reset_drops_what_was_kept() -> None:
    play = Play(b"\x01\x02" + OK, b"\x6d\x00")
    play(SELECT)
    play.adapter.reset()
    assert play(get_response(2)) == b"\x6d\x00"


def test_what_a_tpdu_card_says_passes_unchanged() -> None:
    play = Play(b"\x61\x05", bytes(5) + OK, b"\x6c\x09", bytes(9) + OK, b"\x98\x04")
    assert play(SELECT) == b"\x61\x05"
    assert play(get_response(5)) == bytes(5) + OK
    assert play("00b0000000") == b"\x6c\x09"
    assert play("00b0000009") == bytes(9) + OK
    assert play("a0b0000009") == b"\x98\x04"


def test_card_of_another_length_answers_get_response_with_6c() -> None:
    play = Play(b"\x61\x05", bytes(5) + OK)
    assert play(SELECT) == b"\x61\x05"
    assert play(get_response(0)) == b"\x6c\x05"
    assert play(get_response(5)) == bytes(5) + OK
    assert len(play.sent) == 2


def test_t1_is_told_that_data_is_expected() -> None:
    play = Play(bytes(4) + OK, OK, OK, b"\x01" + OK, names_le=True)
    assert play(SELECT) == b"\x61\x04"
    assert play("00d6000001ff") == OK
    assert play("0004000000") == OK
    assert play("00b0000001") == b"\x01" + OK
    assert [apdu.hex() for apdu in play.sent] == ["00a40004023f0000", "00d6000001ff", "00040000", "00b0000001"]


def test_t1_card_that_wants_another_le_gets_it_once() -> None:
    play = Play(b"\x6c\x04", bytes(4) + OK, b"\x6c\x04", b"\x6c\x04", names_le=True)
    assert play(SELECT) == b"\x61\x04"
    assert play.sent == [SELECT + b"\x00", SELECT + b"\x04"]
    assert play(SELECT) == b"\x6c\x04"


@pytest.mark.parametrize("tpdu", ["", "00a4", "00a40004033f00"])
def test_what_is_no_tpdu_is_refused(tpdu: str) -> None:
    with pytest.raises(TpduError, match="TPDU of"):
        Play(OK)(tpdu)


@pytest.mark.parametrize("response", [b"", b"\x90", bytes(257) + OK])
def test_what_is_no_response_is_refused(response: bytes) -> None:
    with pytest.raises(TpduError, match="response of"):
        Play(response)(SELECT)
