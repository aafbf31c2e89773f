# SPDX-License-Identifier: Apache-2.0
"""``remsim client run``: several slots in one process, from a file; and the classic shell's event script."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remsim.client.service import ClientService
from remsim.core.ids import ClientSlot
from remsim.wire.messages import rspro
from tests.doubles.programs import PATIENCE_S, Program, remsim
from tests.doubles.rspro_peers import ATR, FakeBankd, FakeServer
from tests.doubles.vpcd_reader import VpcdReader

READ = bytes.fromhex("00b0000002")


@asynccontextmanager
async def running(*argv: str) -> AsyncIterator[Process]:
    """The program; ended in order with the block, and its status must be 0."""
    process = await asyncio.create_subprocess_exec(*argv, stdin=DEVNULL, stderr=PIPE)
    try:
        yield process
        process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_two_slots_in_one_process_have_their_own_readers_and_rules(tmp_path: Path) -> None:
    """known-limits.md, 82."""
    written = tmp_path / "written"
    async with VpcdReader() as first, VpcdReader() as second:
        async with FakeBankd(lambda tpdu: tpdu[:2] + b"\x90\x00") as bankd, FakeServer(bankd=bankd) as server:
            file = tmp_path / "client.toml"
            file.write_text(
                f'server = "127.0.0.1:{server.port}"\n'
                f'[[slot]]\nclient = "7:0"\nemulator = "vpcd"\nsettings = {{ vpcd = "{first.address}" }}\n'
                f'event_script = "echo >> {written}"\n'
                f'[[slot]]\nclient = "7:1"\nemulator = "vpcd"\nsettings = {{ vpcd = "{second.address}" }}\n'
                '[slot.atr_rules]\nstrip = ["historical"]\ncap_ta1 = "11"\nt0_only = true\n'
            )
            async with running(*remsim("client", "run", "--plaintext", "--config", str(file))):
                await first.card()
                await second.card()
                assert await first.atr() == ATR
                # No TA1, no historical bytes; the bytes of T=15 are for all protocols.
                assert await second.atr() == bytes.fromhex("3b80801fc7d8")
                assert await first.ask(READ) == await second.ask(READ) == b"\x00\xb0\x90\x00"
                requests = bankd.messages(rspro.ConnectClientReq)
                slots = {request.client_slot for request in requests if isinstance(request, rspro.ConnectClientReq)}
                assert slots == {ClientSlot(7, 0), ClientSlot(7, 1)}
            await bankd.until(lambda: not bankd.links)
    causes = written.read_text().split()
    assert causes[:6] == [
        *("event-server-connect", "event-config-bankd"),
        *("request-sim-remote", "request-card-insert", "request-modem-reset", "event-bankd-connect"),
    ]


async def test_classic_shell_runs_its_event_script(tmp_path: Path) -> None:
    written = tmp_path / "written"
    async with FakeBankd(lambda _tpdu: b"\x90\x00") as bankd, FakeServer(bankd=bankd) as server:
        name = str(Path(remsim()[0]).with_name("remsim-client-shell"))
        script = f'f() {{ echo "$1 $REMSIM_CLIENT_SLOT" >> {written}; }}; f'
        process = await asyncio.create_subprocess_exec(
            *(name, "--plaintext", "-p", str(server.port), "-c", "7", "-n", "1", "-e", script),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        async with asyncio.timeout(PATIENCE_S):
            out, err = await process.communicate(b"00b0000000\n")
    assert (process.returncode, out.decode().splitlines()[-1]) == (0, "R-APDU: 90 00 "), err.decode()
    assert written.read_text().splitlines()[0] == "event-server-connect 7:1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[[slot]]\nemulator = "nix"\n', "slot[0]: there is no emulator 'nix'; hint: known are "),
        ('[[slot]]\nemulator = "vpcd"\nsettings = { vcpd = 1 }\n', "slot[0]: settings.vcpd: unknown key"),
        ('[[slot]]\nemulator = "shell"\n[[slot]]\nemulator = "shell"\n', "two slots have the same shell"),
    ],
)
def test_wrong_file_ends_with_one_line(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "client.toml"
    file.write_text(text)
    with Program(remsim("client", "run", "--config", str(file))) as program:
        assert program.wait() == 2
    (line,) = program.stderr.lines
    assert reason in line


async def test_two_clients_with_one_number_are_told_apart_by_the_server(tmp_path: Path) -> None:
    """The second client is refused, says so once, and goes on asking."""
    async with FakeServer() as server:
        server.result = rspro.ResultCode.IDENTITY_IN_USE
        there = ("--plaintext", "--server", f"127.0.0.1:{server.port}")
        with Program(remsim("client", "vpcd", *there, "--client", "7:0")) as program:
            await asyncio.to_thread(program.wait_for, "server_refused_us .*identity_in_use")
            await server.until(lambda: len(server.messages(rspro.ConnectClientReq)) > 2)
            assert sum("server_refused_us" in line for line in program.stderr.lines) == 1


async def test_signal_that_comes_while_the_program_ends_by_itself_is_no_error() -> None:
    async def frontend() -> int:
        return 7

    service = ClientService([], frontend=frontend)
    await service.start()
    await service.run()
    service.request_stop()
    service.on_hangup()
    await service.stop()
    assert service.exit_status == 7
