# SPDX-License-Identifier: Apache-2.0
"""Tables for people: on a terminal, without one, and empty."""

import sys

import pytest

from remsim.cli import tables
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
