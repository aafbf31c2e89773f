# SPDX-License-Identifier: Apache-2.0
"""No secret of a card leaves the three programs but as the answer to the command that asked for it.

Server, bankd and clients run as processes at the most talkative level, with GSMTAP, metrics, an event script and the
shell's history. PINs are verified, changed and unblocked, the network authenticates the card, identities and keys are
read and written, commands and frames are broken in every way; then everything that was written is searched.
"""

import asyncio
import json
import os
import re
import socket
import sqlite3
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from importlib import resources
from pathlib import Path

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.wire import ipa
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import NO_FLAGS, ComponentIdentity, ComponentType, ResultCode
from tests.doubles.engines import frame
from tests.doubles.link_world import RawEnd, dialled_raw
from tests.doubles.programs import PATIENCE_S, Program, remsim
from tests.doubles.pseudo_terminal import PseudoTerminal
from tests.doubles.secrets_hunt import FILE_KEYS, ICCID, IMSI, NEW_PIN, PIN, PUK, RAND, Hunt, challenge, write_profile

VERIFY = bytes.fromhex("0020000108") + PIN
CHANGE = bytes.fromhex("0024000110") + PIN + NEW_PIN
BACK = bytes.fromhex("0024000110") + NEW_PIN + PIN
UNBLOCK = bytes.fromhex("002c000110") + PUK + PIN
DISABLE, ENABLE = bytes.fromhex("0026000108") + PIN, bytes.fromhex("0028000108") + PIN
SELECT_USIM = bytes.fromhex("00a4040407a0000000871002")
WRITE_KEYS = bytes.fromhex("00d6000011") + FILE_KEYS


def select(file: str) -> bytes:
    """SELECT by file identifier."""
    return bytes.fromhex(f"00a4000402{file}")


SESSION = [
    *(VERIFY, CHANGE, BACK, UNBLOCK, DISABLE, ENABLE, SELECT_USIM, challenge(1 << 5), bytes.fromhex("00c0000035")),
    *(challenge(1 << 5), bytes.fromhex("00c0000010"), select("6f07"), bytes.fromhex("00b0000009")),
    *(bytes.fromhex("00b0870009"), select("6f08"), WRITE_KEYS, bytes.fromhex("00b0000011")),
    *(bytes.fromhex("00d6880011") + FILE_KEYS, bytes.fromhex("00a40804022fe2"), bytes.fromhex("00b000000a")),
    *(bytes.fromhex("00b082000a"), bytes.fromhex("00a40804047f106f40"), bytes.fromhex("00b201041c")),
    *(bytes.fromhex("a0a40000023f00"), bytes.fromhex("a0a40000027f20"), bytes.fromhex("a088000010") + RAND),
    *(bytes.fromhex("a0c000000c"), bytes.fromhex("a0a40000026f07"), bytes.fromhex("a0b0000009")),
    bytes.fromhex("a020000108") + PIN,
]
#: What is no command, or one that no card knows, with the same secrets in it.
BROKEN = [
    *(VERIFY[:-1], VERIFY + b"\xff", VERIFY[:4] + PIN, b"\xff" + VERIFY, PIN, PIN + PUK, CHANGE[:4] + CHANGE[5:]),
    *(bytes.fromhex("00fe000008") + PIN, bytes.fromhex("80ca00000f") + IMSI.encode(), challenge(1 << 5)[:-3]),
    *(bytes.fromhex("80140000088103012300") + PIN[:3], bytes.fromhex("80c200000ad108") + PIN),
]


def broken_frames(message: rspro.Message) -> list[bytes]:
    """Frames with the bytes of ``message`` that nobody can read."""
    whole = frame(message, tag=7)
    payload = whole[4:]
    return [
        ipa.encode_rspro(payload[:-1]),
        ipa.encode_rspro(payload + PIN),
        ipa.encode_rspro(payload.replace(b"\x04", b"\x03")),
        ipa.encode_rspro(payload.replace(b"\x04", b"\x02")),
        ipa.encode_rspro(payload.replace(b"\x30", b"\x02")),
        ipa.encode_rspro(payload[1:]),
        ipa.encode_rspro(PIN + PUK),
        ipa.encode_rspro(VERIFY),
        frame(message, version=9),
        ipa.encode_ccm(b"\x33" + VERIFY),
        frame(rspro.SetAtrReq(ClientSlot(7, 0), b"\x3b" + PIN + PUK)).replace(b"\x04\x11", b"\x02\x11"),
        # This one ends the link.
        len(payload).to_bytes(2) + b"\xdd" + payload,
    ]


class Bench:
    """What runs, and what it has written."""

    def __init__(self, folder: Path, log_format: str) -> None:
        self.folder = folder
        self.arguments = ("--plaintext", "--log-level", "debug", "--log-format", log_format)
        self.programs: list[Program] = []
        self.outputs: dict[str, str] = {}
        self.event_log = folder / "events"

    def start(self, stack: ExitStack, *words: str) -> Program:
        """Start a program."""
        program = stack.enter_context(Program(remsim(*words, *self.arguments)))
        self.programs.append(program)
        return program

    def script(self) -> str:
        """An event script that notes all that it is told."""
        path = self.folder / "script"
        path.write_text(f'#!/bin/sh\nenv >> {self.event_log}\necho "$@" >> {self.event_log}\n')
        path.chmod(0o755)
        return str(path)

    def keep(self, name: str, program: Program, *, is_stdout_a_log: bool = True) -> None:
        """Keep what a program that has ended wrote; the plain shell's stdout is its answers."""
        lines = [*program.stderr.lines, *(program.stdout.lines if is_stdout_a_log else ())]
        assert lines, name
        self.outputs[name] = "\n".join(lines)


def address(program: Program, pattern: str) -> int:
    """The port in a line of a program's log."""
    return int(program.wait_for(pattern)[1])


@contextmanager
def gsmtap() -> Iterator[socket.socket]:
    """A host that captures."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0)
        yield listener


def captured(listener: socket.socket) -> list[bytes]:
    """All datagrams so far."""
    found = []
    try:
        while True:
            found.append(listener.recv(1000))
    except BlockingIOError:
        return found


def fetch(port: int) -> str:
    """A program's metrics page."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


def answers(shell: Program, count: int) -> list[bytes]:
    """The plain shell's answers, once it has so many."""
    shell.wait_for_stdout("R-APDU", after=0)
    lines = [line for line in shell.stdout.lines if line.startswith("R-APDU")]
    while len(lines) < count:
        shell.wait_for_stdout("R-APDU", after=len(shell.stdout.lines))
        lines = [line for line in shell.stdout.lines if line.startswith("R-APDU")]
    return [bytes.fromhex(line.partition(":")[2]) for line in lines]


def play_plain_shell(bench: Bench, stack: ExitStack, rspro_port: int) -> list[bytes]:
    """All commands through the classic shell; return the card's answers."""
    shell = bench.start(
        *(stack, "client", "shell", "--server", f"127.0.0.1:{rspro_port}", "--client", "7:0"),
        *("--event-script", bench.script(), "--metrics", "127.0.0.1:0"),
    )
    metrics_port = address(shell, r"metrics_listening.*?127\.0\.0\.1:(\d+)")
    shell.wait_for_stdout("SET_ATR")
    for command in (*SESSION, *BROKEN):
        shell.send_line(command.hex(" "))
    shell.send_line("RESET")
    for line in ("not hex 73914826", "0020000108 3733393134383236f"):
        shell.send_line(line)
    heard = answers(shell, len(SESSION) + len(BROKEN))
    bench.outputs["client metrics"] = fetch(metrics_port)
    shell.close_input()
    shell.wait()
    bench.keep("plain shell", shell, is_stdout_a_log=False)
    return heard


def play_script(bench: Bench, stack: ExitStack, rspro_port: int) -> None:
    """The same as a recording."""
    recording = bench.folder / "recording.jsonl"
    lines = [json.dumps({"cmd": command.hex()}) for command in SESSION]
    recording.write_text("\n".join(['{"event": "reset"}', *lines]) + "\n")
    player = bench.start(
        stack, "client", "script", str(recording), "--server", f"127.0.0.1:{rspro_port}", "--client", "7:0"
    )
    assert player.wait() == 0, player.describe()
    bench.keep("script", player)


async def play_console(bench: Bench, rspro_port: int) -> None:
    """The same at a terminal, whose history is kept."""
    terminal = PseudoTerminal()
    state = bench.folder / "console"
    environment = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "XDG_STATE_HOME": str(state)}
    words = ("client", "shell", "--server", f"127.0.0.1:{rspro_port}", "--client", "7:0", "--plaintext")
    process = await asyncio.create_subprocess_exec(
        *remsim(*words), stdin=terminal.theirs, stdout=terminal.theirs, stderr=terminal.theirs, env=environment
    )
    try:
        await terminal.see("card inserted")
        for command in (VERIFY, CHANGE, BACK, SELECT_USIM, select("6f08"), WRITE_KEYS, challenge(1 << 6)):
            terminal.type(command.hex(" ") + "\r")
            await terminal.see("← ")
        for command in BROKEN:
            terminal.type(command.hex() + "\r")
        terminal.type("00 20 00 01 08 37 33 39 31 34 38 32 3\r")
        terminal.type("read binary 17\r")
        await terminal.see("← 9000")
        terminal.type("quit\r")
        async with asyncio.timeout(PATIENCE_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        terminal.close()
    history = (state / "remsim" / "client" / "history").read_text()
    assert "+00 a4 00 04 02 6f 08\n" in history
    bench.outputs["history"] = history


async def send_broken_frames(port: int, hello: rspro.Message, about: rspro.Message) -> None:
    """Introduce oneself and send what cannot be read, over and over."""
    for broken in broken_frames(about):
        async with dialled_raw("127.0.0.1", port) as peer:
            await peer.write(frame(hello, tag=1))
            await peer.read(12)
            await peer.write(broken)
            await settle(peer)


async def settle(peer: RawEnd) -> None:
    """Wait until what was sent has been looked at: the other end closes, or answers a PING behind it."""
    try:
        await peer.write(bytes.fromhex("0001fe00"))
        heard = b""
        while not heard.endswith(bytes.fromhex("0001fe01")) and (byte := await peer.read(1)):
            heard += byte
    except ConnectionError:
        return


@asynccontextmanager
async def broken_server() -> AsyncIterator[int]:
    """A server that accepts its client and then says nothing that can be read."""
    identity = ComponentIdentity(ComponentType.REMSIM_SERVER, "server", "remsim-test", "1")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(frame(rspro.ConnectClientRes(identity, ResultCode.OK), tag=1))
        code, severity = rspro.ErrorCode.UNEXPECTED_DISCONNECT, rspro.ErrorSeverity.MAJOR
        text = f"card said {VERIFY.hex()}"
        writer.write(frame(rspro.ErrorInd(ComponentType.REMSIM_SERVER, severity, code, error_string=text)))
        command = rspro.TpduModemToCard(ClientSlot(7, 0), BankSlot(1, 0), NO_FLAGS, VERIFY)
        writer.write(b"".join(broken_frames(command)))
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def play_broken_frames(bench: Bench, stack: ExitStack, rspro_port: int, bankd_port: int) -> None:
    """Frames that nobody can read, to all three programs."""
    client = ComponentIdentity(ComponentType.REMSIM_CLIENT, "client", "remsim-test", "1")
    hello = rspro.ConnectClientReq(client, ClientSlot(8, 0))
    command = rspro.TpduModemToCard(ClientSlot(8, 0), BankSlot(1, 0), NO_FLAGS, VERIFY)
    response = rspro.TpduCardToModem(BankSlot(1, 0), ClientSlot(8, 0), NO_FLAGS, RAND + b"\x90\x00")
    for message in (command, response):
        await send_broken_frames(bankd_port, hello, message)
        await send_broken_frames(rspro_port, hello, message)
    async with broken_server() as port:
        victim = bench.start(stack, "client", "shell", "--server", f"127.0.0.1:{port}", "--client", "7:0")
        await asyncio.to_thread(victim.wait_for, "message_ignored")
        await asyncio.to_thread(victim.wait_for, "link_failed")
        victim.close_input()
        await asyncio.to_thread(victim.stop)
    bench.keep("client of a broken server", victim)


def read_database(path: Path) -> str:
    """All rows of all tables, but for that of the cards' numbers, which the rules of the policy are about."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'cards'")
        names = [name for (name,) in tables]
        assert "audit" in names
        return "\n".join(str(row) for name in names for row in connection.execute(f'SELECT * FROM "{name}"'))  # noqa: S608


@pytest.mark.timeout(180)  # eight programs are started, one after the other
@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_no_secret_of_a_card_is_in_anything_that_is_written(tmp_path: Path, log_format: str) -> None:
    bench = Bench(tmp_path, log_format)
    shipped = Path(str(resources.files("remsim.uicc") / "profiles" / "default.toml"))
    profile = write_profile(tmp_path, shipped)
    with gsmtap() as trace, ExitStack() as stack:
        server = bench.start(
            *(stack, "server", "--rspro", "127.0.0.1:0", "--rest", "127.0.0.1:0", "--rest-open"),
            *("--metrics", "127.0.0.1:0", "--state", str(tmp_path / "server")),
        )
        server_metrics = address(server, r"metrics_listening.*?127\.0\.0\.1:(\d+)")
        listening = server.wait_for(r"rspro\W+127\.0\.0\.1:(\d+)\W+rest\W+127\.0\.0\.1:(\d+)")
        rspro_port, rest_port = int(listening[1]), int(listening[2])
        bankd = bench.start(
            *(stack, "bankd", "--server", f"127.0.0.1:{rspro_port}", "--listen", "127.0.0.1:0", "--slots", "1"),
            *("--reader", "sim", "--sim-profile", str(profile), "--metrics", "127.0.0.1:0"),
            *("--gsmtap", f"127.0.0.1:{trace.getsockname()[1]}", "--state", str(tmp_path / "bankd")),
        )
        bankd_metrics = address(bankd, r"metrics_listening.*?127\.0\.0\.1:(\d+)")
        bankd_port = address(bankd, r"(?:bankd |\")listening\b.*?127\.0\.0\.1:(\d+)")
        with Program(remsim("ctl", "--rest", f"http://127.0.0.1:{rest_port}", "map", "B1:0", "C7:0")) as ctl:
            assert ctl.wait() == 0
        heard = play_plain_shell(bench, stack, rspro_port)
        play_script(bench, stack, rspro_port)
        await play_console(bench, rspro_port)
        await play_broken_frames(bench, stack, rspro_port, bankd_port)
        bench.outputs["server metrics"] = fetch(server_metrics)
        bench.outputs["bankd metrics"] = fetch(bankd_metrics)
        bankd.stop()
        server.stop()
        datagrams = captured(trace)
    bench.keep("server", server)
    bench.keep("bankd", bankd)
    bench.outputs["events"] = bench.event_log.read_text()
    bench.outputs["database"] = read_database(tmp_path / "server" / "server.sqlite")
    bench.outputs["GSMTAP"] = "\n".join(datagram.hex() for datagram in datagrams)
    check_session(heard, datagrams, bench)
    hunt = Hunt(further={f"answer {number}": heard[number][:-2] for number in (8, 10, 26)})
    found = [str(one) for name, text in bench.outputs.items() for one in hunt.find(name, text)]
    assert found == []
    # What the operator asked for, and was answered, is what the search does find.
    assert {one.secret for one in hunt.find("answers", b"".join(heard).hex())} >= {"keys", "IMSI", "ICCID", "MSISDN"}


def check_session(heard: list[bytes], datagrams: list[bytes], bench: Bench) -> None:
    """That the secrets did pass, and were noticed: or the search would prove nothing."""
    words = [answer[-2:].hex() for answer in heard]
    assert words[:6] == ["9000"] * 6
    assert heard[8][:1] == b"\xdb"
    assert heard[10][:1] == b"\xdc"
    assert swapped_back(heard[12]).endswith(IMSI)
    assert swapped_back(heard[19]).startswith(ICCID)
    assert heard[16][:-2] == FILE_KEYS
    shown = "".join(datagram.hex() for datagram in datagrams)
    assert "0020000108" + "ff" * 8 + "9000" in shown
    assert "00b0000009" in shown
    assert len(datagrams) > 2 * len(SESSION)
    assert bench.outputs["server"].count("undecodable_message") > 5
    assert bench.outputs["bankd"].count("not RSPRO") > 5
    assert "event-bankd-connect" in bench.outputs["events"]
    assert re.search(r"command_noted.*0024000110", bench.outputs["bankd"])


def swapped_back(answer: bytes) -> str:
    """The digits in an answer of a card."""
    digits = answer[:-2].hex()
    return "".join(digits[at + 1] + digits[at] for at in range(0, len(digits), 2))
