# SPDX-License-Identifier: Apache-2.0
"""Commands that bankd and client keep or send without anybody watching: captures in files, spans to a collector."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from remsim.captures import Rolling, SlotCaptures
from remsim.config import BankdConfig, HostPort
from remsim.core.errors import StartError
from remsim.core.installation import install_command
from remsim.emulators.driven import DrivenEmulator
from remsim.emulators.script.player import ScriptPlayer
from remsim.emulators.script.recording import RecordedCommand, load_recording
from remsim.outlets import Outlets
from remsim.spans import outlet as spans
from remsim.trace.outlet import DoneCommand
from remsim.trace.packets import read_packets
from tests.doubles.noted_log import NotedLog
from tests.doubles.otlp_collector import Collector, SeenSpan, collecting
from tests.doubles.programs import Program
from tests.doubles.suite import Suite
from tests.reference import reference

_RECORDING: Final = reference("traces", "iot-modem-boot.jsonl")
_PATIENCE_S: Final = 60.0
NAMES: Final = ("remsim-client", "remsim-bankd")


async def start_modem(emulator: DrivenEmulator) -> list[RecordedCommand]:
    """Play a recorded start; returns its commands."""
    steps = load_recording(_RECORDING)
    async with asyncio.timeout(_PATIENCE_S):
        await ScriptPlayer(emulator, steps, repeat=1, card_wait_s=_PATIENCE_S).run()
    return [step for step in steps if isinstance(step, RecordedCommand)]


def packets_of(file: Path) -> list[dict[str, Any]]:
    """What tshark makes of a capture, reading it with all its decoders; none may be malformed."""
    ran = subprocess.run(["tshark", "-r", str(file), "-T", "json"], capture_output=True, timeout=60, check=False)
    packets: list[dict[str, Any]] = [packet["_source"]["layers"] for packet in json.loads(ran.stdout)]
    assert not [packet for packet in packets if "_ws.malformed" in json.dumps(packet)]
    return packets


async def test_both_ends_keep_captures_that_roll_and_that_tshark_reads(tmp_path: Path) -> None:
    emulator, folder = DrivenEmulator(), tmp_path / "kept"
    kept = {"trace_dir": folder, "trace_files": {"max_mb": 0.01, "keep": 50}}
    async with Suite(tmp_path, [emulator], profile="iot-modem", bankd=kept, client=kept) as suite:
        commands = await start_modem(emulator)
    names = sorted(path.name for path in folder.iterdir())
    for slot in ("B1-0", "C7-0"):
        files = [folder / name for name in names if name.startswith(f"{slot}_")]
        assert len(files) > 2
        assert all(path.stat().st_size <= 10_000 for path in files)
        packets = [packet for path in files for packet in await asyncio.to_thread(packets_of, path)]
        of_commands = [packet for packet in packets if "gsm_sim" in packet]
        assert len(of_commands) >= len(commands)
    metrics = suite.bankd_metrics.registry
    written = metrics.get_sample_value("remsim_bankd_captured_packets_total")
    assert written is not None
    assert written > len(commands)
    assert metrics.get_sample_value("remsim_bankd_captured_packets_lost_total") == 0
    assert suite.metrics.registry.get_sample_value("remsim_client_captured_packets_total") == written


#: Keeps commands without end.
_WRITER: Final = """
import sys
from pathlib import Path
from remsim.captures import Rolling, SlotCaptures
from remsim.logs import get_logger
from remsim.trace.outlet import DoneCommand
kept = SlotCaptures(Path(sys.argv[1]), Rolling(max_bytes=60_000, keep=4), log=get_logger("test"))
is_told = False
while True:
    for slot in ("B1:0", "B1:1"):
        kept.on_command(DoneCommand(slot, bytes.fromhex("00b0000005"), bytes.fromhex("01020304059000"), "C7:0"))
    if kept.written > 3000 and not is_told:
        is_told = True
        print("many", flush=True)
"""


def test_captures_of_a_program_that_was_killed_are_whole(tmp_path: Path) -> None:
    with Program([sys.executable, "-c", _WRITER, str(tmp_path / "kept")]) as program:
        program.wait_for_stdout("many")
        program.kill()
    files = sorted((tmp_path / "kept").glob("*.pcapng"))
    assert len(files) > 2
    seen = 0
    for file in files:
        with file.open("rb") as stream:
            # A part of a packet would be an error here.
            seen += len(list(read_packets(stream)))
    assert seen == sum(len(packets_of(file)) for file in files) > 500


def test_capture_that_was_cut_is_read_up_to_the_cut(tmp_path: Path) -> None:
    kept = SlotCaptures(tmp_path, Rolling(), log=NotedLog().logger)
    for _ in range(20):
        kept.on_command(DoneCommand("B1:0", bytes.fromhex("00b0000005"), bytes.fromhex("01020304059000")))
    kept.stop()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-30])
    assert len(packets_of(file)) == 19


async def joined(collector: Collector, commands: int) -> list[tuple[SeenSpan, SeenSpan]]:
    """The client's spans, each with the bankd's below it."""
    clients = await collector.of("remsim-client", commands)
    banks = {span.trace_id: span for span in await collector.of("remsim-bankd", commands)}
    return [(span, banks[span.trace_id]) for span in clients]


async def test_spans_of_client_and_bankd_are_of_one_trace_and_hold_no_data(tmp_path: Path) -> None:
    emulator = DrivenEmulator()
    async with collecting() as collector:
        otel = {"otel": {"endpoint": collector.endpoint}}
        async with Suite(
            tmp_path, [emulator], profile="iot-modem", resume="always", bankd=otel, client=otel, card_time_ms=2.0
        ) as suite:
            commands = await start_modem(emulator)
            pairs = await joined(collector, len(commands))
        assert len({span.trace_id for span, _ in pairs}) == len(pairs) == len(commands)
        for (client, bank), command in zip(pairs, commands, strict=True):
            assert client.parent_id == b""
            assert bank.parent_id == client.span_id
            assert client.attributes["remsim.command_id"] == bank.attributes["remsim.command_id"]
            assert client.attributes["remsim.header"] == command.tpdu[:5].hex()
            assert client.name == bank.name
            assert 0.002 <= bank.seconds < client.seconds
            # What the bankd had it for is the card's time, and a little more.
            network_us = client.attributes["remsim.network_us"]
            assert isinstance(network_us, int)
            assert 0 <= network_us / 1e6 <= client.seconds - bank.seconds + 0.001
            assert "remsim.network_us" not in bank.attributes
            assert (client.attributes["remsim.client_slot"], bank.attributes["remsim.bank_slot"]) == ("C7:0", "B1:0")
        assert suite.metrics.registry.get_sample_value("remsim_client_spans_total") == len(commands)
        long = [command.tpdu[5:] for command in commands if len(command.tpdu) > 5 + 6]
        assert len(long) > 5
        raw = bytes(collector.raw)
        assert not [data for data in long if data in raw or data.hex().encode() in raw.lower()]


async def test_both_ends_choose_the_same_share_of_commands(tmp_path: Path) -> None:
    emulator = DrivenEmulator()
    async with collecting() as collector:
        otel = {"otel": {"endpoint": collector.endpoint, "share": 0.3}}
        async with Suite(tmp_path, [emulator], profile="iot-modem", resume="always", bankd=otel, client=otel):
            commands = await start_modem(emulator)
        seen = {program: {span.trace_id for span in collector.spans if span.program == program} for program in NAMES}
        assert seen["remsim-client"] == seen["remsim-bankd"]
        assert 0 < len(seen["remsim-client"]) < len(commands) * 0.6


async def test_where_sessions_end_with_their_link_each_end_has_a_trace_of_its_own(tmp_path: Path) -> None:
    emulator = DrivenEmulator()
    async with collecting() as collector:
        otel = {"otel": {"endpoint": collector.endpoint}}
        async with Suite(tmp_path, [emulator], profile="iot-modem", resume="off", bankd=otel, client=otel):
            commands = await start_modem(emulator)
        clients, banks = ([span for span in collector.spans if span.program == name] for name in NAMES)
        assert len(clients) == len(banks) == len(commands)
        assert not {span.trace_id for span in clients} & {span.trace_id for span in banks}
        assert not [span for span in banks if span.parent_id]
        ids = [[span.attributes["remsim.command_id"] for span in seen] for seen in (clients, banks)]
        assert ids[0] == ids[1]


@pytest.mark.parametrize("collector", ["dead", "silent"])
async def test_collector_that_takes_nothing_slows_nothing_and_is_counted(
    tmp_path: Path, collector: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(spans, "STOP_S", 0.5)
    emulator = DrivenEmulator()
    hangs = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hangs.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    address = HostPort("127.0.0.1", server.sockets[0].getsockname()[1])
    if collector == "dead":
        server.close()
        await server.wait_closed()
    try:
        otel = {"otel": {"endpoint": f"http://{address}/v1/traces"}}
        async with Suite(tmp_path, [emulator], profile="iot-modem", resume="always", bankd=otel, client=otel) as suite:
            commands = await start_modem(emulator)
            stopping = time.monotonic()
        # The exporter hangs for as long as it likes in its own thread.
        assert time.monotonic() - stopping < 10
        for metrics, program in ((suite.metrics, "client"), (suite.bankd_metrics, "bankd")):
            lost = metrics.registry.get_sample_value(f"remsim_{program}_spans_lost_total")
            assert lost is not None
            assert lost > 0
            assert metrics.registry.get_sample_value(f"remsim_{program}_spans_total") == 0
        assert suite.metric("tpdus_total") == len(commands)
    finally:
        hangs.set()
        server.close()
        await server.wait_closed()


async def test_without_the_extra_the_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "remsim.spans.outlet", None)
    config = BankdConfig(state_dir=Path("state"), otel={"endpoint": "http://127.0.0.1:4318"})  # type: ignore[arg-type]
    with pytest.raises(StartError, match=r"otel\.endpoint needs OpenTelemetry") as caught:
        Outlets(config, program="bankd", log=NotedLog().logger)
    assert caught.value.hint == install_command("otel")
