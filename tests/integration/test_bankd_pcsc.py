# SPDX-License-Identifier: Apache-2.0
"""A bank in front of a real pcscd with software cards behind vpcd: it serves, and whatever goes away heals."""

import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remsim.bankd.core.states import CardState
from remsim.readers.sim.profiles import load_profile
from remsim.wire.messages import extensions, rspro
from remsim.wire.messages.rspro import ResultCode
from tests.doubles.bank_world import BankWorld, Client
from tests.doubles.pcsc_socket import pcsc_through
from tests.doubles.pcscd import READER_NAMES, VPCD_PORTS, PcscdNamespace
from tests.doubles.programs import Program, remsim

_ATR = load_profile("default").atr
_SELECT_ICCID = "00a4080c022fe2"
_READ_ICCID = "00b000000a"
#: TS 3B, T0 80 (TD1 follows), TD1 01 (T=1 and nothing else), TCK.
_T1_ONLY = "3b800181"


def insert_card(namespace: PcscdNamespace, slot: int = 0, *, number: int = 0) -> Program:
    place = f"127.0.0.1:{VPCD_PORTS[slot]}"
    card = namespace.program(remsim("uicc", "--vpcd", place, "--number", str(number)))
    card.wait_for("card_inserted")
    return card


@pytest.fixture(params=["pcscd", "pcsc"])
async def world(
    request: pytest.FixtureRequest, pcscd_namespace: PcscdNamespace, tmp_path: Path
) -> AsyncIterator[BankWorld]:
    world = BankWorld(tmp_path)
    world.settings.update(reader=request.param, auto=True)
    with pcsc_through(pcscd_namespace):
        async with world:
            yield world


@pytest.fixture(params=["pcsc", "pcscd"])
async def quick_world(
    pcscd_namespace: PcscdNamespace, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[BankWorld]:
    """A bank that gives its readers half a second."""
    world = BankWorld(tmp_path)
    deadlines = {"open_s": 0.5, "reset_s": 0.5, "close_s": 0.5}
    world.settings.update(auto=True, read_numbers=False, card_deadline_s=0.5, reader_deadlines=deadlines)
    world.settings["reader"] = request.param
    with pcsc_through(pcscd_namespace):
        async with world:
            yield world


async def serve(world: BankWorld, *, is_own: bool = True) -> Client:
    """A client in service with the card in the first reader."""
    assert await world.create_mapping("C1:0", "B1:0") is ResultCode.OK
    await world.until(lambda: world.service.coordinator.cards.positions[0].is_present)
    client = await world.connect(is_own=is_own)
    await expect_service(client)
    return client


async def expect_service(client: Client) -> None:
    answer = await client.message()
    assert isinstance(answer, rspro.ConnectClientRes)
    assert answer.result is ResultCode.OK
    assert await client.message() == rspro.SetAtrReq(client.slot, _ATR)


async def expect_present(client: Client, *, is_present: bool) -> None:
    message = await client.message()
    assert isinstance(message, rspro.BankSlotStatusInd), message
    assert message.slot_phys_status.card_present is is_present


async def test_commands_reach_the_card_and_readers_keep_their_slots(
    pcscd_namespace: PcscdNamespace, world: BankWorld, tmp_path: Path
) -> None:
    insert_card(pcscd_namespace)
    client = await serve(world)
    assert await client.transmit(_SELECT_ICCID) == "9000"
    assert (await client.transmit(_READ_ICCID)).endswith("9000")
    status = rspro.SlotPhysStatus(reset_active=True, vcc_present=False)
    client.send(rspro.ClientSlotStatusInd(client.slot, client.bank_slot, status))
    assert await client.transmit("00b0000001") != "9000"  # nothing is selected after a cold reset
    assert world.service.coordinator.counts.resets == 1
    known = (tmp_path / "state" / "slots.json").read_text(encoding="utf-8")
    assert "Virtual PCD ?? 00" in known
    assert "Virtual PCD ?? 01" in known


async def test_card_pulled_and_inserted_again_heals(pcscd_namespace: PcscdNamespace, world: BankWorld) -> None:
    card = insert_card(pcscd_namespace)
    client = await serve(world)
    card.stop()
    await expect_present(client, is_present=False)
    insert_card(pcscd_namespace)
    assert await client.message() == rspro.SetAtrReq(client.slot, _ATR)
    await expect_present(client, is_present=True)
    assert await client.transmit(_SELECT_ICCID) == "9000"
    assert len(world.log_lines("card_gone")) == 1
    (line,) = world.log_lines("card_gone")
    assert "[B1:0 C1:0]" in line
    assert "card removed" in line


async def test_classic_client_is_disconnected_with_its_card(pcscd_namespace: PcscdNamespace, world: BankWorld) -> None:
    card = insert_card(pcscd_namespace)
    client = await serve(world, is_own=False)
    card.stop()
    assert await client.message() is None
    again = await world.connect(is_own=False)
    answer = await again.message()
    assert isinstance(answer, rspro.ConnectClientRes)
    assert answer.result is ResultCode.CARD_NOT_PRESENT
    insert_card(pcscd_namespace)
    assert await again.message() == rspro.SetAtrReq(again.slot, _ATR)


@pytest.mark.parametrize("end", [Program.stop, Program.kill])
async def test_pcscd_restarted_heals(pcscd_namespace: PcscdNamespace, world: BankWorld, end: type) -> None:
    card = insert_card(pcscd_namespace)
    client = await serve(world)
    end(pcscd_namespace.pcscd)
    await expect_present(client, is_present=False)
    assert len(world.log_lines("pcsc_service_gone")) == 1
    card.wait_for("vpcd_gone")
    pcscd_namespace.start_pcscd()
    assert await client.message() == rspro.SetAtrReq(client.slot, _ATR)
    await expect_present(client, is_present=True)
    assert await client.transmit(_SELECT_ICCID) == "9000"
    assert len(world.log_lines("pcsc_service_back")) == 1


@pytest.mark.parametrize("who", ["pcscd", "card"])
async def test_pcscd_or_card_that_hangs_costs_its_deadline_and_heals(
    pcscd_namespace: PcscdNamespace, quick_world: BankWorld, who: str
) -> None:
    world, card = quick_world, insert_card(pcscd_namespace)
    client = await serve(world)
    hangs = card if who == "card" else pcscd_namespace.pcscd
    hangs.send_signal(signal.SIGSTOP)
    try:
        client.command(_SELECT_ICCID)
        await expect_present(client, is_present=False)
        assert len(world.log_lines("card_fault")) == 1
        assert re.search(r"took longer than 0\.5 s|no answer within 0\.5 s", world.log_lines("card_fault")[0])
        await world.until(lambda: world.service.stuck.count == 1)
    finally:
        hangs.send_signal(signal.SIGCONT)
    while isinstance(await client.message(), rspro.SetAtrReq | rspro.BankSlotStatusInd):
        if world.service.coordinator.cards.positions[0].state is CardState.READY:
            break
    client.command(_SELECT_ICCID)
    while not isinstance(answer := await client.message(), rspro.TpduCardToModem):
        assert answer is not None
    assert answer.data.hex() == "9000"
    await world.until(lambda: world.service.stuck.count == 0)


async def expect_number(world: BankWorld, iccid: str, slot_nr: int = 0) -> None:
    """The next number that the server hears of this slot."""
    while True:
        message = await world.server.message()
        assert message is not None
        if isinstance(message, extensions.CardInd) and message.bank_slot.slot_nr == slot_nr and message.iccid:
            assert message.iccid == iccid
            return


async def test_number_of_each_card_arrives_and_nobody_is_disturbed(
    pcscd_namespace: PcscdNamespace, world: BankWorld
) -> None:
    numbers = [load_profile("default").identity.derive(number).iccid_digits for number in range(3)]
    card = insert_card(pcscd_namespace, number=1)
    await expect_number(world, numbers[1])
    insert_card(pcscd_namespace, slot=1, number=2)
    await expect_number(world, numbers[2], slot_nr=1)
    client = await serve(world)
    assert await client.transmit(_READ_ICCID) != "9000"  # the reading has left nothing selected
    card.stop()
    await expect_present(client, is_present=False)
    insert_card(pcscd_namespace)
    await expect_number(world, numbers[0])
    assert await client.message() == rspro.SetAtrReq(client.slot, _ATR)
    assert not any(number in world.log.getvalue() for number in numbers)
    assert world.service.coordinator.counts.tpdus == 1


async def test_card_that_only_speaks_t1_is_recognised(pcscd_namespace: PcscdNamespace, world: BankWorld) -> None:
    card = [sys.executable, "-m", "tests.doubles.vpcd_card", str(VPCD_PORTS[0]), _T1_ONLY]
    pcscd_namespace.program(card)
    assert await world.create_mapping("C1:0", "B1:0") is ResultCode.OK
    await world.until(lambda: world.service.coordinator.cards.positions[0].is_present)
    client = await world.connect()
    answer = await client.message()
    assert isinstance(answer, rspro.ConnectClientRes)
    assert answer.result is ResultCode.CARD_TRANSMISSION_ERROR
    (line,) = world.log_lines("card_not_powered")
    assert "does not speak T=0" in line
    assert READER_NAMES[0] in line
