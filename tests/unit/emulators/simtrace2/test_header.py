# SPDX-License-Identifier: Apache-2.0
"""The header, its length field and its limits."""

import pytest

from remsim.emulators.errors import BoardFrameError
from remsim.emulators.simtrace2.header import MAX_PAYLOAD, Code, join_message, message_length, split_message


def test_header_states_the_length_of_the_whole_message() -> None:
    raw = join_message(Code(1, 6), b"\x01\x02")
    assert raw == bytes.fromhex("0106000000000a000102")
    assert message_length(raw) == len(raw)
    assert split_message(raw) == (Code(1, 6), b"\x01\x02")


@pytest.mark.parametrize("raw", ["", "01060000000008", "0106000000000900", "010600000000080000"])
def test_length_that_is_not_the_messages_is_refused(raw: str) -> None:
    with pytest.raises(BoardFrameError) as caught:
        split_message(bytes.fromhex(raw))
    assert caught.value.data.hex() == raw


def test_message_fits_the_firmwares_buffer() -> None:
    assert len(join_message(Code(1, 1), bytes(MAX_PAYLOAD))) == 280
    with pytest.raises(BoardFrameError, match="272 are the most"):
        join_message(Code(1, 1), bytes(MAX_PAYLOAD + 1))
