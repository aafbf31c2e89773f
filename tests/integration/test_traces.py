# SPDX-License-Identifier: Apache-2.0
"""Traces over the whole suite: what a reader at the server sees of a modem's start, joined from both ends."""

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import httpx2
import pytest

from remsim.cli.main import main
from remsim.config import HostPort
from remsim.core.ids import BankSlot
from remsim.emulators.driven import DrivenEmulator
from remsim.emulators.script.player import ScriptPlayer
from remsim.emulators.script.recording import RecordedCommand, load_recording
from remsim.rest.stream import EventReader
from remsim.rest.traces import TraceEndsModel, TraceModel
from remsim.trace.gsmtap import GsmtapSubType
from tests.doubles.cutting_proxy import CuttingProxy
from tests.doubles.programs import remsim
from tests.doubles.rounds import until
from tests.doubles.suite import Suite
from tests.reference import reference

_PATIENCE_S = 60.0
#: What the header of a GSMTAP datagram with a command begins with.
_GSMTAP = bytes.fromhex("02040400")
_RECORDING = reference("traces", "iot-modem-boot.jsonl")


class Watcher:
    """Reads a trace."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._reader = EventReader()
        self._lines = answer.aiter_lines()
        self.ends: TraceEndsModel | None = None
        self.missed = 0

    async def next(self) -> TraceModel:
        """The next record."""
        async for line in self._lines:
            found = self._reader.on_line(line)
            if found is None:
                continue
            if found.kind == "ends":
                self.ends = TraceEndsModel.model_validate_json(found.data)
            elif found.kind == "missed":
                self.missed += int(json.loads(found.data)["records"])
            else:
                return TraceModel.model_validate_json(found.data)
        raise AssertionError("the stream has ended")

    async def commands(self, count: int, origin: str = "modem") -> list[TraceModel]:
        """So many commands of this origin; others are passed over."""
        found: list[TraceModel] = []
        while len(found) < count:
            record = await self.next()
            if record.kind == "command" and record.origin == origin:
                found.append(record)
        return found


@asynccontextmanager
async def watching(rest: httpx2.AsyncClient, slot: str) -> AsyncIterator[Watcher]:
    async with rest.stream("GET", f"/api/v2/traces/{slot}", headers={"Accept": "text/event-stream"}) as answer:
        assert answer.status_code == 200
        yield Watcher(answer)


class Stage:
    """A suite, and a modem that plays a recorded start."""

    def __init__(
        self,
        folder: Path,
        *,
        ahead: Literal["on", "off"] = "off",
        resume: Literal["always", "off"] = "always",
        gsmtap: HostPort | None = None,
        proxy: CuttingProxy | None = None,
    ) -> None:
        self.emulator = DrivenEmulator()
        self.steps = load_recording(_RECORDING)
        self.suite = Suite(
            folder,
            [self.emulator],
            profile="iot-modem",
            proxy=proxy,
            resume=resume,
            card_time_ms=1,
            ahead=ahead,
            gsmtap=gsmtap,
        )

    @property
    def recorded(self) -> list[str]:
        return [step.tpdu.hex() for step in self.steps if isinstance(step, RecordedCommand)]

    async def play(self) -> None:
        player = ScriptPlayer(self.emulator, self.steps, repeat=1, card_wait_s=_PATIENCE_S)
        await player.run()
        assert not player.outcome.differences

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        """While the start is played; lasts until its end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.play())
            yield

    def rest(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=f"http://{self.suite.server.rest_address}", timeout=_PATIENCE_S)


def agrees(shown: str, sent: str) -> bool:
    """Whether a masked command can be this one: GET RESPONSE and FETCH go by what the card has said."""
    return len(shown) == len(sent) and all(s in ("*", r) for s, r in zip(shown[:8], sent[:8], strict=True))


@pytest.mark.parametrize("resume", ["always", "off"])
async def test_start_of_a_modem_is_seen_command_by_command(tmp_path: Path, resume: Literal["always", "off"]) -> None:
    stage = Stage(tmp_path, resume=resume)
    async with stage.suite, stage.rest() as rest, watching(rest, "B1:0") as watcher, asyncio.timeout(_PATIENCE_S):
        async with stage.playing():
            found = await watcher.commands(len(stage.recorded))
    assert all(agrees(one.command or "", sent) for one, sent in zip(found, stage.recorded, strict=True))
    assert watcher.ends is not None
    assert [(end.slot, end.traces) for end in watcher.ends.ends] == [("B1:0", True), ("C7:0", True)]
    # Both ends tell of each command, and the halves are put together.
    ids = [one.command_id for one in found]
    assert len(set(ids)) == len(ids)
    whole = [one for one in found if one.card_ms is not None and one.total_ms is not None]
    assert len(whole) == len(found)
    assert all(one.card_ms >= 1 and one.network_ms > 0 and one.total_ms > one.card_ms for one in whole)  # type: ignore[operator]
    assert {(one.bank, one.client, one.source) for one in found} == {("B1:0", "C7:0", "B1:0")}
    is_session = [str(one).partition("-")[0] != "B1:0" for one in ids]
    assert set(is_session) == {resume == "always"}
    assert any(one.words == "READ BINARY SFI 07, 9 bytes [EF.IMSI]" for one in found)
    assert any(one.answer == "9000 ok, 9 bytes" for one in found)


async def test_nothing_secret_leaves_the_bank(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.suite, stage.rest() as rest, watching(rest, "C7:0") as watcher, asyncio.timeout(_PATIENCE_S):
        async with stage.playing():
            found = await watcher.commands(len(stage.recorded))
    by_words = {one.words: one for one in found}
    imsi = by_words["READ BINARY SFI 07, 9 bytes [EF.IMSI]"]
    assert imsi.response is not None
    assert imsi.response.count("**") >= 4
    for one in found:
        if (one.words or "").startswith("AUTHENTICATE"):
            assert set((one.command or "")[10:]) == {"*"}


async def test_trace_ends_by_itself_when_nobody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remsim.server.core.tracing.LINGER_S", 2.0)
    monkeypatch.setattr("remsim.server.core.tracing.RENEW_S", 0.5)
    stage = Stage(tmp_path)
    async with stage.suite as suite, stage.rest() as rest, asyncio.timeout(_PATIENCE_S):
        assert not tapped(suite)
        async with watching(rest, "B1:0") as watcher:
            async with stage.playing():
                await watcher.commands(3)
                assert tapped(suite)
        # All end by their clocks.
        await until(lambda: not tapped(suite))


def tapped(suite: Suite) -> bool:
    """Whether anything is traced at bankd, client or server."""
    runtime = suite.server.runtime
    is_watched = runtime is not None and len(runtime.coordinator.traces) > 0
    position, client = suite.bankd.coordinator.cards.positions[0], suite.client.slots[0].coordinator
    return position.is_traced or client.trace.tap is not None or is_watched


async def test_guesses_are_told_apart_and_joined_with_the_command_that_they_answer(tmp_path: Path) -> None:
    # Next to its card nothing is guessed.
    async with CuttingProxy(delay_s=0.01) as proxy:
        stage = Stage(tmp_path, ahead="on", proxy=proxy)
        async with stage.suite, stage.rest() as rest, asyncio.timeout(_PATIENCE_S):
            await stage.play()
            async with watching(rest, "B1:0") as watcher:
                async with stage.playing():
                    records = [await watcher.next()]
                    while sum(one.origin == "modem" for one in records) < len(stage.recorded) - 16:
                        records.append(await watcher.next())
    guesses = {one.command_id: one for one in records if one.origin == "guess" and one.command_id}
    hits = [(one, guesses[one.command_id]) for one in records if one.origin == "modem" and one.command_id in guesses]
    assert len(hits) >= 30
    assert all(hit.command == guess.command for hit, guess in hits)
    assert all(guess.card_ms is not None and hit.card_ms is None for hit, guess in hits)
    assert any(hit.total_ms is not None for hit, _ in hits)


def read_by_tshark(file: Path, *fields: str) -> list[list[str]]:
    """The fields of each packet."""
    chosen = [word for field in fields for word in ("-e", field)]
    command = ["tshark", "-r", str(file), "-T", "fields", *chosen]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    return [line.split("\t") for line in result.stdout.splitlines()]


async def test_capture_is_read_by_wireshark(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    file = tmp_path / "trace.pcapng"
    url = "/api/v2/traces/B1:0?format=pcapng"
    async with stage.suite, stage.rest() as rest, asyncio.timeout(_PATIENCE_S):
        async with rest.stream("GET", url) as answer:
            assert answer.headers["content-type"] == "application/x-pcapng"
            raw = bytearray()
            async with stage.playing():
                async for piece in answer.aiter_bytes():
                    raw += piece
                    if raw.count(_GSMTAP) >= len(stage.recorded):
                        break
    file.write_bytes(raw)
    fields = ("frame.protocols", "gsm_sim.apdu.ins", "frame.comment", "_ws.malformed")
    lines = await asyncio.to_thread(read_by_tshark, file, *fields)
    assert len(lines) >= len(stage.recorded)
    assert all("udp:gsmtap" in line[0] for line in lines)
    assert all(line[2].startswith("B1:0 C7:0, ") for line in lines)
    assert not [line for line in lines if line[3]]


async def remsim_trace(stage: Stage, *words: str) -> asyncio.subprocess.Process:
    """The command, which watches B1:0."""
    command = remsim("trace", "B1:0", "--rest", f"http://{stage.suite.server.rest_address}", *words)
    return await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


async def are_watching(stage: Stage, readers: int) -> None:
    """Return when so many read the trace of B1:0, and bankd and client have been asked."""
    runtime = stage.suite.server.runtime
    assert runtime is not None
    traces, tapped = runtime.coordinator.traces, stage.suite.bankd.coordinator.traces

    def is_so() -> bool:
        feed = traces.feed(BankSlot(1, 0))
        return feed is not None and feed.watchers >= readers and bool(tapped.watched)

    await until(is_so)


async def test_command_shows_lines_and_writes_captures(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    folder, file = tmp_path / "captures", tmp_path / "one.pcapng"
    async with stage.suite, asyncio.timeout(_PATIENCE_S):
        rolling = await remsim_trace(
            stage, "--dir", str(folder), "--rotate-size", "1k", "--keep", "3", "--count", "150"
        )
        plain = await remsim_trace(stage, "--pcapng", str(file), "--json", "--count", "150")
        await are_watching(stage, 2)
        async with stage.playing():
            lines, said = await rolling.communicate()
            objects, _ = await plain.communicate()
    assert (rolling.returncode, plain.returncode) == (0, 0)
    shown = lines.decode().splitlines()
    assert b"\033" not in lines
    assert any(line.endswith("READ BINARY, 10 bytes [EF.ICCID]: 9000 ok, 10 bytes") for line in shown)
    assert said.decode().splitlines() == ["remsim trace: tracing B1:0 and C7:0"]
    assert len([TraceModel.model_validate_json(line) for line in objects.splitlines()]) == 150
    rolled = sorted(folder.iterdir())
    assert [path.name[:5] for path in rolled] == ["B1-0_"] * 3
    assert all(path.stat().st_size <= 1500 for path in rolled)
    for path in (*rolled, file):
        packets = await asyncio.to_thread(read_by_tshark, path, "frame.protocols", "_ws.malformed")
        assert packets
        assert all("gsmtap" in protocols and not malformed for protocols, malformed in packets)
        assert path.stat().st_mode & 0o777 == 0o600


async def test_command_ends_cleanly_on_ctrl_c(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.suite, asyncio.timeout(_PATIENCE_S):
        stopped = await remsim_trace(stage, "--pcapng", "-")
        await are_watching(stage, 1)
        async with stage.playing():
            assert stopped.stdout is not None
            raw = b""
            while raw.count(_GSMTAP) < 5:
                raw += await stopped.stdout.read(1000)
            stopped.send_signal(signal.SIGINT)
            rest, said = await stopped.communicate()
    assert stopped.returncode == 0
    assert b"Traceback" not in said
    file = tmp_path / "pipe.pcapng"
    file.write_bytes(raw + rest)
    assert len(await asyncio.to_thread(read_by_tshark, file, "frame.number")) >= 5


async def test_command_ends_cleanly_with_the_reader_of_its_pipe(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.suite, asyncio.timeout(_PATIENCE_S):
        left = await remsim_trace(stage)
        await are_watching(stage, 1)
        assert left.stdout is not None
        await left.stdout.readline()
        left.stdout._transport.close()  # type: ignore[attr-defined]  # asyncio gives no other
        async with stage.playing():
            _, complaint = await left.communicate()
    assert left.returncode == 0
    assert b"Traceback" not in complaint


def test_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "X1:0"]) == 2
    assert main(["trace", "B1:0", "--rotate-size", "10M"]) == 2
    assert main(["trace", "B1:0", "--dir", "x", "--rotate-size", "10"]) == 2
    assert main(["trace", "B1:0", "--dir", "x", "--pcapng", "y"]) == 2
    assert main(["trace", "B1:0", "--rest", "http://127.0.0.1:1"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if line.startswith("remsim trace: ")]) == 5


async def test_client_sends_gsmtap_of_its_modem(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0)
        stage = Stage(tmp_path, gsmtap=HostPort("127.0.0.1", listener.getsockname()[1]))
        received: list[bytes] = []
        async with stage.suite, asyncio.timeout(_PATIENCE_S):
            await stage.play()
            loop = asyncio.get_running_loop()
            while sum(each[12] == GsmtapSubType.APDU for each in received) < len(stage.recorded):
                received.append(await loop.sock_recv(listener, 2048))
    atrs = [each[16:] for each in received if each[12] == GsmtapSubType.ATR]
    commands = [each[16:].hex() for each in received if each[12] == GsmtapSubType.APDU]
    assert atrs[-1].startswith(b"\x3b\x9f")
    assert all(shown[:8] == sent[:8] for shown, sent in zip(commands, stage.recorded, strict=True))
    # As in the bankd's: the IMSI in part, keys not at all.
    (imsi,) = [each for each in commands if each.startswith("00b0870009")]
    assert imsi[10:].count("ff") == 4
