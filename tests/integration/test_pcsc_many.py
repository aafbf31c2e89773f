# SPDX-License-Identifier: Apache-2.0
"""Many readers behind the real PC/SC library: a stand-in pcscd (``tests/reference/tools/null_pcscd.c``) has them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.doubles.pcscd import READER_NAMES, PcscdNamespace
from tests.doubles.programs import PATIENCE_S, Program, remsim
from tests.reference import ROOT


@pytest.fixture
def null_pcscd(reference: Callable[..., Path], tmp_path: Path) -> Path:
    """The compiled stand-in."""
    program = tmp_path / "null_pcscd"
    source = reference("tools", "null_pcscd.c")
    subprocess.run(["gcc", "-O2", "-w", "-o", str(program), str(source)], check=True)
    return program


@pytest.mark.parametrize(("there", "seen"), [(1, 1), (15, 15), (16, 16), (20, 16)])
def test_as_many_readers_are_watched_as_the_library_lists(
    null_pcscd: Path, tmp_path: Path, there: int, seen: int
) -> None:
    socket = tmp_path / "pcscd.comm"
    env = {**os.environ, "PCSCLITE_CSOCK_NAME": str(socket)}
    with Program([str(null_pcscd), str(socket)], env={**env, "NULL_READERS": str(there)}):
        # PC/SC is waited for, should the stand-in not be ready yet.
        result = subprocess.run(
            [sys.executable, "-m", "tests.doubles.pcsc_watching", str(seen)],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * 2,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["names"] == [f"Null Reader {number:04} 00" for number in range(seen)]
    assert report["number"] == f"{seen - 1:04x}9000"
    assert result.stderr.count("pcsc_readers_at_limit") == (1 if seen == 16 else 0)


def test_two_entries_of_one_friendly_name_get_no_slot(tmp_path: Path) -> None:
    arguments = ("bankd", "--plaintext", "--auto", "--slots", "4", "--state", str(tmp_path / "state"))
    with PcscdNamespace(tmp_path, has_twins=True) as namespace:
        bankd = namespace.program(remsim(*arguments))
        bankd.wait_for("readers_found readers=0 slots_with_reader=0")
        for name in READER_NAMES:
            bankd.wait_for(f'readers_of_one_name reader="{name}" readers=2 .* hint=')
        bankd.stop()
    assert not (tmp_path / "state" / "slots.json").exists()
