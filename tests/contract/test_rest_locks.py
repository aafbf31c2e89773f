# SPDX-License-Identifier: Apache-2.0
"""Locked slots, cards that are inserted anew, and the course of latency: over a whole server, by REST and by ctl."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from remsim.cli.main import main
from remsim.core.ids import BankSlot
from remsim.core.limits import LimitName
from remsim.server.core import slot_locks
from remsim.server.core.tokens import Scope, TokenRole
from remsim.server.service import ServerService
from remsim.wire.messages.health import Latency, Quantiles, RecentErrors, SessionPhase, SlotCounters, SlotHealthInd
from remsim.wire.messages.rspro import (
    CreateMappingReq,
    CreateMappingRes,
    RemoveMappingReq,
    RemoveMappingRes,
    ResultCode,
)
from tests.doubles.reaching import reaches
from tests.doubles.rest_lab import V2, caller, open_lab
from tests.doubles.server_rig import RigPeer, connect_bank, rest_client, running_server

LOCK = f"{V2}/banks/1/slots/3/lock"
MAPPING = f"{V2}/mappings/C7:0"


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServerService]:
    async with running_server(tmp_path, rest_open=False) as running:
        yield running


async def orders(bank: RigPeer, count: int) -> list[str]:
    """Obey so many orders about mappings; what they were."""
    heard: list[str] = []
    while len(heard) < count:
        event = await bank.receive()
        assert event is not None
        if isinstance(event.message, CreateMappingReq):
            heard.append(f"+{event.message.client}")
            bank.send(CreateMappingRes(ResultCode.OK), event.tag)
        elif isinstance(event.message, RemoveMappingReq):
            heard.append(f"-{event.message.client}")
            bank.send(RemoveMappingRes(ResultCode.OK), event.tag)
    return heard


async def test_locked_slot_gets_no_mapping_and_no_lease_until_it_is_unlocked(
    service: ServerService, stack: AsyncExitStack, tmp_path: Path
) -> None:
    rest = await caller(stack, service, tmp_path, TokenRole.OPERATOR)
    bank = await stack.enter_async_context(await connect_bank(service, 1, 8))
    made = await rest.put(LOCK, json={"reason": "contact trouble"})
    assert made.status_code == 200
    assert made.json()["reason"] == "contact trouble"
    assert (await rest.get(f"{V2}/banks/1/slots/3")).json()["lock"]["reason"] == "contact trouble"
    assert "lock" not in (await rest.get(f"{V2}/banks/1/slots/4")).json()

    refused = await rest.put(MAPPING, json={"card": "B1:3"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert refused.json()["detail"] == "B1:3 is locked: contact trouble"
    assert (await rest.put(f"{V2}/labels/B1:3", json={"labels": ["roaming"]})).status_code == 200
    assert (await rest.put(MAPPING, json={"card": "label:roaming"})).status_code == 409
    fleet = {"mappings": {"C7:0": "label:roaming"}}
    assert (await rest.post(f"{V2}/apply", json=fleet)).status_code == 409
    lease = {"pool": "label:roaming", "client": "C7:0", "for": "1h"}
    assert (await rest.post(f"{V2}/leases", json=lease)).status_code == 409
    waiting = await rest.post(f"{V2}/leases?timeout=0ms", json={**lease, "wait": "1h"})
    assert (waiting.status_code, waiting.json()["state"]["state"]) == (202, "waiting")

    # Who waits gets the card as soon as it is unlocked.
    assert (await rest.delete(LOCK)).status_code == 204
    assert await asyncio.wait_for(orders(bank, 1), 20) == ["+C7:0"]
    assert (await rest.delete(LOCK)).status_code == 404
    events = (await rest.get(f"{V2}/events")).json()["items"]
    assert [one["kind"] for one in events if "lock" in one["kind"]] == ["slot_locked", "slot_unlocked"]
    assert "contact trouble" not in json.dumps(events)


async def test_lock_ends_no_mapping_and_outlives_the_server(stack: AsyncExitStack, tmp_path: Path) -> None:
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        async with await connect_bank(service, 1, 8) as bank:
            assert (await rest.put(MAPPING, json={"card": "B1:3"})).status_code == 201
            assert await orders(bank, 1) == ["+C7:0"]
            assert (await rest.put(LOCK, json={"reason": "worn"})).status_code == 200
            # The client that has it may still have its card inserted anew.
            tag = (await rest.get(MAPPING)).headers["etag"]
            again = await rest.post(f"{MAPPING}/reinsert")
            assert (again.status_code, again.json()["bank"]) == (200, "B1:3")
            assert again.headers["etag"] != tag
            assert await asyncio.wait_for(orders(bank, 2), 20) == ["-C7:0", "+C7:0"]
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        slot = (await rest.get(f"{V2}/banks/1/slots/3")).json()
        assert slot["lock"]["reason"] == "worn"
        assert slot["mapping"]["client"] == "C7:0"
        assert (await rest.delete(MAPPING)).status_code == 204
        assert (await rest.put(MAPPING, json={"card": "B1:3"})).status_code == 409


async def test_card_on_loan_and_nothing_are_not_inserted_anew(
    service: ServerService, stack: AsyncExitStack, tmp_path: Path
) -> None:
    rest = await caller(stack, service, tmp_path, TokenRole.OPERATOR)
    await stack.enter_async_context(await connect_bank(service, 1, 8))
    assert (await rest.post(f"{MAPPING}/reinsert")).status_code == 404
    lease = {"pool": "B1:3", "client": "C7:0", "for": "1h"}
    assert (await rest.post(f"{V2}/leases", json=lease)).status_code == 201
    refused = await rest.post(f"{MAPPING}/reinsert")
    assert (refused.status_code, refused.json()["detail"]) == (409, "C7:0 has its card on loan")


async def test_only_operators_of_its_bank_lock_a_slot(
    service: ServerService, stack: AsyncExitStack, tmp_path: Path
) -> None:
    await stack.enter_async_context(await connect_bank(service, 1, 8))
    viewer = await caller(stack, service, tmp_path, TokenRole.VIEWER)
    other = await caller(stack, service, tmp_path, TokenRole.OPERATOR, Scope(frozenset({2}), None))
    own = await caller(stack, service, tmp_path, TokenRole.OPERATOR, Scope(frozenset({1}), frozenset({7})))
    order = {"reason": "x"}
    assert (await viewer.put(LOCK, json=order)).status_code == 403
    assert (await other.put(LOCK, json=order)).status_code == 404
    assert (await own.put(LOCK, json=order)).status_code == 200
    assert (await viewer.delete(LOCK)).status_code == 403
    assert (await other.delete(LOCK)).status_code == 404
    assert (await own.put(LOCK, json={"reason": " "})).status_code == 400
    assert (await own.put(LOCK, json={})).status_code == 400


@reaches(LimitName.SLOT_LOCKS)
async def test_no_more_slots_than_the_limit_are_locked(
    service: ServerService, stack: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_locks, "MAX_LOCKS", 1)
    rest = await caller(stack, service, tmp_path, TokenRole.OPERATOR)
    await stack.enter_async_context(await connect_bank(service, 1, 8))
    assert (await rest.put(LOCK, json={"reason": "x"})).status_code == 200
    refused = await rest.put(f"{V2}/banks/1/slots/4/lock", json={"reason": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many")
    assert service.app is not None
    assert service.app.state.metrics.limits[LimitName.SLOT_LOCKS] == 1
    assert (await rest.put(LOCK, json={"reason": "y"})).status_code == 200


async def test_latency_of_both_ends_is_told_to_those_who_may_see_them(
    service: ServerService, stack: AsyncExitStack, tmp_path: Path
) -> None:
    rest = await caller(stack, service, tmp_path, TokenRole.VIEWER)
    other = await caller(stack, service, tmp_path, TokenRole.VIEWER, Scope(frozenset({1}), frozenset({8})))
    bank = await stack.enter_async_context(await connect_bank(service, 1, 8, is_own=True))
    for commands, hold_ms in ((10, 0), (30, 700)):
        bank.send(
            SlotHealthInd(
                BankSlot(1, 3),
                is_present=True,
                presence_age_ms=0,
                phase=SessionPhase.ATTACHED,
                phase_age_ms=0,
                counters=SlotCounters(commands=commands),
                recent=RecentErrors(),
                card_time=Quantiles(10, 21_000, 84_000),
                latency=Latency(commands=commands, hold_ms=hold_ms),
            )
        )
    assert service.runtime is not None
    query = service.runtime.query
    await service.runtime.changes.until(lambda: True if len(query.health.latency(BankSlot(1, 3))) == 2 else None, 20)
    (course,) = (await rest.get(f"{V2}/latency/B1:3")).json()["courses"]
    assert (course["slot"], course["measures"]) == ("B1:3", "card")
    assert [(point["commands"], point["hold_ms"]) for point in course["points"]] == [(10, 0), (20, 700)]
    operator = await caller(stack, service, tmp_path, TokenRole.OPERATOR)
    assert (await operator.put(MAPPING, json={"card": "B1:3"})).status_code == 201
    both = (await rest.get(f"{V2}/latency/C7:0")).json()["courses"]
    assert [(one["slot"], one["measures"]) for one in both] == [("B1:3", "card"), ("C7:0", "round_trip")]
    assert [one["slot"] for one in (await other.get(f"{V2}/latency/B1:3")).json()["courses"]] == ["B1:3"]
    assert (await other.get(f"{V2}/latency/C7:0")).status_code == 404
    assert (await rest.get(f"{V2}/latency/X")).status_code == 400


async def test_ctl_locks_and_unlocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running_server(tmp_path) as service, await connect_bank(service, 1, 8):
        rest = f"http://{service.rest_address}"

        async def ctl(*words: str) -> tuple[int, str]:
            status = await asyncio.to_thread(main, ["ctl", "--rest", rest, *words])
            said = capsys.readouterr()
            return status, said.err if status else said.out

        assert await ctl("lock", "B1:3", "contact trouble") == (0, "B1:3 is locked: contact trouble\n")
        status, said = await ctl("map", "B1:3", "C7:0")
        assert status == 1
        assert "B1:3 is locked: contact trouble" in said
        assert "remsim ctl unlock B1:3" in said
        assert await ctl("unlock", "B1:3") == (0, "B1:3 is not locked any more\n")
        assert (await ctl("map", "B1:3", "C7:0"))[0] == 0
        status, said = await ctl("lock", "B1:3", " ")
        assert status == 2
        assert "that is no reason" in said


async def test_ctl_says_whether_a_modem_can_have_seen_its_card_inserted_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_lab(tmp_path, rest_open=True) as lab:

        async def reinsert(*words: str) -> tuple[int, str]:
            rest = f"http://{lab.service.rest_address}"
            status = await asyncio.to_thread(main, ["ctl", "--rest", rest, *words, "reinsert", "C7:0"])
            said = capsys.readouterr()
            # The server writes its own lines, too.
            errors = [line for line in said.err.splitlines() if line.startswith("remsim ctl: ")]
            return status, "".join(errors) or said.out.strip()

        hint = "the mapping was made again; what it lacks is in: remsim ctl mappings C7:0"
        unseen = f"remsim ctl: the modem of C7:0 may not have seen it: {{}} is not connected; hint: {hint}"
        bank = await lab.bank(1)
        assert (await lab.admin.put(MAPPING, json={"card": "B1:3"})).status_code == 201
        assert await orders(bank, 1) == ["+C7:0"]
        assert await reinsert() == (1, unseen.format("client C7:0"))
        # It was carried out all the same: a client that has lost only the server has its card from the bankd.
        assert await asyncio.wait_for(orders(bank, 2), 20) == ["-C7:0", "+C7:0"]
        status, said = await reinsert("--json")
        assert (status, json.loads(said)["client"]) == (1, "C7:0")
        await lab.client(7)
        assert await reinsert() == (0, "C7:0 gets B1:3 inserted again")
        await bank.close()
        await lab.bank_is_gone(1)
        assert await reinsert() == (1, unseen.format("bank 1"))
