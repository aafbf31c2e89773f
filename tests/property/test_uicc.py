# SPDX-License-Identifier: Apache-2.0
"""Whatever comes in, the card answers with data and a status word; its stored state can always be read again."""

from hypothesis import given
from hypothesis import strategies as st

from remsim.readers.sim.profiles import load_profile
from remsim.uicc import Uicc, UiccState
from remsim.uicc.table import COMMANDS

_CLASSES = st.sampled_from((0x00, 0x01, 0x03, 0x40, 0x80, 0x81, 0xA0, 0xC0)) | st.integers(0, 255)
_INSTRUCTIONS = st.sampled_from(sorted({ins for _, ins in COMMANDS} | {0xC0})) | st.integers(0, 255)
_PARAMETERS = st.sampled_from((0x00, 0x01, 0x02, 0x03, 0x04, 0x08, 0x0C, 0x80, 0x81)) | st.integers(0, 255)
_FIDS = st.sampled_from(
    ("3F00", "7FFF", "7F20", "7F10", "5F3A", "5F3B", "6F3C", "6F39", "6F44", "4F48", "6F07", "2FE2")
)
_DATA = (
    st.binary(max_size=255)
    | st.lists(_FIDS, min_size=1, max_size=3).map(lambda fids: bytes.fromhex("".join(fids)))
    | st.just(bytes.fromhex("A0000000871002"))
    | st.just(b"1234\xff\xff\xff\xff")
)
_WITH_DATA = st.builds(
    lambda cla, ins, p1, p2, data: bytes((cla, ins, p1, p2, len(data))) + data,
    _CLASSES,
    _INSTRUCTIONS,
    _PARAMETERS,
    _PARAMETERS,
    _DATA,
)
_HEADERS = st.builds(
    lambda cla, ins, p1, p2, p3: bytes((cla, ins, p1, p2, p3)),
    _CLASSES,
    _INSTRUCTIONS,
    _PARAMETERS,
    _PARAMETERS,
    st.integers(0, 255),
)


@given(st.sampled_from(("default", "iot-modem", "phone")), st.lists(_WITH_DATA | _HEADERS, max_size=30))
def test_card_like_commands_are_always_answered(profile: str, commands: list[bytes]) -> None:
    card = Uicc(load_profile(profile))
    for command in commands:
        answer = card.transmit(command)
        assert 2 <= len(answer) <= 258
        assert answer[-2] & 0xF0 in (0x60, 0x90)
    stored = card.state.to_bytes()
    assert UiccState.from_bytes(stored, card.profile).to_bytes() == stored


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_arbitrary_bytes_are_always_answered(commands: list[bytes]) -> None:
    card = Uicc(load_profile("default"))
    for command in commands:
        assert 2 <= len(card.transmit(command)) <= 258


@given(st.lists(_WITH_DATA | _HEADERS, max_size=20))
def test_two_cards_of_one_profile_answer_alike_and_do_not_touch_each_other(commands: list[bytes]) -> None:
    profile = load_profile("default")
    first, bystander = Uicc(profile), Uicc(profile)
    untouched = bystander.state.to_bytes()
    answers = [first.transmit(command) for command in commands]
    assert bystander.state.to_bytes() == untouched
    assert [bystander.transmit(command) for command in commands] == answers
