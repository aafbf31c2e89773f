# SPDX-License-Identifier: Apache-2.0
"""A running bank with software cards: real sockets, a server that obeys the test, clients of both kinds."""

import asyncio
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from remsim.bankd.announcement import advertised_hosts, announcement
from remsim.bankd.service import BankdService
from remsim.config import LOOPBACK_NETWORKS, BankdConfig, HostPort
from remsim.core.episode import RECURRENCES
from remsim.core.errors import StartError
from remsim.core.limits import LimitName
from remsim.readers.errors import CardMuteError, CardTransmissionError
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import AddressKind, ResultCode, SlotPhysStatus
from tests.doubles.bank_world import BankWorld, Client, Peer
from tests.doubles.captures import Datagrams, pcap
from tests.doubles.programs import Program, remsim
from tests.doubles.readers import CallbackReader, InstantReader, ScriptedReader, ScriptedSource

_SELECT_MF = "00a40004023f00"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[BankWorld]:
    async with BankWorld(tmp_path) as world:
        yield world


async def serve(world: BankWorld, *, is_own: bool = True) -> Client:
    return await world.serve(is_own=is_own)


@pytest.mark.parametrize("is_own", [False, True])
async def test_client_commands_its_card(world: BankWorld, is_own: bool) -> None:
    client = await serve(world, is_own=is_own)
    for _ in range(3):
        assert (await client.transmit(_SELECT_MF)).startswith("61")
    assert world.service.coordinator.counts.tpdus == 3
    lines = SlotPhysStatus(reset_active=True, vcc_present=False)
    client.send(rspro.ClientSlotStatusInd(client.slot, client.bank_slot, lines))
    assert (await client.transmit(_SELECT_MF)).startswith("61")
    assert world.service.coordinator.counts.resets == 1


async def test_pipelined_commands_are_answered_in_order(world: BankWorld) -> None:
    client = await serve(world)
    commands = [f"00b2{number:02x}0401" for number in range(1, 31)]
    for command in commands:
        client.command(command)
    answers = [await client.message() for _ in commands]
    assert all(isinstance(answer, rspro.TpduCardToModem) for answer in answers)


async def test_other_port_is_announced_with_the_address_left_to_the_server(world: BankWorld) -> None:
    (announced,) = world.addresses
    assert (str(announced.address.ip), announced.address.port) == ("0.0.0.0", world.port)
    assert announced.kind is AddressKind.PLAINTEXT


async def test_announced_addresses(tmp_path: Path) -> None:
    assert announcement([], {AddressKind.PLAINTEXT: 9999}) is None
    config = BankdConfig(state_dir=tmp_path, advertise=(HostPort("localhost", 0), HostPort("192.0.2.7", 1234)))
    addresses = announcement(await advertised_hosts(config), {AddressKind.PLAINTEXT: 9999}) or ()
    assert [(str(entry.address.ip) in ("127.0.0.1", "::1"), entry.address.port) for entry in addresses] == [
        (True, 9999),
        (False, 1234),
    ]
    with pytest.raises(StartError, match="cannot resolve"):
        await advertised_hosts(BankdConfig(state_dir=tmp_path, advertise=(HostPort("no.such.host.invalid", 1),)))


async def test_name_is_used_towards_both(tmp_path: Path) -> None:
    world = BankWorld(tmp_path)
    world.settings["name"] = "my bank"
    async with world:
        assert world.hello.identity.name == "my bank"
        await world.create_mapping("C1:0", "B1:0")
        client = await world.connect()
        answer = await client.message()
        assert isinstance(answer, rspro.ConnectClientRes)
        assert answer.identity.name == "my bank"


async def test_server_that_is_lost_is_dialled_again_and_nobody_notices(world: BankWorld) -> None:
    client = await serve(world)
    await world.server.close()
    await world.accept_server()
    assert (await client.transmit(_SELECT_MF)).startswith("61")


async def test_server_may_dial_in_when_ours_is_gone_and_a_second_one_is_refused(world: BankWorld) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    second = Peer(reader, writer, rspro.ComponentType.REMSIM_SERVER)
    second.connection._identity_known = True  # as after an answer to ID_GET
    second.send(rspro.ConnectClientReq(second.identity))
    async with asyncio.TaskGroup() as tasks:
        # The server's end must read to answer the PING that decides.
        serving = tasks.create_task(world.server.listen())
        answer = await second.message()
        serving.cancel()
    assert isinstance(answer, rspro.ConnectClientRes)
    assert answer.result is ResultCode.IDENTITY_IN_USE
    assert await second.message() is None
    await second.close()
    (line,) = world.log_lines("second_server")
    assert f"127.0.0.1:{writer.get_extra_info('sockname')[1]}" in line
    await world.server.close()
    await world.accept_server()


async def test_unknown_peer_on_the_port_is_closed_without_harm(world: BankWorld) -> None:
    client = await serve(world)
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\xee", b"\x16\x03\x01" * 100, b"\x00\x03\xee\x07\x30\x80"):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(noise)
        assert await reader.read() in (b"", b"\x00\x01\xfe\x00")
        writer.close()
        await writer.wait_closed()
    assert (await client.transmit(_SELECT_MF)).startswith("61")


@pytest.mark.parametrize("kind", [ScriptedReader, InstantReader])
async def test_card_fault_is_told_apart_for_own_and_classic_clients(tmp_path: Path, kind: type[ScriptedReader]) -> None:
    reader = kind("r0")
    async with BankWorld(tmp_path, source=ScriptedSource(reader, ScriptedReader("r1"))) as world:
        own = await serve(world)
        reader.outcomes["transmit"] = CardMuteError("no answer within 60 s")
        own.command(_SELECT_MF)
        gone = await own.message()
        assert isinstance(gone, rspro.BankSlotStatusInd)
        assert gone.slot_phys_status.card_present is False
        assert isinstance(await own.message(), rspro.SetAtrReq)
        assert reader.log == ["open", "transmit", "close", "open"]
        assert isinstance(await own.message(), rspro.BankSlotStatusInd)
        error = await world.server.message()
        assert isinstance(error, rspro.ErrorInd)
        assert error.error_string == "no answer within 60 s"
        reader.outcomes["transmit"] = b"\x90\x00"
        assert await own.transmit(_SELECT_MF) == "9000"
        await own.close()
        await world.until(lambda: not world.service.coordinator.clients.connections)
        classic = await serve(world, is_own=False)
        reader.outcomes["transmit"] = CardMuteError("mute")
        classic.command(_SELECT_MF)
        assert await classic.message() is None
        (line, _second) = world.log_lines("card_fault")
        assert "[B1:0 C1:0] during=command" in line


async def test_command_in_a_drivers_own_error_reaches_neither_log_nor_server(tmp_path: Path) -> None:
    verify = "00200001083733393134383236"
    reader = ScriptedReader("r0", transmit=CardTransmissionError(f"no answer to {verify}"))
    async with BankWorld(tmp_path, source=ScriptedSource(reader, ScriptedReader("r1"))) as world:
        client = await serve(world, is_own=False)
        client.command(verify)
        error = await world.server.message()
        assert isinstance(error, rspro.ErrorInd)
        assert error.error_string == "no answer to <bytes>"
        (line,) = world.log_lines("card_fault")
        assert "no answer to <bytes>" in line
        assert "3733" not in world.log.getvalue()


async def test_ping_is_answered_while_the_card_works(tmp_path: Path) -> None:
    reader = CallbackReader("r0")
    async with BankWorld(tmp_path, source=ScriptedSource(reader)) as world:
        client = await serve(world)
        client.command(_SELECT_MF)
        await world.until(lambda: "transmit" in reader.log)
        client.connection.probe(0.0, 10.0)
        client.write(client.connection.data_to_send())
        assert type(await client.receive()).__name__ == "ProbeAnswered"
        reader.done(b"\x90\x00")
        assert isinstance(await client.message(), rspro.TpduCardToModem)


async def test_stop_lets_the_command_in_progress_end_and_powers_off_last(tmp_path: Path) -> None:
    reader = CallbackReader("r0")
    async with BankWorld(tmp_path, source=ScriptedSource(reader)) as world:
        client = await serve(world)
        client.command(_SELECT_MF)
        await world.until(lambda: "transmit" in reader.log)
        world.service.request_stop()
        await world.until(lambda: not world.service.coordinator.is_listening)
        reader.done(b"\x90\x00")
        assert isinstance(await client.message(), rspro.TpduCardToModem)
        assert await client.message() is None
        await world.until(lambda: world.service.coordinator.is_at_rest)
        assert reader.log == ["open", "transmit", "close"]


async def test_stop_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remsim.bankd.service._POWER_OFF_S", 0.05)
    monkeypatch.setattr("remsim.bankd.service._DRAIN_S", 0.05)
    reader = CallbackReader("r0")
    world = BankWorld(tmp_path, source=ScriptedSource(reader))
    async with world:
        client = await serve(world)
        client.command(_SELECT_MF)
        await world.until(lambda: "transmit" in reader.log)
    assert world.log_lines("cards_not_powered_off")


async def test_metrics_show_what_goes_on(world: BankWorld) -> None:
    client = await serve(world)
    await client.transmit(_SELECT_MF)
    text = generate_latest(world.metrics.registry).decode()
    for line in (
        'remsim_bankd_sessions{state="CONNECTED_CLIENT_MAPPED_CARD"} 1.0',
        'remsim_bankd_sessions{state="ACCEPTING"} 1.0',
        'remsim_bankd_cards{state="READY"} 1.0',
        "remsim_bankd_tpdus_total 1.0",
        "remsim_bankd_card_seconds_count 1.0",
        "remsim_bankd_mappings 1.0",
        "remsim_bankd_server_connected 1.0",
        "remsim_bankd_cards_present 2.0",
        'remsim_bankd_card_faults_total{kind="card_mute"} 0.0',
    ):
        assert line in text, line


async def test_gsmtap_is_read_by_tshark(tmp_path: Path) -> None:
    datagrams = Datagrams()
    try:
        world = BankWorld(tmp_path)
        world.settings |= {"gsmtap": HostPort("127.0.0.1", datagrams.port), "gsmtap_slot": 0}
        async with world:
            client = await serve(world)
            await client.transmit(_SELECT_MF)
            await world.until(lambda: len(datagrams.received) == 2)
    finally:
        datagrams.close()
    capture = tmp_path / "capture.pcap"
    capture.write_bytes(pcap(datagrams.received))
    fields = ["-T", "fields", "-e", "frame.protocols", "-e", "gsm_sim.apdu.ins", "-e", "gsm_sim.apdu.sw"]
    result = await asyncio.to_thread(
        subprocess.run, ["tshark", "-r", str(capture), *fields], capture_output=True, text=True, check=True, timeout=50
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    assert all(":gsmtap" in line and ":gsm_sim" in line for line in lines)
    # The ATR's sub type means nothing to tshark, which looks for a command in it; the command is read as one.
    assert lines[1].split("\t")[1] == "0xa4"
    assert lines[1].split("\t")[2].startswith("0x61")


async def test_gsmtap_without_a_listener_disturbs_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    world = BankWorld(tmp_path)
    world.settings["gsmtap"] = HostPort("127.0.0.1", port)
    async with world:
        client = await serve(world)
        for _ in range(3):
            assert (await client.transmit(_SELECT_MF)).startswith("61")
    world.settings["gsmtap"] = HostPort("no.such.host.invalid", 1)
    with pytest.raises(StartError, match="cannot send GSMTAP"):
        async with world:
            pass


async def test_port_in_use_stops_the_start_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = HostPort("127.0.0.1", taken.getsockname()[1])
        service = BankdService(
            BankdConfig(state_dir=tmp_path, listen=listen, reader="sim", plaintext=LOOPBACK_NETWORKS)
        )
        with pytest.raises(StartError, match="in use"):
            await service.start()
        await service.stop()


def test_program_serves_and_ends_at_a_signal(tmp_path: Path) -> None:
    argv = remsim("bankd", "--plaintext", "--server", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--reader", "sim")
    with Program([*argv, "--state", str(tmp_path)]) as bank:
        bank.wait_for("listening address=127.0.0.1:")
        bank.wait_for("link_failed")
        bank.send_signal(signal.SIGTERM)
        assert bank.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "csv", "status", "message"),
    [
        (("--csv", "CSV"), "1,0\n", 2, r"slots\.csv line 1: 2 columns instead of 3; hint: "),
        (("--csv", "CSV"), "1,0,x\n\n1,one,y\n", 2, r"slots\.csv line 3: 'one' is no slot number"),
        (("--csv", "missing.csv"), "", 2, "cannot read missing.csv"),
        (("--reader", "nonsense"), "", 1, "there is no reader driver 'nonsense'; hint: known: "),
        (("--bank-id", "1024", "--reader", "sim"), "", 2, "1024"),
        (("--auto", "--reader", "sim"), "", 2, "only one of them"),
        (("--reader", "sim", "--sim-profile", "nonsense"), "", 2, "nonsense"),
        (("--listen", "192.0.2.1:0", "--reader", "sim"), "", 1, "no address of this machine"),
    ],
)
def test_bad_input_is_one_line_with_a_hint(
    tmp_path: Path, arguments: tuple[str, ...], csv: str, status: int, message: str
) -> None:
    path = tmp_path / "slots.csv"
    path.write_text(csv, encoding="utf-8")
    argv = [str(path) if word == "CSV" else word for word in arguments]
    listen = [] if "--listen" in argv else ["--listen", "127.0.0.1:0"]
    with Program(remsim("bankd", "--plaintext", "--state", str(tmp_path / "state"), *listen, *argv)) as bank:
        bank.wait_for(message)
        assert bank.wait() == status
        assert not any("Traceback" in line for line in bank.stderr.lines)


def test_missing_pyscard_is_told_with_what_to_install(tmp_path: Path) -> None:
    options = ("--listen", "127.0.0.1:0", "--state", str(tmp_path / "state"), "--auto", "--reader", "pcsc")
    argv = remsim("bankd", "--plaintext", *options)
    (tmp_path / "smartcard.py").write_text("raise ImportError('not installed')\n", encoding="utf-8")
    with Program(argv, env={"PYTHONPATH": str(tmp_path)}) as bank:
        bank.wait_for(r"need the Python package 'pyscard'.*; hint: install it: \S.*\[pyscard\]")
        assert bank.wait() == 1


async def test_guard_blocks_a_command_and_says_so(tmp_path: Path) -> None:
    rules = tmp_path / "guard.toml"
    rules.write_text('[presets]\npin-change = "block"\n\n[[rule]]\nname = "no MF"\naction = "block"\nins = "A4"\n')
    world = BankWorld(tmp_path)
    world.settings["guard"] = rules
    async with world:
        client = await serve(world)
        for _ in range(2):
            assert await client.transmit(_SELECT_MF) == "6985"
        assert world.metrics.registry.get_sample_value("remsim_bankd_blocked_commands_total") == 2
    assert 'command_blocked [B1:0 C1:0] rule="no MF"' in world.log.getvalue()


@pytest.mark.parametrize("reveal", [False, True])
async def test_gsmtap_hides_secrets_unless_they_are_asked_for(tmp_path: Path, reveal: bool) -> None:
    datagrams = Datagrams()
    try:
        world = BankWorld(tmp_path)
        world.settings |= {"gsmtap": HostPort("127.0.0.1", datagrams.port), "gsmtap_reveal": reveal}
        async with world:
            client = await serve(world)
            await client.transmit("0020000108" + b"1234".hex() + "ffffffff")
            await world.until(lambda: len(datagrams.received) == 2)
    finally:
        datagrams.close()
    assert (b"1234" in datagrams.received[1]) is reveal
    assert ("gsmtap_reveals_secrets" in world.log.getvalue()) is reveal


async def test_classic_client_that_gets_no_card_and_never_stops_asking_leaves_few_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remsim.core.episode.QUIET_S", 1.0)
    async with BankWorld(tmp_path, source=ScriptedSource()) as world:
        assert await world.create_mapping("C1:0", "B1:0") is ResultCode.OK
        for _ in range(30):
            client = await world.connect(is_own=False)
            answer = await client.message()
            assert isinstance(answer, rspro.ConnectClientRes)
            assert answer.result is ResultCode.CARD_NOT_PRESENT
            await client.close()
        await world.until(lambda: len(world.log_lines("lines_recurred")) == 1)
        about = [line for line in world.log.getvalue().splitlines() if "C1:0" in line and "mapping_created" not in line]
        assert len(world.log_lines("lines_recur ")) == 1
        assert len(about) <= 3 * RECURRENCES + 2
        (ended,) = world.log_lines("lines_recurred")
        for event in ("client_mapped 30", "card_missing 30", "client_gone 30"):
            assert event in ended
        held_back = world.metrics.registry.get_sample_value(
            "remsim_limit_reached_total", {"limit": LimitName.RECURRING_LINES.value}
        )
        assert held_back == 3 * (30 - RECURRENCES)
