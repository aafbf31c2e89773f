# SPDX-License-Identifier: Apache-2.0
"""The classic REST tool: its calls, its output (rsres.md, section 6), and its exit statuses."""

import ssl
from pathlib import Path

import httpx2
import pytest

from remsim.cli import rest as rest_module
from remsim.cli.classic import apitool as run_tool
from remsim.cli.rest import RestClient

Server = list[httpx2.Request]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    """The requests that the server has seen. It knows no bank 7."""
    seen: Server = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        path = request.url.path.removeprefix("/api/backend/v1")
        if request.method != "GET":
            return httpx2.Response(409 if b"1023" in request.content else 201)
        if path == "/banks/7":
            return httpx2.Response(404)
        return httpx2.Response(200) if path == "/clients/9" else httpx2.Response(200, json={path[1:]: [{"ok": True}]})

    def connect(base: str, *, token: str | None, timeout_s: float, tls: ssl.SSLContext | None) -> RestClient:
        return RestClient(base, token=token, timeout_s=timeout_s, tls=tls, transport=httpx2.MockTransport(answer))

    monkeypatch.setattr(rest_module, "RestClient", connect)
    monkeypatch.setenv("REMSIM_STATE_DIR", str(tmp_path))
    return seen


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-c", "/clients: {'clients': [{'ok': True}]}\n"),
        ("-b 3", "/banks/3: {'banks/3': [{'ok': True}]}\n"),
        ("-s", "/slotmaps: {'slotmaps': [{'ok': True}]}\n"),
        ("-s --json", '{"slotmaps": [{"ok": true}]}\n'),
        ("-c 9", ""),
        ("-m 1 2 7 0", ""),
        ("-d 1 2", ""),
        ("-r", ""),
        ("-r -v", "POST http://127.0.0.1:9997/api/backend/v1/global-reset\n"),
        ("-d 1 2 -v -H ::1 -p 5", "DELETE http://[::1]:5/api/backend/v1/slotmaps/65538\n"),
        ("-r -v -p 5", "POST http://127.0.0.1:5/api/backend/v1/global-reset\n"),
        ("-r -v -H https://lab.example", "POST https://lab.example:9997/api/backend/v1/global-reset\n"),
    ],
)
@pytest.mark.usefixtures("server")
def test_output_is_the_classic_one(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tool(words.split()) == 0
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("words", ["", "-a"])
def test_nothing_and_all_show_three_lists(server: Server, words: str) -> None:
    assert run_tool(words.split()) == 0
    assert [request.url.path.rpartition("/")[2] for request in server] == ["clients", "banks", "slotmaps"]


@pytest.mark.parametrize(
    "words", ["--show-clients --show-banks --show-slotmaps", "-c -b -s", "--clients --slotmaps -b"]
)
def test_several_lists_are_shown_in_one_call(server: Server, words: str) -> None:
    assert run_tool(words.split()) == 0
    assert [request.url.path.rpartition("/")[2] for request in server] == ["clients", "banks", "slotmaps"]
    # A server of ours tells more than v1 to who asks.
    assert {request.url.query for request in server} == {b"more=true"}


@pytest.mark.parametrize("words", ["-c -a", "--show-banks -r", "-s -m 1 0 7 0", "-b 1 -d 1 0", "-a -r"])
def test_showing_and_doing_exclude_each_other(server: Server, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tool(words.split()) == 2
    assert server == []
    error = capsys.readouterr().err
    assert "not allowed with" in error
    assert error.endswith("; hint: see remsim-apitool -h\n")


@pytest.mark.usefixtures("server")
def test_verbose_creation_shows_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tool(["-v", "-m", "1", "2", "7", "0"]) == 0
    assert '/slotmaps {"bank": {"bankId": 1, "slotNr": 2}, "client"' in capsys.readouterr().out


@pytest.mark.parametrize(("words", "status"), [("-b 7", 1), ("-m 1023 0 1 0", 1)])
@pytest.mark.usefixtures("server")
def test_failure_has_a_status(words: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tool(words.split()) == status
    assert capsys.readouterr().err.count("\n") == 1
