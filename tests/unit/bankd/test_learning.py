# SPDX-License-Identifier: Apache-2.0
"""``remsim bankd learn``: recorded starts become a model for all cards."""

import json
from pathlib import Path

import pytest

from remsim.ahead.bank_side import symbols
from remsim.ahead.context_model import MAX_RECORDING
from remsim.ahead.library import Library, Pair
from remsim.bankd.learning import learn_files
from remsim.bankd.learnt_files import FOLDER, LearntFiles
from remsim.bankd.recorded_starts import CUT_SHORT, MAX_LINE
from remsim.core.errors import ConfigError
from remsim.core.ids import BankSlot, ClientSlot
from remsim.emulators.script.recording import RecordedCommand, load_recording
from tests.doubles.ahead_equivalence import recorded
from tests.doubles.capture_files import BARE, ETHERNET, GSMTAP_SIM_APDU, in_udp, on_link, pcap, pcapng
from tests.doubles.noted_log import NotedLog
from tests.reference import reference

_IOT = reference("traces", "iot-modem-boot.jsonl")


def test_starts_are_learnt_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert learn_files([_IOT, reference("traces", "phone-boot.jsonl")], tmp_path) == 0
    iot, phone, sum_line = capsys.readouterr().out.splitlines()
    assert iot == f"{_IOT}: 151 commands in 1 start, 1 of them new"
    assert phone.endswith("phone-boot.jsonl: 1001 commands in 1 start, 1 of them new")
    assert sum_line == "2 starts read, 2 of them new; 1152 commands are known for all cards"
    assert learn_files([_IOT], tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{_IOT}: 151 commands in 1 start, none of them new",
        "  left out: starts that were known (1)",
        "1 start read, 0 of them new; 1152 commands are known for all cards",
    ]


def test_bank_uses_what_was_learnt(tmp_path: Path) -> None:
    learn_files([_IOT], tmp_path)
    library = Library()
    LearntFiles(tmp_path / FOLDER, NotedLog().logger).load_all(library)
    unknown = Pair(BankSlot(1, 0), ClientSlot(7, 0), b"\x3b\x00")
    own, by_atr, everything = library.models(unknown)
    assert (own.size, by_atr.size, everything.recordings) == (0, 0, (symbols(recorded("iot-modem")),))


def test_each_reset_begins_a_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two.jsonl"
    path.write_text(_IOT.read_text() * 2)
    learn_files([path], tmp_path)
    assert "\n2 starts read, 1 of them new" in capsys.readouterr().out


def test_without_a_file_there_is_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file"):
        learn_files([], tmp_path)


def frames() -> list[bytes]:
    """The recorded start of the IoT modem as GSMTAP: each command with its answer."""
    steps = load_recording(_IOT)
    commands = [step for step in steps if isinstance(step, RecordedCommand)]
    return [GSMTAP_SIM_APDU + step.tpdu + bytes(step.length or 0) + (step.sw or 0).to_bytes(2) for step in commands]


@pytest.mark.parametrize("kind", ["pcapng", "pcap"])
def test_capture_teaches_the_same_as_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    packets = [on_link(ETHERNET, in_udp(one)) for one in frames()]
    others = [on_link(ETHERNET, in_udp(b"query", port=53))] * 3
    path = tmp_path / "start"
    path.write_bytes((pcapng if kind == "pcapng" else pcap)(ETHERNET, [*others, *packets]))
    assert learn_files([path], tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"{path}: 151 commands in 1 start, 1 of them new",
        "  left out: packets that are no GSMTAP of a card (3)",
    ]
    store = LearntFiles(tmp_path / FOLDER, NotedLog().logger)
    assert store.load_general().recordings == (symbols(recorded("iot-modem")),)
    # The same again, in the other form.
    assert learn_files([_IOT], tmp_path, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {
        "files": [
            {
                "file": str(_IOT),
                "format": "json",
                "commands": 151,
                "starts": 1,
                "new": 0,
                "left_out": {"starts that were known": 1},
                "remark": None,
            }
        ],
        "starts": 1,
        "new": 0,
        "known_commands": 151,
    }


def test_capture_that_was_cut_short_is_used_up_to_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "start.pcapng"
    path.write_bytes(pcapng(BARE, frames())[:-5])
    assert learn_files([path], tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"{path}: 150 commands in 1 start, 1 of them new",
        f"  {CUT_SHORT}",
    ]


def test_what_is_too_short_or_too_long_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = '{"cmd": "00b000000a"}\n'
    path = tmp_path / "starts.jsonl"
    path.write_text(line * 3 + '{"event": "reset"}\n' + line * (MAX_RECORDING + 2))
    assert learn_files([path], tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        f"{path}: {MAX_RECORDING + 5} commands in 2 starts, 1 of them new",
        "  left out: starts of fewer than 4 commands (1)",
        f"  left out: commands beyond the first {MAX_RECORDING} of a start (2)",
    ]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "has no command of a modem$"),
        (b"hello\n", "line 1: not JSON"),
        (b"\xff\xfe{\0", "line 1: it is UTF-16 text"),
        (b" " * (MAX_LINE + 1), f"line 1: longer than {MAX_LINE} bytes"),
        (pcap(BARE, [b"x"]), "has no command of a modem: packets that are no GSMTAP of a card .1.$"),
        (pcapng(BARE, [])[:-1] + b"\1", "start: the block at byte 48 has two lengths"),
    ],
)
def test_file_of_no_use_is_refused_and_nothing_is_stored(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "start"
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match=message) as caught:
        learn_files([_IOT, path], tmp_path)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    assert not (tmp_path / FOLDER).exists()


def test_trace_teaches_what_the_modem_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    select, verify = "00a40004023f00", "0020000108" + "**" * 8
    records = [
        {"kind": "cold_reset"},
        {"kind": "atr", "response": "3b00"},
        *({"kind": "command", "origin": "modem", "command": select, "response": "6135"} for _ in range(3)),
        {"kind": "command", "origin": "guess", "command": "00b000000a", "response": "9000"},
        {"kind": "command", "origin": "modem", "command": verify, "response": "9000"},
        {"kind": "command", "origin": "modem", "command": select},
    ]
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert learn_files([path], tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        f"{path}: 4 commands in 1 start, 1 of them new",
        "  left out: commands that no modem has sent (1)",
        "  left out: commands without an answer (1)",
    ]
    store = LearntFiles(tmp_path / FOLDER, NotedLog().logger)
    assert store.load_general().recordings == ((*(bytes.fromhex(select),) * 3, bytes.fromhex("0020000108")),)
    path.write_text('{"kind": "command", "origin": "modem", "command": "0*", "response": "9000"}\n')
    with pytest.raises(ConfigError, match="line 1: its command is none"):
        learn_files([path], tmp_path)


def test_pattern_that_a_trace_hides_is_not_taken_for_one_of_unused_records(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    commands = ("00a40004022fe2", "00a2010404********", "00a2010404" + "00" * 4, "00b000000a")
    common = {"kind": "command", "origin": "modem", "response": "9000"}
    path.write_text("".join(json.dumps(common | {"command": command}) + "\n" for command in commands))
    learn_files([path], tmp_path)
    library = Library()
    LearntFiles(tmp_path / FOLDER, NotedLog().logger).load_all(library)
    *_, everything = library.models(Pair(BankSlot(1, 0), ClientSlot(7, 0), b"\x3b\x00"))
    (start,) = everything.recordings
    assert [symbol.hex() for symbol in start] == ["00a40004022fe2", "00a2010404", "00a201040400", "00b000000a"]
