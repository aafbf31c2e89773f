# SPDX-License-Identifier: Apache-2.0
"""Recorded command sequences, read and followed as a modem would."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remsim.emulators.script.recording import (
    Modem,
    RecordedCommand,
    RecordedReset,
    RecordingError,
    load_recording,
    parse_recording,
)

GET_RESPONSE, FETCH, READ = (bytes.fromhex(text) for text in ("00c0000035", "8012000020", "00b2010400"))


@pytest.mark.parametrize(("name", "commands"), [("iot-modem-boot", 151), ("phone-boot", 1001)])
def test_recorded_starts_are_read(reference: Callable[..., Path], name: str, commands: int) -> None:
    steps = load_recording(reference("traces", f"{name}.jsonl"))
    assert steps[0] == RecordedReset(1)
    assert sum(isinstance(step, RecordedCommand) for step in steps) == commands
    assert all(isinstance(step, RecordedReset) or step.sw is not None for step in steps)


def test_what_was_answered_may_be_left_out() -> None:
    assert parse_recording(["", '{"cmd": "00B0000002"}'], name="x") == [RecordedCommand(2, bytes.fromhex("00b0000002"))]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "not a JSON object"),
        ('{"event": "party"}', "unknown event 'party'"),
        ("{}", "cmd is missing"),
        ('{"cmd": 7}', "cmd is missing or not a string"),
        ('{"cmd": "xx"}', "cmd is not hex"),
        ('{"cmd": "00b00000"}', "cmd has 4 bytes"),
        ('{"cmd": "' + "00" * 261 + '"}', "cmd has 261 bytes"),
        ('{"cmd": "00b0000002", "sw": "90"}', "sw is not a status word"),
        ('{"cmd": "00b0000002", "sw": "zzzz"}', "sw is not a status word"),
        ('{"cmd": "00b0000002", "sw": 9000}', "sw is not a status word"),
        ('{"cmd": "00b0000002", "rlen": 257}', "rlen is no number"),
        ('{"cmd": "00b0000002", "rlen": true}', "rlen is no number"),
    ],
)
def test_bad_line_is_told_with_file_and_number(line: str, words: str) -> None:
    with pytest.raises(RecordingError, match=r"^boot\.jsonl, line 2: ") as caught:
        parse_recording(['{"event": "reset"}', line], name="boot.jsonl")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert caught.value.exit_status == 2


@given(st.text())
def test_any_text_is_a_recording_or_a_recording_error(text: str) -> None:
    try:
        parse_recording(text.splitlines(), name="x")
    except RecordingError:
        pass


def test_file_that_is_no_recording_is_told(tmp_path: Path) -> None:
    path = tmp_path / "boot.jsonl"
    with pytest.raises(RecordingError, match=r"cannot read .*: No such file"):
        load_recording(path)
    path.write_bytes(b"\xff\xff")
    with pytest.raises(RecordingError, match="byte 0 is not UTF-8"):
        load_recording(path)
    path.write_text('{"event": "reset"}\n')
    with pytest.raises(RecordingError, match="has no command"):
        load_recording(path)


def test_modem_asks_for_what_the_card_has_ready() -> None:
    """TS 102 221, 7.3.1.1.4; TS 51.011, 9.4."""
    modem = Modem()
    for sw in (0x6110, 0x9F10):
        modem.on_answer(READ, sw)
        assert modem.prepare(GET_RESPONSE) == bytes.fromhex("00c0000010")
        assert modem.prepare(READ) == READ
    modem.on_answer(READ, 0x9000)
    assert modem.prepare(GET_RESPONSE) == GET_RESPONSE


def test_modem_fetches_a_proactive_command_whatever_is_in_between() -> None:
    modem = Modem()
    assert modem.prepare(FETCH) == FETCH
    modem.on_answer(READ, 0x910B)
    modem.on_answer(READ, 0x9000)
    assert modem.prepare(FETCH) == bytes.fromhex("801200000b")
    assert modem.prepare(FETCH) == FETCH


def test_modem_repeats_with_the_right_length() -> None:
    modem = Modem()
    modem.on_answer(READ, 0x6C1A)
    assert modem.prepare(READ) == bytes.fromhex("00b201041a")
    other = bytes.fromhex("00b2020400")
    assert modem.prepare(other) == other
    with_data = bytes.fromhex("00b2010402aabb")
    assert modem.prepare(with_data) == with_data


def test_modem_expects_nothing_after_a_reset() -> None:
    modem = Modem()
    modem.on_answer(READ, 0x9110)
    modem.on_answer(READ, 0x6110)
    modem.on_reset()
    assert modem.prepare(GET_RESPONSE) == GET_RESPONSE
    assert modem.prepare(FETCH) == FETCH
