# SPDX-License-Identifier: Apache-2.0
"""Where ``remsim doctor`` asks the server's REST interface."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from remsim.cli import examination
from remsim.cli.main import main
from remsim.config import CtlConfig
from remsim.core.finding import Finding, Outcome
from remsim.core.identity import Role


class Rest:
    """A server without warnings."""

    def get_warnings(self) -> list[dict[str, object]]:
        """There are none."""
        return []


@pytest.mark.parametrize(
    ("setting", "has_certificate", "url"),
    [
        ('rest = "127.0.0.2:1"', True, "https://127.0.0.2:1"),
        ('rest = "127.0.0.2:1"', False, "http://127.0.0.2:1"),
        ('rest = "[::]:2"', True, "https://127.0.0.1:2"),
        ("", True, "https://127.0.0.1:9997"),
        ("rest_open = true", True, "http://127.0.0.1:9997"),
    ],
)
def test_server_is_asked_where_its_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, has_certificate: bool, url: str
) -> None:
    asked: list[object] = []

    def open_it(config: CtlConfig, _environ: Mapping[str, str], *, program: str) -> Rest:
        assert program == "doctor"
        asked.append(config.rest)
        return Rest()

    monkeypatch.setattr(examination, "open_rest", open_it)
    monkeypatch.setenv("REMSIM_TOKEN", "x")
    state = tmp_path / "state"
    if has_certificate:
        assert main(["server", "init", "--state", str(state)]) == 0
    file = tmp_path / "server.toml"
    file.write_text(f'rspro = "127.0.0.1:1"\nstate_dir = "{state}"\nplaintext = true\n{setting}\n', encoding="utf-8")
    main(["doctor", "server", "--config", str(file)])
    assert [str(one) for one in asked] == [url]


def test_what_another_program_says_of_itself_forges_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    answers = examination._Report(is_json=False)
    answers.add(Role.SERVER, Finding("port", Outcome.PROBLEM, "held by \x1b[2Jx\r\nok disk", "end \x1b]0;y\x07 it"))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2
    assert r"\x1b[2Jx\r\nok" in shown
