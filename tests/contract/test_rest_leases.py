# SPDX-License-Identifier: Apache-2.0
"""Leases over a whole server: by REST, by the library, and by ``remsim ctl lease``."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from remsim.cli.main import main
from remsim.config import ServerConfig
from remsim.core.limits import LimitName
from remsim.rest import AsyncRest, Rest, RestApiError, leases
from remsim.server import lease_tokens
from remsim.server.core import lending
from remsim.server.core.tokens import Scope, TokenRole
from remsim.server.service import ServerService
from remsim.server.store.tokens import list_tokens, revoke_token
from remsim.wire.messages.rspro import (
    ConfigClientBankReq,
    ConfigClientBankRes,
    CreateMappingReq,
    CreateMappingRes,
    RemoveMappingReq,
    RemoveMappingRes,
    ResultCode,
)
from tests.doubles.reaching import reaches
from tests.doubles.rest_lab import V2, caller
from tests.doubles.server_rig import RigPeer, connect_bank, connect_client, rest_client, running_server

POOL = "label:roaming"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServerService]:
    async with running_server(tmp_path, rest_open=False) as running:
        yield running


@pytest.fixture
async def admin(service: ServerService, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with AsyncExitStack() as stack:
        made = await caller(stack, service, tmp_path, TokenRole.ADMIN)
        for slot in ("B1:0", "B1:1"):
            assert (await made.put(f"{V2}/labels/{slot}", json={"labels": ["roaming"]})).status_code == 200
        yield made


def wants(client: str, **more: object) -> dict[str, object]:
    return {"pool": POOL, "client": client, "for": "2h", **more}


async def serve(bank: RigPeer) -> None:
    """Say ok to the next mapping, and to the removals before it."""
    while True:
        event = await bank.receive()
        assert event is not None
        match event.message:
            case CreateMappingReq():
                bank.send(CreateMappingRes(ResultCode.OK), event.tag)
                return
            case RemoveMappingReq():
                bank.send(RemoveMappingRes(ResultCode.OK), event.tag)


async def test_the_answer_comes_when_the_modem_can_use_the_card(
    service: ServerService, admin: httpx2.AsyncClient
) -> None:
    async with await connect_bank(service, 1) as bank, await connect_client(service, 7) as client:
        async with asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(admin.post(f"{V2}/leases", json=wants("C7:0", wait="20s")))
            await serve(bank)
            await client.expect(ConfigClientBankReq)
            assert not taking.done()
            client.send(ConfigClientBankRes(ResultCode.OK), client.tag)
            await client.settle()
        answer = taking.result()
        assert answer.status_code == 201, answer.text
        body = answer.json()
        assert (body["operational"], body["missing"], body["for_s"]) == (True, [], 7200.0)
        assert (body["mapping"]["bank"], body["state"]["state"]) == ("B1:0", "granted")
        kinds = [event["kind"] for event in (await admin.get(f"{V2}/events")).json()["items"]]
        assert kinds.index("mapping_created") < kinds.index("lease_granted") < kinds.index("mapping_active")


async def test_the_queue_is_served_when_a_card_is_given_back(service: ServerService, admin: httpx2.AsyncClient) -> None:
    for client in ("C1:0", "C2:0"):
        assert (await admin.post(f"{V2}/leases", json=wants(client))).status_code == 201
    none = await admin.post(f"{V2}/leases", json=wants("C3:0"))
    assert (none.status_code, none.json()["code"]) == (409, "no_free_card")
    assert none.json()["detail"] == "none of the 2 cards of label:roaming is free"
    waits = [
        await admin.post(f"{V2}/leases?timeout=1ms", json=wants(client, wait="1h", priority=level))
        for client, level in (("C3:0", 0), ("C4:0", 1))
    ]
    assert [answer.status_code for answer in waits] == [202, 202]
    assert waits[0].json()["state"]["state"] == "waiting"
    assert waits[0].json()["missing"] == ["no card of label:roaming is free; it has waited for 0 s"]
    assert [(await admin.get(f"{V2}/leases/{nr}")).json()["ahead"] for nr in (3, 4)] == [1, 0]
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(admin.get(f"{V2}/leases/4?wait=granted&timeout=20s"))
        assert (await admin.delete(f"{V2}/leases/1")).status_code == 204
    assert waiting.result().json()["mapping"]["bank"] == "B1:0"
    assert (await admin.get(f"{V2}/leases/1")).json()["ended"] == "released"
    shown = [(item["id"], item["state"]["state"]) for item in (await admin.get(f"{V2}/leases")).json()["items"]]
    assert shown == [(2, "granted"), (3, "waiting"), (4, "granted")]
    first = (await admin.get(f"{V2}/leases?limit=2")).json()
    assert [item["id"] for item in first["items"]] == [2, 3]
    rest = (await admin.get(f"{V2}/leases?limit=2&cursor={first['next']}")).json()
    assert [item["id"] for item in rest["items"]] == [4]
    assert [item["id"] for item in (await admin.get(f"{V2}/leases?state=ended")).json()["items"]] == [1]
    assert [item["id"] for item in (await admin.get(f"{V2}/leases?client=C3:0")).json()["items"]] == [3]
    actions = [entry["action"] for entry in (await admin.get(f"{V2}/audit")).json()["items"]]
    assert [action for action in actions if action.startswith("lease")] == [
        *["lease.take"] * 4,
        "lease.release",
        "lease.grant",
    ]


async def test_waiting_in_vain_is_a_conflict(admin: httpx2.AsyncClient) -> None:
    for client in ("C1:0", "C2:0"):
        assert (await admin.post(f"{V2}/leases", json=wants(client))).status_code == 201
    answer = await admin.post(f"{V2}/leases", json=wants("C3:0", wait="50ms"))
    assert (answer.status_code, answer.json()["code"]) == (409, "no_free_card")
    assert answer.json()["detail"] == "no card of label:roaming was free for 0.05 s"
    assert (await admin.get(f"{V2}/leases/3")).json()["ended"] == "timed_out"


async def test_a_lease_that_is_not_operational_in_time_says_what_is_missing(admin: httpx2.AsyncClient) -> None:
    answer = await admin.post(f"{V2}/leases", json=wants("C1:0", wait="1ms"))
    assert answer.status_code == 202
    assert answer.json()["missing"] == ["bank 1 was never connected", "client C1:0 was never connected"]
    assert answer.json()["state"]["state"] == "granted"


async def test_its_time_ends_it_unless_it_is_renewed(admin: httpx2.AsyncClient) -> None:
    first = await admin.post(f"{V2}/leases", json={**wants("C1:0"), "for": "1s"})
    second = await admin.post(f"{V2}/leases", json={**wants("C2:0"), "for": "1s"})
    assert (first.status_code, second.status_code) == (201, 201)
    longer = await admin.post(f"{V2}/leases/2/renew", json={"for": "1h"})
    assert (longer.status_code, longer.json()["for_s"]) == (200, 3600.0)
    answer = await admin.post(f"{V2}/leases", json=wants("C3:0", wait="20s"), params={"timeout": "1ms"})
    assert answer.status_code == 202
    assert (await admin.get(f"{V2}/leases/3?wait=granted&timeout=20s")).json()["mapping"]["bank"] == "B1:0"
    assert (await admin.get(f"{V2}/leases/1")).json()["ended"] == "expired"
    assert [item["client"] for item in (await admin.get(f"{V2}/mappings")).json()["items"]] == ["C2:0", "C3:0"]
    gone = await admin.post(f"{V2}/leases/1/renew", json={"for": "1h"})
    assert gone.status_code == 404


async def test_a_mapping_that_is_deleted_ends_its_lease(admin: httpx2.AsyncClient) -> None:
    assert (await admin.post(f"{V2}/leases", json=wants("C1:0"))).status_code == 201
    taken = await admin.post(f"{V2}/leases", json=wants("C1:0"))
    assert taken.json()["detail"] == "C1:0 has a card on loan already, by lease 1"
    assert (await admin.delete(f"{V2}/mappings/C1:0")).status_code == 204
    shown = (await admin.get(f"{V2}/leases/1")).json()
    assert (shown["ended"], shown["state"]["state"], "mapping" in shown) == ("unmapped", "ended", False)


async def test_a_key_makes_a_repeated_request_one(admin: httpx2.AsyncClient) -> None:
    answers = [await admin.post(f"{V2}/leases", json=wants("C1:0"), headers={"Idempotency-Key": "a"}) for _ in range(3)]
    assert [answer.json()["id"] for answer in answers] == [1, 1, 1]
    assert len((await admin.get(f"{V2}/leases")).json()["items"]) == 1


async def test_a_token_sees_and_takes_only_what_is_its_own(
    service: ServerService, admin: httpx2.AsyncClient, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        scope = Scope(frozenset({2}), frozenset({7}))
        limited = await caller(stack, service, tmp_path, TokenRole.OPERATOR, scope)
        viewer = await caller(stack, service, tmp_path, TokenRole.VIEWER)
        assert (await admin.put(f"{V2}/labels/B2:0", json={"labels": ["roaming"]})).status_code == 200
        assert (await limited.post(f"{V2}/leases", json=wants("C8:0"))).status_code == 403
        assert (await viewer.post(f"{V2}/leases", json=wants("C8:0"))).status_code == 403
        # There are free cards at bank 1, which it may not have.
        assert (await limited.post(f"{V2}/leases", json=wants("C7:0"))).json()["mapping"]["bank"] == "B2:0"
        assert (await limited.post(f"{V2}/leases", json=wants("C7:1"))).json()["code"] == "no_free_card"
        for client in ("C1:0", "C2:0"):
            assert (await admin.post(f"{V2}/leases", json=wants(client))).status_code == 201
        for client in ("C3:0", "C4:0", "C7:1"):
            who = limited if client == "C7:1" else admin
            answer = await who.post(f"{V2}/leases?timeout=1ms", json=wants(client, wait="1h"))
            assert answer.status_code == 202
            if who is limited:
                assert answer.json()["ahead"] == 0
        mine = (await limited.get(f"{V2}/leases")).json()["items"]
        assert [(item["client"], item["state"]["state"]) for item in mine] == [("C7:0", "granted"), ("C7:1", "waiting")]
        other = next(
            item["id"] for item in (await admin.get(f"{V2}/leases")).json()["items"] if item["client"] == "C1:0"
        )
        for method, path in (("GET", ""), ("POST", "/renew"), ("DELETE", "")):
            body = {"for": "1h"} if method == "POST" else None
            assert (await limited.request(method, f"{V2}/leases/{other}{path}", json=body)).status_code == 404
        assert (await viewer.delete(f"{V2}/leases/{other}")).status_code == 403
        seen = (await limited.get(f"{V2}/events")).text
        assert "lease_granted" in seen
        assert "C1:0" not in seen


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"pool": POOL, "client": "C7:0"}, 400),
        ({"pool": "roaming", "client": "C7:0", "for": "1h"}, 400),
        ({"pool": POOL, "client": "7", "for": "1h"}, 400),
        ({"pool": POOL, "client": "C7:0", "for": "1"}, 400),
        ({"pool": POOL, "client": "C7:0", "for": "1ms"}, 400),
        ({"pool": POOL, "client": "C7:0", "for": "401d"}, 400),
        ({"pool": POOL, "client": "C7:0", "for": "1h", "wait": "8d"}, 400),
        ({"pool": POOL, "client": "C7:0", "for": "1h", "priority": 101}, 400),
        ({"pool": POOL, "client": "C7:0", "for": "1h", "more": 1}, 400),
        ({"pool": "label:nothing", "client": "C7:0", "for": "1h"}, 409),
    ],
)
async def test_what_cannot_be_lent_is_said(admin: httpx2.AsyncClient, body: dict[str, object], status: int) -> None:
    answer = await admin.post(f"{V2}/leases", json=body)
    assert answer.status_code == status, answer.text
    assert (await admin.get(f"{V2}/leases")).json()["items"] == []


async def revoke(state: Path, name: str, *, keeps_leases: bool) -> None:
    config = ServerConfig(state_dir=state)
    (record,) = [each for each in await asyncio.to_thread(list_tokens, config) if each.name == name]
    await asyncio.to_thread(revoke_token, config, record.token_id, keeps_leases=keeps_leases)


@pytest.mark.parametrize("keeps_leases", [False, True])
async def test_leases_end_with_their_token_unless_they_are_kept(
    service: ServerService, admin: httpx2.AsyncClient, tmp_path: Path, *, keeps_leases: bool
) -> None:
    runtime = service.runtime
    assert runtime is not None
    async with AsyncExitStack() as stack:
        program = await caller(stack, service, tmp_path, TokenRole.OPERATOR)
        for client in ("C1:0", "C2:0"):
            assert (await program.post(f"{V2}/leases", json=wants(client))).status_code == 201
        assert (await program.post(f"{V2}/leases?timeout=1ms", json=wants("C3:0", wait="1h"))).status_code == 202
        assert (await admin.post(f"{V2}/leases?timeout=1ms", json=wants("C4:0", wait="1h"))).status_code == 202
        await lease_tokens.end_lapsed(runtime)
        await revoke(tmp_path, "operator", keeps_leases=keeps_leases)
        await lease_tokens.end_lapsed(runtime)
        await runtime.store.written()
        ended = {item["id"]: item["ended"] for item in (await admin.get(f"{V2}/leases?state=ended")).json()["items"]}
        if keeps_leases:
            assert ended == {}
            return
        assert ended == {1: "revoked", 2: "revoked", 3: "revoked"}
        assert (await admin.get(f"{V2}/leases/4?wait=granted&timeout=20s")).json()["mapping"]["bank"] == "B1:0"
        events = (await admin.get(f"{V2}/events")).json()["items"]
        assert [item["client_slot"] for item in events if item["kind"] == "lease_revoked"] == ["C1:0", "C2:0", "C3:0"]


async def test_the_token_of_a_lease_is_known_after_a_restart(tmp_path: Path) -> None:
    async with running_server(tmp_path, rest_open=False) as service, AsyncExitStack() as stack:
        program = await caller(stack, service, tmp_path, TokenRole.OPERATOR)
        order = {"pool": "B1:0", "client": "C1:0", "for": "2h"}
        assert (await program.post(f"{V2}/leases", json=order)).status_code == 201
    await revoke(tmp_path, "operator", keeps_leases=False)
    # The server looks at its start, too.
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        runtime = service.runtime
        assert runtime is not None
        assert await runtime.changes.until(lambda: not runtime.leases.live() or None, 20)
        assert (await rest.get(f"{V2}/leases/1")).json()["ended"] == "revoked"


@reaches(LimitName.LEASES)
async def test_there_are_no_more_than_the_limit(admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "MAX_LEASES", 1)
    assert (await admin.post(f"{V2}/leases", json=wants("C1:0"))).status_code == 201
    answer = await admin.post(f"{V2}/leases", json=wants("C2:0"))
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (409, "too_many", "leases")


async def test_leases_are_there_after_a_restart(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        await rest.put(f"{V2}/labels/B1:0", json={"labels": ["roaming"]})
        assert (await rest.post(f"{V2}/leases", json=wants("C1:0"))).status_code == 201
        assert (await rest.post(f"{V2}/leases?timeout=1ms", json=wants("C2:0", wait="1h"))).status_code == 202
        before = (await rest.get(f"{V2}/leases")).json()["items"]
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        after = (await rest.get(f"{V2}/leases")).json()["items"]
        assert [item["state"]["source"] for item in after] == ["database", "database"]
        for old, new in zip(before, after, strict=True):
            same = ("id", "client", "pool", "requested_at", "granted_at", "expires_at", "waits_until")
            assert [old.get(name) for name in same] == [new.get(name) for name in same]
        assert (await rest.delete(f"{V2}/leases/1")).status_code == 204
        shown = await rest.get(f"{V2}/leases/2?wait=granted&timeout=20s")
        assert shown.json()["mapping"]["bank"] == "B1:0"


async def test_library_and_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running_server(tmp_path) as service:
        url = f"http://{service.rest_address}"

        async def ctl(*words: str) -> tuple[int, str]:
            status = await asyncio.to_thread(main, ["ctl", "--rest", url, *words])
            out, err = capsys.readouterr()
            return status, out + "".join(line for line in err.splitlines() if line.startswith("remsim"))

        async with rest_client(service, over_socket=False) as rest:
            await rest.put(f"{V2}/labels/B1:0", json={"labels": ["roaming"]})
        assert (await ctl("lease"))[1].strip() == "no card is lent"
        status, said = await ctl("lease", "take", POOL, "C7:0", "--for", "2h")
        assert (status, said.startswith("lease 1: C7:0 has B1:0 until 20")) == (0, True)
        status, said = await ctl("lease", "take", POOL, "C8:0", "--for", "2h")
        assert (status, "none of the 1 cards of label:roaming is free" in said) == (1, True)
        status, said = await ctl("lease", "take", POOL, "C8:0", "--for", "2h", "--wait", "1s")
        assert status == 1
        assert (
            "lease 2, 0 before it: no card of label:roaming is free" in said
            or "no card of label:roaming was free" in said
        )
        status, said = await ctl("--json", "lease", "list")
        assert [item["client"] for item in json.loads(said)] == ["C7:0"]
        assert (await ctl("lease", "renew", "1", "--for", "3h"))[0] == 0
        assert (await ctl("lease", "renew", "1", "--for", "soon"))[0] == 2
        assert await ctl("lease", "release", "1") == (0, "released lease 1\n")
        status, said = await ctl("lease", "list", "--ended")
        assert "it was released" in said
        assert (await ctl("lease", "take", "roaming", "C8:0", "--for", "2h"))[0] == 2
        async with AsyncRest(url) as both:
            taken = await both.do(leases.take_lease(POOL, "7:0", "2h"))
            assert taken.state.state == "granted"
            assert (await both.do(leases.show_lease(taken.id))).id == taken.id
            assert [each.id async for each in both.items(leases.list_leases(client="C7:0"))] == [taken.id]
            await both.do(leases.release_lease(taken.id))
        await asyncio.to_thread(_use, url)


def _use(url: str) -> None:
    with Rest(url) as rest:
        taken = rest.do(leases.take_lease(POOL, "C7:0", "2h", priority=3))
        assert rest.do(leases.renew_lease(taken.id, "1h")).for_s == 3600
        with pytest.raises(RestApiError, match="has a card on loan already"):
            rest.do(leases.take_lease(POOL, "C7:0", "2h"))
