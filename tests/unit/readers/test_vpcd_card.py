# SPDX-License-Identifier: Apache-2.0
"""The card's side of vpcd's protocol, without I/O."""

import pytest

from remsim.readers.card_store import StoredCard
from remsim.readers.errors import CardTransmissionError
from remsim.readers.profiles import load_profile
from remsim.readers.vpcd_card import VpcdSession

_PROFILE = load_profile("default")


def _message(body: str) -> bytes:
    data = bytes.fromhex(body)
    return len(data).to_bytes(2) + data


@pytest.fixture
def session() -> VpcdSession:
    return VpcdSession(StoredCard(_PROFILE, _PROFILE.identity, None, is_fresh=True))


def test_atr_is_told_as_often_as_asked_and_resets_nothing(session: VpcdSession) -> None:
    atr = len(_PROFILE.atr).to_bytes(2) + _PROFILE.atr
    assert session.receive_data(_message("04")) == atr
    session.receive_data(_message("00A4000C022FE2"))
    assert session.receive_data(_message("04")) == atr
    assert session.receive_data(_message("00B000000A"))[-2:] == b"\x90\x00"


@pytest.mark.parametrize("control", ["00", "01", "02"])
def test_power_and_reset_are_not_answered_and_forget(session: VpcdSession, control: str) -> None:
    session.receive_data(_message("00A4000C022FE2"))
    assert session.receive_data(_message(control)) == b""
    assert session.receive_data(_message("00B000000A")) == _message("6986")


def test_case_4_command_loses_its_le_and_case_1_gains_p3(session: VpcdSession) -> None:
    assert session.receive_data(_message("00A40004023F0000")) == _message("612E")
    assert session.receive_data(_message("00440000")) == _message("6986")


def test_pieces_and_several_messages_at_once_are_understood(session: VpcdSession) -> None:
    stream = _message("01") + _message("00A4000C023F00") + _message("00A4000C022FE2")
    assert b"".join(session.receive_data(stream[i : i + 1]) for i in range(len(stream))) == _message("9000") * 2
    assert session.receive_data(stream) == _message("9000") * 2


@pytest.mark.parametrize(("body", "answer"), [("", None), ("03", None), ("00A4", "6700"), ("00A400", "6700")])
def test_odd_messages(session: VpcdSession, body: str, answer: str | None) -> None:
    assert session.receive_data(_message(body)) == (b"" if answer is None else _message(answer))


def test_state_that_cannot_be_stored_is_a_memory_failure() -> None:
    class FullDisk(StoredCard):
        def transmit(self, tpdu: bytes) -> bytes:
            raise CardTransmissionError("cannot store")

    session = VpcdSession(FullDisk(_PROFILE, _PROFILE.identity, None, is_fresh=True))
    assert session.receive_data(_message("00A4000C023F00")) == _message("6581")
