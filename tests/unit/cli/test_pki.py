# SPDX-License-Identifier: Apache-2.0
"""``remsim pki`` on an authority of the test's own."""

import json
from pathlib import Path

import pytest

from remsim.cli.main import main
from remsim.identity import Identity
from remsim.pki.codes import Code
from remsim.pki.credentials import Credentials


@pytest.fixture
def state(tmp_path: Path) -> str:
    """The state directory of a server with an authority."""
    folder = str(tmp_path / "lab")
    assert main(["pki", "init", "--state", folder, "--name", "lab"]) == 0
    return folder


def test_authority_comes_with_the_certificate_of_its_server(state: str) -> None:
    assert Credentials(Path(state, "tls")).identity() == Identity.server("lab")
    assert main(["pki", "init", "--state", state]) == 1


def test_code_is_printed_alone(state: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["pki", "code", "bank/1", "--state", state]) == 0
    assert Code.parse(capsys.readouterr().out).identity == Identity.bank(1)


def test_certificate_is_issued_renewed_and_revoked(
    state: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "host")
    assert main(["pki", "issue", "client/7", "--out", out, "--state", state]) == 0
    first = Credentials(Path(out)).certificate().serial
    assert main(["pki", "issue", "client/7", "--out", out, "--state", state]) == 2
    assert main(["pki", "renew", "--out", out, "--state", state]) == 0
    assert Credentials(Path(out)).certificate().serial != first
    assert main(["pki", "revoke", "client/7", "--state", state]) == 0
    assert main(["pki", "revoke", "client/7", "--state", state]) == 2
    assert main(["pki", "revoke", "nobody", "--state", state]) == 2
    capsys.readouterr()
    assert main(["pki", "show", "--json", "--state", state]) == 0
    issued = json.loads(capsys.readouterr().out)["issued"]
    assert [(one["identity"], one["state"]) for one in issued] == [
        ("server/lab", "valid"),
        ("client/7", "revoked"),
        ("client/7", "revoked"),
    ]
    assert main(["pki", "show", "--state", state]) == 0


def test_without_an_authority_nothing_is_issued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pki", "code", "bank/1", "--state", str(tmp_path)]) == 1
    assert "remsim pki init" in capsys.readouterr().err
