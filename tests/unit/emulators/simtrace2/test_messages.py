# SPDX-License-Identifier: Apache-2.0
"""Every message as a value and as bytes, both ways; what is no message raises FrameError and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.emulators.errors import BoardFrameError
from remsim.emulators.simtrace2 import info
from remsim.emulators.simtrace2 import messages as frames
from remsim.emulators.simtrace2.header import Code, Message, UnknownBoardMessage
from remsim.emulators.simtrace2.messages import LineFlag, TpduFlag, decode_from_device
from tests.doubles.simtrace2_frames import FROM_HOST, decode_from_host

u8, u16, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF)
_data = st.binary(max_size=266)
_flags = st.integers(0, 0x0F).map(TpduFlag)
_configs = (
    st.builds(frames.Config, u32)
    | st.builds(frames.Config, u32, u8)
    | st.builds(frames.Config, u32, u8, st.integers(0, 3))
)


@st.composite
def _pts(draw: st.DrawFn) -> frames.PtsReport:
    length = draw(st.integers(3, 6))
    fixed = st.binary(min_size=length, max_size=length)
    return frames.PtsReport(draw(fixed), draw(fixed))


BY_DEVICE: dict[type[Message], st.SearchStrategy[Message]] = {
    frames.RxData: st.builds(frames.RxData, _flags, _data),
    frames.Status: st.builds(frames.Status, st.integers(0, 0x1F).map(LineFlag), u16, u8, u8, u8, u32),
    frames.PtsReport: _pts(),
    frames.Config: _configs,
    info.ErrorReport: st.builds(info.ErrorReport, u8, u8, u16, st.binary(max_size=255)),
    info.BoardInfo: st.builds(
        info.BoardInfo,
        st.lists(st.binary(min_size=32, max_size=32), min_size=7, max_size=7).map(tuple),
        u32,
        u32,
        st.binary(max_size=4),
        st.binary(max_size=4),
    ),
    info.ModemStatus: st.builds(info.ModemStatus, u8, u8, u8),
    info.SnifferChange: st.builds(info.SnifferChange, u32),
    info.SnifferSpeed: st.builds(info.SnifferSpeed, u8),
    info.SnifferAtr: st.builds(info.SnifferAtr, u32, _data),
    info.SnifferPps: st.builds(info.SnifferPps, u32, _data),
    info.SnifferTpdu: st.builds(info.SnifferTpdu, u32, _data),
}
BY_HOST: dict[type[Message], st.SearchStrategy[Message]] = {
    frames.TxData: st.builds(frames.TxData, _flags, _data),
    frames.BoardSetAtr: st.builds(frames.BoardSetAtr, st.binary(max_size=255)),
    frames.StatisticsRequest: st.just(frames.StatisticsRequest()),
    frames.StatusRequest: st.just(frames.StatusRequest()),
    frames.CardInsert: st.builds(frames.CardInsert, st.booleans()),
    frames.Config: _configs,
    frames.ModemReset: st.builds(frames.ModemReset, st.sampled_from(frames.LineAction), u16),
    frames.SimSelect: st.builds(frames.SimSelect, st.booleans()),
    info.BoardInfoRequest: st.just(info.BoardInfoRequest()),
    info.ModemStatusRequest: st.just(info.ModemStatusRequest()),
}


def test_every_class_has_a_strategy() -> None:
    assert set(BY_DEVICE) == set(frames.FROM_DEVICE.values())
    assert set(BY_HOST) == set(FROM_HOST.values())


@pytest.mark.parametrize("kind", BY_DEVICE, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_message_of_a_device_survives_the_round_trip(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(BY_DEVICE[kind])
    raw = message.to_bytes()
    assert int.from_bytes(raw[6:8], "little") == len(raw)
    assert decode_from_device(raw) == message
    assert kind.from_bytes(raw) == message


@pytest.mark.parametrize("kind", BY_HOST, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_message_of_a_host_survives_the_round_trip(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(BY_HOST[kind])
    assert decode_from_host(message.to_bytes()) == message


@given(st.sampled_from(sorted(frames.FROM_DEVICE.keys() | FROM_HOST.keys())), st.binary(max_size=272))
def test_arbitrary_payload_is_decoded_to_the_same_bytes_or_refused(code: Code, payload: bytes) -> None:
    raw = bytes((*code, 0, 0, 0, 0)) + (8 + len(payload)).to_bytes(2, "little") + payload
    for decode in (decode_from_device, decode_from_host):
        try:
            message = decode(raw)
        except BoardFrameError:
            continue
        if not isinstance(message, frames.Config):  # fields of firmware to come are skipped
            assert message.to_bytes() == raw


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_frame_errors(raw: bytes) -> None:
    for decode in (decode_from_device, decode_from_host):
        try:
            decode(raw)
        except BoardFrameError:
            continue


def test_code_without_meaning_is_kept_as_it_is() -> None:
    raw = bytes.fromhex("017e000000000900ab")
    message = decode_from_host(raw)
    assert message == UnknownBoardMessage(Code(1, 0x7E), b"\xab")
    assert message.to_bytes() == raw


def test_sequence_slot_and_reserved_bytes_are_ignored() -> None:
    assert decode_from_host(bytes.fromhex("01042a0712340800")) == frames.StatusRequest()


def test_message_of_another_class_is_refused() -> None:
    with pytest.raises(BoardFrameError, match="is no BoardSetAtr"):
        frames.BoardSetAtr.from_bytes(frames.StatusRequest().to_bytes())


def test_config_of_future_firmware_is_read() -> None:
    raw = bytes.fromhex("0108000000001000010000000503beef")
    assert decode_from_device(raw) == frames.Config(1, 5, 3)


@pytest.mark.parametrize("version_1_payload", ["01000000", "0100000002", "010000000203"])
def test_config_of_old_firmware_is_read(version_1_payload: str) -> None:
    payload = bytes.fromhex(version_1_payload)
    assert frames.Config.from_payload(payload).payload() == payload


def test_status_from_hardware_of_2020_is_read() -> None:
    raw = bytes.fromhex("010400000000150013000000000009040a80250000")
    assert decode_from_device(raw) == frames.Status(LineFlag.VCC | LineFlag.CLK | LineFlag.RESET, 0, 9, 4, 10, 9600)


def test_useful_shapes_of_tx_data() -> None:
    assert frames.TxData.acknowledge(0xA4).to_bytes().hex() == "0101000000000f0008000000" + "0100a4"
    assert frames.TxData.response_data(0xB0, b"\x01").flags == TpduFlag.PB_AND_TX
    assert frames.TxData.status_word(b"\x90\x00").data == b"\x90\x00"
    assert frames.TxData.whole_answer(0xB0, b"\x01", b"\x90\x00").data == b"\xb0\x01\x90\x00"


def test_values_out_of_range_are_refused_when_built() -> None:
    with pytest.raises(BoardFrameError):
        frames.ModemReset(frames.LineAction.PULSE, 70_000)
    with pytest.raises(BoardFrameError):
        frames.Config(1, None, 3)
    with pytest.raises(BoardFrameError):
        frames.Config(1 << 32)
    with pytest.raises(BoardFrameError):
        frames.PtsReport(b"\xff\x00\xff", b"\xff\x00")
    with pytest.raises(BoardFrameError):
        info.BoardInfo((b"one",), 0, 0)
    with pytest.raises(BoardFrameError):
        info.SnifferSpeed(256)
    with pytest.raises(BoardFrameError):
        frames.TxData(TpduFlag.FINAL, bytes(280)).to_bytes()


@pytest.mark.parametrize("kind", [frames.RxData, info.SnifferTpdu, info.ErrorReport, info.BoardInfo, frames.Config])
def test_payload_cut_short_is_refused(kind: type[Message]) -> None:
    with pytest.raises(BoardFrameError):
        kind.from_payload(b"\x01\x02\x03")


def test_data_that_are_not_counted_right_are_refused() -> None:
    with pytest.raises(BoardFrameError, match="announces 6 data bytes and has 5"):
        frames.RxData.from_payload(bytes.fromhex("01000000060000b000000a"))


def test_board_information_is_told_in_words() -> None:
    board = info.BoardInfo((b"maker", b"model", b"1", b"", b"", b"", b""), 0, 0, b"\x00\x30")
    assert board.describe()[:3] == ("maker", "model", "1")
    assert board.abilities == info.BoardAbility.DRIVE_CARD_DETECT | info.BoardAbility.DRIVE_MODEM_RESET


@pytest.mark.parametrize(
    "raw", ["02 ff0000000000 ff0000000000", "07 ff00ff000000 ff00ff000000", "03 ff00ff010000 ff00ff000000"]
)
def test_exchange_of_a_length_that_no_pps_has_is_refused(raw: str) -> None:
    with pytest.raises(BoardFrameError, match="PtsReport with an exchange of"):
        frames.PtsReport.from_payload(bytes.fromhex(raw))
