# SPDX-License-Identifier: Apache-2.0
"""PC/SC through pyscard with a stand-in library (``tests/reference/tools``): many readers, a thread for each."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict, cast

import pytest

from tests.doubles.programs import PATIENCE_S
from tests.reference import ROOT

#: Each of the 50 commands of each reader takes at least this long.
_DELAY_US = 5000
_READERS = 32


class Report(TypedDict):
    """What the exercise says."""

    names: list[str]
    present: int
    atrs: list[list[str]]
    took_s: float


@pytest.fixture
def library(reference: Callable[..., Path], tmp_path: Path) -> Path:
    """The folder of the compiled stand-in."""
    source = reference("tools", "stub_pcsc.c")
    compiler = ["gcc", "-O2", "-w", "-shared", "-fPIC", "-I/usr/include/PCSC"]
    subprocess.run([*compiler, "-o", str(tmp_path / "libpcsclite.so.1"), str(source)], check=True)
    return tmp_path


def test_slow_readers_do_not_wait_for_each_other(library: Path) -> None:
    env = {
        **os.environ,
        "LD_LIBRARY_PATH": str(library),
        "STUB_READERS": str(_READERS),
        "STUB_DELAY_US": str(_DELAY_US),
    }
    result = subprocess.run(
        [sys.executable, "-m", "tests.doubles.pcsc_exercise"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    report = cast(Report, json.loads(result.stdout))
    assert report["names"] == [f"Stub Reader {number:04} 00" for number in range(_READERS)]
    assert report["present"] == _READERS
    assert {atr for atrs in report["atrs"] for atr in atrs} == {"3b9f96801fc78031a073be21136743200718000001a5"}
    one_after_the_other_s = _READERS * 50 * _DELAY_US / 1e6
    assert report["took_s"] < one_after_the_other_s / 2
