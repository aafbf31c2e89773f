# SPDX-License-Identifier: Apache-2.0
"""Readers that hang, over the real PC/SC library or pcscd's socket: each hurts its own slot, and heals by itself."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from remsim.bankd.core.states import BreakerState
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ResultCode
from tests.doubles.bank_world import BankWorld, Client
from tests.doubles.null_pcscd import NullPcscd, null_pcscd
from tests.doubles.pcsc_socket import pcsc_at

_MUTE: Final = 15
_COMMAND: Final = "00a40000023f00"
#: Of a command in the tests, in place of a minute.
_DEADLINE_S: Final = 1.0


@pytest.fixture
def pcscd(tmp_path: Path) -> Iterator[NullPcscd]:
    with null_pcscd(tmp_path, env={"READERS": str(_MUTE + 1)}) as daemon:
        yield daemon


@pytest.fixture(params=["pcsc", "pcscd"])
async def world(
    request: pytest.FixtureRequest, pcscd: NullPcscd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[BankWorld]:
    """A bank with sixteen readers, small deadlines and short delays."""
    monkeypatch.setattr("remsim.bankd.core.breaker.DELAYS_S", (0.1, 0.2, 0.4, 0.8))
    world = BankWorld(tmp_path)
    rules = [{"slot": nr, "reader": f"Null Reader {nr:04} 00"} for nr in range(_MUTE + 1)]
    deadlines = {"open_s": _DEADLINE_S, "reset_s": _DEADLINE_S, "close_s": _DEADLINE_S}
    world.settings.update(
        reader=request.param,
        slots=_MUTE + 1,
        slot=rules,
        card_deadline_s=_DEADLINE_S,
        reader_deadlines=deadlines,
        read_numbers=False,
    )
    with pcsc_at(pcscd.socket):
        async with world:
            yield world


async def serve_all(world: BankWorld) -> list[Client]:
    """A client for each slot, in service."""
    positions = world.service.coordinator.cards.positions
    await world.until(lambda: all(position.is_present for position in positions))
    clients = []
    for nr in range(_MUTE + 1):
        assert await world.create_mapping(f"C{nr}:0", f"B1:{nr}") is ResultCode.OK
        clients.append(await world.connect(f"C{nr}:0", f"B1:{nr}"))
    for client in clients:
        answer = await client.message()
        assert isinstance(answer, rspro.ConnectClientRes)
        assert answer.result is ResultCode.OK
        assert isinstance(await client.message(), rspro.SetAtrReq)
    return clients


def metric(world: BankWorld, name: str) -> float:
    """One of the bank's numbers."""
    value = world.metrics.registry.get_sample_value(f"remsim_bankd_{name}")
    assert value is not None
    return value


class Modem:
    """Sends a command each time that it is given a card, and notes the answers."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.answers: list[str] = []
        self.lost = 0

    async def run(self) -> None:
        """Until the end of the link."""
        self.client.command(_COMMAND)
        while (message := await self.client.message()) is not None:
            match message:
                case rspro.TpduCardToModem():
                    self.answers.append(message.data.hex())
                case rspro.BankSlotStatusInd() if message.slot_phys_status.card_present:
                    self.client.command(_COMMAND)
                case rspro.BankSlotStatusInd():
                    self.lost += 1
                case _:
                    assert isinstance(message, rspro.SetAtrReq)


async def test_fifteen_mute_cards_do_not_disturb_the_one_that_works(world: BankWorld, pcscd: NullPcscd) -> None:
    *mute, works = await serve_all(world)
    modems = [Modem(client) for client in mute]
    positions = world.service.coordinator.cards.positions
    for nr in range(_MUTE):
        pcscd.fault("mute", nr)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(modem.run()) for modem in modems]
        slowest, answered = 0.0, 0
        # Three failures of each: deadlines pass, and openings fail.
        while any(position.breaker.state is BreakerState.CLOSED for position in positions[:_MUTE]):
            began = time.monotonic()
            assert await works.transmit(_COMMAND) == "9000"
            slowest, answered = max(slowest, time.monotonic() - began), answered + 1
        assert answered > 20
        assert slowest < _DEADLINE_S
        assert positions[_MUTE].breaker.failures == 0
        assert metric(world, "breaker_trips_total") == _MUTE
        assert len(world.log_lines("reader_suspended")) == _MUTE
        assert not any(modem.answers for modem in modems)
        assert all(modem.lost for modem in modems)
        # The cards answer again: each slot heals by itself, at its next attempt.
        for nr in range(_MUTE):
            pcscd.mend("mute", nr)
        await world.until(lambda: all(modem.answers == ["9000"] for modem in modems))
        for task in tasks:
            task.cancel()
    assert await works.transmit(_COMMAND) == "9000"
    assert all(position.breaker.state is BreakerState.CLOSED for position in positions)
    assert len(world.log_lines("reader_recovered")) == _MUTE
    # The stand-in lets go of a card as soon as its socket is shut; with the library, threads hang until then.
    stuck = metric(world, "stuck_calls_total")
    assert stuck == _MUTE if world.settings["reader"] == "pcsc" else stuck <= _MUTE * 3
    assert metric(world, "stuck_readers") == 0
    assert len(world.log_lines("readers_stuck")) == 1 or world.settings["reader"] == "pcscd"


async def test_pcscd_that_hangs_costs_a_deadline_and_is_used_again(world: BankWorld, pcscd: NullPcscd) -> None:
    clients = await serve_all(world)
    pcscd.program.send_signal(signal.SIGSTOP)
    try:
        for client in clients:
            client.command(_COMMAND)
        for client in clients:
            message = await client.message()
            assert isinstance(message, rspro.BankSlotStatusInd)
        await world.until(lambda: bool(world.log_lines("readers_stuck")))
    finally:
        pcscd.program.send_signal(signal.SIGCONT)
    for client in clients:
        assert isinstance(await client.message(), rspro.SetAtrReq)
        assert isinstance(await client.message(), rspro.BankSlotStatusInd)
        assert await client.transmit(_COMMAND) == "9000"
    assert len(world.log_lines("readers_stuck")) == 1
    assert re.search(r"stuck=\d+ readers=16", world.log_lines("readers_stuck")[0])
    await world.until(lambda: metric(world, "stuck_readers") == 0)


async def test_bank_ends_in_time_while_pcscd_hangs(world: BankWorld, pcscd: NullPcscd) -> None:
    *clients, last = await serve_all(world)
    pcscd.program.send_signal(signal.SIGSTOP)
    try:
        last.command(_COMMAND)
        began = time.monotonic()
        world.service.request_stop()
        for client in (*clients, last):
            await client.listen()
        assert time.monotonic() - began < 4 * _DEADLINE_S
        await world.until(lambda: world.service.coordinator.is_at_rest)
    finally:
        pcscd.program.send_signal(signal.SIGCONT)
