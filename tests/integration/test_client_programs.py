# SPDX-License-Identifier: Apache-2.0
"""``remsim client shell`` and ``script`` as processes, against a server and a bankd of the tests' own."""

import asyncio
import json
import os
import re
import signal
import stat
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from remsim.emulators.shell.plain import parse_hex_line
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ResultCode
from tests.doubles.programs import PATIENCE_S, remsim
from tests.doubles.pseudo_terminal import PseudoTerminal
from tests.doubles.rspro_peers import ATR, FakeBankd, FakeServer

ATR_LINE = f"SET_ATR: {ATR.hex(' ')} "


def card(tpdu: bytes) -> bytes | None:
    match tpdu[1]:
        case 0xA4:
            return b"\x61\x09"
        case 0xFE:
            return None
    return bytes(range(tpdu[4])) + b"\x90\x00"


@dataclass
class Done:
    """What a program left behind."""

    status: int
    stdout: str
    stderr: str


class World:
    """Server, bankd, and clients that are told where they are."""

    def __init__(self, server: FakeServer, bankd: FakeBankd) -> None:
        self.server = server
        self.bankd = bankd

    def argv(self, command: str, *arguments: str, client: str = "7:0") -> list[str]:
        address = f"127.0.0.1:{self.server.port}"
        return remsim("client", command, "--plaintext", "--server", address, "--client", client, *arguments)

    async def run(self, command: str, *arguments: str, text: str | None = None, client: str = "7:0") -> Done:
        argv = self.argv(command, *arguments, client=client)
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=DEVNULL if text is None else PIPE, stdout=PIPE, stderr=PIPE
        )
        async with ending(process), asyncio.timeout(PATIENCE_S):
            out, err = await process.communicate(None if text is None else text.encode())
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def ending(process: Process) -> AsyncIterator[Process]:
    """End the program with the block, whatever happens in it."""
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with FakeBankd(card) as bankd, FakeServer(bankd=bankd) as server:
        yield World(server, bankd)


# The shell without a terminal


async def test_lines_are_answered_as_by_the_classic_shell(world: World) -> None:
    done = await world.run("shell", text="00b0000003\r\nRESET\r\n00 a4 00 04 02 3f 00\n00b0000001")
    assert done.stdout.splitlines() == [
        ATR_LINE,
        "R-APDU: 00 01 02 90 00 ",
        "R-APDU: 61 09 ",
        "R-APDU: 00 90 00 ",
    ]
    assert done.status == 0
    assert len(world.bankd.messages(rspro.ClientSlotStatusInd)) == 2


async def test_lines_from_a_file_are_answered(world: World, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("00b0000001\n" * 500)
    with path.open("rb") as lines:  # a moment, before anything else runs
        process = await asyncio.create_subprocess_exec(*world.argv("shell"), stdin=lines, stdout=PIPE, stderr=DEVNULL)
    async with ending(process), asyncio.timeout(PATIENCE_S):
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.decode().splitlines() == [ATR_LINE, *["R-APDU: 00 90 00 "] * 500]


async def test_bad_line_costs_the_status_and_nothing_else(world: World) -> None:
    done = await world.run("shell", text="hello\n00b0000001\n")
    assert done.status == 1
    assert "line 1: neither a command in hex nor RESET\n" in done.stderr
    assert done.stdout.splitlines() == [ATR_LINE, "R-APDU: 00 90 00 "]
    assert "Traceback" not in done.stderr


async def test_without_a_card_lines_wait_and_the_status_is_3(world: World) -> None:
    world.server.bankd = None
    done = await world.run("shell", "--card-wait-s", "0.3", text="00b0000001\n")
    assert done.status == 3
    assert done.stdout == ""
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("remsim client: ")]
    assert "no card within 0.3 s" in error
    assert "the server has no bankd for C7:0" in error


async def test_without_a_server_the_hint_is_about_the_server(world: World) -> None:
    world.server.result = ResultCode.IDENTITY_IN_USE
    done = await world.run("shell", "--card-wait-s", "0.3", text="00b0000001\n")
    assert done.status == 3
    why = "another program with this client number is connected; stop one of the two"
    assert f"no server has accepted us at 127.0.0.1:{world.server.port} ({why})" in done.stderr


async def test_port_for_tls_is_told_with_what_to_do_about_it(world: World) -> None:
    """Such a port closes without a word when it hears plain TCP; the last line of the program says how to go on."""
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as there:
        address = f"127.0.0.1:{there.sockets[0].getsockname()[1]}"
        argv = remsim("client", "shell", "--plaintext", "--server", address, "--client", "7:0", "--card-wait-s", "0.3")
        process = await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        async with ending(process), asyncio.timeout(PATIENCE_S):
            _, error = await process.communicate(b"00b0000001\n")
    why = "closed by the peer before it said anything; does it want a certificate? If so, enrol this host"
    assert f"no server has accepted us at {address} ({why}" in error.decode().splitlines()[-1]


async def test_script_that_fails_says_so_in_json_if_asked_for(world: World, tmp_path: Path) -> None:
    recording = tmp_path / "one.jsonl"
    recording.write_text('{"cmd": "00b0000001", "sw": "9000"}\n')
    world.server.bankd = None
    done = await world.run("script", str(recording), "--json", "--card-wait-s", "0.3")
    assert done.status == 3
    error = json.loads(done.stdout)["error"]
    assert error["message"] == "no card within 0.3 s"
    assert "the server has no bankd for C7:0" in error["hint"]


@pytest.mark.parametrize("command", ["shell", "script"])
async def test_client_without_number_ends_at_once_at_a_server_that_gives_none(tmp_path: Path, command: str) -> None:
    recording = tmp_path / "one.jsonl"
    recording.write_text('{"cmd": "00b0000001", "sw": "9000"}\n')
    async with FakeServer(is_own=False) as server:
        arguments = [] if command == "shell" else [str(recording)]
        process = await asyncio.create_subprocess_exec(
            *remsim("client", command, *arguments, "--plaintext", "--server", f"127.0.0.1:{server.port}"),
            *("--card-wait-s", "3600"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        async with ending(process), asyncio.timeout(PATIENCE_S):
            out, errors = await process.communicate(b"00b0000001\n")
    assert process.returncode == 3
    assert out == b""
    assert errors.decode().splitlines()[-1] == (
        "remsim client: no card will come; hint: the server gives no numbers, so name the client slot "
        "(--client ID:SLOT)"
    )


async def test_without_lines_it_ends_at_once(world: World) -> None:
    assert (await world.run("shell")).status == 0


async def test_interrupt_ends_it_in_order(world: World) -> None:
    process = await asyncio.create_subprocess_exec(*world.argv("shell"), stdin=PIPE, stdout=PIPE, stderr=PIPE)
    async with ending(process), asyncio.timeout(PATIENCE_S):
        assert process.stdin is not None
        process.stdin.write(b"00fe000000\n")
        await world.bankd.until(lambda: bool(world.bankd.messages(rspro.TpduModemToCard)))
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err
    await world.bankd.until(lambda: not world.bankd.links)


# The shell on a terminal


@pytest.fixture
async def terminal() -> AsyncIterator[PseudoTerminal]:
    terminal = PseudoTerminal()
    yield terminal
    terminal.close()


async def on_terminal(world: World, terminal: PseudoTerminal, state: Path, command: str, *arguments: str) -> Process:
    environment = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "XDG_STATE_HOME": str(state)}
    end = terminal.theirs
    return await asyncio.create_subprocess_exec(
        *world.argv(command, *arguments), stdin=end, stdout=end, stderr=end, env=environment
    )


async def test_person_sees_commands_in_words_and_events_above_the_prompt(
    world: World, terminal: PseudoTerminal, tmp_path: Path
) -> None:
    process = await on_terminal(world, terminal, tmp_path, "shell")
    async with ending(process):
        await terminal.see("card inserted, ATR 3B 9F")
        await terminal.see("C7:0>")
        terminal.type("00 b0 0000 02\r")
        await terminal.see("9000 ok")
        terminal.type("status\r")
        await terminal.see("C7:0, OPERATIONAL")
        world.bankd.drop()
        await terminal.see("the bankd is lost")
        await terminal.see("card removed")
        await terminal.see("card inserted")
        terminal.type("nonsense\r")
        await terminal.see("neither a command in hex nor a helper")
        terminal.type("reset\r")
        await terminal.see("cold reset sent")
        terminal.type("quit\r")
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    history = (tmp_path / "remsim" / "client" / "history").read_text()
    assert "+00 b0 0000 02\n" in history


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_history_of_a_session_at_a_terminal_is_for_its_owner_and_holds_no_secret(
    world: World, terminal: PseudoTerminal, tmp_path: Path
) -> None:
    """PIN, PUK, AUTHENTICATE, contents of files and pasted lines; what may be kept is."""
    secrets = (
        "0020000108 31323334FFFFFFFF",
        "00 2c 00 01 10 3132333435363738 34333231ffffffff",
        "0024000110 31323334ffffffff 35363738ffffffff",
        "0088008122 10 00112233445566778899aabbccddeeff 10 ffeeddccbbaa99887766554433221100",
        "00d6000009 082926101132547698",
        "0020000108 31323334FFFFFFF",
        "verify 31323334",
    )
    process = await on_terminal(world, terminal, tmp_path, "shell")
    async with ending(process):
        await terminal.see("card inserted")
        for line in ("00b0000001", *secrets, "select EF.IMSI"):
            await terminal.see("C7:0>")
            terminal.type(line + "\r")
            await terminal.see("select" if line.startswith("select") else "←" if parse_hex_line(line) else "try help")
        await terminal.see("C7:0>")
        terminal.type("\x1b[200~select 3f00\n0020000108 31323334FFFFFFFF\x1b[201~\r")
        await terminal.see("(8 bytes hidden)")
        await terminal.see("C7:0>")
        terminal.type("quit\r")
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    folder = tmp_path / "remsim" / "client"
    history = (folder / "history").read_text()
    assert [line for line in history.splitlines() if line.startswith("+")] == ["+00b0000001", "+select EF.IMSI"]
    assert stat.S_IMODE((folder / "history").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    everything = "".join(path.read_text(errors="replace") for path in files_below(tmp_path))
    assert not re.search("31323334|3132 3334|00112233|ffeeddcc|08292610", everything, re.IGNORECASE)


async def test_reason_for_no_card_and_refusals_are_shown_at_the_terminal(
    world: World, terminal: PseudoTerminal, tmp_path: Path
) -> None:
    world.server.bankd = None
    process = await on_terminal(world, terminal, tmp_path, "shell")
    async with ending(process):
        await terminal.see("no card: the server has no bankd for C7:0")
        terminal.type("0020000108 31323334FFFFFFFF\r")
        await terminal.see("no card (the server has no bankd for C7:0")
        terminal.type("quit\r")
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    assert world.bankd.messages(rspro.TpduModemToCard) == []


async def test_interrupt_at_the_prompt_clears_the_line_and_ends_a_waiting_command(
    world: World, terminal: PseudoTerminal, tmp_path: Path
) -> None:
    process = await on_terminal(world, terminal, tmp_path, "shell")
    async with ending(process):
        await terminal.see("card inserted")
        await terminal.see("C7:0>")
        terminal.type("garbage\x03")
        terminal.type("00fe000000\r")
        await world.bankd.until(lambda: bool(world.bankd.messages(rspro.TpduModemToCard)))
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 130


async def test_script_on_a_terminal_shows_a_table(
    world: World, terminal: PseudoTerminal, tmp_path: Path, reference: Callable[..., Path]
) -> None:
    recording = str(reference("traces", "iot-modem-boot.jsonl"))
    process = await on_terminal(world, terminal, tmp_path, "script", recording)
    async with ending(process):
        await terminal.see("SELECT")
        await terminal.see("151 commands and 1 reset in")
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0


# Recordings


RECORDING = """\
{"event": "reset"}
{"cmd": "00a40004023f00", "sw": "6109", "rlen": 0}
{"cmd": "00c0000035", "sw": "9000", "rlen": 9}
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "boot.jsonl"
    path.write_text(RECORDING)
    return path


async def test_recording_is_played_and_reported_as_json(world: World, recording: Path, tmp_path: Path) -> None:
    dump = tmp_path / "dump.jsonl"
    arguments = ("--json", "--check", "--repeat", "3", "--dump", str(dump))
    done = await world.run("script", str(recording), *arguments)
    assert done.status == 0
    report = json.loads(done.stdout)
    assert report["commands"] == 6
    assert report["resets"] == 3
    assert report["mismatches"] == {"sw": 0, "rlen": 0}
    assert [(kind["kind"], kind["count"]) for kind in report["kinds"]] == [
        ("GET RESPONSE", 3),
        ("SELECT", 3),
        ("all", 6),
    ]
    assert report["atr"] == ATR.hex()
    # It has all that the card said, in clear.
    assert dump.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line) for line in dump.read_text().splitlines()][:3] == [
        {"event": "reset"},
        {"cmd": "00a40004023f00", "data": "", "sw": "6109"},
        {"cmd": "00c0000009", "data": "000102030405060708", "sw": "9000"},
    ]


async def test_literal_recording_differs_and_check_says_so(world: World, recording: Path) -> None:
    done = await world.run("script", str(recording), "--literal")
    assert done.status == 0
    assert "Not as recorded: 0 status words, 1 lengths." in done.stdout
    assert (await world.run("script", str(recording), "--literal", "--check")).status == 1


async def test_command_without_answer_is_a_failure(world: World, tmp_path: Path) -> None:
    path = tmp_path / "mute.jsonl"
    path.write_text('{"cmd": "00fe000000"}\n')
    process = await asyncio.create_subprocess_exec(*world.argv("script", str(path)), stdout=PIPE, stderr=PIPE)
    async with ending(process), asyncio.timeout(PATIENCE_S):
        await world.bankd.until(lambda: bool(world.bankd.messages(rspro.TpduModemToCard)))
        world.bankd.drop()
        out, err = await process.communicate()
    assert process.returncode == 1
    assert out == b""
    assert b"command 1 (TERMINATE CARD USAGE, line 1): no answer: link to the bankd lost" in err


async def test_recording_without_a_card_has_status_3(world: World, recording: Path) -> None:
    world.server.bankd = None
    done = await world.run("script", str(recording), "--card-wait-s", "0.3")
    assert done.status == 3
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (None, (), "cannot read "),
        ('{"event": "reset"}\nnonsense\n', (), "line 2: not JSON"),
        (RECORDING, ("--repeat", "0"), "--repeat 0: at least 1 is needed"),
    ],
)
async def test_wrong_use_is_one_line_with_status_2(
    world: World, tmp_path: Path, text: str | None, arguments: tuple[str, ...], words: str
) -> None:
    path = tmp_path / "boot.jsonl"
    if text is not None:
        path.write_text(text)
    done = await world.run("script", str(path), *arguments)
    assert done.status == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert world.server.received == []


async def test_dump_that_cannot_be_written_is_told_before_anything_is_played(world: World, recording: Path) -> None:
    done = await world.run("script", str(recording), "--dump", str(recording / "dump"))
    assert done.status == 1
    assert "cannot write" in done.stderr
    assert world.server.received == []


async def test_number_out_of_range_is_refused_at_start(world: World) -> None:
    """known-limits.md, 83."""
    done = await world.run("shell", text="", client="1024:0")
    assert done.status == 2
    assert "client id 1024 is outside 0..1023" in done.stderr
    assert world.server.received == []
