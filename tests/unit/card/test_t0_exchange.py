# SPDX-License-Identifier: Apache-2.0
"""Short APDUs as T=0 TPDUs (ISO/IEC 7816-3, clause 12.2), case by case."""

import pytest

from remsim.card.errors import TpduError
from remsim.card.t0_exchange import exchange_apdu, first_tpdu


def play(apdu: str, *conversation: tuple[str, str]) -> str:
    """What the program gets; each TPDU must be the expected one and is answered with its partner."""
    exchange = exchange_apdu(bytes.fromhex(apdu))
    tpdu = next(exchange)
    for number, (expected, response) in enumerate(conversation, start=1):
        assert tpdu == bytes.fromhex(expected)
        try:
            tpdu = exchange.send(bytes.fromhex(response))
        except StopIteration as end:
            assert number == len(conversation)
            return bytes(end.value).hex()
    raise AssertionError(f"one more TPDU: {tpdu.hex()}")


@pytest.mark.parametrize(
    ("apdu", "tpdu"),
    [
        ("00440000", "0044000000"),
        ("00b0000000", "00b0000000"),
        ("00a4000c023f00", "00a4000c023f00"),
        ("00a40004023f0000", "00a40004023f00"),
    ],
)
def test_first_tpdu_by_case(apdu: str, tpdu: str) -> None:
    assert first_tpdu(bytes.fromhex(apdu)).hex() == tpdu


def test_longest_command_fits() -> None:
    apdu = bytes.fromhex("00d60000ff") + bytes(255)
    assert first_tpdu(apdu) == first_tpdu(apdu + b"\x00") == apdu


@pytest.mark.parametrize("apdu", ["", "00", "00a400", "00a400040a3f00", "00a40004023f000000"])
def test_what_is_no_short_apdu_is_refused(apdu: str) -> None:
    with pytest.raises(TpduError):
        first_tpdu(bytes.fromhex(apdu))
    with pytest.raises(TpduError):
        next(exchange_apdu(bytes.fromhex(apdu)))


def test_extended_command_is_refused_whatever_it_looks_like() -> None:
    with pytest.raises(TpduError, match="300 bytes"):
        first_tpdu(bytes(300))


def test_case_4_is_fetched() -> None:
    select = ("00a40004023f00", "6106")
    assert play("00a40004023f0000", select, ("00c0000006", "6204820241219000")) == "6204820241219000"


def test_le_limits_what_is_fetched() -> None:
    assert play("00a40004023f0002", ("00a40004023f00", "6106"), ("00c0000002", "62046104")) == "62046104"


def test_more_than_one_part_is_joined() -> None:
    parts = [("80c20000010000"[:12], "6102"), ("80c0000002", "01026101"), ("80c0000001", "039000")]
    assert play("80c20000010000", *parts) == "0102039000"


def test_wrong_length_is_repeated_once() -> None:
    assert play("00b0000000", ("00b0000000", "6c02"), ("00b0000002", "aabb9000")) == "aabb9000"
    assert play("00b0000000", ("00b0000000", "6c02"), ("00b0000002", "6c03")) == "6c03"


def test_repetition_may_announce_more() -> None:
    asked = [("00cb000000", "6c02"), ("00cb000002", "aabb6101"), ("00c0000001", "cc9000")]
    assert play("00cb000000", *asked) == "aabbcc9000"


def test_get_response_with_another_length_is_repeated() -> None:
    asked = [("00a40004023f00", "6109"), ("00c0000009", "6c02"), ("00c0000002", "aabb9000")]
    assert play("00a40004023f0000", *asked) == "aabb9000"


def test_announcement_of_256_bytes_is_fetched_whole() -> None:
    data = bytes(256).hex()
    assert play("00a40004023f0000", ("00a40004023f00", "6100"), ("00c0000000", data + "9000")) == data + "9000"


def test_without_le_the_announcement_is_the_answer() -> None:
    assert play("00a40004023f00", ("00a40004023f00", "6106")) == "6106"
    assert play("00440000", ("0044000000", "6c02")) == "6c02"


def test_card_that_announces_for_ever_is_left_alone() -> None:
    assert play("00a40004023f0000", ("00a40004023f00", "6106"), ("00c0000006", "6106")) == "6106"
