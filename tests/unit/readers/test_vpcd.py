# SPDX-License-Identifier: Apache-2.0
"""The card's side of vpcd's protocol, without I/O."""

import pytest

from remsim.readers.errors import CardTransmissionError
from remsim.readers.sim.profiles import load_profile
from remsim.readers.sim.store import StoredCard
from remsim.readers.vpcd import VpcdSession

_PROFILE = load_profile("default")


@pytest.fixture
def session() -> VpcdSession:
    return VpcdSession(StoredCard(_PROFILE, _PROFILE.identity, None, is_fresh=True))


def ask(session: VpcdSession, body: str) -> str | None:
    answer = session.answer(bytes.fromhex(body))
    return None if answer is None else answer.hex().upper()


def test_atr_is_told_as_often_as_asked_and_resets_nothing(session: VpcdSession) -> None:
    assert session.answer(b"\x04") == _PROFILE.atr
    ask(session, "00A4000C022FE2")
    assert session.answer(b"\x04") == _PROFILE.atr
    assert str(ask(session, "00B000000A")).endswith("9000")


@pytest.mark.parametrize("control", ["00", "01", "02"])
def test_power_and_reset_are_not_answered_and_forget(session: VpcdSession, control: str) -> None:
    ask(session, "00A4000C022FE2")
    assert ask(session, control) is None
    assert ask(session, "00B000000A") == "6986"


def test_case_4_command_loses_its_le_and_case_1_gains_p3(session: VpcdSession) -> None:
    assert ask(session, "00A40004023F0000") == "612E"
    assert ask(session, "00440000") == "6986"


@pytest.mark.parametrize(("body", "answer"), [("", None), ("03", "6700"), ("00A4", "6700"), ("00A400", "6700")])
def test_odd_messages(session: VpcdSession, body: str, answer: str | None) -> None:
    assert ask(session, body) == answer


def test_state_that_cannot_be_stored_is_a_memory_failure() -> None:
    class FullDisk(StoredCard):
        def transmit(self, tpdu: bytes) -> bytes:
            raise CardTransmissionError("cannot store")

    session = VpcdSession(FullDisk(_PROFILE, _PROFILE.identity, None, is_fresh=True))
    assert ask(session, "00A4000C023F00") == "6581"
