# SPDX-License-Identifier: Apache-2.0
"""``remsim token``: makes, lists and revokes on a database of its own; the text goes to stdout alone."""

import json
from pathlib import Path

import pytest

from remsim.cli.main import main
from remsim.server.tokens import token_id_of


def run(state: Path, *words: str) -> int:
    return main(["token", *words, "--state", str(state)])


def test_token_is_made_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "create", "a", "--role", "admin") == 0
    made = capsys.readouterr()
    token_id = token_id_of(made.out.strip())
    assert token_id is not None
    assert token_id in made.err
    assert run(tmp_path, "create", "b", "--banks", "1-3,9", "--clients", "7", "--days", "1") == 0
    capsys.readouterr()
    assert run(tmp_path, "list", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["id"], first["name"], first["role"], first["state"]) == (token_id, "a", "admin", "valid")
    assert (first["banks"], first["clients"], first["expiresAt"]) == (None, None, None)
    assert (second["banks"], second["clients"], second["role"]) == ([1, 2, 3, 9], [7], "operator")
    assert run(tmp_path, "revoke", token_id) == 0
    capsys.readouterr()
    assert run(tmp_path, "list") == 0
    assert f"{token_id}  admin     revoked   banks all, clients all  a" in capsys.readouterr().out
    assert run(tmp_path, "revoke", token_id) == 1
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
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert run(tmp_path, *words) != 0
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
