# SPDX-License-Identifier: Apache-2.0
"""The tool that holds the direction of commands against recordings: what it finds, and what it says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from remsim.card import apdu_case
from remsim.card.apdu_case import AS_TABLES_SAY, Case, CommandRules, UnknownCommandPolicy, look_up, parse_override
from remsim.trace.sim_frames import SeenData
from tests.doubles import capture_files as files
from tests.reference import ROOT, reference
from tests.vectors.test_apdu_cases import DIFFERENT
from tools.captures import Exchange, Reset, Step, read_capture
from tools.replay_capture import compare, main

#: A tag list, the toolkit on channel 4 and on another one, and IoT SAFE, as a modem's log has them.
FIELD_LOG = files.qxdm(
    *(("TX", "81ca00fe02"), ("RX", "ca"), ("TX", "df25"), ("RX", "6110")),
    *(("TX", "c010000004"), ("RX", "10"), ("TX", "01020304"), ("RX", "9110")),
    *(("TX", "c012000010"), ("RX", "12" + "00" * 16 + "9000")),
    *(("TX", "c012000010"), ("RX", "12" + "00" * 16 + "9000")),
    *(("TX", "8184000020"), ("RX", "84" + "00" * 32 + "9000")),
)


@pytest.mark.parametrize("name", ["iot-modem-boot.jsonl", "phone-boot.jsonl"])
def test_recorded_starts_of_modems_agree(name: str) -> None:
    report = compare(read_capture(reference("traces", name).read_bytes()).steps, AS_TABLES_SAY)
    assert report.commands > 150 - 1
    assert report.differences == []
    assert report.undecided <= 1


def test_recorded_datagrams_of_the_c_bankd_agree() -> None:
    document = json.loads(reference("vectors", "gsmtap", "bankd.json").read_text(encoding="utf-8"))
    capture = read_capture(files.pcapng(files.BARE, [bytes.fromhex(one["hex"]) for one in document["datagrams"]]))
    report = compare(capture.steps, AS_TABLES_SAY)
    assert (report.commands, report.differences) == (3, [])


def test_verdicts_of_the_reference_differ_where_we_mean_to() -> None:
    """Each special header as if it had happened the way the reference decides."""
    document = json.loads(reference("vectors", "simtrace2", "apdu-cases.json").read_text(encoding="utf-8"))
    ways = {"forward to card": SeenData.FROM_CARD, "ask phone for data": SeenData.TO_CARD}
    steps: list[Step] = []
    for entry in document["special"]:
        if entry["action"] in ways:
            header = bytes.fromhex(entry["header"])
            steps += [Reset(0), Exchange(1, header, ways[entry["action"]], 0x9000)]
    differing = {one.header.hex() for one in compare(steps, AS_TABLES_SAY).differences}
    known = {entry["header"] for entry in document["special"] if entry["action"] in ways}
    assert len(known) > 40
    assert differing == DIFFERENT.keys() & known


class TestFaultsOfTheField:
    """With tables that lack what the field has shown, the tool names it."""

    @pytest.fixture(autouse=True)
    def _poorer_tables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def look(header: bytes) -> Case | None:
            if header[1] == 0xCA and header[2:4] == b"\x00\xfe":
                return Case.FROM_CARD
            if header[0] >= 0xC0 or header[1] == 0x84:
                return None
            return look_up(header)

        monkeypatch.setattr(apdu_case, "look_up", look)

    def test_wrong_direction_and_unknown_commands_are_found(self) -> None:
        report = compare(read_capture(FIELD_LOG.encode()).steps, AS_TABLES_SAY)
        found = [(one.header.hex(), one.expected, one.seen.value, one.count) for one in report.differences]
        assert found == [
            ("81ca00fe02", "case 2, no data to the card", "data to the card", 1),
            ("c010000004", "unknown, refused with 6D00", "data to the card", 1),
            ("c012000010", "unknown, refused with 6D00", "no data to the card", 2),
            ("8184000020", "unknown, refused with 6D00", "no data to the card", 1),
        ]

    def test_its_lines_mend_what_it_found(self) -> None:
        steps = read_capture(FIELD_LOG.encode()).steps
        settings = [one.setting for one in compare(steps, AS_TABLES_SAY).differences]
        assert settings[0] == 'command_cases = ["81 CA 00 = 3"]'
        cases = [re.findall(r'"(.*)"', setting)[0] for setting in settings]
        rules = CommandRules(tuple(parse_override(case) for case in cases))
        assert compare(steps, rules).differences == []

    def test_joined_captures_show_it_too(self) -> None:
        packets = files.joined("81ca00fe02df256110", "c010000004010203049110")
        found = compare(read_capture(files.pcapng(files.BARE, packets)).steps, AS_TABLES_SAY).differences
        assert [(one.header.hex(), one.setting) for one in found] == [
            ("81ca00fe02", 'command_cases = ["81 CA 00 = 3"]'),
            ("c010000004", ""),
        ]


def test_field_log_agrees_with_the_tables_as_they_are() -> None:
    assert compare(read_capture(FIELD_LOG.encode()).steps, AS_TABLES_SAY).differences == []


def test_command_that_was_repeated_after_6c_agrees() -> None:
    text = '{"cmd": "81cabf2000", "sw": "6c0b", "rlen": 0}\n{"cmd": "81cabf200b", "sw": "9000", "rlen": 11}\n'
    assert compare(read_capture(text.encode()).steps, AS_TABLES_SAY).differences == []
    apart = text.replace("\n", '\n{"event": "reset"}\n', 1)
    (difference,) = compare(read_capture(apart.encode()).steps, AS_TABLES_SAY).differences
    assert difference.expected == "case 4, data to the card"


def test_command_that_the_card_refuses_too_is_no_difference() -> None:
    text = '{"cmd": "80e0000010", "sw": "6d00", "rlen": 0}\n{"cmd": "b0e0000010", "sw": "6e00", "rlen": 0}\n'
    assert compare(read_capture(text.encode()).steps, AS_TABLES_SAY).differences == []


def test_unknown_ones_that_are_received_are_held_against_what_happened() -> None:
    steps = [Exchange(1, bytes.fromhex("80e0000010"), SeenData.TO_CARD, 0x9000)]
    (difference,) = compare(steps, CommandRules(unknown=UnknownCommandPolicy.RECEIVE)).differences
    assert difference.expected == "unknown, no data to the card"


class TestCommandLine:
    def test_agreement_is_0_and_said(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "log.txt"
        path.write_text(FIELD_LOG)
        assert main([str(path)]) == 0
        assert "qualcomm: 5 commands, 0 kinds of them differ" in capsys.readouterr().out

    def test_differences_are_1_with_the_line_to_add(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "log.jsonl"
        path.write_text('{"cmd": "80e000000101", "sw": "9000", "rlen": 0}\n' * 3)
        assert main([str(path)]) == 1
        out = capsys.readouterr().out
        assert "80 E0 00 00 01  CREATE FILE: expected unknown, refused with 6D00; seen data to the card" in out
        assert '3 times, first at 1; add command_cases = ["80 E0 = 3"]' in out
        assert main([str(path), "--case", "80 E0 = 3"]) == 0
        assert main([str(path), "--json"]) == 1
        _, _, text = capsys.readouterr().out.partition("{")
        (difference,) = json.loads("{" + text)["differences"]
        assert (difference["header"], difference["count"]) == ("80e0000001", 3)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["missing"], "cannot read it: No such file"),
            (["nothing.txt"], "no capture of a known format"),
            (["nothing.txt", "--case", "x"], "is not CLA"),
            (["nothing.txt", "--format", "pcap"], "not that of a pcap file"),
            (["nothing.txt", "--format", "pcapng"], "nor of a pcapng file"),
        ],
    )
    def test_what_cannot_be_read_is_2_in_one_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
    ) -> None:
        (tmp_path / "nothing.txt").write_text("nothing")
        assert main([str(tmp_path / arguments[0]), *arguments[1:]]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert "hint: " in error

    def test_runs_as_a_file(self) -> None:
        trace = reference("traces", "iot-modem-boot.jsonl")
        command = [sys.executable, str(ROOT / "tools" / "replay_capture.py"), str(trace)]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "json: 151 commands" in done.stdout
