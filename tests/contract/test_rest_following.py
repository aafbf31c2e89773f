# SPDX-License-Identifier: Apache-2.0
"""Mappings that wait for the card that they follow, over a whole server: shown, waited for, replaced, deleted."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.tokens import Scope, TokenRole
from remsim.server.service import ServerService
from remsim.wire.messages.extensions import CardInd
from tests.contract.test_rest_library import ctl
from tests.doubles.rest_lab import V2, Lab, open_lab, problem, serve_mappings
from tests.doubles.server_rig import RigPeer

CARD, OTHER = "8900101234567890018", "8900101234567890026"
SHORT = "card 890010…0018"


async def insert(bank: RigPeer, slot: str, iccid: str | None) -> None:
    bank.send(CardInd(BankSlot.parse(slot), iccid))
    await bank.settle()


async def is_parked(service: ServerService) -> None:
    runtime = service.runtime
    assert runtime is not None
    found = runtime.query.waiting
    assert await runtime.changes.until(lambda: found.of_client(ClientSlot(7, 0)), 20)


async def exchange(lab: Lab, bank: RigPeer) -> None:
    """C7:0 follows a card, which is taken out of B1:0 for another one."""
    await insert(bank, "B1:0", CARD)
    order = {"card": f"iccid:{CARD}", "follow": "card"}
    assert (await lab.admin.put(f"{V2}/mappings/C7:0", json=order)).status_code == 201
    await insert(bank, "B1:0", None)
    await insert(bank, "B1:0", OTHER)
    await is_parked(lab.service)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(tmp_path, rest_open=True) as made:
        await exchange(made, await made.bank(1))
        yield made


async def test_one_whose_slot_is_empty_says_since_when(tmp_path: Path) -> None:
    async with open_lab(tmp_path, rest_open=True) as lab:
        bank = await lab.bank(1)
        await insert(bank, "B1:0", CARD)
        order = {"card": "B1:0", "follow": "card"}
        assert (await lab.admin.put(f"{V2}/mappings/C7:0", json=order)).status_code == 201
        await insert(bank, "B1:0", None)
        await serve_mappings(bank)
        shown = await lab.admin.get(f"{V2}/mappings/C7:0?wait=operational&timeout=1ms")
        assert (shown.status_code, shown.json()["bank"]) == (202, "B1:0")
        assert shown.json()["missing"][0].startswith(f"{SHORT} is in no slot since 20")


async def test_one_that_waits_is_shown_and_goes_on_in_whichever_bank(lab: Lab) -> None:
    (shown,) = (await lab.admin.get(f"{V2}/mappings?state=waiting")).json()["items"]
    assert (shown["client"], shown["follow"], shown["state"]["state"]) == ("C7:0", "card", "waiting")
    assert (shown["operational"], "bank" in shown) == (False, False)
    assert shown["missing"] == [f"{SHORT} is in no slot since {shown['state']['since'][:19]}Z"]
    assert [item["client"] for item in (await lab.admin.get(f"{V2}/mappings")).json()["items"]] == ["C7:0"]
    assert (await lab.admin.get(f"{V2}/mappings?bank=1")).json()["items"] == []
    again = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": f"iccid:{CARD}", "follow": "card"})
    assert (again.status_code, again.json()["state"]["state"]) == (200, "waiting")
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(lab.admin.get(f"{V2}/mappings/C7:0?wait=active&timeout=60s"))
        other = await lab.bank(2)
        await insert(other, "B2:3", CARD)
        await serve_mappings(other)
    found = waiting.result()
    assert (found.status_code, found.json()["bank"], found.json()["follow"]) == (200, "B2:3", "card")
    kinds = [event["kind"] for event in (await lab.admin.get(f"{V2}/events")).json()["items"]]
    assert kinds.index("mapping_parked") < kinds.index("card_followed")


async def test_it_says_why_it_cannot_go_where_its_card_is(lab: Lab) -> None:
    other = await lab.bank(2)
    assert (await lab.admin.put(f"{V2}/mappings/C9:0", json={"card": "B2:3"})).status_code == 201
    await insert(other, "B2:3", CARD)
    shown = (await lab.admin.get(f"{V2}/mappings/C7:0")).json()
    assert shown["missing"][0].startswith(f"{SHORT} is in B2:3, which C9:0 has; it waits since ")
    # One who may not see that slot is not told of it.
    scoped = await lab.caller(TokenRole.VIEWER, Scope(frozenset({1}), frozenset({7})))
    shown = (await scoped.get(f"{V2}/mappings/C7:0")).json()
    assert shown["missing"][0].startswith(f"{SHORT} is in no slot since ")
    foreign = await lab.caller(TokenRole.VIEWER, Scope(frozenset({2}), frozenset({9})))
    problem(await foreign.get(f"{V2}/mappings/C7:0"), 404, "not_found")
    assert [item["client"] for item in (await foreign.get(f"{V2}/mappings")).json()["items"]] == ["C9:0"]
    await insert(other, "B2:4", CARD)
    shown = (await lab.admin.get(f"{V2}/mappings/C7:0")).json()
    assert shown["missing"][0].startswith(f"{SHORT} is in B2:3, B2:4: two cards have this number")


async def test_its_card_cannot_be_inserted_again_while_it_is_in_no_slot(lab: Lab) -> None:
    refused = await lab.admin.post(f"{V2}/mappings/C7:0/reinsert")
    assert problem(refused, 409, "conflict") == "C7:0 waits for its card, which is in no slot"


async def test_its_client_slot_is_taken_until_an_operator_says_something_else(lab: Lab) -> None:
    leased = await lab.admin.post(f"{V2}/leases", json={"pool": "B1:5", "client": "C7:0", "for": "1h"})
    assert problem(leased, 409, "conflict").startswith(
        "C7:0 has a mapping already, which waits for the card 890010…0018"
    )
    taken = await lab.admin.put(f"{V2}/mappings/C8:0", json={"card": "B1:0", "follow": "card"})
    assert taken.status_code == 201
    tag = (await lab.admin.get(f"{V2}/mappings/C7:0")).headers["etag"]
    wrong = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:4"}, headers={"If-Match": '"m1"'})
    problem(wrong, 412, "changed")
    moved = await lab.admin.put(f"{V2}/mappings/C7:0", json={"card": "B1:4"}, headers={"If-Match": tag})
    assert (moved.status_code, moved.json()["bank"], moved.json()["follow"]) == (201, "B1:4", "slot")
    assert (await lab.admin.get(f"{V2}/mappings?state=waiting")).json()["items"] == []


@pytest.mark.parametrize("how", ["delete", "reset", "apply"])
async def test_it_is_deleted_like_any_other(lab: Lab, how: str) -> None:
    if how == "delete":
        assert (await lab.admin.delete(f"{V2}/mappings/C7:0")).status_code == 204
    elif how == "reset":
        assert (await lab.admin.post("/api/backend/v1/global-reset")).status_code == 200
    else:
        kept = await lab.admin.post(f"{V2}/apply", json={"mappings": {"C7:0": f"iccid:{CARD}"}})
        assert kept.json()["changes"] == []
        done = await lab.admin.post(f"{V2}/apply", json={"mappings": {"C7:0": "B1:6"}})
        (change,) = done.json()["changes"]
        assert (change["before"], change["after"]) == ("waits for iccid:890010…0018", "B1:6")
    assert (await lab.admin.get(f"{V2}/mappings?state=waiting")).json()["items"] == []
    other = await lab.bank(2)
    await insert(other, "B2:3", CARD)
    mapped = {item["client"]: item["bank"] for item in (await lab.admin.get(f"{V2}/mappings")).json()["items"]}
    assert mapped == ({"C7:0": "B1:6"} if how == "apply" else {})


async def test_it_waits_over_a_restart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_lab(tmp_path, rest_open=True) as lab:
        await exchange(lab, await lab.bank(1))
        before = (await lab.admin.get(f"{V2}/mappings/C7:0")).json()
    async with open_lab(tmp_path, rest_open=True) as lab:
        after = (await lab.admin.get(f"{V2}/mappings/C7:0")).json()
        assert (after["missing"], after["created_at"]) == (before["missing"], before["created_at"])
        assert (before["state"]["source"], after["state"]["source"]) == ("server", "database")
        assert await ctl(lab.service, "mappings") == 0
        assert capsys.readouterr().out == f"C7:0 waits: {before['missing'][0]}\n"
        assert await ctl(lab.service, "mappings C8") == 0
        assert capsys.readouterr().out == "nothing is mapped\n"
        assert await ctl(lab.service, "wait C7:0 --timeout 1ms") == 1
        assert f"C7:0 has no slot (waiting), but {SHORT} is in no slot since " in capsys.readouterr().err
        bank = await lab.bank(1)
        await insert(bank, "B1:2", CARD)
        runtime = lab.service.runtime
        assert runtime is not None
        assert await runtime.changes.until(lambda: runtime.query.mapping(BankSlot(1, 2)), 20)


async def test_page_shows_that_a_client_waits_for_its_card(lab: Lab) -> None:
    await lab.client(7)
    overview = (await lab.admin.get("/")).text
    row = overview.split('data-slot="C7:0"')[1].split("</li>")[0]
    assert 'data-state="waiting"' in row
    assert f"{SHORT} is in no slot" in row
    assert "None" not in row
    shown = (await lab.admin.get("/clients/C7:0")).text
    assert f"{SHORT} is in no slot" in shown
    assert "/slots/None" not in shown
    other = await lab.caller(TokenRole.VIEWER, Scope(frozenset({2}), frozenset({7})))
    assert "is in no slot" not in (await other.get("/clients/C7:0")).text


async def test_it_is_unmapped_by_command(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert await ctl(lab.service, "unmap C7:0") == 0
    assert capsys.readouterr().out == "unmapped C7:0\n"
    assert await ctl(lab.service, "unmap C7:0") == 1
    assert "there is no mapping of C7:0" in capsys.readouterr().err
    assert (await lab.admin.get(f"{V2}/mappings")).json()["items"] == []
