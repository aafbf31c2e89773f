# SPDX-License-Identifier: Apache-2.0
"""Lists that are limited by state, label and bank, with pages behind the limits."""

from functools import partial
from pathlib import Path

import httpx2
import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.rest import AsyncRest, calls
from remsim.server.core.slotmap import MappingState
from remsim.server.runtime import ServerRuntime
from remsim.wire.messages.extensions import CardInd
from tests.doubles.server_rig import PATIENCE_S, connect_bank, connect_client, rest_client, running_server

V2 = "/api/v2"
ICCIDS = ("8900101234567890018", "8900101234567890026")


async def names(rest: httpx2.AsyncClient, path: str, name: str) -> list[object]:
    answer = await rest.get(f"{V2}/{path}")
    assert answer.status_code == 200, answer.text
    return [item[name] for item in answer.json()["items"]]


def _are_sent(runtime: ServerRuntime, *clients: ClientSlot) -> bool | None:
    found = [runtime.query.mapping_of_client(client) for client in clients]
    return all(each is not None and each.state is MappingState.UNACKNOWLEDGED for each in found) or None


async def test_lists_are_limited(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        async with await connect_bank(service, 1, 4, is_own=True) as bank, await connect_client(service, 7):
            for nr, iccid in enumerate(ICCIDS):
                bank.send(CardInd(BankSlot(1, nr), iccid))
            bank.send(CardInd(BankSlot(1, 1), None))
            await bank.settle()
            for subject, label in (("B1:0", "a"), ("C7:0", "van"), (f"iccid:{ICCIDS[0]}", "gold"), ("B1:2", "a")):
                assert (await rest.put(f"{V2}/labels/{subject}", json={"labels": [label]})).status_code == 200
            for client, card in (("C7:0", "B1:0"), ("C8:0", "B2:0"), ("C9:0", "B1:3")):
                assert (await rest.put(f"{V2}/mappings/{client}", json={"card": card})).status_code == 201
            # Both orders of bank 1 are on their way, which is stored a moment later.
            runtime = service.runtime
            assert runtime is not None
            is_sent = partial(_are_sent, runtime, ClientSlot(7, 0), ClientSlot(9, 0))
            assert await runtime.changes.until(is_sent, PATIENCE_S)
            assert await names(rest, "banks?state=connected", "bank") == [1]
            assert await names(rest, "banks?state=absent", "bank") == [2]
            assert await names(rest, "banks/1/slots?state=present", "slot") == ["B1:0"]
            assert await names(rest, "banks/1/slots?label=a", "slot") == ["B1:0", "B1:2"]
            assert await names(rest, "banks/1/slots?label=a&state=unknown", "slot") == ["B1:2"]
            assert await names(rest, "clients?state=connected", "client") == [7]
            assert await names(rest, "clients?state=absent", "client") == [8, 9]
            assert await names(rest, "clients?label=van", "client") == [7]
            assert await names(rest, "cards?state=present", "slot") == ["B1:0"]
            assert await names(rest, "cards?state=absent", "slot") == ["B1:1"]
            assert await names(rest, "cards?label=gold", "slot") == ["B1:0"]
            assert await names(rest, "cards?bank=2", "slot") == []
            assert await names(rest, "mappings?bank=1", "client") == ["C7:0", "C9:0"]
            assert await names(rest, "mappings?state=stored", "client") == ["C8:0"]
            for label in ("a", "van", "gold"):
                assert await names(rest, f"mappings?label={label}", "client") == ["C7:0"]
            first = (await rest.get(f"{V2}/mappings?bank=1&limit=1")).json()
            assert [item["client"] for item in first["items"]] == ["C7:0"]
            assert await names(rest, f"mappings?bank=1&limit=1&cursor={first['next']}", "client") == ["C9:0"]
            async with AsyncRest(f"http://{service.rest_address}") as both:
                found = [
                    item.slot async for item in both.items(calls.list_cards(state="present", label="gold", bank=1))
                ]
                assert found == ["B1:0"]
                mapped = [item.client async for item in both.items(calls.list_mappings(bank=1, label="van"))]
                assert mapped == ["C7:0"]


@pytest.mark.parametrize(
    "path", ["mappings?state=x", "mappings?bank=x", "mappings?bank=1024", "cards?state=x", "clients?label="]
)
async def test_what_is_no_limit_is_said(tmp_path: Path, path: str) -> None:
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        assert (await rest.get(f"{V2}/{path}")).json()["code"] == "bad_request"
