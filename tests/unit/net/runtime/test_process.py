# SPDX-License-Identifier: Apache-2.0
"""Errors as one line, readiness, and the life of a service; signals are tested on real processes."""

import asyncio
import io
import json
import resource
import sys
import threading
from collections.abc import Iterator

import pytest

from remsim.config import ClientConfig
from remsim.core.errors import ConfigError, RemsimError, StartError
from remsim.net.runtime import process
from remsim.net.runtime.process import notify_systemd, run_service
from remsim.net.runtime.report import report_error, say_error


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class FakeService:
    """Notes how far it came; ``fault`` is raised by the step named ``at``."""

    def __init__(self, *, at: str = "", fault: BaseException | None = None) -> None:
        self.started = asyncio.Event()
        self.steps: list[str] = []
        self._at = at
        self._fault = fault

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name == self._at and self._fault is not None:
            raise self._fault

    async def start(self) -> None:
        self._step("start")
        self.started.set()

    async def run(self) -> None:
        self._step("run")

    def request_stop(self) -> None:
        self._step("request_stop")

    async def stop(self) -> None:
        self._step("stop")


CONFIG = ClientConfig(log_level="warning")


def run(*, at: str = "", fault: BaseException | None = None, config: ClientConfig = CONFIG) -> tuple[int, list[str]]:
    made: list[FakeService] = []

    def factory() -> FakeService:
        made.append(FakeService(at=at, fault=fault))
        return made[0]

    return run_service(factory, config=config), made[0].steps


def test_service_that_ends_has_status_0() -> None:
    assert run() == (0, ["start", "run", "stop"])


@pytest.mark.parametrize("at", ["start", "run"])
def test_service_that_fails_is_stopped_and_its_reason_told(at: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, steps = run(at=at, fault=StartError("port 1 is in use", hint="choose another"))
    assert status == 1
    assert steps[-1] == "stop"
    assert capsys.readouterr().err == "remsim client: port 1 is in use; hint: choose another\n"


def test_reason_is_a_log_event_where_the_log_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    run(at="start", fault=StartError("port 1 is in use", hint="x"), config=ClientConfig(log_format="json"))
    record = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (record["event"], record["error"], record["hint"]) == ("failed", "port 1 is in use", "x")


def test_service_runs_outside_the_main_thread_without_signals() -> None:
    results: list[tuple[int, list[str]]] = []
    thread = threading.Thread(target=lambda: results.append(run()))
    thread.start()
    thread.join()
    assert results == [(0, ["start", "run", "stop"])]


def test_error_that_cannot_be_written_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    say_error("unheard")


def test_plain_asyncio_is_used_where_uvloop_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert process._loop_factory() is asyncio.new_event_loop


def test_forced_end_has_the_status_of_its_signal() -> None:
    assert run(at="run", fault=asyncio.CancelledError())[0] == 130


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ConfigError("bad", hint="good"), 2, "remsim x: bad; hint: good"),
        (RemsimError("bad\nworse"), 1, "remsim x: bad\\nworse"),
        (FileNotFoundError(2, "No such file", "name"), 1, "remsim x: name: No such file"),
        (OSError(5, "I/O error"), 1, "remsim x: I/O error"),
        (TimeoutError(), 1, "remsim x: TimeoutError"),
        (ExceptionGroup("g", [ExceptionGroup("h", [ConfigError("bad")]), StartError("s")]), 2, "remsim x: bad"),
    ],
)
def test_error_is_one_line(error: BaseException, status: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert report_error(error, program="x") == status
    assert capsys.readouterr().err == text + "\n"


def test_own_mistake_is_logged_with_traceback_and_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_error(ExceptionGroup("g", [StartError("s"), ZeroDivisionError("z")]), program="x") == 1
    log, line = capsys.readouterr().err.splitlines()
    assert "internal_error" in log
    assert line.startswith("remsim x: internal error: ZeroDivisionError: z; hint: ")


@pytest.mark.parametrize("has_uvloop", [True, False])
def test_failing_callback_is_told_without_its_arguments(
    has_uvloop: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Careless(FakeService):
        async def run(self) -> None:
            asyncio.get_running_loop().call_soon(fail_over, b"12345678")
            await asyncio.sleep(0)

    if not has_uvloop:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run_service(Careless, config=CONFIG) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "internal_error" in line
    assert "ValueError: <bytes> is no answer" in line
    assert "fail_over" in line
    assert "1234" not in line


def fail_over(raw: bytes) -> None:
    """A callback with a mistake."""
    raise ValueError(f"{raw.hex()} is no answer")


def test_own_mistake_that_names_bytes_is_told_without_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_error(KeyError(b"12345678"), program="x") == 1
    assert "1234" not in capsys.readouterr().err


def test_name_of_the_whole_command_is_not_doubled(capsys: pytest.CaptureFixture[str]) -> None:
    say_error("bad", program="remsim")
    say_error("bad")
    assert capsys.readouterr().err == "remsim: bad\n" * 2


def test_service_manager_that_is_absent_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("", "relative", "/nonexistent/socket", "@remsim-nobody-listens"):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify_systemd("READY=1")


def test_open_file_limit_is_raised_to_the_hard_one() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    process.raise_open_file_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, process.MAX_OPEN_FILES)
