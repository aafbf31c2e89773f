# SPDX-License-Identifier: Apache-2.0
"""Event scripts as real processes: in order, with a time limit, and in nobody's way."""

import asyncio
import os
import select
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remsim.client.observer import ClientObserver
from remsim.client.runner import SlotSpec
from remsim.client.scripting.causes import ScriptCause
from remsim.client.scripting.runner import MAX_WAITING, CallResult, EventScript, inherited
from remsim.client.service import ClientService
from remsim.config import LOOPBACK_NETWORKS, ClientConfig, HostPort
from remsim.core.ids import ClientSlot
from remsim.emulators.driven import DrivenEmulator
from remsim.logs import get_logger
from tests.doubles.rspro_peers import ATR, FakeBankd, FakeServer


class Results:
    """What became of the calls, and who waits for it."""

    def __init__(self) -> None:
        self.all: list[CallResult] = []
        self._changed = asyncio.Event()

    def __call__(self, result: CallResult) -> None:
        self.all.append(result)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def ends(pid: int) -> bool:
    """Whether the process is gone, or goes within the test's patience."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)


@asynccontextmanager
async def running(command: str, *, timeout_s: float = 10.0) -> AsyncIterator[tuple[EventScript, Results]]:
    results = Results()
    script = EventScript(command, timeout_s=timeout_s, log=get_logger("test"), on_result=results)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(script.run())
        yield script, results
        task.cancel()


async def test_calls_are_made_one_after_the_other(tmp_path: Path) -> None:
    """known-limits.md, 79: the first call is the slowest, and no other overtakes it."""
    written = tmp_path / "written"
    command = f'f() {{ [ $1 = request-card-insert ] && sleep 0.2; echo "$1 $REMSIM_CAUSE" >> {written}; }}; f'
    async with running(command) as (script, results):
        for cause in (ScriptCause.CARD_INSERT, ScriptCause.MODEM_RESET, ScriptCause.CARD_REMOVE):
            script.call(cause, {"REMSIM_CAUSE": cause.value})
        await script.drain(10)
        assert results.all == [CallResult.OK] * 3
    assert written.read_text().split() == [
        word
        for cause in ("request-card-insert", "request-modem-reset", "request-card-remove")
        for word in (cause, cause)
    ]


async def test_script_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pids = tmp_path / "pids"
    command = f"f() {{ trap '' TERM; sleep 60 & echo $$ $! > {pids}; wait; sleep 60; }}; f"
    async with running(command, timeout_s=0.2) as (script, results):
        script.call(ScriptCause.CARD_INSERT, {})
        await results.until(lambda: results.all == [CallResult.TIMED_OUT])
    assert all(ends(int(pid)) for pid in pids.read_text().split())
    assert "cause=request-card-insert result=timed_out" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["exit 3 #", "/nonexistent/script", "kill -9 $$ #"])
async def test_script_that_fails_is_told_and_the_next_call_is_made(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(command) as (script, results):
        script.call(ScriptCause.CARD_INSERT, {})
        script.call(ScriptCause.CARD_REMOVE, {})
        await results.until(lambda: results.all == [CallResult.FAILED] * 2)
    assert capsys.readouterr().err.count("result=failed") == 2


async def test_script_that_cannot_be_started_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", fail)
    async with running("true") as (script, results):
        script.call(ScriptCause.CARD_INSERT, {})
        await results.until(lambda: results.all == [CallResult.FAILED])
    assert "Resource temporarily unavailable" in capsys.readouterr().err


async def test_end_of_the_program_ends_the_script() -> None:
    async with running("sleep 60 #") as (script, results):
        script.call(ScriptCause.CARD_INSERT, {})
        await script.drain(0.1)
        assert results.all == []


async def test_when_too_many_wait_events_give_way_to_requests_and_requests_to_later_ones_of_their_kind() -> None:
    results = Results()
    script = EventScript("true", timeout_s=1, log=get_logger("test"), on_result=results)
    for _ in range(MAX_WAITING):
        script.call(ScriptCause.MODEM_STATUS, {})
    script.call(ScriptCause.CARD_INSERT, {})
    assert results.all == [CallResult.LEFT_OUT]
    for _ in range(MAX_WAITING):
        script.call(ScriptCause.CARD_REMOVE, {})
    assert len(results.all) == MAX_WAITING + 1
    script.call(ScriptCause.MODEM_STATUS, {})
    assert len(results.all) == MAX_WAITING + 2
    waiting = [call.cause for call in script._waiting]
    assert waiting == [ScriptCause.CARD_INSERT] + [ScriptCause.CARD_REMOVE] * (MAX_WAITING - 1)
    script.call(ScriptCause.CARD_INSERT, {})
    waiting = [call.cause for call in script._waiting]
    assert waiting == [ScriptCause.CARD_REMOVE] * (MAX_WAITING - 1) + [ScriptCause.CARD_INSERT]
    script.call(ScriptCause.SIM_LOCAL, {})
    assert len(script._waiting) == MAX_WAITING + 1


def test_only_the_classic_variables_are_inherited() -> None:
    environ = {"HOME": "/h", "LC_ALL": "C", "SECRET": "x", "REMSIM_TOKEN": "y"}
    assert inherited(environ) == {"HOME": "/h", "LC_ALL": "C"}


class Sticky(DrivenEmulator):
    """Hardware with a place of its own."""

    def environment(self) -> dict[str, str]:
        return {"REMSIM_USB_PATH": "2-1.1", "REMSIM_USB_INTERFACE": "0"}


async def test_slow_script_delays_no_command(tmp_path: Path) -> None:
    """A whole session while the first call of the script waits; then all calls are made, those of the end, too."""
    written, gate = tmp_path / "written", tmp_path / "gate"
    os.mkfifo(gate)
    fields = "$REMSIM_CLIENT_SLOT $REMSIM_BANKD_SLOT $REMSIM_BANKD_STATE $REMSIM_USB_PATH $REMSIM_SIM_VCC"
    wait = f"[ $1 = event-server-connect ] && read -r _ < {gate}"
    emulator = Sticky()
    async with FakeBankd(lambda _tpdu: b"\x90\x00") as bankd, FakeServer(bankd=bankd) as server:
        config = ClientConfig(
            server=HostPort("127.0.0.1", server.port),
            client=ClientSlot(7, 0),
            plaintext=LOOPBACK_NETWORKS,
            event_script=f'f() {{ {wait}; echo "$1 {fields}" >> {written}; }}; f',
        )
        service = ClientService([SlotSpec(config, emulator, ClientObserver())])
        await service.start()
        assert await emulator.wait_card(10) == ATR
        await emulator.cold_reset()
        for _ in range(200):
            await emulator.exchange(bytes.fromhex("00b0000000"))
        assert not written.exists()
        opened = os.open(gate, os.O_RDWR)
        os.write(opened, b"go\n")
        await service.stop()
        os.close(opened)
    lines = written.read_text().splitlines()
    causes = [line.split()[0] for line in lines]
    assert causes[:8] == [
        *("event-server-connect", "event-config-bankd"),
        *("request-sim-remote", "request-card-insert", "request-modem-reset", "event-bankd-connect"),
        *("event-modem-status", "event-modem-status"),
    ]
    leaving = ("request-card-remove", "request-sim-local", "request-modem-reset")
    assert [cause for cause in causes[8:] if cause in leaving] == list(leaving)
    assert lines[5] == "event-bankd-connect 7:0 1:2 CONNECTED 2-1.1 0"
    assert lines[7].endswith(" 1")
