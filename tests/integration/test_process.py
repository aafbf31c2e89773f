# SPDX-License-Identifier: Apache-2.0
"""A service as a real process: signals, readiness, metrics."""

import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.programs import PATIENCE_S, Program


def idle(behaviour: str, **env: str) -> Program:
    return Program([sys.executable, "-m", "tests.doubles.idle_service", behaviour], env=env)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_first_signal_drains(number: signal.Signals) -> None:
    with idle("drain") as program:
        program.wait_for("client started")
        program.send_signal(number)
        assert program.wait() == 0
        for event in (f"stopping signal={number.name}", "idle released", "client stopped"):
            program.wait_for(event)


def test_second_signal_forces() -> None:
    with idle("stubborn") as program:
        program.wait_for("client started")
        program.send_signal(signal.SIGTERM)
        program.wait_for("stopping signal=SIGTERM")
        program.send_signal(signal.SIGTERM)
        assert program.wait() == 128 + signal.SIGTERM
        program.wait_for("idle released")


def test_hangup_is_the_services_own_where_it_wants_it() -> None:
    with idle("hangup") as program:
        program.wait_for("client started")
        program.send_signal(signal.SIGHUP)
        program.wait_for("hung_up")
        assert program.stop() == 0


def test_metrics_are_served_while_it_runs() -> None:
    with idle("drain") as program:
        port = int(program.wait_for(r"metrics_listening address=127\.0\.0\.1:(\d+)")[1])
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as link:
            link.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            answer = b""
            while raw := link.recv(65536):
                answer += raw
        assert b'remsim_build_info{program="idle"' in answer


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket on which a service manager would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(PATIENCE_S)
        yield listener


def test_service_manager_is_told(manager: socket.socket) -> None:
    with idle("drain", NOTIFY_SOCKET=manager.getsockname()) as program:
        assert manager.recv(100) == b"READY=1"
        program.send_signal(signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
