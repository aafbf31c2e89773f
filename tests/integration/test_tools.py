# SPDX-License-Identifier: Apache-2.0
"""What the scripts in ``tools/`` promise: long steps show how far they are, and every stage of a check runs."""

import asyncio
import os
import select
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.doubles.programs import PATIENCE_S, Program
from tests.doubles.pseudo_terminal import PseudoTerminal
from tests.reference import ROOT

#: A step that lasts until something is written to the pipe ``$1``, and says how far it is.
STEP = """
. tools/progress.sh
progress_every_s=0
far() { echo "package 3 of 7"; }
step() { exec cat "$1"; }
"""


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def bash(script: str, *arguments: str) -> list[str]:
    return ["bash", "-euc", script, "test", *arguments]


def test_step_without_a_terminal_says_how_far_it_is(pipe: Path) -> None:
    with Program(bash(f'{STEP} watched "setup: installing" far step "$1"; echo "status $?"', str(pipe))) as program:
        shown = program.wait_for_stdout(r"^setup: installing: package 3 of 7, \d+ s$")
        assert "\r" not in shown.string
        pipe.write_text("done\n")
        program.wait_for_stdout("^status 0$")
        assert program.wait() == 0


async def test_step_on_a_terminal_has_one_line_that_goes_in_the_end(pipe: Path) -> None:
    terminal = PseudoTerminal()
    script = f'{STEP} watched "setup: installing" far step "$1"; echo "and on"'
    process = await asyncio.create_subprocess_exec(*bash(script, str(pipe)), cwd=ROOT, stdout=terminal.theirs)
    await terminal.see("\rsetup: installing: package 3 of 7, ")
    await terminal.see("\rsetup: installing: package 3 of 7, ")
    await asyncio.to_thread(pipe.write_text, "")
    await terminal.see("\rand on\r\n")
    assert await process.wait() == 0
    terminal.close()


async def test_venv_that_takes_long_to_make_shows_that_it_is_being_made(tmp_path: Path, pipe: Path) -> None:
    # Half of the first start on a small host.
    for name in ("setup.sh", "progress.sh"):
        (tmp_path / "tools").mkdir(exist_ok=True)
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools")
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\n[ "$2" != venv ] || exec cat {pipe}\n', encoding="utf-8")
    interpreter.chmod(0o755)
    terminal = PseudoTerminal()
    process = await asyncio.create_subprocess_exec(
        tmp_path / "tools" / "setup.sh", "python", env=os.environ | {"PYTHON": str(interpreter)}, stdout=terminal.theirs
    )
    await terminal.see("\rsetup: making .venv: ")
    await asyncio.to_thread(pipe.write_text, "")
    assert await process.wait() == 0
    terminal.close()


def test_step_hands_on_its_status() -> None:
    script = f"{STEP} fails() {{ return 7; }}; status=0; watched x far fails || status=$?; exit $status"
    assert subprocess.run(bash(script), cwd=ROOT, check=False, capture_output=True).returncode == 7


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_step_is_ended(pipe: Path, number: signal.Signals, status: int) -> None:
    with Program(bash(f'{STEP} echo started; watched x far step "$1"', str(pipe))) as program:
        program.wait_for_stdout("^x: package 3 of 7")
        os.kill(program.pid, number)
        assert program.wait() == status
    # Nobody reads from the pipe any more.
    with pytest.raises(OSError, match="No such device"):
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


def test_every_stage_runs_and_all_failures_are_named() -> None:
    script = '. tools/stage.sh; stage "one" true; stage "two" false; stage "three" false; stage "four" true'
    done = subprocess.run(
        bash(f'{script}; all_stages_done "all"'), cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "== four: 0 s" in done.stdout
    assert done.stderr.splitlines()[-3:] == ["== FAILED after 0 s: 2 of the stages", "==   two", "==   three"]


def test_check_without_failures_says_so() -> None:
    script = '. tools/stage.sh; stage "one" true; all_stages_done "all"'
    done = subprocess.run(bash(script), cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "== all passed: 0 s"


@pytest.mark.parametrize(("ends", "status"), [("return 0", 0), ("return 3", 1)])
def test_stage_that_runs_next_to_others_is_waited_for_and_shown(ends: str, status: int) -> None:
    script = f'. tools/stage.sh; slow() {{ echo "it says"; {ends}; }}; aside its slow; stage "one" true'
    script += '; stage "two" await_aside its; all_stages_done "all"'
    done = subprocess.run(bash(script), cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == status
    assert done.stdout.splitlines()[:4] == ["== one", "== one: 0 s", "== two", "it says"]
    assert ("==   two" in done.stderr) == bool(status)


def test_several_run_next_to_others_and_each_has_its_own_status() -> None:
    script = '. tools/stage.sh; aside good echo "the good"; aside bad false; aside meek gently nice'
    script += '; for one in meek bad good; do stage "$one" await_aside "$one"; done; all_stages_done "all"'
    done = subprocess.run(bash(script), cwd=ROOT, check=False, capture_output=True, text=True)
    shown = [line for line in done.stdout.splitlines() if not line.startswith("==")]
    assert shown == ["19", "the good"]
    assert done.stderr.splitlines()[-1:] == ["==   bad"]


def test_what_was_not_waited_for_ends_with_all_that_it_has_started(pipe: Path) -> None:
    script = '. tools/stage.sh; trap end_asides EXIT; slow() { cat "$1"; echo "not only cat"; }; aside its slow "$1"'
    with Program(bash(f"{script}; echo started; read -r", str(pipe))) as program:
        program.wait_for_stdout("^started$")
        writer = os.open(pipe, os.O_WRONLY)
        os.kill(program.pid, signal.SIGTERM)
        assert program.wait() == -signal.SIGTERM
    # There is nobody left who reads.
    with pytest.raises(BrokenPipeError):
        _write_on(writer)
    os.close(writer)


def _write_on(writer: int) -> None:
    """Write until nobody reads. Raises BrokenPipeError."""
    while select.select([], [writer], [], PATIENCE_S)[1]:
        os.write(writer, b"x")
