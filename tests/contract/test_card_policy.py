# SPDX-License-Identifier: Apache-2.0
"""Rules on the numbers of cards, in a running server whose bankd the test plays."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from remsim.core.ids import BankSlot
from remsim.logs import setup_logging
from remsim.server.core.actions import Decision
from remsim.server.core.tokens import Scope, TokenRole
from remsim.server.service import ServerService
from remsim.server.store import sql
from remsim.server.store.tokens import create_token
from remsim.wire.messages import extensions, rspro
from tests.doubles.server_rig import V1, RigPeer, connect_bank, mapping, rest_client, running_server

GOOD, OTHER = "8900101000000000018", "8900109990000000013"
RULES = """
default = "deny"

[[client]]
client = "7"
numbers = ["89001010*"]
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(RULES)
    return path


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    setup_logging(level="debug", log_format="text", stream=stream)
    yield stream
    setup_logging(level="info", log_format="text")


@asynccontextmanager
async def served(state: Path, rules: Path) -> AsyncIterator[tuple[ServerService, httpx2.AsyncClient]]:
    async with running_server(state, policy=rules) as service, rest_client(service, over_socket=False) as rest:
        yield service, rest


async def tell(bank: RigPeer, iccid: str | None, slot_nr: int = 0) -> None:
    """The bankd tells a number; returns when the server has it."""
    bank.send(extensions.CardInd(BankSlot(1, slot_nr), iccid))
    await bank.settle()


async def shown(rest: httpx2.AsyncClient) -> dict[int, str]:
    """The cards of bank 1 in REST."""
    answer = (await rest.get(f"{V1}/banks/1?more=true")).json()
    assert answer["knownCards"] == len(answer["cards"])
    (listed,) = (await rest.get(f"{V1}/banks?more=true")).json()["banks"]
    assert listed["knownCards"] == answer["knownCards"]
    assert "cards" not in listed
    return {card["slotNr"]: card["iccid"] for card in answer["cards"]}


async def mapped(rest: httpx2.AsyncClient) -> list[int]:
    return [item["id"] & 0xFFFF for item in (await rest.get(f"{V1}/slotmaps?more=true")).json()["slotmaps"]]


async def post(rest: httpx2.AsyncClient, slot_nr: int = 0, client: int = 7) -> httpx2.Response:
    return await rest.post(f"{V1}/slotmaps", json=mapping((1, slot_nr), (client, slot_nr)))


async def audit_of(service: ServerService, state: Path) -> list[tuple[str, str, str, str, str]]:
    config = service._config
    token, _ = await asyncio.to_thread(create_token, config, name="auditor", role=TokenRole.ADMIN, scope=Scope())
    async with rest_client(service, over_socket=False, token=token) as rest:
        found = (await rest.get(f"{V1}/audit")).json()["audit"]
    return [(e["who"], e["action"], e["target"], e["outcome"], e["detail"]) for e in found if "mapping" in e["action"]]


async def test_number_decides_which_mapping_is_made(tmp_path: Path, rules: Path, log: io.StringIO) -> None:
    async with served(tmp_path, rules) as (service, rest):
        async with await connect_bank(service, 1, is_own=True) as bank:
            answer = await post(rest)
            assert answer.status_code == 403
            assert "whose card's number is not known" in answer.json()["error"]["message"]
            await tell(bank, GOOD)
            await tell(bank, OTHER, 1)
            assert await shown(rest) == {0: "890010…0018", 1: "890010…0013"}
            assert (await post(rest)).status_code == 201
            assert (await post(rest, 1)).status_code == 403
            entries = await audit_of(service, tmp_path)
    assert [entry[1:4] for entry in entries] == [
        ("mapping.create", "B1:0 C7:0", "refused"),
        ("mapping.create", "B1:0 C7:0", "done"),
        ("mapping.create", "B1:1 C7:1", "refused"),
    ]
    assert GOOD not in log.getvalue() + repr(entries)
    assert OTHER not in log.getvalue() + repr(entries)


async def test_card_that_is_gone_allows_nothing_new_and_ends_nothing(tmp_path: Path, rules: Path) -> None:
    async with served(tmp_path, rules) as (service, rest):
        async with await connect_bank(service, 1, is_own=True) as bank:
            await tell(bank, GOOD)
            await tell(bank, GOOD, 1)
            assert (await post(rest)).status_code == 201
            await tell(bank, None)
            await tell(bank, None, 1)
            assert (await post(rest, 1)).status_code == 403
            assert await mapped(rest) == [0]


async def test_another_card_ends_a_mapping_that_its_number_does_not_allow(
    tmp_path: Path, rules: Path, log: io.StringIO
) -> None:
    async with served(tmp_path, rules) as (service, rest):
        async with await connect_bank(service, 1, is_own=True) as bank:
            await tell(bank, GOOD)
            assert (await post(rest)).status_code == 201
            assert isinstance(await bank.expect(rspro.CreateMappingReq), rspro.CreateMappingReq)
            bank.send(rspro.CreateMappingRes(rspro.ResultCode.OK), reply_to=bank.tag)
            await tell(bank, OTHER)
            removal = await bank.expect(rspro.RemoveMappingReq)
            assert removal.bank == BankSlot(1, 0)
            assert await mapped(rest) == []
            entries = await audit_of(service, tmp_path)
    assert entries[-1] == (
        "server",
        "mapping.delete",
        "B1:0 C7:0",
        "done",
        "B1:0 is not among what client rule 1 allows C7:0",
    )
    assert 'policy_unmapped mapping="B1:0 C7:0"' in log.getvalue()


async def test_mappings_by_number_outlive_a_restart_without_the_bankd(tmp_path: Path, rules: Path) -> None:
    async with served(tmp_path, rules) as (service, rest):
        async with await connect_bank(service, 1, is_own=True) as bank:
            await tell(bank, GOOD)
            assert (await post(rest)).status_code == 201
    async with served(tmp_path, rules) as (service, rest):
        assert await mapped(rest) == [0]
    narrower = tmp_path / "narrower.toml"
    await asyncio.to_thread(narrower.write_text, RULES.replace("89001010", "89001011"))
    async with served(tmp_path, narrower) as (service, rest):
        assert await mapped(rest) == []


async def test_card_that_is_exchanged_while_its_mapping_is_stored_ends_it(
    tmp_path: Path, rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, go_on, begun = sql.write_decision, asyncio.Event(), asyncio.Event()

    async def write_later(connection: AsyncConnection, decision: Decision, wall: float) -> tuple[int, ...]:
        begun.set()
        await go_on.wait()
        return await write(connection, decision, wall)

    monkeypatch.setattr(sql, "write_decision", write_later)
    async with served(tmp_path, rules) as (service, rest):
        async with await connect_bank(service, 1, is_own=True) as bank, asyncio.TaskGroup() as group:
            await tell(bank, GOOD)
            posted = group.create_task(post(rest))
            await begun.wait()
            await tell(bank, OTHER)
            go_on.set()
            assert (await posted).status_code == 201
            await bank.expect(rspro.CreateMappingReq)
            bank.send(rspro.CreateMappingRes(rspro.ResultCode.OK), reply_to=bank.tag)
            await bank.expect(rspro.RemoveMappingReq)
            assert await mapped(rest) == []
