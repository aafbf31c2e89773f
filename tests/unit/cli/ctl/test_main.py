# SPDX-License-Identifier: Apache-2.0
"""``remsim ctl`` against a server that is a function."""

import json
import ssl
from pathlib import Path

import httpx2
import pytest

from remsim.cli import rest as rest_module
from remsim.cli.main import main
from remsim.cli.rest import RestClient

IDENTITY = {"type_": "remsimBankd", "name": "ra[red]ck\n", "software": "remsim-bankd", "swVersion": "1"}
BANK = {
    "peer": "B1",
    "state": "CONNECTED_BANKD",
    "component_id": IDENTITY,
    "bankId": 1,
    "numberOfSlots": 4,
    "knownCards": 3,
}
CLIENTS = [
    {"peer": "C7:0", "state": "CONNECTED_CLIENT", "component_id": {"name": "modem"}},
    {"peer": "C7:1", "state": "CONNECTED_CLIENT"},
    {"peer": "C70:0", "state": "CONNECTED_CLIENT"},
]


def _mapping(bank: int, slot: int, client: int) -> dict[str, object]:
    return {"bank": {"bankId": bank, "slotNr": slot}, "client": {"clientId": client, "slotNr": 0}, "state": "ACTIVE"}


BODIES = {
    "/banks": {"banks": [BANK]},
    "/banks/1": BANK,
    "/clients": {"clients": CLIENTS},
    "/slotmaps": {"slotmaps": [_mapping(1, 0, 7), _mapping(1, 1, 70), {"bank": 3}]},
}

Server = list[httpx2.Request]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    """The requests that the server has seen."""
    seen: Server = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        body = BODIES.get(request.url.path.removeprefix("/api/backend/v1"))
        if request.method != "GET":
            return httpx2.Response(201)
        return httpx2.Response(200) if body is None else httpx2.Response(200, json=body)

    def connect(base: str, *, token: str | None, timeout_s: float, tls: ssl.SSLContext | None) -> RestClient:
        return RestClient(base, token=token, timeout_s=timeout_s, tls=tls, transport=httpx2.MockTransport(answer))

    monkeypatch.setattr(rest_module, "RestClient", connect)
    monkeypatch.setenv("REMSIM_STATE_DIR", str(tmp_path))
    return seen


def run(words: str) -> int:
    return main(["ctl", *words.split()])


def _lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_banks_are_a_table_with_texts_escaped(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--rest http://h:1 banks") == 0
    assert server[0].url.host == "h"
    assert _lines(capsys.readouterr().out) == [
        ["BANK", "STATE", "SLOTS", "CARDS", "NAME", "SOFTWARE"],
        ["B1", "CONNECTED_BANKD", "4", "3", "ra[red]ck\\n", "remsim-bankd", "1"],
    ]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("bank", ["1", "B1", "b1"])
def test_one_bank_as_json(bank: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"banks {bank} --json") == 0
    assert json.loads(capsys.readouterr().out) == BANK


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("clients", ["C7:0", "C7:1", "C70:0"]),
        ("clients 7", ["C7:0", "C7:1"]),
        ("clients c7", ["C7:0", "C7:1"]),
        ("clients 7:1", ["C7:1"]),
        ("clients C70:0", ["C70:0"]),
        ("mappings", ["B1:0", "B1:1", "?"]),
        ("mappings B1", ["B1:0", "B1:1"]),
        ("mappings C7", ["B1:0"]),
        ("mappings C70:0", ["B1:1"]),
        ("mappings 1:1", ["B1:1"]),
        ("slotmaps 65536", ["B1:0"]),
        ("mappings B2", []),
    ],
)
def test_lists_can_be_narrowed(words: str, expected: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 0
    lines = _lines(capsys.readouterr().out)
    assert [line[0] for line in lines[1:]] == expected
    assert run(f"{words} --json") == 0
    assert len(json.loads(capsys.readouterr().out)) == len(expected)


@pytest.mark.parametrize(
    ("words", "method", "path", "said"),
    [
        ("map 1:0 7:0", "POST", "/slotmaps", "mapped B1:0 to C7:0\n"),
        ("map b1:0 c7:0", "POST", "/slotmaps", "mapped B1:0 to C7:0\n"),
        ("create B1:0 C7:0", "POST", "/slotmaps", "mapped B1:0 to C7:0\n"),
        ("unmap 1:2", "DELETE", "/slotmaps/65538", "unmapped B1:2\n"),
        ("delete 65538", "DELETE", "/slotmaps/65538", "unmapped B1:2\n"),
        ("reset --yes", "POST", "/global-reset", "all mappings are deleted\n"),
        ("global-reset --yes", "POST", "/global-reset", "all mappings are deleted\n"),
    ],
)
def test_changes_are_asked_for_and_told(
    server: Server, words: str, method: str, path: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 0
    assert (server[0].method, server[0].url.path) == (method, f"/api/backend/v1{path}")
    assert capsys.readouterr().out == said
    assert run(f"{words} --json") == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("banks 7", 1),
        ("clients 8", 1),
        ("clients 7:5", 1),
        ("mappings 5:5", 1),
        ("mappings B5000", 2),
        ("mappings C7:x", 2),
        ("mappings x", 2),
        ("banks C1", 2),
        ("banks 5000", 2),
        ("clients x", 2),
        ("map 7:0", 2),
        ("map C7:0 B1:0", 2),
        ("unmap x", 2),
        ("--rest ftp://h banks", 2),
        ("--rest", 2),
        ("banks --nope", 2),
    ],
)
@pytest.mark.usefixtures("server")
def test_failure_is_one_line_and_a_status(words: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == status
    output = capsys.readouterr()
    assert output.err.startswith("remsim ctl: ")
    assert output.err.count("\n") == 1


@pytest.mark.parametrize("words", ["", "--help", "map --help"])
def test_help_asks_no_server(server: Server, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 0
    assert "Usage: remsim ctl" in capsys.readouterr().out
    assert not server


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("", 0, "1 rule, by default deny"),
        (
            "B1:0 C7:0",
            1,
            "refused: B1:0, whose card's number is not known, is not among what client rule 1 allows C7:0",
        ),
        ("B1:0 C7:0 --number 8900101000000000018", 0, "allowed: client rule 1 allows B1:0 for C7:0"),
        ("B1:0 C7:0 --number 8900109990000000013", 1, "refused: B1:0 is not among what client rule 1 allows C7:0"),
        ("B1:0 C7:0 --number 8900*", 2, "--number is no ICCID; hint: "),
        ("--number 89", 2, "--number says which card is in BANK:SLOT; hint: "),
    ],
)
def test_policy_is_asked_about_a_card(
    tmp_path: Path, words: str, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "policy.toml"
    rules.write_text('default = "deny"\n[[client]]\nclient = "7"\nnumbers = "89001010*"\n')
    assert run(f"policy check {rules} {words}") == status
    output = capsys.readouterr()
    assert said in output.out + output.err


def test_token_comes_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMSIM_TOKEN", "t")
    monkeypatch.setenv("REMSIM_REST", "h:5")
    assert run("reset --yes") == 0
    assert server[0].headers["authorization"] == "Bearer t"
    assert server[0].url.port == 5
