# SPDX-License-Identifier: Apache-2.0
"""Traces over the whole suite: what a reader at the server sees of a modem's start, joined from both ends."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import httpx2
import pytest

from remsim.emulators.driven import DrivenEmulator
from remsim.emulators.script.player import ScriptPlayer
from remsim.emulators.script.recording import RecordedCommand, load_recording
from remsim.rest.stream import EventReader
from remsim.rest.traces import TraceEndsModel, TraceModel
from tests.doubles.suite import Suite
from tests.reference import reference

_PATIENCE_S = 60.0
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
        self, folder: Path, *, ahead: Literal["on", "off"] = "off", resume: Literal["always", "off"] = "always"
    ) -> None:
        self.emulator = DrivenEmulator()
        self.steps = load_recording(_RECORDING)
        self.suite = Suite(
            folder, [self.emulator], profile="iot-modem", resume=resume, card_time_ms=1, ahead=ahead
        )

    @property
    def recorded(self) -> list[str]:
        return [step.tpdu.hex() for step in self.steps if isinstance(step, RecordedCommand)]

    async def play(self) -> None:
        player = ScriptPlayer(self.emulator, self.steps, repeat=1, card_wait_s=_PATIENCE_S)
        await player.run()
        assert not player.outcome.differences

    def rest(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=f"http://{self.suite.server.rest_address}", timeout=_PATIENCE_S)


def agrees(shown: str, sent: str) -> bool:
    """Whether a masked command can be this one: GET RESPONSE and FETCH go by what the card has said."""
    return len(shown) == len(sent) and all(s in ("*", r) for s, r in zip(shown[:8], sent[:8], strict=True))


@pytest.mark.parametrize("resume", ["always", "off"])
async def test_start_of_a_modem_is_seen_command_by_command(tmp_path: Path, resume: Literal["always", "off"]) -> None:
    stage = Stage(tmp_path, resume=resume)
    async with stage.suite, stage.rest() as rest, watching(rest, "B1:0") as watcher, asyncio.timeout(_PATIENCE_S):
        playing = asyncio.create_task(stage.play())
        found = await watcher.commands(len(stage.recorded))
        await playing
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
        playing = asyncio.create_task(stage.play())
        found = await watcher.commands(len(stage.recorded))
        await playing
    by_words = {one.words: one for one in found}
    imsi = by_words["READ BINARY SFI 07, 9 bytes [EF.IMSI]"]
    assert imsi.response is not None
    assert imsi.response.count("**") >= 4
    for one in found:
        if (one.words or "").startswith("AUTHENTICATE"):
            assert set((one.command or "")[10:]) == {"*"}


async def test_trace_ends_by_itself_when_nobody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remsim.server.core.tracing.LINGER_S", 0.3)
    stage = Stage(tmp_path)
    async with stage.suite as suite, stage.rest() as rest, asyncio.timeout(_PATIENCE_S):
        position = suite.bankd.coordinator.cards.positions[0]
        client = suite.client.slots[0].coordinator
        assert not position.is_traced
        async with watching(rest, "B1:0") as watcher:
            playing = asyncio.create_task(stage.play())
            await watcher.commands(3)
            assert position.is_traced
            assert client.trace.tap is not None
            await playing
        while position.is_traced or client.trace.tap is not None:  # noqa: ASYNC110  # both end by their clocks
            await asyncio.sleep(0.01)
        runtime = suite.server.runtime
        assert runtime is not None
        while len(runtime.coordinator.traces):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)


async def test_guesses_are_told_apart_and_joined_with_the_command_that_they_answer(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ahead="on")
    async with stage.suite, stage.rest() as rest, asyncio.timeout(_PATIENCE_S):
        await stage.play()
        async with watching(rest, "B1:0") as watcher:
            playing = asyncio.create_task(stage.play())
            records = [await watcher.next()]
            while sum(one.kind == "command" and one.origin == "modem" for one in records) < len(stage.recorded) - 16:
                records.append(await watcher.next())
            await playing
    guesses = {one.command_id: one for one in records if one.origin == "guess" and one.command_id}
    hits = [one for one in records if one.origin == "modem" and one.command_id in guesses]
    assert len(hits) >= 30
    assert all(one.command == guesses[one.command_id].command for one in hits)
    assert all(guesses[one.command_id].card_ms is not None and one.card_ms is None for one in hits)
    assert any(one.total_ms is not None for one in hits)


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
            playing = asyncio.create_task(stage.play())
            raw, packets = bytearray(), 0
            async for piece in answer.aiter_bytes():
                raw += piece
                packets = raw.count(b"\x02\x04\x04\x00")
                if packets >= len(stage.recorded):
                    break
            await playing
    file.write_bytes(raw)
    fields = ("frame.protocols", "gsm_sim.apdu.ins", "frame.comment", "_ws.malformed")
    lines = await asyncio.to_thread(read_by_tshark, file, *fields)
    assert len(lines) >= len(stage.recorded)
    assert all("udp:gsmtap" in line[0] for line in lines)
    assert all(line[2].startswith("B1:0 C7:0, ") for line in lines)
    print([line for line in lines if line[3]])
