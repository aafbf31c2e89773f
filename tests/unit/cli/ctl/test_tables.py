# SPDX-License-Identifier: Apache-2.0
"""Tables for people: on a terminal, without one, and empty."""

import re
import sys

import pytest

from remsim.cli.ctl import tables
from remsim.cli.rest import JsonObject


@pytest.mark.parametrize(
    ("show", "said"),
    [
        (tables.print_banks, "no bank is connected"),
        (tables.print_clients, "no client is connected"),
        (tables.print_mappings, "nothing is mapped"),
    ],
)
def test_empty_list_is_said_in_words(show: tables.Printer, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    show([])
    assert capsys.readouterr().out.strip() == said


def test_line_is_not_folded_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    client: JsonObject = {
        "peer": "C1:0",
        "component_id": {"name": "n" * 32, "software": "s" * 32, "swVersion": "v" * 32},
    }
    tables.print_clients([client])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_refused_mapping_shows_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    mapping: JsonObject = {
        "bank": {"bankId": 1, "slotNr": 9},
        "client": {},
        "state": "UNACKNOWLEDGED",
        "result": "illegalSlotId",
    }
    tables.print_mappings([mapping])
    assert capsys.readouterr().out.splitlines()[1].split() == ["B1:9", "C?:?", "UNACKNOWLEDGED", "illegalSlotId"]


def test_terminal_gets_a_frame(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    tables.print_banks([{"peer": "B1", "state": "CONNECTED_BANKD"}])
    assert "─" in capsys.readouterr().out


def test_contested_bank_shows_by_whom(capsys: pytest.CaptureFixture[str]) -> None:
    bank = {"peer": "B1", "state": "CONNECTED_BANKD", "numberOfSlots": 8, "contestedBy": "192.0.2.2"}
    tables.print_banks([bank])
    assert "CONNECTED_BANKD, contested by 192.0.2.2" in capsys.readouterr().out


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on the terminal, without their colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()


def make_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let standard output, as it is during a test, be a terminal of 80 columns."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")


MISSING = "client C8:0 was never connected"
SLOT = ["B1:0", "present", "890010…0019", "roaming", "contact", "C1023:1023", "refused", MISSING]
LEASE = ["1234", "label:roaming", "C7:0", "waiting", "", "2026-11-30T03:33:28Z", "its mapping was deleted"]


@pytest.mark.parametrize(("table", "row"), [(tables.SLOTS, SLOT), (tables.LEASES, LEASE)])
def test_narrow_terminal_folds_sentences_and_cuts_nothing(
    table: tables.TableOf, row: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_narrow(monkeypatch)
    tables.print_rows(table, [row, row])
    lines = shown(capsys)
    assert max(map(len, lines)) <= 80
    first = next(line for line in lines if line.startswith(row[0]))
    for cell in row[:-1]:
        assert cell in first
    assert "…" not in "".join(lines).replace("890010…0019", "")
    (_, *words) = row[-1].split()
    assert all(any(word in line for line in lines) for word in words)


WARNING = [
    "error",
    "C1023:1023",
    "mapping-not-operational",
    "59 min",
    f"C8:0 cannot use B1:0: {MISSING}",
    "see the log",
]


def test_narrow_terminal_says_what_to_do_below_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_narrow(monkeypatch)
    tables.print_warnings([WARNING])
    lines = shown(capsys)
    assert max(map(len, lines)) <= 80
    (first, second) = [place for place, line in enumerate(lines) if WARNING[2] in line or "→ see the log" in line]
    assert first < second
    assert "error" in lines[first + 1]


def test_warning_is_one_line_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_warnings([WARNING])
    (_, line) = capsys.readouterr().out.splitlines()
    assert re.split(r" {2,}", line.strip()) == WARNING
