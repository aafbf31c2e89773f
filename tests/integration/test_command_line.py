# SPDX-License-Identifier: Apache-2.0
"""The installed ``remsim`` command: it starts, and leaves quietly when nobody reads its output."""

import os
import subprocess
import sys
import tomllib

import pytest

from remsim import __version__
from tests.doubles.programs import PATIENCE_S, installed_remsim
from tests.reference import ROOT


def test_command_tells_the_version_of_the_package() -> None:
    done = subprocess.run(installed_remsim("--version"), capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert (done.stdout, done.stderr) == (f"{__version__}\n", "")
    assert declared == __version__


#: A command of ours whose output is written at its end.
_PRINTS = ["-c", "from remsim.cli.main import guarded; raise SystemExit(guarded('x', lambda: print('text') or 0))"]


@pytest.mark.parametrize(
    "argv",
    [installed_remsim("--version"), installed_remsim("--help"), [sys.executable, *_PRINTS]],
    ids=["version", "help", "print"],
)
def test_reader_that_has_left_is_no_reason_to_complain(argv: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(argv, stdout=write_end, stderr=subprocess.PIPE, timeout=PATIENCE_S, check=False)
    finally:
        os.close(write_end)
    assert done.stderr == b""
    assert done.returncode == 1


@pytest.mark.parametrize("verb", ["server", "bankd", "client", "ctl", "uicc"])
def test_unknown_option_is_one_line(verb: str) -> None:
    done = subprocess.run(
        installed_remsim(verb, "--nope"), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"remsim {verb}: ")
    assert done.stderr.count("\n") == 1
