# SPDX-License-Identifier: Apache-2.0
"""Answers ahead on real sockets, through a proxy that delays and cuts: a recorded start, answered as the card does."""

import asyncio
import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest

from remsim.ahead.bank_side import symbols
from remsim.ahead.client_side import AnswersAhead
from remsim.bankd.recorded_starts import RecordedFile, read_starts
from remsim.client.observer import CutCounter
from remsim.config import BankdConfig, HostPort, SlotOverride
from remsim.emulators.driven import DrivenEmulator
from remsim.emulators.script.player import ScriptPlayer
from remsim.emulators.script.recording import RecordedCommand, load_recording
from remsim.trace.gsmtap import TpduMark
from remsim.trace.sim_frames import LeftOut
from tests.doubles.captures import Datagrams, pcap
from tests.doubles.cutting_proxy import CuttingProxy
from tests.doubles.programs import remsim
from tests.doubles.rounds import until
from tests.doubles.suite import Suite
from tests.reference import reference

_PATIENCE_S = 60.0
#: Bytes of a GSMTAP datagram with a header, a command's header and a status word.
_REFUSED = 16 + 5 + 2


class _Start:
    """Plays the recorded start of an IoT modem, 40 ms away from its card."""

    def __init__(self, folder: Path, *, ahead: Literal["on", "off"], repeat: int = 1) -> None:
        self.emulator = DrivenEmulator()
        steps = load_recording(reference("traces", "iot-modem-boot.jsonl"))
        self.player = ScriptPlayer(self.emulator, steps, repeat=repeat, card_wait_s=_PATIENCE_S)
        self.counter = CutCounter()
        self._folder, self._ahead = folder, ahead

    async def play(self, *, cut_every_s: float | None = None) -> tuple[Suite, AnswersAhead]:
        async with CuttingProxy(delay_s=0.02) as proxy:
            suite = Suite(
                self._folder,
                [self.emulator],
                profile="iot-modem",
                proxy=proxy,
                resume="always",
                card_time_ms=1,
                ahead=self._ahead,
                observer=self.counter,
            )
            async with suite, asyncio.timeout(_PATIENCE_S), asyncio.TaskGroup() as group:
                playing = group.create_task(self.player.run())
                while not playing.done():
                    await asyncio.wait([playing], timeout=cut_every_s)
                    if not playing.done():
                        proxy.cut()
                self.counter.stop()
            return suite, suite.client.slots[0].coordinator.ahead


def stored(folder: Path) -> list[Path]:
    """Files of what was learnt."""
    return list(folder.rglob("*.learnt"))


async def test_modem_far_away_is_answered_ahead(tmp_path: Path) -> None:
    start = _Start(tmp_path, ahead="on", repeat=2)
    suite, ahead = await start.play()
    outcome = start.player.outcome
    assert not outcome.differences
    assert outcome.commands == 302
    # The model that is shipped knows this modem; what may not be guessed waits for the card.
    assert ahead.hits >= 240
    assert ahead.hits + ahead.round_trips == outcome.commands
    # The last ones that were used may not have been reported.
    assert outcome.commands - 16 <= suite.bankd.coordinator.counts.tpdus <= outcome.commands
    there, here = suite.bankd.coordinator.latency(0), suite.client.slots[0].coordinator.latency
    assert (here.commands, here.ahead.hits) == (outcome.commands, ahead.hits)
    assert here.ahead.hits - 16 <= there.ahead.hits <= there.ahead.guesses
    assert there.ahead.guesses - there.ahead.hits - there.ahead.undone <= 512
    # 40 ms a round trip, and 1 ms for the card.
    assert here.round_trip_s is not None
    assert 0.04 <= here.round_trip_s <= 0.2
    assert here.waited_s is not None
    assert there.card_s is not None
    assert 0.001 * here.round_trips <= there.card_s < here.waited_s
    assert here.ahead.saved_s >= 0.03 * ahead.hits
    assert there.ahead.saved_s >= 0.03 * (ahead.hits - 16)
    assert suite.metric("ahead_hits_total") == ahead.hits
    assert suite.metric("ahead_saved_milliseconds_total") == round(here.ahead.saved_s * 1000)
    assert suite.metric("round_trips_total") == here.round_trips
    # What was answered ahead is no measure of the network, whose way there and back takes 40 ms.
    assert suite.metric("network_seconds_count") == here.round_trips
    network_s = suite.metric("network_seconds_sum")
    assert network_s is not None
    assert 0.04 * here.round_trips <= network_s < here.waited_s
    (learnt,) = stored(tmp_path)
    assert learnt.stat().st_size < 1 << 20


async def test_without_the_setting_nothing_is_answered_ahead(tmp_path: Path) -> None:
    start = _Start(tmp_path, ahead="off")
    suite, ahead = await start.play()
    assert not start.player.outcome.differences
    assert (ahead.hits, ahead.round_trips) == (0, 151)
    assert suite.metric("network_seconds_count") == 151
    assert suite.bankd.coordinator.counts.ahead_guesses == 0
    assert not stored(tmp_path)


async def test_cuts_of_the_link_are_not_noticed(tmp_path: Path) -> None:
    start = _Start(tmp_path, ahead="on", repeat=4)
    suite, ahead = await start.play(cut_every_s=1.0)
    outcome = start.player.outcome
    assert not outcome.differences
    assert start.counter.cuts >= 2
    assert start.counter.losses == 0
    assert ahead.hits >= 300
    assert outcome.commands - 16 <= suite.bankd.coordinator.counts.tpdus <= outcome.commands


async def test_latency_of_a_slot_is_told_at_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("remsim.bankd.core.slot_reports", "remsim.client.core.health"):
        for name in ("FIGURES_S", "INTERVAL_S"):
            monkeypatch.setattr(f"{module}.{name}", 0.05)
    steps = load_recording(reference("traces", "iot-modem-boot.jsonl"))
    async with CuttingProxy(delay_s=0.01) as proxy, asyncio.timeout(_PATIENCE_S):
        emulator = DrivenEmulator()
        suite = Suite(tmp_path, [emulator], profile="iot-modem", proxy=proxy, ahead="on", card_time_ms=1)
        async with suite:
            player = ScriptPlayer(emulator, steps, card_wait_s=_PATIENCE_S)
            await player.run()
            latency = ["ctl", "latency", "--rest", suite.rest]
            shown: dict[str, Any] = {}
            while shown.get("commands") != 151 or shown["bankd"]["commands"] < 151 - 16:
                done = await _output(*latency, "C7:0", "--json")
                shown = json.loads(done)
            text = await _output(*latency, "b1:0")
        here = suite.client.slots[0].coordinator.latency
    assert (shown["bank_slot"], shown["client_slot"]) == ("B1:0", "C7:0")
    assert shown["ahead"]["hits"] == here.ahead.hits > 100
    assert shown["ahead"]["guesses"] >= here.ahead.hits - 16
    assert shown["waited_s"] == pytest.approx(here.waited_s, abs=0.001)
    assert shown["card_s"] + shown["network_s"] + shown["hold_s"] == pytest.approx(shown["waited_s"], abs=0.01)
    # There and back; the card takes a tenth of that.
    assert shown["network_s"] >= 0.018 * shown["round_trips"]
    assert 0.001 * shown["round_trips"] <= shown["card_s"] < shown["network_s"]
    lines = text.splitlines()
    assert lines[0].startswith("B1:0 with C7:0: 151 commands, ")
    assert lines[1].startswith(f"answered ahead: {here.ahead.hits}, ")
    assert [line.split()[0] for line in lines[-4:]] == ["PART", "card", "network", "hold"]


async def _output(*words: str) -> str:
    """What a command of ours prints."""
    process = await asyncio.create_subprocess_exec(*remsim(*words), stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


@pytest.mark.parametrize("has_guesses", [False, True])
async def test_gsmtap_has_what_the_modem_saw_and_guesses_are_marked(tmp_path: Path, has_guesses: bool) -> None:
    steps = list(load_recording(reference("traces", "iot-modem-boot.jsonl")))
    # A command that is not the one that was guessed.
    other = RecordedCommand(0, bytes.fromhex("00a40004022f05"))
    steps.insert(40, other)
    datagrams = Datagrams()
    try:
        async with CuttingProxy(delay_s=0.01) as proxy, asyncio.timeout(_PATIENCE_S):
            emulator = DrivenEmulator()
            settings = {"gsmtap": HostPort("127.0.0.1", datagrams.port), "gsmtap_guesses": has_guesses}
            suite = Suite(tmp_path, [emulator], profile="iot-modem", proxy=proxy, ahead="on", bankd=settings)
            async with suite:
                player = ScriptPlayer(emulator, steps, card_wait_s=_PATIENCE_S)
                await player.run()
                figures = suite.bankd.coordinator.latency(0).ahead
    finally:
        datagrams.close()
    marks = Counter(one[13] for one in datagrams.received)
    assert figures.undone > 0
    assert figures.restores > 0
    # Each command of the modem, but for the last ones, whose use was not reported; and the ATR of each session.
    assert 152 - 16 <= marks[TpduMark.MODEM] <= 152 + 2
    if has_guesses:
        assert marks[TpduMark.GUESS] >= figures.guesses
        assert marks[TpduMark.RESTORE] == figures.restores
    else:
        assert set(marks) == {TpduMark.MODEM}
    capture = tmp_path / "capture.pcap"
    capture.write_bytes(pcap(datagrams.received))
    # What the modem sent is all well here. How far the bankd guesses goes by the clock: where it asks for a record that
    # is not there, tshark wants data behind the command, and calls a status word alone malformed.
    refused = sum(len(one) == _REFUSED for one in datagrams.received if one[13] == TpduMark.GUESS)
    assert await _tshark(capture, "_ws.malformed && udp.payload[13] != 47") == 0
    assert await _tshark(capture, f"_ws.malformed && udp.length != {8 + _REFUSED}") == 0
    assert await _tshark(capture, "_ws.malformed") <= refused
    assert await _tshark(capture, "gsm_sim && udp.payload[13] == 0") == marks[TpduMark.MODEM]
    assert await _tshark(capture, "gsm_sim && udp.payload[13] == 47") == marks[TpduMark.GUESS]
    # What was guessed is not learnt: the modem may never have sent it.
    file = RecordedFile(capture)
    with capture.open("rb") as stream:
        learnt = list(read_starts(stream, file))
    assert file.left_out[LeftOut.GUESSES.value] == marks[TpduMark.GUESS] + marks[TpduMark.RESTORE]
    commands = [step.tpdu for step in steps if isinstance(step, RecordedCommand)]
    (start,) = [start for start in learnt if len(start) > 10]
    # What a SEARCH looks for is hidden in a capture, and not learnt, unless the file is known to be harmless.
    for one, symbol in zip(start, symbols(commands), strict=False):
        assert one == symbol or (symbol[1:2] == b"\xa2" and one == symbol[:5])


async def _tshark(capture: Path, wanted: str) -> int:
    """How many packets tshark shows of those that are wanted."""
    command = ["tshark", "-r", str(capture), "-Y", wanted, "-T", "fields", "-e", "frame.number"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return len(output.splitlines())


@pytest.mark.parametrize("end", ["bankd", "client"])
async def test_reload_holds_for_sessions_that_begin_then(tmp_path: Path, end: Literal["bankd", "client"]) -> None:
    steps = load_recording(reference("traces", "iot-modem-boot.jsonl"))
    there = BankdConfig(state_dir=tmp_path, ahead="on", overrides={0: SlotOverride(ahead="off")})
    async with CuttingProxy(delay_s=0.005) as proxy, asyncio.timeout(_PATIENCE_S):
        emulator = DrivenEmulator()
        suite = Suite(
            tmp_path,
            [emulator],
            profile="iot-modem",
            proxy=proxy,
            resume="off",
            ahead="on",
            reread_bankd=lambda: there,
            reread_client=lambda: [False],
        )
        hits = []
        async with suite:
            slot = suite.client.slots[0]
            for round_nr in range(3):
                player = ScriptPlayer(emulator, steps, card_wait_s=_PATIENCE_S)
                await player.run()
                assert not player.outcome.differences
                hits.append(slot.coordinator.ahead.hits)
                if round_nr == 0:
                    (suite.bankd if end == "bankd" else suite.client).on_hangup()
                    await until(lambda: not (suite.bankd.answers_ahead(0) if end == "bankd" else slot.is_ahead))
                elif round_nr == 1:
                    proxy.cut()
                    await until(lambda: emulator.card_number > 1)
        # The session goes on as it began; the next one is another.
        assert hits[0] >= 100
        assert hits[1] >= 2 * hits[0]
        assert hits[2] == hits[1]


def test_bank_is_taught_by_a_recorded_start_and_says_what_it_cannot_read(tmp_path: Path) -> None:
    recording = reference("traces", "iot-modem-boot.jsonl")
    for new in (1, 0):
        learn = remsim("bankd", "learn", str(recording), "--state", str(tmp_path))
        done = subprocess.run(learn, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == f"1 start read, {new} of them new; 151 commands are known for all cards"
    assert [path.name for path in stored(tmp_path)] == ["all.learnt"]
    absent = remsim("bankd", "learn", str(tmp_path / "absent"), "--state", str(tmp_path))
    done = subprocess.run(absent, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    assert done.returncode == 2
    assert "cannot read" in done.stderr
