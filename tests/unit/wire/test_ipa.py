# SPDX-License-Identifier: Apache-2.0
"""Frames: cut out of a stream, and refused as soon as something is wrong."""

import pytest

from remsim.wire import ipa
from remsim.wire.errors import FrameError, LocalProtocolError


def reader(raw: bytes, *, max_payload: int = ipa.MAX_PAYLOAD) -> ipa.FrameReader:
    """A reader that was given these bytes."""
    found = ipa.FrameReader(max_payload=max_payload)
    found.receive_data(raw)
    return found


def test_rspro_frame_counts_the_extension_byte() -> None:
    assert ipa.encode_rspro(b"\x30\x00").hex() == "0003ee073000"


def test_ccm_frame() -> None:
    assert ipa.encode_ccm(b"\x00").hex() == "0001fe00"


def test_longest_frames() -> None:
    assert ipa.encode_rspro(bytes(65534))[:4].hex() == "ffffee07"
    assert ipa.encode_ccm(bytes(65535))[:3].hex() == "fffffe"


@pytest.mark.parametrize("size", [65535, 100_000])
def test_pdu_that_is_too_long_is_a_mistake_of_ours(size: int) -> None:
    with pytest.raises(LocalProtocolError, match="does not fit"):
        ipa.encode_rspro(bytes(size))


@pytest.mark.parametrize("size", [0, 65536])
def test_ccm_message_of_impossible_size_is_a_mistake_of_ours(size: int) -> None:
    # known-limits.md 4: an empty frame kills classic servers and clients.
    with pytest.raises(LocalProtocolError, match="cannot be sent"):
        ipa.encode_ccm(bytes(size))


def test_frames_come_out_one_by_one() -> None:
    found = reader(bytes.fromhex("0001fe000003ee0730000001fe0100"))
    assert [found.next_frame() for _ in range(4)] == [(False, b"\0"), (True, b"\x30\0"), (False, b"\1"), None]
    assert found.buffer
    found.receive_data(bytes.fromhex("01fe06"))
    assert found.next_frame() == (False, b"\x06")
    assert not found.buffer


def test_incomplete_frame_waits() -> None:
    found = reader(b"")
    for byte in bytes.fromhex("0003ee0730"):
        found.receive_data(bytes((byte,)))
        assert found.next_frame() is None


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("0000ee", "empty frame"),
        ("0000fe", "empty frame"),
        ("000055", "unknown IPA protocol 55"),
        ("000155", "unknown IPA protocol 55"),
        ("0002ff0102", "unknown IPA protocol FF"),
        # As soon as it can be seen: the rest of the frame is not awaited.
        ("0003ee05", "unknown IPA extension protocol 05"),
        ("ffffee00", "unknown IPA extension protocol 00"),
    ],
)
def test_broken_framing_is_refused_at_once(raw: str, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        reader(bytes.fromhex(raw)).next_frame()


def test_frame_above_the_limit_of_the_reader_is_refused_by_its_header() -> None:
    with pytest.raises(FrameError, match="frame of 1022 bytes, at most 1021 allowed"):
        reader(bytes.fromhex("03feee"), max_payload=1021).next_frame()


def test_rspro_frame_without_a_pdu_is_a_frame() -> None:
    assert reader(bytes.fromhex("0001ee07")).next_frame() == (True, b"")
