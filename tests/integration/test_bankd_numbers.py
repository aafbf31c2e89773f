# SPDX-License-Identifier: Apache-2.0
"""A running bank that reads the numbers of its cards, and a server that the test plays."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remsim.readers.pcsc import PcscSource
from remsim.readers.sim.profiles import load_profile
from remsim.wire.messages import extensions, rspro
from remsim.wire.messages.health import InventoryInd
from remsim.wire.messages.rspro import ResultCode
from tests.doubles.bank_world import BankWorld
from tests.doubles.readers import HangingReader, ScriptedReader, ScriptedSource
from tests.doubles.scard import FakeReader, FakeScard


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[BankWorld]:
    async with BankWorld(tmp_path) as world:
        yield world


async def numbers_heard(world: BankWorld, count: int) -> dict[int, str | None]:
    """What the server hears next of the numbers of so many slots."""
    heard: dict[int, str | None] = {}
    while len(heard) < count:
        message = await world.server.message()
        if isinstance(message, InventoryInd):
            # What else the card says is told at the same time.
            continue
        assert isinstance(message, extensions.CardInd), message
        heard[message.bank_slot.slot_nr] = message.iccid
    return heard


async def test_numbers_of_software_cards_are_told(world: BankWorld) -> None:
    identity = load_profile("default").identity
    expected = {nr: identity.derive(nr).iccid_digits for nr in range(2)}
    assert await numbers_heard(world, 2) == expected
    await world.server.close()
    await world.accept_server()
    assert await numbers_heard(world, 2) == expected
    assert not world.log_lines("card_number_unreadable")


@pytest.mark.parametrize("reads", [False, True])
async def test_cards_are_powered_for_their_numbers_only_where_that_is_wanted(tmp_path: Path, reads: bool) -> None:
    readers = ScriptedReader("r0"), ScriptedReader("r1")
    world = BankWorld(tmp_path, source=ScriptedSource(*readers))
    world.settings["read_numbers"] = reads
    async with world:
        assert await numbers_heard(world, 2) == {0: None, 1: None}
        # In both classes: two files are selected, and the number is not there.
        expected = ["open", *["transmit"] * 6, "close"] if reads else []
        assert [reader.log for reader in readers] == [expected, expected]
    assert len(world.log_lines("card_number_unreadable")) == (2 if reads else 0)


@pytest.mark.parametrize(
    ("is_shared", "first", "last"), [(False, ["connect", "cold"], "unpower"), (True, ["connect shared"], "disconnect")]
)
async def test_card_is_opened_for_its_number_as_for_a_client(
    tmp_path: Path, is_shared: bool, first: list[str], last: str
) -> None:
    """Exclusively and powered off afterwards, or shared and left as it was."""
    fake = FakeReader()
    source = PcscSource(scard=FakeScard(R=fake), is_shared=lambda _reader: is_shared)
    world = BankWorld(tmp_path, source=source)
    world.settings |= {"read_numbers": True, "slots": 1, "auto": True, "reader": "pcsc"}
    async with world:
        await world.until(lambda: bool(world.log_lines("card_number_unreadable")))
        assert fake.log == [*first, *["transmit"] * 6, last]


async def test_client_gets_a_card_that_hangs_while_its_number_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remsim.bankd.driver.READING_S", 0.05)
    reader = HangingReader("transmit")
    world = BankWorld(tmp_path, source=ScriptedSource(reader, ScriptedReader("r1")))
    world.settings["read_numbers"] = True
    async with world:
        assert await world.create_mapping("C1:0", "B1:0") is ResultCode.OK
        client = await world.connect()
        answer = await client.message()
        assert isinstance(answer, rspro.ConnectClientRes)
        assert answer.result is ResultCode.OK
        assert reader.log == ["open", "transmit", "close", "open"]
    (line,) = [line for line in world.log_lines("card_number_unreadable") if "B1:0" in line]
    assert "it was not read within 0.05 s" in line
