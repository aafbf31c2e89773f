# SPDX-License-Identifier: Apache-2.0
"""The measurements run and tell what they promise; how fast anything is, is not asserted anywhere."""

import json
import os
import shutil
import sys
from pathlib import Path

import psutil
import pytest

from bench.certificates import Lab
from bench.startup import COMMANDS, SERVICES
from remsim.core.identity import Identity
from tests.doubles.programs import Program
from tests.reference import ROOT, reference

_TIMEOUT_S = 120.0


Row = dict[str, object]


def _bench(tmp_path: Path, *arguments: str, env: dict[str, str] | None = None) -> list[Row]:
    """Run one measurement; the rows of its JSON file."""
    return _document(tmp_path, *arguments, env=env)["rows"]


def _document(tmp_path: Path, *arguments: str, env: dict[str, str] | None = None) -> dict[str, list[Row]]:
    """Run one measurement; the tables of its JSON file."""
    figures = tmp_path / "figures.json"
    with Program([sys.executable, "-m", "bench", *arguments, "--json", str(figures)], env=env) as program:
        assert program.wait(_TIMEOUT_S) == 0, program.describe()
    document = json.loads(figures.read_text(encoding="utf-8"))
    assert document["machine"]["processors"] >= 1
    found: dict[str, list[Row]] = {name: rows for name, rows in document.items() if isinstance(rows, list)}
    return found


@pytest.mark.timeout(180)
def test_start_of_every_program_is_told_as_ratio_to_the_interpreter(tmp_path: Path) -> None:
    rows = _bench(tmp_path, "startup", "--rounds", "1")
    assert [row["program"] for row in rows] == ["python -c pass", *COMMANDS, *SERVICES]
    assert all(row["CPU s"] and row["ratio"] for row in rows)


_STARTER = """\
import os, sys
from bench.startup import started
program = started([sys.executable, "-c", sys.argv[1], sys.argv[2]], dict(os.environ))
print(program.pid, flush=True)
program.wait()
"""
_STARTED = "import signal, sys; open(sys.argv[1], 'w').close(); signal.pause()"


def test_program_whose_start_is_measured_ends_with_the_measurement_that_is_killed(tmp_path: Path) -> None:
    is_up = tmp_path / "is_up"
    os.mkfifo(is_up)
    with Program([sys.executable, "-c", _STARTER, _STARTED, str(is_up)]) as starter:
        pid = int(starter.wait_for_stdout(r"^(\d+)$")[1])
        # Ends when the program has opened its end.
        is_up.read_bytes()
        measured = psutil.Process(pid)
        starter.kill()
        _, alive = psutil.wait_procs([measured], timeout=_TIMEOUT_S)
    assert not alive


@pytest.mark.timeout(180)
def test_round_trip_is_told_for_all_cards_as_ratio_to_the_echo(tmp_path: Path) -> None:
    reference("tools", "stub_pcsc.c")
    rows = _bench(tmp_path, "roundtrip", "--sessions", "1", "3", "--seconds", "0.3")
    assert [(row["sessions"], row["target"]) for row in rows] == [
        (sessions, target) for sessions in (1, 3) for target in ("echo", "inline", "pcsc")
    ]
    assert all(row["TPDU/s"] and row["p50 ratio"] for row in rows)


@pytest.mark.timeout(180)
def test_round_trip_with_resume_offered_is_told_as_ratio_to_that_without(tmp_path: Path) -> None:
    rows = _bench(tmp_path, "roundtrip", "--resume", "--sessions", "1", "3", "--seconds", "0.3", "--rounds", "2")
    assert [(row["sessions"], row["pair"]) for row in rows] == [
        (sessions, pair) for sessions in (1, 3) for pair in (1, 2, "median")
    ]
    assert all(row["TPDU/s"] and row["p50 ratio"] and row["rate ratio"] for row in rows)


@pytest.mark.timeout(180)
def test_processor_time_with_resume_is_told_as_ratio_to_that_without(tmp_path: Path) -> None:
    rows = _bench(tmp_path, "resume", "--rounds", "2", "--commands", "20")
    assert [row["figure"] for row in rows] == ["smallest", "median"]
    assert all(row["CPU µs/TPDU"] and row["CPU µs/TPDU, resume"] and row["ratio"] for row in rows)


@pytest.mark.timeout(180)
def test_round_trip_needs_no_compiler(tmp_path: Path) -> None:
    # What starts a program is on PATH, a compiler is not.
    starter = shutil.which("setpriv")
    assert starter is not None
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "setpriv").symlink_to(starter)
    rows = _bench(tmp_path, *("roundtrip", "--sessions", "2", "--seconds", "0.5"), env={"PATH": str(bin_)})
    assert [row["target"] for row in rows] == ["echo", "inline"]


@pytest.mark.timeout(180)
def test_both_readers_of_pcsc_are_told_by_rate_and_by_processor_time(tmp_path: Path) -> None:
    options = ("--sessions", "17", "--seconds", "0.5", "--rounds", "1", "--mute-commands", "200")
    rows = _bench(tmp_path, "pcscd", *options)
    # Seventeen are more than a library lists, so they are two banks of pcsc.
    assert [(row["sessions"], row["reader"]) for row in rows] == [
        (17, "pcsc"),
        (17, "pcscd"),
        (17, "in one"),
    ]
    assert all(row["TPDU/s"] and row["TPDU/CPU s"] and row["p99/p50"] for row in rows)
    for row in rows:
        assert (row["rate ratio"] is None, row["CPU ratio"] is None) == (row["reader"] == "pcsc",) * 2


@pytest.mark.timeout(180)
def test_server_takes_its_clients_and_configures_them(tmp_path: Path) -> None:
    rows = _bench(tmp_path, "server", "--clients", "60", "--storm", "20", "--mappings", "10")
    told = {row["figure"]: row["value"] for row in rows}
    assert told["clients accepted, all at once"] == 20
    assert told["POST to client configured, 1 at a time: clients configured"] == 10
    assert told["GET /clients: listed"] == 60
    assert told["connections lost meanwhile"] == 0


@pytest.mark.timeout(180)
def test_added_time_of_a_client_with_several_modems_is_told(tmp_path: Path) -> None:
    rows = _bench(tmp_path, "modem", "--slots", "1", "2", "--commands", "40")
    assert [(row["slots"], row["modems"], row["TPDUs"]) for row in rows] == [
        (1, "paced", 40),
        (2, "paced", 80),
        (1, "no pause", 40),
        (2, "no pause", 80),
    ]
    assert all(row["p99 µs"] for row in rows)


@pytest.mark.timeout(180)
def test_garbage_breaks_no_session_and_what_it_costs_is_told(tmp_path: Path) -> None:
    rows = _bench(
        tmp_path,
        *("garbage", "--sessions", "4", "--connections", "60", "--knocks", "200"),
        *("--seconds", "1.5", "--rounds", "2", "--behind", "low"),
    )
    assert [(row["listener"], row["round"]) for row in rows] == [
        (listener, label) for listener in ("plain", "TLS") for label in (1, 2, "median")
    ]
    for row in rows:
        assert row["broken"] == 0
        assert row["p99 ratio"]
        assert row["PING p99 ratio"]
        assert row["open"]
        assert row["connects/s"]
        assert row["kB/s"]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fresh", [[], ["--fresh", "4096"]])
def test_flood_of_pings_breaks_no_session_and_both_programs_end_in_order(tmp_path: Path, fresh: list[str]) -> None:
    tables = _document(tmp_path, "flood", "--connections", "10", "--seconds", "1", "--rounds", "1", *fresh)
    assert [row["round"] for row in tables["rows"]] == [1, "median"]
    for row in tables["rows"]:
        assert row["broken"] == 0
        assert row["p99 µs"]
        assert row["p99 µs, flood"]
        assert row["PING kB/s"]
    assert [(row["program"], row["status"]) for row in tables["ends"]] == [("bankd", 0), ("server", 0)]


@pytest.mark.timeout(180)
def test_cost_of_tls_is_told_and_a_storm_of_clients_is_let_in(tmp_path: Path) -> None:
    tables = _document(
        tmp_path,
        *("tls", "--sessions", "1", "3", "--seconds", "0.3", "--rounds", "1"),
        *("--clients", "7", "--storms", "2", "--certificates", str(tmp_path / "lab")),
    )
    assert [row["sessions"] for row in tables["rows"]] == [1, 3]
    assert all(row["p50 ratio"] and row["p99 ratio"] for row in tables["rows"])
    assert [(row["storm"], row["accepted"], row["refusals"]) for row in tables["storms"]] == [(1, 7, 0), (2, 7, 0)]
    assert all(row["p99 ms"] and row["handshakes/s"] for row in tables["storms"])


def test_certificates_in_a_folder_serve_the_next_measurement_too(tmp_path: Path) -> None:
    client = Identity.client(7)
    first = Lab(tmp_path).credentials(client).certificate_pem()
    assert Lab(tmp_path).credentials(client).certificate_pem() == first


@pytest.mark.timeout(180)
def test_cost_of_the_guard_is_told_for_each_command(tmp_path: Path) -> None:
    rows = _bench(tmp_path, "guard", "--seconds", "0.3", "--rounds", "1")
    assert [row["command"] for row in rows] == ["SELECT", "READ BINARY", "READ RECORD", "STATUS"]
    assert all(row["p50 ratio"] and row["guard's own µs"] for row in rows)


def test_cost_of_a_trace_is_told_for_those_who_are_not_watched(tmp_path: Path) -> None:
    rows = _bench(tmp_path, "trace", "--sessions", "2", "--seconds", "0.4", "--rounds", "1", "--before", str(ROOT))
    assert [row["case"] for row in rows] == [
        "no slot is watched",
        "an idle slot is watched",
        "one of the sessions is watched",
        "before there were traces",
    ]
    assert all(row["p50 ratio"] and row["TPDU/s"] for row in rows)


@pytest.mark.timeout(180)
def test_start_from_far_away_is_told_with_and_without_answers_ahead(tmp_path: Path) -> None:
    trace = reference("traces", "iot-modem-boot.jsonl")
    (row,) = _bench(tmp_path, "boot", "--rtt", "60", "--tolerance", "9", "--trace", str(trace))
    assert row["alone, s"]
    assert all(row[f"{kind}, ×"] for kind in ("cold", "other model", "warm", "warm, changed", "perfect"))


def _assert_undisturbed(row: Row) -> None:
    assert row["links hit"]
    assert row["held"] == row["resumed"] != 0
    assert row["boots complete"] == row["boots begun"] != 0
    assert row["modem resets"] == row["lost"] == row["doubled"] == row["not as recorded"] == 0


@pytest.mark.timeout(180)
def test_cuts_reset_no_modem_and_lose_and_double_no_command(tmp_path: Path) -> None:
    rows = _bench(tmp_path, "cuts", "--fault", "cut", "--slots", "3", "--seconds", "2", "--card-time-ms", "1")
    assert [(row["fault"], row["resume"]) for row in rows] == [("cut", "always"), ("cut", "off")]
    held, contrast = rows
    _assert_undisturbed(held)
    # Without resume the same faults are noticed, so they are real.
    assert contrast["held"] == 0
    assert contrast["modem resets"]
    assert contrast["lost"]
    assert contrast["doubled"] == 0


@pytest.mark.timeout(180)
def test_frozen_links_reset_no_modem_and_lose_and_double_no_command(tmp_path: Path) -> None:
    options = ("--resume", "always", "--slots", "3", "--seconds", "2", "--card-time-ms", "1")
    (row,) = _bench(tmp_path, "cuts", "--fault", "freeze", *options)
    _assert_undisturbed(row)
