# SPDX-License-Identifier: Apache-2.0
"""What ``remsim ctl`` tells about slots, clients and mappings, and how it asks and fails."""

import io
import json
import re
import ssl
from pathlib import Path

import httpx2
import pytest

from remsim.cli import rest as rest_module
from remsim.cli.ctl import main as ctl_main
from remsim.cli.main import main
from remsim.cli.rest import RestClient

Json = dict[str, object]

ACTIVE: Json = {"bank": {"bankId": 1, "slotNr": 0}, "client": {"clientId": 7, "slotNr": 0}, "state": "ACTIVE"}
BANK: Json = {"peer": "B1", "state": "CONNECTED_BANKD", "bankId": 1, "numberOfSlots": 3}


class Server:
    """Answers from ``lists``; POST is answered with ``status``."""

    def __init__(self) -> None:
        self.lists: dict[str, list[Json]] = {"slotmaps": [], "clients": [], "banks": []}
        self.single: dict[str, Json] = {}
        self.status = 201
        self.seen: list[str] = []
        #: What the list of mappings becomes with a successful POST, one after another.
        self.after: list[list[Json]] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path.removeprefix("/api/backend/v1/")
        self.seen.append(f"{request.method} {path}")
        if request.method != "GET":
            body = {"error": {"code": "conflict", "message": "B1:0 is mapped", "hint": "unmap it"}}
            return httpx2.Response(self.status) if self.status < 300 else httpx2.Response(self.status, json=body)
        if path == "slotmaps" and self.after:
            self.lists["slotmaps"] = self.after.pop(0)
        if path in self.single:
            return httpx2.Response(200, json=self.single[path])
        return httpx2.Response(200, json={path: self.lists[path]}) if path in self.lists else httpx2.Response(404)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    made = Server()

    def connect(base: str, *, token: str | None, timeout_s: float, tls: ssl.SSLContext | None) -> RestClient:
        transport = httpx2.MockTransport(made.answer)
        return RestClient(base, token=token, timeout_s=timeout_s, tls=tls, transport=transport)

    monkeypatch.setattr(rest_module, "RestClient", connect)
    monkeypatch.setattr(ctl_main, "_LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr(ctl_main, "SETTLING_S", 0.05)
    monkeypatch.setenv("REMSIM_STATE_DIR", str(tmp_path))
    return made


def run(words: str) -> int:
    return main(["ctl", *words.split()])


def rows(text: str) -> list[list[str]]:
    """The cells of each line of a table, or of several."""
    return [re.split(r"  +", line.strip()) for line in text.splitlines() if line.strip()]


def test_bank_shows_its_slots(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    missing = ACTIVE | {"bank": {"bankId": 1, "slotNr": 1}, "problem": "there is no card in the slot, or no reader"}
    server.single["banks/1"] = BANK | {
        "slots": [
            {"slotNr": 0, "iccid": "890010…0018", "mapping": ACTIVE},
            {"slotNr": 1, "cardPresent": False, "mapping": missing},
            {"slotNr": 2},
        ]
    }
    assert run("banks 1") == 0
    _head, _bank, head, *slots = rows(capsys.readouterr().out)
    assert head == ["SLOT", "CARD", "ICCID", "CLIENT SLOT", "STATE", "PROBLEM"]
    assert slots == [
        ["0", "yes", "890010…0018", "C7:0", "ACTIVE"],
        ["1", "no", "C7:0", "ACTIVE", "there is no card in the slot, or no reader"],
        ["2"],
    ]


def test_readers_are_shown_where_the_bankd_tells(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    suspended = {"state": "suspended", "failures": 4, "cause": "card mute"}
    server.single["banks/1"] = BANK | {
        "slots": [
            {"slotNr": 0, "readerName": "ACME 00", "cardPresent": True},
            {"slotNr": 1, "readerName": "ACME 01", "reader": suspended},
            {"slotNr": 2, "reader": suspended},
        ]
    }
    assert run("banks 1") == 0
    assert rows(capsys.readouterr().out)[2:] == [
        ["SLOT", "READER", "CARD", "ICCID", "CLIENT SLOT", "STATE", "PROBLEM"],
        ["0", "ACME 00", "yes"],
        ["1", "ACME 01 (suspended)"],
        ["2", "suspended"],
    ]


def test_bank_that_does_not_report_cards_has_a_blank(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.lists["banks"] = [BANK]
    assert run("banks") == 0
    assert rows(capsys.readouterr().out)[1] == ["B1", "CONNECTED_BANKD", "3"]


def test_clients_show_their_mapping_and_its_problem(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.lists["clients"] = [
        {"peer": "C7:0", "state": "CONNECTED_CLIENT", "mapping": ACTIVE},
        {"peer": "C8:0", "state": "CONNECTED_CLIENT", "mapping": ACTIVE | {"problem": "bank 1 is not connected"}},
        {"peer": "C9:0", "state": "CONNECTED_CLIENT"},
    ]
    assert run("clients") == 0
    assert rows(capsys.readouterr().out) == [
        ["CLIENT", "BANK SLOT", "STATE", "NAME", "SOFTWARE", "PROBLEM"],
        ["C7:0", "B1:0", "ACTIVE"],
        ["C8:0", "B1:0", "ACTIVE", "bank 1 is not connected"],
        ["C9:0", "CONNECTED_CLIENT"],
    ]


def test_what_a_mapping_lacks_is_in_the_words_of_the_server(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    told = ["bank 1 is not connected since 2026-01-01", "client C7:0 was never connected"]
    server.lists["slotmaps"] = [
        ACTIVE | {"missing": told, "problem": "bank 1 is not connected", "clientConnected": False}
    ]
    server.lists["slotmaps"] += [ACTIVE | {"missing": [], "clientConnected": True}]
    assert run("mappings") == 0
    assert [row[3:] for row in rows(capsys.readouterr().out)[1:]] == [["; ".join(told)], []]


def test_mappings_of_an_older_server_say_whose_client_is_absent(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.lists["slotmaps"] = [ACTIVE | {"clientConnected": False}, ACTIVE | {"result": "illegalSlotId"}]
    assert run("mappings") == 0
    assert [row[3:] for row in rows(capsys.readouterr().out)[1:]] == [["client is not connected"], ["illegalSlotId"]]


def test_mapping_to_a_slot_without_a_card_says_so(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """The bankd's answer comes first, what it says about the card behind it."""
    unacknowledged = ACTIVE | {"state": "UNACKNOWLEDGED"}
    problem = "there is no card in the slot, or no reader"
    server.after = [[unacknowledged], [ACTIVE], [ACTIVE | {"problem": problem}]]
    assert run("map 1:0 7:0") == 0
    assert capsys.readouterr().out == f"mapped B1:0 to C7:0; {problem}\n"
    server.after = [[ACTIVE], [ACTIVE | {"problem": problem}]]
    assert run("map 1:0 7:0 --json") == 0
    assert json.loads(capsys.readouterr().out) == ACTIVE | {"problem": problem}


def test_bankd_that_does_not_answer_is_not_waited_for(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.lists["slotmaps"] = [ACTIVE | {"state": "UNACKNOWLEDGED"}]
    assert run("map 1:0 7:0") == 0
    assert capsys.readouterr().out == "mapped B1:0 to C7:0\n"


@pytest.mark.parametrize("status", [409, 400])
def test_same_mapping_again_is_a_success(server: Server, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """400 is what the C server says."""
    server.status, server.lists["slotmaps"] = status, [ACTIVE]
    assert run("map 1:0 7:0") == 0
    assert capsys.readouterr().out == "B1:0 is mapped to C7:0 already\n"
    assert run("map 1:0 8:0") == 1
    assert "B1:0 is mapped (HTTP 4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "code", "message"),
    [
        ("banks 9", 1, "404", "the server does not know it (HTTP 404)"),
        ("map 1:0 8:0", 1, "conflict", "B1:0 is mapped (HTTP 409)"),
        ("clients 5", 1, "failed", "client C5 is not connected"),
        ("banks 5000", 2, "failed", "bank id 5000 is outside 0..1023"),
        ("map 1:0", 2, "failed", "CLIENT_SLOT"),
        ("reset", 2, "failed", "reset deletes all mappings and asks before"),
    ],
)
def test_with_json_errors_are_json(
    server: Server, words: str, status: int, code: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status = 409
    for line in (f"{words} --json", f"--json {words}"):
        assert run(line) == status
        said = capsys.readouterr()
        error = json.loads(said.out)["error"]
        assert error["code"] == code
        assert message in error["message"]
        assert said.err == ""


class Terminal(io.StringIO):
    """Somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "is_done"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_reset_asks_before(
    server: Server,
    typed: str,
    is_done: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.lists["slotmaps"] = [ACTIVE, ACTIVE]
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert run("reset") == (0 if is_done else 1)
    assert ("POST global-reset" in server.seen) == is_done
    assert "Delete all 2 mappings?" in capsys.readouterr().err


def test_reset_without_a_terminal_wants_yes(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run("reset") == 2
    assert "hint: add --yes" in capsys.readouterr().err
    assert run("reset --yes") == 0
    assert server.seen == ["POST global-reset"]


@pytest.mark.usefixtures("server")
def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    listed = capsys.readouterr().out
    for name in ("audit", "banks", "clients", "global-reset", "map", "mappings", "policy", "unmap"):
        assert re.search(rf"│ {name}\b", listed), name
    assert "policy check FILE" in " ".join(listed.replace("│", " ").split())
