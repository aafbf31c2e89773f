# SPDX-License-Identifier: Apache-2.0
"""Short APDUs as T=0 TPDUs (ISO/IEC 7816-3, clause 12.2), case by case."""

from contextlib import suppress

import pytest

from remsim.card.errors import TpduError
from remsim.card.t0_exchange import exchange_apdu, first_tpdu, mend_tpdu


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


@pytest.mark.parametrize(
    ("raw", "tpdu"),
    [
        ("00a40004023f0000", "00a40004023f00"),
        ("80f20000000168", "80f2000000"),
        ("00a40004023f00", "00a40004023f00"),
        ("00b0000002", "00b0000002"),
        ("00a40004023f", "00a40004023f"),
        ("00a40004", "00a40004"),
        ("", ""),
    ],
)
def test_apdu_in_place_of_a_tpdu_is_mended(raw: str, tpdu: str) -> None:
    assert mend_tpdu(bytes.fromhex(raw)).hex() == tpdu


def test_longest_command_fits() -> None:
    apdu = bytes.fromhex("00d60000ff") + bytes(255)
    assert first_tpdu(apdu) == first_tpdu(apdu + b"\x00") == apdu


@pytest.mark.parametrize(
    ("apdu", "tpdu"),
    [
        # Case 2E: Le of two bytes behind 00.
        ("80f20000000168", "80f2000000"),
        ("80f20000000010", "80f2000010"),
        ("80f200000000ff", "80f20000ff"),
        ("80f20000000100", "80f2000000"),
        ("80f20000000000", "80f2000000"),
        # No data, said with Lc = 00, and Le.
        ("00b000000010", "00b0000000"),
        # Cases 3E and 4E with data that fit.
        ("00a40004000002" + "3f00", "00a40004023f00"),
        ("00a40004000002" + "3f00" + "0000", "00a40004023f00"),
    ],
)
def test_extended_length_is_shortened(apdu: str, tpdu: str) -> None:
    assert first_tpdu(bytes.fromhex(apdu)).hex() == tpdu


def test_extended_command_with_the_most_data_fits() -> None:
    apdu = bytes.fromhex("00d60000" + "0000ff") + bytes(255)
    assert first_tpdu(apdu) == first_tpdu(apdu + b"\x00\x00") == bytes.fromhex("00d60000ff") + bytes(255)


@pytest.mark.parametrize(
    "apdu", ["00a400040000033f00", "00a400040000013f00", "00a4000400000000", "0020000100" + "31323334ffffffff"]
)
def test_extended_lengths_that_contradict_are_refused(apdu: str) -> None:
    with pytest.raises(TpduError, match="contradict"):
        first_tpdu(bytes.fromhex(apdu))


def test_more_data_than_a_tpdu_holds_is_refused() -> None:
    with pytest.raises(TpduError, match="contradict, or more than 255"):
        first_tpdu(bytes.fromhex("00d60000" + "000100") + bytes(256))


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


@pytest.mark.parametrize("asked", ["80f2000002", "80f20000000002"])
def test_more_than_le_is_not_given_to_a_program_whose_buffer_may_be_no_longer(asked: str) -> None:
    # STATUS is given whole or not at all (TS 102 221, clause 11.1.2).
    assert play(asked, ("80f2000002", "6c04"), ("80f2000004", "620282019000")) == "62029000"


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


def test_case_2e_is_served_beyond_256_bytes() -> None:
    first, rest = bytes(256).hex(), bytes(104).hex()
    asked = [("80f2000000", first + "6168"), ("80c0000068", rest + "9000")]
    assert play("80f20000000168", *asked) == first + rest + "9000"


def test_length_of_case_2e_that_is_wrong_is_repeated() -> None:
    assert play("80f20000000168", ("80f2000000", "6c02"), ("80f2000002", "aabb9000")) == "aabb9000"


def test_9fxx_of_class_a0_is_fetched() -> None:
    assert play("a0a40000023f0000", ("a0a40000023f00", "9f02"), ("a0c0000002", "aabb9000")) == "aabb9000"


@pytest.mark.parametrize("warning", ["6200", "62f3", "6310", "6283"])
def test_warning_before_data_is_followed_and_kept(warning: str) -> None:
    select = ("00a40004023f00", warning)
    assert play("00a40004023f0000", select, ("00c0000000", "6c02"), ("00c0000002", "aabb9000")) == "aabb" + warning
    assert play("00a40004023f0000", select, ("00c0000000", "6102"), ("00c0000002", "aabb9000")) == "aabb" + warning


@pytest.mark.parametrize("refusal", ["6985", "6d00", "6f00", "9000"])
def test_warning_without_data_is_the_answer(refusal: str) -> None:
    assert play("00a20104020000" + "00", ("00a201040200" + "00", "6282"), ("00c0000000", refusal)) == "6282"


def test_failure_behind_a_part_of_the_data_is_told() -> None:
    asked = [("00a40004023f00", "6283"), ("00c0000000", "6104"), ("00c0000004", "aabb6102"), ("00c0000002", "6f00")]
    assert play("00a40004023f0000", *asked) == "aabb6f00"


def test_warning_of_a_command_without_le_is_the_answer() -> None:
    assert play("0020000108" + "31" * 8, ("0020000108" + "31" * 8, "63c2")) == "63c2"


def test_warning_with_data_is_the_answer() -> None:
    assert play("00b0000004", ("00b0000004", "aabb6282")) == "aabb6282"


def test_card_that_gives_a_byte_at_a_time_is_left_alone_in_the_end() -> None:
    exchange = exchange_apdu(bytes.fromhex("80f20000000000"))
    next(exchange)
    sent = 1
    with suppress(StopIteration):
        while sent <= 1000:
            exchange.send(b"\x00\x61\x00")
            sent += 1
    assert sent == 514
