# SPDX-License-Identifier: Apache-2.0
"""The short cut for answers ahead; that it agrees with the general codec for all values is shown by property tests."""

import pytest

from remsim.wire.errors import LocalProtocolError
from remsim.wire.messages import ahead_codec
from remsim.wire.messages.ahead_codec import AheadMessage
from remsim.wire.messages.codec import decode_general, decode_pdu, encode_general, encode_pdu
from remsim.wire.messages.extensions import AheadInd, AheadUsedInd
from remsim.wire.messages.rspro import RsproPdu

READ = bytes.fromhex("00b0000004")
ANSWER = AheadInd(5, 3, READ, bytes.fromhex("000102039000"))


def test_bytes_are_as_written_out_by_hand() -> None:
    head, numbers = "3020800102810107a218bf3215", "020105020103"
    raw = bytes.fromhex(head + numbers + "040500b0000004" + "0406000102039000")
    assert ahead_codec.encode(7, ANSWER) == raw
    assert ahead_codec.decode(raw) == RsproPdu(7, ANSWER)


@pytest.mark.parametrize(
    "size", [2, 70, 80, 85, 88, 90, 100, 110, 127, 128, 129, 190, 220, 230, 235, 240, 255, 256, 258]
)
@pytest.mark.parametrize("number", [1, 127, 128, 2**15, 2**31 - 1])
def test_every_form_of_the_lengths_is_taken(size: int, number: int) -> None:
    for message in (AheadInd(number, number, READ, bytes(size)), AheadUsedInd(number, number)):
        raw = encode_general(RsproPdu(number, message))
        assert ahead_codec.encode(number, message) == raw
        assert ahead_codec.decode(raw) == RsproPdu(number, message)


def test_longest_of_all_is_taken() -> None:
    message = AheadInd(2**31 - 1, 2**31 - 1, bytes(260), bytes(258))
    raw = encode_general(RsproPdu(2**31 - 1, message))
    assert ahead_codec.encode(2**31 - 1, message) == raw
    assert ahead_codec.decode(raw) == RsproPdu(2**31 - 1, message)


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        (-1, ANSWER),
        (2**31, ANSWER),
        (0, AheadInd(-1, 1, READ, b"\x90\0")),
        (0, AheadInd(0, 0, READ, b"\x90\0")),
        (0, AheadInd(0, 2**31, READ, b"\x90\0")),
        (0, AheadInd(0, 1, READ[:4], b"\x90\0")),
        (0, AheadInd(0, 1, bytes(261), b"\x90\0")),
        (0, AheadInd(0, 1, READ, b"\x90")),
        (0, AheadInd(0, 1, READ, bytes(259))),
        (0, AheadUsedInd(2**31, 1)),
        (0, AheadUsedInd(0, 0)),
    ],
)
def test_what_is_out_of_range_is_refused_by_the_general_codec(tag: int, message: AheadMessage) -> None:
    assert ahead_codec.encode(tag, message) is None
    with pytest.raises(LocalProtocolError):
        encode_pdu(RsproPdu(tag, message))


@pytest.mark.parametrize("message", [ANSWER, AheadUsedInd(5, 3)])
def test_what_is_cut_or_changed_is_never_read_otherwise_than_by_the_general_codec(message: AheadMessage) -> None:
    raw = encode_general(RsproPdu(7, message))
    for end in range(len(raw)):
        assert ahead_codec.decode(raw[:end]) is None
    for place in range(len(raw)):
        for byte in (0x00, 0x04, 0x7F, 0x80, 0x81, 0x82, 0x83, 0xFF):
            changed = raw[:place] + bytes((byte,)) + raw[place + 1 :]
            found = ahead_codec.decode(changed)
            if found is not None:
                assert found == decode_general(changed)


def test_other_versions_and_longer_forms_are_left_to_the_general_codec() -> None:
    raw = encode_general(RsproPdu(7, AheadUsedInd(5, 3), 3))
    assert ahead_codec.decode(raw) is None
    assert encode_pdu(RsproPdu(7, AheadUsedInd(5, 3), 3)) == raw
    # A number with a zero in front of it, as BER allows it and DER does not.
    padded = bytes.fromhex("3013800102810107a20bbf3308" + "02020005" + "02020003")
    assert decode_pdu(padded) == RsproPdu(7, AheadUsedInd(5, 3))
    assert ahead_codec.decode(padded) is None
