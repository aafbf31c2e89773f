# SPDX-License-Identifier: Apache-2.0
"""``remsim doctor``: each check, right and wrong, with its mend; and the program."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remsim.config import ClientSlotConfig, HostPort
from remsim.core.errors import ConfigError
from remsim.core.finding import Finding, Outcome
from remsim.core.identity import Role
from remsim.core.ids import ClientSlot
from remsim.doctor import check, host, links, vpcd
from remsim.doctor.check import CHECKS, Situation, examine
from remsim.doctor.configuration import Given, check_configuration, read_situation
from tests.doubles.programs import Program, remsim
from tests.doubles.rspro_peers import FakeServer

NOWHERE = HostPort("127.0.0.1", 1)


async def found_by(checks: dict[str, tuple[str, str]], situation: Situation | None = None) -> list[Finding]:
    return [finding async for finding in examine(situation or Situation(NOWHERE), checks)]


# The framework


async def crash(_situation: Situation) -> Sequence[Finding]:
    raise ValueError("oops")


async def hang(_situation: Situation) -> Sequence[Finding]:
    await asyncio.Event().wait()
    return []


@pytest.mark.parametrize(
    ("module", "name", "text"),
    [
        (__name__, "crash", "the check itself failed: ValueError: oops"),
        (__name__, "hang", "not done within 0.05 s"),
        ("no_such_module", "x", "no_such_module is not installed"),
    ],
)
async def test_check_that_fails_is_a_finding(
    module: str, name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "DEADLINE_S", 0.05)
    (finding,) = await found_by({"it": (module, name)})
    assert (finding.check, finding.outcome, finding.text) == ("it", Outcome.PROBLEM, text)
    assert finding.mend


async def test_every_problem_has_its_mend() -> None:
    situation = Situation(NOWHERE, (ClientSlotConfig(emulator="vpcd", settings={"vpcd": "127.0.0.1:1"}),), "file")
    findings = await found_by(CHECKS, situation)
    assert {finding.check for finding in findings} >= {"configuration", "clock", "server", "vpcd"}
    assert all(finding.mend for finding in findings if finding.outcome is Outcome.PROBLEM)


# Server


async def test_server_that_answers_is_well() -> None:
    async with FakeServer() as server:
        finding = await links.examine_peer(HostPort("127.0.0.1", server.port), None, Role.SERVER)
        assert finding.outcome is Outcome.OK
        assert server.received == []


@asynccontextmanager
async def peer(answer: bytes | None) -> AsyncIterator[HostPort]:
    """Something that takes connections, and says ``answer`` or, for None, nothing."""
    done = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        if answer is None:
            await done.wait()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield HostPort("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        done.set()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "speaks HTTP, not RSPRO"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "speaks no RSPRO: this is SSH, not RSPRO"),
        (b"", "speaks no RSPRO: it closes the connection"),
        (None, "does not answer"),
    ],
)
async def test_what_is_no_server_is_told(answer: bytes | None, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "DEADLINE_S", 0.2)
    async with peer(answer) as address:
        finding = await links.examine_peer(address, None, Role.SERVER)
    assert (finding.outcome, text in finding.text) == (Outcome.PROBLEM, True), finding


async def test_server_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nothing listens at 127.0.0.1:1" in (await links.examine_peer(NOWHERE, None, Role.SERVER)).text

    loop = asyncio.get_running_loop()

    async def no_name(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    async def no_route(*_arguments: object, **_options: object) -> None:
        raise OSError(113, "Connect call failed ('127.0.0.1', 1)")

    monkeypatch.setattr(asyncio, "open_connection", no_route)
    assert (await links.examine_peer(NOWHERE, None, Role.SERVER)).text == ("127.0.0.1:1: the host cannot be reached")
    monkeypatch.setattr(loop, "getaddrinfo", no_name)
    assert (await links.examine_peer(HostPort("nowhere.example", 1), None, Role.SERVER)).text == (
        "nowhere.example cannot be found: Name or service not known"
    )


async def test_all_addresses_of_a_name_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of two addresses where nothing listens is told as one address is, and one good address is enough."""

    async def two_addresses(*_arguments: object, **_options: object) -> list[object]:
        return [(0, 0, 0, "", ("127.0.0.2", 0)), (0, 0, 0, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two_addresses)
    assert "nothing listens at two:1" in (await links.examine_peer(HostPort("two", 1), None, Role.SERVER)).text


# Clock


async def test_clock_that_is_in_the_past_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_installed", lambda: datetime.now(UTC) + timedelta(days=1))
    (finding,) = await host.check_clock(Situation(NOWHERE))
    assert finding.outcome is Outcome.PROBLEM
    assert "before this program was installed" in finding.text


@pytest.mark.parametrize(
    ("script", "outcome"),
    [("echo yes", Outcome.OK), ("echo no", Outcome.NOTE), ("exit 1", Outcome.OK), ("exec sleep 60", Outcome.OK)],
)
async def test_time_server_is_asked_for(
    script: str, outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "timedatectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(host, "_CLOCK_DEADLINE_S", 0.5)
    (finding,) = await host.check_clock(Situation(NOWHERE))
    assert finding.outcome is outcome
    assert ("set by a time server" in finding.text) is (script == "echo yes")


async def test_system_that_knows_no_time_server_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = await host.check_clock(Situation(NOWHERE))
    assert finding.outcome is Outcome.OK


# Virtual reader


async def test_virtual_reader_is_seen_without_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection would be a card in the reader, so there must be none."""
    async with peer(None) as address:

        async def connect(*_arguments: object) -> None:
            raise AssertionError

        monkeypatch.setattr(asyncio, "open_connection", connect)
        assert (await vpcd.look_for_vpcd(address)).outcome is Outcome.OK


async def test_missing_virtual_reader_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "vpcd"
    assert "not installed" in (await vpcd.look_for_vpcd(NOWHERE, driver=missing)).text
    missing.touch()
    finding = await vpcd.look_for_vpcd(NOWHERE, driver=missing)
    assert finding.text == "no virtual reader waits at 127.0.0.1:1"


async def test_virtual_reader_elsewhere_is_tried(tmp_path: Path) -> None:
    async with peer(b"") as address:
        assert (await vpcd.look_for_vpcd(address, tables=[tmp_path / "none"])).outcome is Outcome.OK
    assert (await vpcd.look_for_vpcd(NOWHERE, tables=[tmp_path / "none"])).outcome is Outcome.PROBLEM


def test_listening_sockets_are_read_from_the_kernels_table() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue\n"
        "   0: 00000000:8C7B 00000000:0000 0A 00000000\n"
        "   1: 0100007F:8C7C 0100007F:9999 01 00000000\n"
        "   2:\n"
    )
    assert vpcd.listening_ports(table) == {35963}


# Configuration


async def test_file_with_slots_is_understood(tmp_path: Path) -> None:
    script = tmp_path / "event"
    script.touch()
    path = tmp_path / "client.toml"
    path.write_text(
        'server = "h:1"\n[[slot]]\nclient = "7:0"\nemulator = "vpcd"\n'
        f'event_script = "{script} x"\n[[slot]]\nemulator = "nix"\n'
        '[[slot]]\nemulator = "vpcd"\nsettings = {vcpd = "h:1"}\nevent_script = "/nonexistent/event"\n'
        '[[slot]]\nemulator = "shell"\nevent_script = "\'"\n'
    )
    situation = read_situation(file=path, environ={})
    assert situation.server == HostPort("h", 1)
    texts = [finding.text for finding in await check_configuration(situation)]
    assert texts == [
        f"slot[0] (C7:0): event script {script} is not executable",
        "slot[1]: there is no emulator 'nix'",
        "slot[2].settings.vcpd: unknown key",
        "slot[2]: event script /nonexistent/event is not there",
        'slot[3]: event_script "\'" is no command line',
    ]
    script.chmod(0o755)
    path.write_text(f'[[slot]]\nclient = "7:0"\nemulator = "vpcd"\nevent_script = "{script}"\n')
    (finding,) = await check_configuration(read_situation(file=path, environ={}))
    assert finding == Finding("configuration", Outcome.OK, f"{path} describes 1 slot")


async def test_file_for_the_virtual_reader_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "reader.toml"
    path.write_text('client = "7:0"\nvpcd = "127.0.0.1:35964"\n')
    situation = read_situation(file=None, environ={"REMSIM_CONFIG": str(path)}, given=Given(server="h:2"))
    assert situation.server == HostPort("h", 2)
    (slot,) = situation.slots_with("vpcd")
    assert (slot.client, slot.settings) == (ClientSlot(7, 0), {"vpcd": "127.0.0.1:35964"})


async def test_file_that_cannot_be_used_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "client.toml"
    path.write_text("serfer = 1\n")
    (finding,) = await check_configuration(read_situation(file=path, environ={}, given=Given(vpcd="h:1")))
    assert finding.outcome is Outcome.PROBLEM
    assert "serfer: unknown key" in finding.text
    assert "did you mean server" in finding.mend


async def test_without_a_file_the_options_count() -> None:
    assert read_situation(file=None, environ={}).slots == ()
    situation = read_situation(file=None, environ={}, given=Given(vpcd="h:1"))
    assert len(situation.slots_with("vpcd")) == 1
    (finding,) = await check_configuration(situation)
    assert finding.outcome is Outcome.NOTE
    with pytest.raises(ConfigError, match="--server"):
        read_situation(file=None, environ={}, given=Given(server=":1"))


async def test_wrong_virtual_reader_is_told_once() -> None:
    slot = ClientSlotConfig(emulator="vpcd", settings={"vpcd": 1})
    assert await vpcd.check_vpcd(Situation(NOWHERE, (slot,))) == []


# The program


def test_program_tells_and_its_status_counts() -> None:
    with Program(remsim("doctor", "--server", "127.0.0.1:1", "--vpcd", "127.0.0.1:1")) as program:
        assert program.wait() == 1
    text = "\n".join(program.stdout.lines)
    assert "problem server        nothing listens at 127.0.0.1:1" in text
    assert "→ start it there (remsim server)" in text
    assert "problem vpcd" in text
    assert program.stderr.lines == []


async def test_program_speaks_json() -> None:
    async with FakeServer() as server:
        argv = remsim("doctor", "--server", f"127.0.0.1:{server.port}", "--json")
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
    report = json.loads(out)
    assert (process.returncode, report["ok"]) == (0, True)
    (found,) = [finding for finding in report["findings"] if finding["check"] == "server"]
    assert found["outcome"] == "ok"
    assert "answers in" in found["text"]
