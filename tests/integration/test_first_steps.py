# SPDX-License-Identifier: Apache-2.0
"""From nothing to a bank over protected links, as an operator does it: real programs, one command after the other.

What follows, up to a card that answers a client, is on the pages of the manual, whose commands are run, too.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from remsim.server.core.tokens import token_id_of
from tests.doubles.programs import PATIENCE_S, Program, remsim

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Program]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A command of the operator on the server's host; its home and the server's state are temporary."""

    def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        base = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
        with Program(remsim(*words), env=base | environment) as program:
            program.close_input()
            status = program.wait(3 * PATIENCE_S)
            out, err = ("".join(f"{line}\n" for line in output.lines) for output in (program.stdout, program.stderr))
        return subprocess.CompletedProcess(list(words), status, out, err)

    return call


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A program that has started; it ends with the test."""
    with ExitStack() as stack:

        def begin(*words: str) -> Program:
            environment = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
            program = stack.enter_context(Program(remsim(*words), env=environment))
            program.wait_for(r"\sstarted ")
            return program

        yield begin


@pytest.mark.timeout(180)
def test_two_commands_and_then_two_for_a_bank(tmp_path: Path, run: Run, start: Start) -> None:
    made = run("server", "init", "--name", "lab")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert token_id_of(token) is not None
    server = start("server", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0")
    rspro, rest = server.wait_for(r"listening rspro=(\S+) rest=(\S+)").groups()
    enrol = f"https://{rest}"

    code = run("pki", "code", "bank/1")
    assert "enrolled as bank/1" in run("enroll", enrol, code.stdout.strip()).stdout, code.stderr
    bank = ["--server", rspro, "--listen", "127.0.0.1:0", "--reader", "sim", "--slots", "1"]
    start("bankd", *bank).wait_for("server_connected")

    # On the server's host, nothing has to be said about https.
    mapped = run("ctl", "--rest", rest, "map", "B1:0", "C7:0", REMSIM_TOKEN=token)
    assert mapped.returncode == 0, mapped.stderr

    # From somewhere else, with a copy of the authority.
    laptop, elsewhere = tmp_path / "authority.pem", {"XDG_STATE_HOME": str(tmp_path / "laptop")}
    laptop.write_text(run("pki", "show", "--authority").stdout)
    away = run("ctl", "--rest", enrol, "--authority", str(laptop), "mappings", REMSIM_TOKEN=token, **elsewhere)
    assert away.returncode == 0, away.stderr
    assert "C7:0" in away.stdout
    without = run("ctl", "--rest", enrol, "mappings", REMSIM_TOKEN=token, **elsewhere)
    assert without.returncode == 1
    assert "name the authority of its installation with --authority FILE" in without.stderr
