# SPDX-License-Identifier: Apache-2.0
"""The codec of a session gives and takes exactly the bytes of the general codec."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire.ipa import encode_rspro
from remsim.wire.messages.codec import decode_general, decode_pdu, encode_general, encode_pdu
from remsim.wire.messages.fast_codec import SessionCodec
from remsim.wire.messages.rspro import NO_FLAGS, RsproPdu, TpduCardToModem, TpduFlags, TpduModemToCard

CLIENT, BANK = ClientSlot(1, 0), BankSlot(1, 700)
TAGS = (0, 1, 127, 128, 255, 256, 32767, 32768, 2**23 - 1, 2**23, 2**31 - 1)


def command_frame(tag: int, data: bytes, *, flags: TpduFlags = NO_FLAGS, bank: BankSlot = BANK) -> bytes:
    return encode_rspro(encode_pdu(RsproPdu(tag, TpduModemToCard(CLIENT, bank, flags, data))))


def response_frame(tag: int, data: bytes, bank_us: int | None = None) -> bytes:
    return encode_rspro(encode_general(RsproPdu(tag, TpduCardToModem(BANK, CLIENT, NO_FLAGS, data, bank_us))))


@pytest.mark.parametrize("tag", TAGS)
def test_codec_agrees_with_the_general_codec_for_every_length(tag: int) -> None:
    client, bank = SessionCodec(CLIENT, BANK, is_bank=False), SessionCodec(CLIENT, BANK, is_bank=True)
    for size in (*range(2, 8), 60, 61, 62, 63, *range(70, 90), *range(190, 261)):
        data = bytes(index & 0xFF for index in range(size))
        assert client.encode(tag, data) == command_frame(tag, data)
        assert bank.decode(command_frame(tag, data)) == (tag, data)
        assert bank.encode(tag, data) == response_frame(tag, data)
        assert client.decode(response_frame(tag, data)) == (tag, data)


@pytest.mark.parametrize("bank_us", [0, 127, 128, 32767, 32768, 2**23 - 1, 2**23, 2**31 - 1])
def test_codec_tells_the_time_as_the_general_codec_does(bank_us: int) -> None:
    client, bank = SessionCodec(CLIENT, BANK, is_bank=False), SessionCodec(CLIENT, BANK, is_bank=True)
    for tag, size in itertools.product(TAGS, (2, 66, 67, 70, 128, 258)):
        data = bytes(index & 0xFF for index in range(size))
        frame = response_frame(tag, data, bank_us)
        assert bank.encode_timed(tag, data, bank_us) == frame
        assert decode_pdu(frame[4:]) == decode_general(frame[4:])
        assert client.decode(frame) is None


@given(frame=st.binary(max_size=400))
def test_codec_arbitrary_bytes_are_left_to_the_general_decoder(frame: bytes) -> None:
    assert SessionCodec(CLIENT, BANK, is_bank=True).decode(frame) is None


@given(position=st.integers(0, 60), byte=st.integers(0, 255))
def test_codec_changed_byte_is_never_misread(position: int, byte: int) -> None:
    frame = bytearray(command_frame(300, b"\0\xa4\0\4\2\x3f\0"))
    codec = SessionCodec(CLIENT, BANK, is_bank=True)
    frame[position % len(frame)] = byte
    decoded = codec.decode(bytes(frame))
    if decoded is not None:
        assert command_frame(*decoded) == bytes(frame)


def test_codec_ignores_messages_of_other_slots_directions_and_sizes() -> None:
    codec = SessionCodec(CLIENT, BANK, is_bank=True)
    assert codec.decode(command_frame(1, bytes(5), bank=BankSlot(1, 701))) is None
    assert codec.decode(response_frame(1, bytes(5))) is None
    assert codec.decode(command_frame(1, bytes(261))) is None
    assert codec.decode(command_frame(1, bytes(5)) * 2) is None


def test_codec_refuses_a_tag_of_too_many_bytes_or_below_zero() -> None:
    codec = SessionCodec(CLIENT, BANK, is_bank=True)
    frame = bytearray(command_frame(1, bytes(5)))
    frame[10] = 9
    assert codec.decode(bytes(frame)) is None
    frame = bytearray(command_frame(1, bytes(5)))
    frame[11] = 0x81
    assert codec.decode(bytes(frame)) is None


@pytest.mark.parametrize("raw", ["002c", "0000", "00012c", "00007fff", "0000012c"])
def test_codec_leaves_a_tag_with_leading_zeros_to_the_general_decoder(raw: str) -> None:
    tag = bytes.fromhex(raw)
    usual = command_frame(0x80 << 8 * (len(tag) - 2), bytes(5))
    frame = usual[:11] + tag + usual[11 + len(tag) :]
    assert SessionCodec(CLIENT, BANK, is_bank=True).decode(frame) is None
    assert decode_pdu(frame[4:]).tag == int.from_bytes(tag)


def test_codec_learns_the_flags_that_the_peer_sends() -> None:
    flags = TpduFlags(tpdu_header_present=True, final_part=True)
    codec = SessionCodec(CLIENT, BANK, is_bank=True)
    frame = command_frame(7, bytes(5), flags=flags)
    assert codec.decode(frame) is None
    codec.learn_flags(TpduModemToCard(CLIENT, BankSlot(2, 0), flags, b""))
    codec.learn_flags(TpduCardToModem(BANK, CLIENT, flags, b""))
    assert codec.decode(frame) is None
    codec.learn_flags(TpduModemToCard(CLIENT, BANK, flags, bytes(5)))
    assert codec.decode(frame) == (7, bytes(5))
    assert codec.encode(7, b"\x90\0") == response_frame(7, b"\x90\0")


def test_codec_of_the_client_learns_the_flags_of_responses() -> None:
    flags = TpduFlags(final_part=True)
    codec = SessionCodec(CLIENT, BANK, is_bank=False)
    message = TpduCardToModem(BANK, CLIENT, flags, b"\x90\0")
    codec.learn_flags(message)
    assert codec.decode(encode_rspro(encode_pdu(RsproPdu(1, message)))) == (1, b"\x90\0")


def test_codec_encodes_a_size_seen_before_with_its_own_data() -> None:
    codec = SessionCodec(CLIENT, BANK, is_bank=True)
    for data in (b"\x90\0", b"\x61\x10"):
        assert codec.encode(7, data) == response_frame(7, data)


def test_codec_takes_no_frame_of_zeros_whatever_its_size_and_the_size_of_its_tag() -> None:
    codec = SessionCodec(CLIENT, BANK, is_bank=True)
    for size, tag_size in itertools.product(range(640), range(8)):
        frame = bytearray(size)
        frame[10:11] = bytes([tag_size]) if size > 10 else b""
        assert codec.decode(bytes(frame)) is None, (size, tag_size)
