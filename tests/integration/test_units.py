# SPDX-License-Identifier: Apache-2.0
"""The systemd units: hardened as far as the manual says, as judged by systemd itself."""

import re
import subprocess
from pathlib import Path

import pytest

from remsim.cli.main import VERBS
from tests.reference import ROOT

UNITS = sorted((ROOT / "packaging" / "systemd").glob("*.service"))
MANUAL = (ROOT / "docs" / "manual" / "security.md").read_text(encoding="utf-8")


def test_each_program_has_a_unit() -> None:
    assert [unit.name for unit in UNITS] == ["remsim-bankd.service", "remsim-client.service", "remsim-server.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_exposure_is_what_the_manual_says(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    found = re.search(r"Overall exposure level for (\S+): (\d+\.\d+)", done.stdout)
    assert found is not None, done.stdout
    assert f"| {unit.name} | {found[2]} |" in MANUAL


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_unit_runs_without_privileges_and_gets_its_settings_as_a_credential(unit: Path) -> None:
    lines = unit.read_text(encoding="utf-8").splitlines()
    verb = unit.stem.removeprefix("remsim-")
    assert verb in VERBS
    assert {"DynamicUser=yes", "NoNewPrivileges=yes", "Type=notify", f"StateDirectory=remsim-{verb}"} <= set(lines)
    assert f"LoadCredential=config:/etc/remsim/{verb}.toml" in lines
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    assert start.endswith("--config %d/config")
