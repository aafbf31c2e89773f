# SPDX-License-Identifier: Apache-2.0
"""Server and bank with software cards: the bank reads the cards' numbers, and rules on them decide who gets a card."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from remsim.bankd.service import BankdService
from remsim.config import BankdConfig
from remsim.readers.sim.profiles import load_profile
from remsim.readers.sim.source import SimReader, SimSource
from remsim.server.core.tokens import Scope, TokenRole
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token
from tests.doubles.server_rig import LOOPBACK, V1, connect_client, mapping, rest_client, running_server
from tests.doubles.tls_rig import LogLines, note_log, running

_IDENTITY = load_profile("default").identity
NUMBERS = [_IDENTITY.derive(index).iccid_digits for index in range(3)]
SHORT = [f"{number[:6]}…{number[-4:]}" for number in NUMBERS]
SLOTS = 2


@pytest.fixture
def log() -> Iterator[LogLines]:
    """What all programs say; no number may stand there whole."""
    lines = note_log()
    yield lines
    said = lines.getvalue()
    assert not [number for number in NUMBERS if number in said or number[:-1] in said]


class Installation:
    """A server with a policy, and a bank whose cards the test may exchange."""

    def __init__(self, server: ServerService, rest: httpx2.AsyncClient, source: SimSource, state: Path) -> None:
        self.server = server
        self.rest = rest
        self.source = source
        self._state = state

    async def reader(self, slot_nr: int) -> SimReader:
        return self.source.reader((await self.source.names())[slot_nr])

    async def post(self, slot_nr: int) -> httpx2.Response:
        return await self.rest.post(f"{V1}/slotmaps", json=mapping((1, slot_nr), (7, slot_nr)))

    async def mapped(self) -> list[int]:
        return [item["id"] & 0xFFFF for item in (await self.rest.get(f"{V1}/slotmaps?more=true")).json()["slotmaps"]]

    async def cards(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = (await self.rest.get(f"{V1}/banks/1?more=true")).json()["cards"]
        return found

    async def audit(self) -> list[tuple[str, str, str, str]]:
        config = self.server._config
        text, _ = await asyncio.to_thread(create_token, config, name="auditor", role=TokenRole.ADMIN, scope=Scope())
        async with rest_client(self.server, over_socket=False, token=text) as rest:
            found = (await rest.get(f"{V1}/audit")).json()["audit"]
        return [(e["who"], e["action"], e["target"], e["outcome"]) for e in found if e["action"].startswith("mapping")]


@asynccontextmanager
async def installed(folder: Path, rules: str, **bank_settings: object) -> AsyncIterator[Installation]:
    policy = folder / "policy.toml"
    await asyncio.to_thread(policy.write_text, rules)
    source = SimSource(slots=SLOTS)
    async with running_server(folder / "server", policy=policy) as server:
        values: dict[str, object] = {
            "server": server.rspro_address,
            "listen": LOOPBACK,
            "slots": SLOTS,
            "reader": "sim",
        }
        values |= {"state_dir": folder / "bank", "plaintext": True}
        bank = BankdService(BankdConfig.model_validate(values | bank_settings), source=source)
        async with running(bank), rest_client(server, over_socket=False) as rest:
            yield Installation(server, rest, source, folder)


def only(number: str) -> str:
    return f'default = "deny"\n[[client]]\nclient = "7"\nnumbers = ["{number}"]\n'


async def heard(log: LogLines, slot_nr: int, index: int) -> None:
    """Wait until the server has heard of this card in this slot."""
    await log.line_with(" server ", "card_number", f"[B1:{slot_nr}]", SHORT[index])


async def test_rule_on_a_number_gives_one_card_and_refuses_the_other(tmp_path: Path, log: LogLines) -> None:
    async with installed(tmp_path, only(NUMBERS[1])) as world:
        for slot_nr in range(SLOTS):
            await heard(log, slot_nr, slot_nr)
        assert await world.cards() == [{"slotNr": nr, "iccid": SHORT[nr]} for nr in range(SLOTS)]
        refused = await world.post(0)
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "policy"
        assert (await world.post(1)).status_code == 201
        entries = await world.audit()
    assert entries == [
        ("rest-open", "mapping.create", "B1:0 C7:0", "refused"),
        ("rest-open", "mapping.create", "B1:1 C7:1", "done"),
    ]


async def test_card_that_is_exchanged_takes_the_mapping_with_it(tmp_path: Path, log: LogLines) -> None:
    async with installed(tmp_path, only(NUMBERS[0])) as world, await connect_client(world.server, 7) as client:
        await heard(log, 0, 0)
        assert (await world.post(0)).status_code == 201
        sent = await client.receive()
        assert sent is not None
        reader = await world.reader(0)
        # Pulled for a moment and put back: nothing happens to the mapping.
        world.source.remove_card(reader.name)
        world.source.insert_card(reader.name)
        await log.line_with("bankd", "card_present", "[B1:0 C7:0]")
        assert await world.mapped() == [0]
        world.source.remove_card(reader.name)
        reader._card, reader._index = None, 2
        world.source.insert_card(reader.name)
        await log.line_with("policy_unmapped", "B1:0 C7:0")
        await log.line_with("bankd", "mapping_removed", "[B1:0 C7:0]")
        assert await world.mapped() == []
        assert (await world.cards())[0] == {"slotNr": 0, "iccid": SHORT[2]}
        entries = await world.audit()
    assert entries[-1] == ("server", "mapping.delete", "B1:0 C7:0", "done")


async def test_bank_that_reads_no_numbers_gives_nobody_a_card_by_number(tmp_path: Path, log: LogLines) -> None:
    async with installed(tmp_path, only(NUMBERS[0]), read_numbers=False) as world:
        await log.line_with("bankd", "server_connected")
        refused = await world.post(0)
        assert refused.status_code == 403
        assert "whose card's number is not known" in refused.json()["error"]["message"]
        assert await world.cards() == []
        assert (await world.reader(0))._card is None
