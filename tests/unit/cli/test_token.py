# SPDX-License-Identifier: Apache-2.0
"""``remsim token``: makes, lists and revokes on a database of its own; the text goes to stdout alone."""

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from remsim.cli.main import main
from remsim.config import ServerConfig
from remsim.server.core.tokens import token_id_of
from remsim.server.store import database


async def make_database(state: Path) -> None:
    """What a server makes at its first start."""
    engine = database.open_engine(ServerConfig(state_dir=state).database_url)
    await (await database.connect(engine)).close()
    await engine.dispose()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory of a server that has run."""
    asyncio.run(make_database(tmp_path))
    return tmp_path


def run(state: Path, *words: str) -> int:
    return main(["token", *words, "--state", str(state)])


def test_token_is_made_listed_and_revoked(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(state, "create", "a", "--role", "admin") == 0
    made = capsys.readouterr()
    token_id = token_id_of(made.out.strip())
    assert token_id is not None
    assert token_id in made.err
    assert run(state, "create", "b", "--banks", "1-3,9", "--clients", "7", "--days", "1") == 0
    capsys.readouterr()
    assert run(state, "list", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["id"], first["name"], first["role"], first["state"]) == (token_id, "a", "admin", "valid")
    assert (first["banks"], first["clients"], first["expiresAt"]) == (None, None, None)
    assert (second["banks"], second["clients"], second["role"]) == ([1, 2, 3, 9], [7], "operator")
    assert run(state, "revoke", token_id) == 0
    capsys.readouterr()
    assert run(state, "list") == 0
    assert f"{token_id}  admin     revoked   banks all, clients all  a" in capsys.readouterr().out
    assert run(state, "revoke", token_id) == 1
    assert "there is no valid token" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "a", "--role", "boss"), "'boss' is no role"),
        (("create", "a", "--banks", "1024"), "1024"),
        (("create", "a", "--banks", "x"), "neither a number nor a range"),
        (("create", "a", "--days", "0"), "lives longer"),
        (("create", ""), "printable"),
    ],
)
def test_what_no_token_can_be_is_refused(
    state: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert run(state, *words) != 0
    assert message in capsys.readouterr().err


def test_policy_is_checked_without_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = tmp_path / "policy.toml"
    rules.write_text('default = "deny"\n[[client]]\nclient = "7"\nbanks = "1"\n')
    assert main(["ctl", "policy", "check", str(rules)]) == 0
    assert capsys.readouterr().out == f"{rules}: 1 rule, by default deny\n"
    assert main(["ctl", "policy", "check", str(rules), "B1:0", "C7:0"]) == 0
    assert capsys.readouterr().out.startswith("allowed: ")
    assert main(["ctl", "policy", "check", str(rules), "B2:0", "C7:0"]) == 1
    assert "refused: " in capsys.readouterr().err
    assert main(["ctl", "policy", "check", str(tmp_path / "none")]) == 2
    rules.write_text("default = 1")
    assert main(["ctl", "policy", "check", str(rules)]) == 2


@pytest.mark.parametrize("words", [("create", "a"), ("create", "a", "--to", "a.token"), ("list",), ("revoke", "x")])
def test_folder_that_is_no_servers_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert run(folder, *words) == 1
        said = capsys.readouterr().err
        assert (
            f"there is no server's database at {folder / 'server.sqlite'}; hint: give --state DIR of the server" in said
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"other"])
def test_file_that_is_no_servers_database_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "server.sqlite"
    path.write_bytes(b"")
    if content:
        with closing(sqlite3.connect(path)) as foreign:
            foreign.execute("CREATE TABLE notes (text TEXT)")
            foreign.commit()
    before = path.read_bytes()
    options = ["--plaintext", "--rest-open", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0"]
    for words in (["token", "create", "a"], ["server", *options]):
        assert main([*words, "--state", str(tmp_path)]) == 1
        said = capsys.readouterr().err
        assert f"the database {path} {'belongs to another program' if content else 'is empty'}" in said
        assert "restore the server's database from a backup" in said
        way = (
            f"move this file away: mv {path} {path}.old"
            if content
            else f"remove this file, which has no content: rm {path}"
        )
        assert way in said
    assert path.read_bytes() == before


def test_token_goes_to_a_new_file_that_only_its_user_can_read(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = state / "a.token"
    before = os.umask(0)
    try:
        assert run(state, "create", "a", "--to", str(path)) == 0
    finally:
        os.umask(before)
    said = capsys.readouterr()
    assert said.out == ""
    assert f'REMSIM_TOKEN="$(cat {path})"' in said.err
    assert path.stat().st_mode & 0o777 == 0o600
    assert token_id_of(path.read_text().removesuffix("\n")) is not None
    # One that is there is not touched, and no token is made for it.
    assert run(state, "create", "b", "--to", str(path)) == 1
    assert "exists already" in capsys.readouterr().err
    assert run(state, "create", "boss", "--role", "boss", "--to", str(state / "b.token")) != 0
    assert not (state / "b.token").exists()
    capsys.readouterr()
    assert run(state, "list", "--json") == 0
    assert [token["name"] for token in json.loads(capsys.readouterr().out)] == ["a"]
