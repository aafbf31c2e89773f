# SPDX-License-Identifier: Apache-2.0
"""Playing a recording."""

import io
import json

import pytest

from remsim.emulators.driven import DrivenEmulator, NoCardError
from remsim.emulators.script.player import MAX_TOLD_DIFFERENCES, PlayError, ScriptPlayer, percentile
from remsim.emulators.script.recording import parse_recording
from tests.doubles.modem_side import ATR, with_card

RECORDING = parse_recording(
    [
        '{"event": "reset"}',
        '{"cmd": "00a40004023f00", "sw": "6135", "rlen": 0}',
        '{"cmd": "00c0000035", "sw": "9000", "rlen": 53}',
        '{"cmd": "00b0000002", "sw": "9000", "rlen": 2}',
        '{"cmd": "00b0000003"}',
    ],
    name="test",
)


def card(tpdu: bytes) -> bytes:
    if tpdu[1] == 0xA4:
        return b"\x61\x10"
    return bytes(tpdu[4]) + b"\x90\x00"


async def test_lengths_follow_the_card_and_differences_are_counted() -> None:
    emulator, above = await with_card(card)
    dump = io.StringIO()
    progress: list[int] = []
    player = ScriptPlayer(emulator, RECORDING, repeat=2, card_wait_s=1.0, dump=dump, progress=progress.append)
    outcome = await player.run()
    assert outcome is player.outcome
    assert [tpdu.hex() for tpdu in above.tpdus[:4]] == ["00a40004023f00", "00c0000010", "00b0000002", "00b0000003"]
    assert (outcome.commands, outcome.resets, outcome.atr) == (8, 2, ATR)
    assert (outcome.sw_mismatches, outcome.length_mismatches) == (2, 2)
    assert outcome.has_mismatch
    assert progress == list(range(1, 11))
    entries = [json.loads(line) for line in dump.getvalue().splitlines()]
    assert entries[:3] == [
        {"event": "reset"},
        {"cmd": "00a40004023f00", "data": "", "sw": "6110"},
        {"cmd": "00c0000010", "data": "00" * 16, "sw": "9000"},
    ]
    timings = outcome.timings()
    assert [(timing.kind, timing.count) for timing in timings] == [
        ("READ BINARY", 4),
        ("GET RESPONSE", 2),
        ("SELECT", 2),
        ("all", 8),
    ]
    assert all(0 < t.p50_ms <= t.p99_ms <= t.max_ms <= t.total_ms for t in timings)


async def test_literal_sends_as_recorded() -> None:
    emulator, above = await with_card(card)
    outcome = await ScriptPlayer(emulator, RECORDING, literal=True, card_wait_s=1.0).run()
    assert above.tpdus[1].hex() == "00c0000035"
    assert (outcome.sw_mismatches, outcome.length_mismatches) == (1, 0)


async def test_command_without_answer_ends_it() -> None:
    emulator, above = await with_card(card)
    above.card = lambda tpdu: above.abort("link lost") if tpdu[1] == 0xC0 else card(tpdu)
    with pytest.raises(PlayError, match=r"command 2 \(GET RESPONSE, line 3\): no answer: link lost"):
        await ScriptPlayer(emulator, RECORDING, card_wait_s=1.0).run()


async def test_without_a_card_nothing_is_played() -> None:
    with pytest.raises(NoCardError):
        await ScriptPlayer(DrivenEmulator(), RECORDING, card_wait_s=0.01).run()


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([7.0], 0.5, 7.0), ([1.0, 2.0], 0.5, 1.0), ([1.0, 2.0, 3.0], 0.5, 2.0), (list(range(1, 101)), 0.99, 99)],
)
def test_percentile_is_the_nearest_rank(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


async def test_rest_is_not_played_to_another_card() -> None:
    emulator, above = await with_card(card)

    def swap(tpdu: bytes) -> bytes:
        if tpdu[1] == 0xC0:
            above.respond(card(tpdu))
            emulator.remove_card()
            above.insert()
        return card(tpdu)

    above.card = swap
    with pytest.raises(PlayError, match=r"command 3 .* not sent: the card has changed"):
        await ScriptPlayer(emulator, RECORDING, card_wait_s=1.0).run()
    assert len(above.tpdus) == 2


async def test_first_differences_are_named() -> None:
    emulator, _above = await with_card(card)
    outcome = await ScriptPlayer(emulator, RECORDING, repeat=4, card_wait_s=1.0).run()
    assert [str(difference) for difference in outcome.differences[:2]] == [
        (
            "command 1 (line 2), SELECT MF: expected 6135 ok, 53 bytes to fetch, 0 bytes, "
            "got 6110 ok, 16 bytes to fetch, 0 bytes"
        ),
        "command 2 (line 3), GET RESPONSE, 16 bytes: expected 9000 ok, 53 bytes, got 9000 ok, 16 bytes",
    ]
    assert len(outcome.differences) == MAX_TOLD_DIFFERENCES
    assert outcome.different_answers == 8
    assert outcome.differences[2].number == 5
