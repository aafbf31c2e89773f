# SPDX-License-Identifier: Apache-2.0
"""Where the tools look for REST, whom they trust there, and when they warn of a token in clear."""

import ssl
from pathlib import Path

import httpx2
import pytest

from remsim.cli import rest as rest_module
from remsim.cli.main import main
from remsim.cli.rest import RestClient, RestTarget, authority_here
from remsim.config import CtlConfig
from remsim.core.errors import ConfigError

Environment = dict[str, str]


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    """The environment of a server's own host."""
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "authority.pem").write_text("an authority")
    return {"REMSIM_STATE_DIR": str(tmp_path)}


def target(environ: Environment, rest: str | None = None, authority: str | None = None) -> tuple[str, str | None]:
    """The URL, and the folder of the authority."""
    named = None if authority is None else Path(authority)
    found = RestTarget.of(CtlConfig(rest=rest, authority=named), environ)
    return found.base, None if found.authority is None else str(found.authority)


@pytest.mark.parametrize(
    ("rest", "base"),
    [
        (None, "https://127.0.0.1:9997"),
        ("localhost", "https://localhost:9997"),
        ("[::1]:5", "https://[::1]:5"),
        # As a server of this host is told where to listen.
        (":5", "https://127.0.0.1:5"),
        ("0.0.0.0:5", "https://127.0.0.1:5"),
        ("https://127.0.0.1:5", "https://127.0.0.1:5"),
        ("https://localhost/api/backend/v1", "https://localhost"),
    ],
)
def test_authority_of_this_hosts_server_is_found(here: Environment, rest: str | None, base: str) -> None:
    assert target(here, rest) == (base, f"{here['REMSIM_STATE_DIR']}/tls/authority.pem")


@pytest.mark.parametrize(
    ("rest", "base"),
    [
        ("http://127.0.0.1:9997", "http://127.0.0.1:9997"),
        ("lab.example", "http://lab.example:9997"),
        ("https://lab.example", "https://lab.example"),
    ],
)
def test_what_is_elsewhere_or_plain_has_nothing_to_do_with_it(here: Environment, rest: str, base: str) -> None:
    assert target(here, rest) == (base, None)


@pytest.mark.parametrize(
    ("rest", "base"),
    [(None, "https://127.0.0.1:9997"), ("lab.example:5", "https://lab.example:5"), ("https://lab", "https://lab")],
)
def test_named_authority_wins_and_means_https(here: Environment, rest: str | None, base: str) -> None:
    assert target(here, rest, "copy.pem") == (base, "copy.pem")


def test_host_without_a_server_is_asked_in_plain(tmp_path: Path) -> None:
    assert target({"REMSIM_STATE_DIR": str(tmp_path)}) == ("http://127.0.0.1:9997", None)
    assert target({}) == ("http://127.0.0.1:9997", None)


def test_default_state_directory_is_looked_into(tmp_path: Path) -> None:
    folder = tmp_path / "remsim" / "server" / "tls"
    folder.mkdir(parents=True)
    assert authority_here({"XDG_STATE_HOME": str(tmp_path)}) is None
    (folder / "authority.pem").touch()
    assert authority_here({"XDG_STATE_HOME": str(tmp_path)}) == folder / "authority.pem"


@pytest.mark.parametrize("rest", ["ftp://h", "http://", "h:x"])
def test_server_that_cannot_be_one_is_refused(rest: str) -> None:
    with pytest.raises(ConfigError):
        RestTarget.of(CtlConfig(rest=rest), {})


@pytest.mark.parametrize(
    ("base", "reveals"),
    [
        ("http://192.0.2.1:9997", True),
        ("http://lab.example", True),
        ("https://lab.example", False),
        ("http://127.0.0.1:9997", False),
        ("http://localhost", False),
        ("http://[::1]:1", False),
    ],
)
def test_token_is_revealed_by_plain_http_over_a_network(base: str, reveals: bool) -> None:
    assert RestTarget(base).reveals_token() is reveals


def test_token_in_clear_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"banks": []})

    def connect(base: str, *, token: str | None, timeout_s: float, tls: ssl.SSLContext | None) -> RestClient:
        return RestClient(base, token=token, timeout_s=timeout_s, tls=tls, transport=httpx2.MockTransport(answer))

    monkeypatch.setattr(rest_module, "RestClient", connect)
    monkeypatch.setenv("REMSIM_STATE_DIR", str(tmp_path))
    assert main(["ctl", "--rest", "192.0.2.1", "banks"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("REMSIM_TOKEN", "t")
    assert main(["ctl", "--rest", "192.0.2.1", "banks"]) == 0
    error = capsys.readouterr().err
    assert error.startswith(
        "remsim ctl: warning: the token goes to http://192.0.2.1:9997 in the clear: anyone on the path"
    )
    assert error.endswith("; hint: use https, and --authority FILE\n")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "that is a port for clients and banks; REST has one of its own, 9997"),
        ("WRONG_VERSION_NUMBER", "its REST is plain: write http://HOST:PORT; the port is 9997 by default"),
    ],
)
def test_port_that_is_not_that_of_rest_is_told_as_one(reason: str, hint: str) -> None:
    """REST asks nobody for a certificate; the ports for RSPRO do."""
    error = ssl.SSLError(1, "text")
    error.reason = reason
    found = rest_module._tls_refusal("https://h:1", error)
    assert str(found).startswith("https://h:1 is not asked: the peer ")
    assert hint in found.hint
