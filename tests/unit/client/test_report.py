# SPDX-License-Identifier: Apache-2.0
"""What is reported of a played recording."""

import io
import json

import pytest

from remsim.ahead.figures import AheadFigures, LatencyFigures
from remsim.client.core.assignment import Assignment
from remsim.client.core.notices import NoticeKind, Notices
from remsim.client.observer import CutCounter
from remsim.client.report import write_json, write_table
from remsim.emulators.script.player import Difference, ScriptOutcome

LATENCY = LatencyFigures(3, 1, waited_s=0.25, hold_s=0.5, ahead=AheadFigures(hits=2, misses=1, saved_s=0.4))


@pytest.fixture
def outcome() -> ScriptOutcome:
    return ScriptOutcome(
        atr=b"\x3b\x00",
        commands=3,
        resets=2,
        played_s=0.0125,
        durations={"SELECT": [0.001, 0.003], "FETCH": [0.002]},
    )


def test_table_has_a_row_for_each_kind_and_for_all(outcome: ScriptOutcome) -> None:
    output = io.StringIO()
    write_table(outcome, CutCounter(), file="boot.jsonl", output=output, latency=LATENCY)
    rows = [line.split() for line in output.getvalue().splitlines()]
    assert ["SELECT", "2", "1.00", "3.00", "3.00", "4.0"] in rows
    assert ["FETCH", "1", "2.00", "2.00", "2.00", "2.0"] in rows
    assert ["all", "3", "2.00", "3.00", "3.00", "6.0"] in rows
    assert output.getvalue().endswith(
        "3 commands and 2 resets in 0.01 s.\n"
        "2 commands answered ahead, 0.40 s saved; another one came 1 time.\n"
        "All status words and lengths as recorded.\n"
    )


def test_table_tells_differences(outcome: ScriptOutcome) -> None:
    outcome.resets, outcome.sw_mismatches = 1, 2
    output = io.StringIO()
    write_table(outcome, CutCounter(), file="boot.jsonl", output=output, latency=LATENCY)
    assert "3 commands and 1 reset in" in output.getvalue()
    assert "Not as recorded: 2 status words, 0 lengths." in output.getvalue()


def test_differences_are_named_and_the_rest_is_counted(outcome: ScriptOutcome) -> None:
    outcome.sw_mismatches = outcome.different_answers = 3
    outcome.differences = [Difference(7, 12, "SELECT EF.IMSI", "611A ok", "6A82 file not found")]
    output = io.StringIO()
    write_table(outcome, CutCounter(), file="boot.jsonl", output=output, latency=LATENCY)
    assert output.getvalue().splitlines()[-2:] == [
        "  command 7 (line 12), SELECT EF.IMSI: expected 611A ok, got 6A82 file not found",
        "  and 2 more",
    ]
    output = io.StringIO()
    write_json(outcome, CutCounter(), file="boot.jsonl", output=output, latency=LATENCY)
    assert json.loads(output.getvalue())["differences"] == [
        {"number": 7, "line": 12, "command": "SELECT EF.IMSI", "expected": "611A ok", "got": "6A82 file not found"}
    ]


def test_json_is_one_line(outcome: ScriptOutcome) -> None:
    output = io.StringIO()
    write_json(outcome, CutCounter(), file="boot.jsonl", output=output, latency=LATENCY)
    (line,) = output.getvalue().splitlines()
    report = json.loads(line)
    assert report["kinds"][-1] == {
        "kind": "all",
        "count": 3,
        "p50_ms": 2.0,
        "p99_ms": 3.0,
        "max_ms": 3.0,
        "total_ms": 6.0,
    }
    assert report["atr"] == "3b00"
    assert (report["round_trips"], report["waited_s"], report["held_s"]) == (1, 0.25, 0.5)
    assert report["ahead"] == {"hits": 2, "misses": 1, "saved_s": 0.4}


def test_cuts_are_told(outcome: ScriptOutcome) -> None:
    cuts, notices = CutCounter(), Notices(Assignment(None))
    for kind in (NoticeKind.SESSION_HELD, NoticeKind.SESSION_RESUMED, NoticeKind.SESSION_HELD, NoticeKind.CARD_REMOVED):
        cuts.on_notice(None, notices.make(kind))
    cuts.stop()
    cuts.on_notice(None, notices.make(NoticeKind.CARD_REMOVED))
    output = io.StringIO()
    write_json(outcome, cuts, file="boot.jsonl", output=output, latency=LATENCY)
    report = json.loads(output.getvalue())
    # Two resets of the recording, and one for the card that was lost.
    assert (report["cuts"], report["resumes"], report["resets"]) == (2, 1, 3)
    output = io.StringIO()
    write_table(outcome, cuts, file="boot.jsonl", output=output, latency=LATENCY)
    assert "2 cuts of the link, 1 resumed; the modem lost its card 1 time." in output.getvalue()
