# SPDX-License-Identifier: Apache-2.0
"""Completion of commands in bash, with the script that is shown and the one that is installed."""

import subprocess
from pathlib import Path

import pytest

from remsim.cli.main import main


def completed(script: Path, *words: str) -> set[str]:
    """What bash offers for the last word."""
    quoted = " ".join(f"'{word}'" for word in words)
    text = (
        f"source '{script}'; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _remsim; "
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=60, check=True)
    return {word.strip() for word in done.stdout.splitlines()}


def test_bash_completes_commands_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--show-completion", "bash"]) == 0
    script = tmp_path / "remsim.bash"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    assert {"server", "bankd", "client", "ctl", "doctor"} <= completed(script, "remsim", "")
    assert completed(script, "remsim", "ctl", "wa") == {"wait", "warnings", "watch"}
    assert {"take", "renew", "release", "list"} <= completed(script, "remsim", "ctl", "lease", "")
    assert "--priority" in completed(script, "remsim", "ctl", "lease", "take", "--")


def test_zsh_may_read_the_script_in_each_of_its_manners(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--show-completion", "zsh"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "#compdef remsim"
    # Of these depends what stands at the end: it calls the function, or has it called.
    assert "_cyclopts_remsim() {" in lines
    end = [line.strip() for line in lines[-6:] if line]
    assert end == [
        "if [[ $funcstack[1] == (_remsim|_cyclopts_remsim) ]]; then",
        '_cyclopts_remsim "$@"',
        "elif (( $+functions[compdef] )); then",
        "compdef _cyclopts_remsim remsim",
        "fi",
    ]


@pytest.mark.parametrize(("shell", "file"), [("bash", "remsim"), ("zsh", "_cyclopts_remsim"), ("fish", "remsim.fish")])
def test_it_is_installed_for_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str, file: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR", "ZSH", "ZSH_CUSTOM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["--install-completion", shell]) == 0
    said = capsys.readouterr().out
    (written,) = list(tmp_path.rglob(file))
    assert said == f"wrote {written}; begin a new shell to use it\n"
    assert "lease" in written.read_text(encoding="utf-8")


def test_a_shell_that_is_not_known(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SHELL", "/bin/nosh")
    for words in (["--show-completion"], ["--install-completion", "nosh"], ["--show-completion", "bash", "x"]):
        assert main(words) == 2
        assert "hint:" in capsys.readouterr().err
