# SPDX-License-Identifier: Apache-2.0
"""Bursts of connections where the system allows few descriptors: programs live, say so, and serve who is known."""

import contextlib
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from remsim.net.accept.quota import descriptors_reserved
from tests.doubles.programs import PATIENCE_S, Program, remsim

#: What the system allows to the program; the burst is larger.
DESCRIPTORS = 640
BURST = 900
#: Half of what is kept for database, REST, readers and the log stays free, whatever the order in which others come and
#: go. What a request needs for itself comes on top.
MOST_IN_USE = DESCRIPTORS - descriptors_reserved(DESCRIPTORS) // 2 + 4
V1 = "/api/backend/v1"


def few_descriptors(*arguments: str) -> list[str]:
    return ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}", *remsim(*arguments)]


@contextlib.contextmanager
def burst(port: int) -> Iterator[None]:
    """Connections of two sources that say nothing."""
    with contextlib.ExitStack() as stack:
        for number in range(BURST):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(PATIENCE_S)
            sock.bind((f"127.0.0.{2 + number % 2}", 0))
            # One that is closed at once may be reset before it is known to be up.
            with contextlib.suppress(ConnectionError):
                sock.connect(("127.0.0.1", port))
        yield


def test_server_outlives_a_burst_and_answers(tmp_path: Path) -> None:
    options = ["--plaintext", "--rest-open", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0"]
    with Program(few_descriptors("server", "--state", str(tmp_path), *options)) as program:
        ports = program.wait_for(r"listening rspro=127\.0\.0\.1:(\d+) rest=127\.0\.0\.1:(\d+)")
        program.wait_for("server started")
        with burst(int(ports[1])), burst(int(ports[2])):
            for _ in range(20):
                with urllib.request.urlopen(f"http://127.0.0.1:{ports[2]}{V1}/banks", timeout=PATIENCE_S) as answer:
                    assert answer.status == 200
            assert program.status is None
            assert len(list(Path(f"/proc/{program.pid}/fd").iterdir())) <= MOST_IN_USE
            program.wait_for("limit_reached limit=connections")
        assert program.stop() == 0
        assert "Traceback" not in program.describe()


def test_bankd_outlives_a_burst(tmp_path: Path) -> None:
    options = ["--plaintext", "--slots", "1", "--server", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--bank-id", "1"]
    with Program(few_descriptors("bankd", "--state", str(tmp_path), *options)) as program:
        port = int(program.wait_for(r"listening [a-z]+=127\.0\.0\.1:(\d+)")[1])
        program.wait_for("bankd started")
        with burst(port):
            program.wait_for("limit_reached limit=connections")
            assert program.status is None
        assert program.stop() == 0


@pytest.mark.parametrize("program", ["server", "bankd", "client"])
def test_unit_allows_many_descriptors_and_no_core_dump(program: str) -> None:
    unit = Path(__file__).parents[2] / "packaging" / "systemd" / f"remsim-{program}.service"
    lines = unit.read_text(encoding="utf-8").splitlines()
    assert {"LimitNOFILE=1048576", "LimitCORE=0"} <= set(lines)
