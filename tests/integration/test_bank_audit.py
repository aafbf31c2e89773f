# SPDX-License-Identifier: Apache-2.0
"""What a bankd reports stands in the server's audit log: from a modem's command to what an auditor reads."""

import asyncio
import json
import os
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from remsim.client.observer import ClientObserver
from remsim.client.runner import SlotSpec
from remsim.client.service import ClientService
from remsim.config import ClientConfig, HostPort, ServerConfig
from remsim.core.ids import ClientSlot
from remsim.emulators.driven import DrivenEmulator
from remsim.pki.credentials import Credentials
from remsim.server.core.tokens import EVERYTHING, TokenRole
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token
from tests.doubles.certificates import BANK, CLIENT, SERVER, CertificateWorld
from tests.doubles.programs import remsim
from tests.doubles.server_rig import post
from tests.doubles.tls_rig import PATIENCE_S, bankd_service, note_log, running, server_service

C23 = ClientSlot(23, 0)
CHANGE_PIN = bytes.fromhex("0024000110") + b"1234\xff\xff\xff\xff5678\xff\xff\xff\xff"
SELECT_MF = bytes.fromhex("00a40004023f00")


@pytest.fixture
def ca(tmp_path: Path) -> CertificateWorld:
    """An authority of our own."""
    return CertificateWorld(tmp_path / "lab")


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Ends what a test has started, the last one first."""
    async with AsyncExitStack() as stack:
        yield stack


def client(credentials: Credentials, server: HostPort, emulator: DrivenEmulator) -> ClientService:
    """A client whose modem is ``emulator``."""
    config = ClientConfig.model_validate({"server": server, "client": C23, "tls_dir": credentials.directory})
    return ClientService([SlotSpec(config, emulator, ClientObserver())])


async def audit_lines(server: ServerService, state: Path) -> list[dict[str, object]]:
    """What ``remsim ctl audit --json`` shows an admin of what bankds reported."""
    config = ServerConfig(state_dir=state)
    token, _ = await asyncio.to_thread(
        lambda: create_token(config, name="auditor", role=TokenRole.ADMIN, scope=EVERYTHING, lifetime_s=None)
    )
    process = await asyncio.create_subprocess_exec(
        *remsim("ctl", "--rest", str(server.rest_address), "--json", "audit"),
        stdin=DEVNULL,
        stdout=PIPE,
        env={**os.environ, "REMSIM_TOKEN": token},
    )
    async with asyncio.timeout(PATIENCE_S):
        out, _ = await process.communicate()
    assert process.returncode == 0
    lines = [json.loads(line) for line in out.decode().splitlines()]
    return [line for line in lines if line["action"] in ("command.block", "gsmtap.reveal")]


async def test_blocked_command_is_6985_at_the_modem_and_one_line_for_the_auditor(
    ca: CertificateWorld, tmp_path: Path, stack: AsyncExitStack
) -> None:
    rules = tmp_path / "guard.toml"
    rules.write_text('[presets]\npin-change = "block"\n')
    log = note_log()
    server = server_service(tmp_path / "server", ca.credentials(SERVER))
    await stack.enter_async_context(running(server))
    bankd = bankd_service(tmp_path / "bank", ca.credentials(BANK), server.rspro_address, guard=rules)
    await stack.enter_async_context(running(bankd))
    await log.line_with("bankd server_connected")
    await post(server, (1, 1), (23, 0))
    modem = DrivenEmulator()
    await stack.enter_async_context(running(client(ca.credentials(CLIENT), server.rspro_address, modem)))
    await modem.wait_card(PATIENCE_S)
    assert (await modem.exchange(SELECT_MF))[-2:] != b"\x69\x85"
    assert await modem.exchange(CHANGE_PIN) == b"\x69\x85"
    await log.line_with("server bankd_audit", "action=command.block")
    (line,) = await audit_lines(server, tmp_path / "server")
    assert {key: line[key] for key in line.keys() - {"id", "at"}} == {
        "who": "bank/1",
        "source": "127.0.0.1",
        "action": "command.block",
        "target": "B1:1 C23:0",
        "outcome": "refused",
        "detail": "rule pin-change: 0024000110 file 3F00",
    }


async def test_trace_that_hides_nothing_is_an_entry_even_if_the_server_comes_later(
    ca: CertificateWorld, tmp_path: Path, stack: AsyncExitStack
) -> None:
    server = server_service(tmp_path / "server", ca.credentials(SERVER))
    await stack.enter_async_context(running(server))
    settings: dict[str, object] = {"gsmtap": "127.0.0.1:4729", "gsmtap_slot": 1, "gsmtap_reveal": True}
    log = note_log()
    bankd = bankd_service(tmp_path / "bank", ca.credentials(BANK), server.rspro_address, **settings)
    await stack.enter_async_context(running(bankd))
    await log.line_with("server bankd_audit", "action=gsmtap.reveal")
    (line,) = await audit_lines(server, tmp_path / "server")
    assert (line["who"], line["target"], line["outcome"]) == ("bank/1", "B1:1", "done")
    assert str(line["detail"]).startswith("secrets are shown to 127.0.0.1:4729")
