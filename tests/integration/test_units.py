# SPDX-License-Identifier: Apache-2.0
"""The systemd units: hardened as far as the manual says, as judged by systemd itself."""

import re
import subprocess
from pathlib import Path

import pytest

from remsim.cli.main import COMMANDS
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
    command = unit.stem.removeprefix("remsim-")
    assert command in COMMANDS
    own = {f"User=remsim-{command}", f"StateDirectory=remsim-{command}", "StateDirectoryMode=0700"}
    assert own | {"NoNewPrivileges=yes", "Type=notify", "ExecReload=/bin/kill -HUP $MAINPID"} <= set(lines)
    assert f"LoadCredential=config:/etc/remsim/{command}.toml" in lines
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    assert start.endswith("--config %d/config")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_user_and_state_directory_of_the_unit_are_made_before_its_first_start(unit: Path) -> None:
    """Keys and tokens are made there, as that user, while no service manager has prepared anything yet."""
    packaging, name = ROOT / "packaging", unit.stem
    users = (packaging / "sysusers.d" / "remsim.conf").read_text(encoding="utf-8").splitlines()
    assert [line for line in users if line.startswith(f"u {name} - ")]
    folders = (packaging / "tmpfiles.d" / "remsim.conf").read_text(encoding="utf-8").splitlines()
    assert f"d /var/lib/{name} 0700 {name} {name}" in folders
    assert f"--state /var/lib/{name}" in unit.read_text(encoding="utf-8")


def test_users_are_what_sysusers_understands(tmp_path: Path) -> None:
    conf = ROOT / "packaging" / "sysusers.d" / "remsim.conf"
    done = subprocess.run(
        ["systemd-sysusers", "--dry-run", f"--root={tmp_path}", str(conf)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert {unit.stem for unit in UNITS} <= set(re.findall(r"user '([a-z-]+)'", done.stdout + done.stderr))
