# SPDX-License-Identifier: Apache-2.0
"""Server, bank and client together: what REST tells of their slots, and that no log has a number in full."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from remsim.bankd.service import BankdService
from remsim.client.observer import ClientObserver
from remsim.client.runner import SlotSpec
from remsim.client.service import ClientService
from remsim.config import BankdConfig, ClientConfig
from remsim.core.ids import BankSlot, ClientSlot
from remsim.emulators.driven import DrivenEmulator
from remsim.readers.sim.profiles import load_profile
from remsim.readers.sim.source import SimSource
from remsim.rest import models
from remsim.server.service import ServerService
from remsim.wire.messages.health import ClientPhase
from tests.doubles.server_rig import LOOPBACK, rest_client, running_server
from tests.doubles.tls_rig import note_log, running

V2 = "/api/v2"
PATIENCE_S = 30
SELECT_MF = bytes.fromhex("00a40004023f00")
IDENTITY = load_profile("default").identity


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Ends what a test has started, the last one first."""
    async with AsyncExitStack() as stack:
        yield stack


async def start(stack: AsyncExitStack, folder: Path, **settings: object) -> ServerService:
    """A server that keeps IMSIs, and a bank of two software cards."""
    server = await stack.enter_async_context(running_server(folder / "server", keep_imsi=True))
    values: dict[str, object] = {"server": server.rspro_address, "listen": LOOPBACK, "slots": 2, "reader": "sim"}
    values |= {"state_dir": folder / "bank", "plaintext": True}
    bank = BankdService(BankdConfig.model_validate(values | settings), source=SimSource(slots=2))
    await stack.enter_async_context(running(bank))
    return server


def at_work(server: ServerService) -> bool | None:
    """Both ends have told that the modem works with its card."""
    runtime = server.runtime
    assert runtime is not None
    health = runtime.query.health
    bank, client = health.slot_report(BankSlot(1, 1)), health.client_report(ClientSlot(7, 0))
    if bank is None or client is None or client.report.phase is not ClientPhase.OPERATIONAL:
        return None
    return (bank.report.client == ClientSlot(7, 0) and bool(client.report.round_trip)) or None


async def test_all_that_is_known_of_a_modem_and_its_card_is_told(tmp_path: Path, stack: AsyncExitStack) -> None:
    log = note_log()
    server = await start(stack, tmp_path)
    rest = await stack.enter_async_context(rest_client(server, over_socket=False))
    assert (await rest.put(f"{V2}/mappings/C7:0", json={"card": "B1:1"})).status_code == 201
    config = {"server": server.rspro_address, "client": ClientSlot(7, 0), "plaintext": True}
    modem = DrivenEmulator()
    service = ClientService([SlotSpec(ClientConfig.model_validate(config), modem, ClientObserver())])
    await stack.enter_async_context(running(service))
    await modem.wait_card(PATIENCE_S)
    for _ in range(3):
        assert (await modem.exchange(SELECT_MF))[0] == 0x61
    runtime = server.runtime
    assert runtime is not None
    assert await runtime.changes.until(partial(at_work, server), PATIENCE_S)
    slot = models.BankSlotModel.model_validate_json((await rest.get(f"{V2}/banks/1/slots/1")).content)
    assert slot.session is not None
    assert slot.session.client == "C7:0"
    assert slot.health is not None
    assert (slot.health.kind, slot.card.state, slot.atr is not None) == ("ok", "present", True)
    assert slot.inventory is not None
    derived = IDENTITY.derive(1)
    assert slot.inventory.service_provider == "remsim test"
    assert slot.inventory.imsi == f"{derived.imsi[:5]}…{derived.imsi[-2:]}"
    shown = models.ClientSlotModel.model_validate_json((await rest.get(f"{V2}/clients/7/slots/0")).content)
    assert (shown.emulator, shown.health.kind if shown.health else "") == ("program", "ok")
    assert shown.round_trip is not None
    assert shown.round_trip.samples >= 1
    assert shown.network is not None
    assert (shown.network.by, shown.network.samples) == ("commands", shown.round_trip.samples)
    assert shown.network.p99_us <= shown.round_trip.p99_us
    said = log.getvalue()
    assert "slot_health" not in said
    assert not [number for number in (derived.imsi, derived.iccid_digits) if number in said]


async def test_bank_without_inventory_tells_numbers_only(tmp_path: Path, stack: AsyncExitStack) -> None:
    log = note_log()
    server = await start(stack, tmp_path, inventory="off")
    await log.line_with(" server ", "card_number", "[B1:1]")
    rest = await stack.enter_async_context(rest_client(server, over_socket=False))
    (first, *_) = (await rest.get(f"{V2}/cards")).json()["items"]
    assert "inventory" not in first
