# SPDX-License-Identifier: Apache-2.0
"""Frames between vpcd and a virtual card."""

import pytest

from remsim.card.errors import ApduError
from remsim.vpcd import MAX_BODY, MessageDecoder, encode_message

BODIES = [b"\x04", b"", bytes(300), b"\x00\xa4\x00\x04\x02\x3f\x00"]


def test_message_is_length_and_body() -> None:
    assert encode_message(b"\x90\x00") == b"\x00\x02\x90\x00"


def test_body_that_the_length_cannot_tell_is_refused() -> None:
    assert len(encode_message(bytes(MAX_BODY))) == MAX_BODY + 2
    with pytest.raises(ApduError, match="65536 bytes"):
        encode_message(bytes(MAX_BODY + 1))


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_messages_come_whole_from_pieces_of_any_size(size: int) -> None:
    stream = b"".join(map(encode_message, BODIES))
    decoder = MessageDecoder()
    found = [body for start in range(0, len(stream), size) for body in decoder.feed(stream[start : start + size])]
    assert found == BODIES
