# SPDX-License-Identifier: Apache-2.0
"""Messages rebuilt from packets, and transfers that end where they should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.emulators.errors import UnsafeFrameError
from remsim.emulators.simtrace2.messages import BoardSetAtr, CardInsert, RxData, StatusRequest, TpduFlag, TxData
from remsim.emulators.simtrace2.stream import MessageReader, OutTransfer, StreamFault, encode_transfer
from tests.doubles.simtrace2_frames import packets_sent

_messages = st.builds(RxData, st.sampled_from(TpduFlag), st.binary(max_size=255)).map(lambda m: m.to_bytes())


def device_packets(message: bytes) -> list[bytes]:
    """As the firmware cuts it: a zero-length packet behind 64 bytes, none behind 128, 192 and 256."""
    packets = [message[at : at + 64] for at in range(0, len(message), 64)]
    return [*packets, b""] if len(message) == 64 else packets


def has_no_rest(reader: MessageReader) -> bool:
    """Whether the next message begins with the next packet."""
    message = StatusRequest().to_bytes()
    return reader.receive_packet(message) == [message]


@given(st.lists(_messages, max_size=6))
def test_messages_come_out_whole(messages: list[bytes]) -> None:
    reader = MessageReader()
    found = [
        item for message in messages for packet in device_packets(message) for item in reader.receive_packet(packet)
    ]
    assert found == messages
    assert has_no_rest(reader)


@pytest.mark.parametrize("length", [64, 128, 192, 256])
def test_message_of_whole_packets_needs_no_end_marker(length: int) -> None:
    message = RxData(TpduFlag.FINAL, bytes(length - 14)).to_bytes()
    reader = MessageReader()
    packets = [message[at : at + 64] for at in range(0, length, 64)]
    for packet in packets[:-1]:
        assert reader.receive_packet(packet) == []
    assert reader.receive_packet(packets[-1]) == [message]
    assert reader.receive_packet(b"") == []


def test_large_transfer_may_hold_several_messages() -> None:
    message = RxData(TpduFlag.FINAL, bytes(114)).to_bytes()
    short = StatusRequest().to_bytes()
    assert MessageReader().receive_packet(message + short) == [message, short]


@pytest.mark.parametrize("length", [0, 7, 281, 0xFFFF])
def test_impossible_length_drops_everything(length: int) -> None:
    reader = MessageReader()
    garbage = bytes(6) + length.to_bytes(2, "little") + bytes(10)
    (fault,) = reader.receive_packet(garbage)
    assert isinstance(fault, StreamFault)
    assert fault.data == garbage
    assert "length field" in fault.reason
    assert has_no_rest(reader)


def test_rest_behind_a_short_packet_is_dropped_and_the_next_packet_begins_afresh() -> None:
    reader = MessageReader()
    message = StatusRequest().to_bytes()
    found = reader.receive_packet(message + b"\x01\x02\x03")
    assert found == [
        message,
        StreamFault("a short packet ends the transfer in the middle of a message", b"\x01\x02\x03"),
    ]
    assert reader.receive_packet(message) == [message]


def test_forgotten_message_does_not_come_back() -> None:
    reader = MessageReader()
    reader.receive_packet(RxData(TpduFlag.FINAL, bytes(100)).to_bytes()[:64])
    reader.clear()
    message = StatusRequest().to_bytes()
    assert reader.receive_packet(message) == [message]


@given(st.lists(st.binary(max_size=64), max_size=30))
def test_arbitrary_packets_are_survived_in_bounded_memory(packets: list[bytes]) -> None:
    reader = MessageReader()
    for packet in packets:
        for item in reader.receive_packet(packet):
            if isinstance(item, bytes):
                assert 8 <= len(item) <= 280
    # A short packet of a whole message brings the stream back into step.
    reader.receive_packet(bytes(63))
    message = StatusRequest().to_bytes()
    assert reader.receive_packet(message) == [message]


@pytest.mark.parametrize(
    ("length", "has_zero_packet"), [(63, False), (64, True), (65, False), (128, True), (256, True)]
)
def test_transfer_of_whole_packets_ends_with_an_empty_one(length: int, has_zero_packet: bool) -> None:
    transfer = encode_transfer(TxData.response_data(0xB0, bytes(length - 15)))
    assert len(transfer.data) == length
    assert transfer.has_zero_packet is has_zero_packet
    packets = packets_sent(transfer)
    assert b"".join(packets) == transfer.data
    assert (packets[-1] == b"") is has_zero_packet
    assert len(packets[-1]) < 64


def test_harmless_messages_are_sent_as_they_are() -> None:
    assert encode_transfer(CardInsert(is_on=True)) == OutTransfer(bytes.fromhex("010500000000090001"))
    assert encode_transfer(BoardSetAtr(bytes(33))).data[8] == 33


@pytest.mark.parametrize(
    "message",
    [
        TxData(TpduFlag.PB_AND_TX, b""),
        TxData(TpduFlag.FINAL, b"\x90\x00"),
        TxData(TpduFlag(0), b"\x60"),
        TxData(TpduFlag.PB_AND_RX, b"\xd6\x00"),
        TxData(TpduFlag.PB_AND_RX | TpduFlag.FINAL, b"\xd6"),
        BoardSetAtr(b""),
        BoardSetAtr(bytes(34)),
    ],
)
def test_hazards_are_refused(message: TxData | BoardSetAtr) -> None:
    with pytest.raises(UnsafeFrameError):
        encode_transfer(message)
