# SPDX-License-Identifier: Apache-2.0
"""Idempotency keys over the end of a server: what was done under a key is done once, whenever the server is killed."""

import asyncio
import contextlib
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import TypeVar

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.api.v2 import idempotency
from remsim.server.core.actions import Actor, KeyedRequest
from remsim.server.core.tokens import TokenRole
from remsim.server.store import requests
from remsim.server.store.session import DoubtfulCommitError, FileWriter, Work
from remsim.server.store.writer import StoreError
from tests.contract.test_webhook_crashes import SPOILT, Crashes, small_server
from tests.doubles.rest_lab import V2, problem, token
from tests.doubles.server_rig import connect_bank, rest_client, running_server

T = TypeVar("T")

ORDERS: dict[str, object] = {
    "apply": {"mappings": {"C7:0": "B1:0"}},
    "leases": {"pool": "B1:1", "client": "C8:0", "for": "2h"},
    "leases/1/renew": {"for": "3h"},
    "mappings/C7:0/reinsert": None,
    "webhooks": {"url": "http://127.0.0.1:9/hook"},
    "banks/1/reset": None,
}


async def ask(caller: httpx2.AsyncClient, path: str, key: str = "k", **query: str) -> httpx2.Response:
    body = ORDERS[path]
    return await caller.post(f"{V2}/{path}", json=body, params=query, headers={"Idempotency-Key": key})


async def audited(caller: httpx2.AsyncClient) -> list[str]:
    return [entry["action"] for entry in (await caller.get(f"{V2}/audit?limit=1000")).json()["items"]]


async def test_each_kind_of_request_is_done_once_over_a_restart(tmp_path: Path) -> None:
    text = await token(tmp_path, TokenRole.ADMIN)
    first: dict[str, httpx2.Response] = {}
    async with running_server(tmp_path, rest_open=False) as service, AsyncExitStack() as stack:
        await stack.enter_async_context(await connect_bank(service, 1, 8, is_own=True))
        admin = await stack.enter_async_context(rest_client(service, over_socket=False, token=text))
        for path in ORDERS:
            first[path] = await ask(admin, path)
            assert first[path].is_success, first[path].text
        actions = await audited(admin)
    async with running_server(tmp_path, rest_open=False) as service, AsyncExitStack() as stack:
        admin = await stack.enter_async_context(rest_client(service, over_socket=False, token=text))
        for path in ORDERS:
            again = await ask(admin, path)
            assert again.status_code == first[path].status_code, again.text
            assert again.headers["idempotent-replay"] == "true"
            assert again.headers.get("etag") == first[path].headers.get("etag")
        assert (await ask(admin, "apply")).json() == first["apply"].json()
        assert (await ask(admin, "leases")).json()["id"] == first["leases"].json()["id"] == 1
        # Who has the key has had the secret, or should have.
        assert (await ask(admin, "webhooks")).json()["secret"] == first["webhooks"].json()["secret"]
        other = await admin.post(f"{V2}/apply", json={"mappings": {}}, headers={"Idempotency-Key": "k"})
        problem(other, 422, "key_reused")
        assert await audited(admin) == actions
        # Another caller's key is another key.
        operator = await stack.enter_async_context(
            rest_client(service, over_socket=False, token=await token(tmp_path, TokenRole.OPERATOR))
        )
        problem(await ask(operator, "leases"), 409, "conflict")


async def test_no_secret_of_an_answer_is_stored_with_its_key(tmp_path: Path) -> None:
    text = await token(tmp_path, TokenRole.ADMIN)
    async with running_server(tmp_path, rest_open=False) as service:
        async with rest_client(service, over_socket=False, token=text) as admin:
            secret = (await ask(admin, "webhooks")).json()["secret"]
    with closing(sqlite3.connect(tmp_path / "server.sqlite")) as database:
        (row,) = database.execute("SELECT * FROM requests").fetchall()
    assert row[2:4] == ("/api/v2/webhooks", "k")
    assert secret not in repr(row)
    assert text not in repr(row)


async def test_what_was_made_and_is_gone_is_not_made_again(tmp_path: Path) -> None:
    text = await token(tmp_path, TokenRole.ADMIN)
    async with running_server(tmp_path, rest_open=False) as service:
        async with rest_client(service, over_socket=False, token=text) as admin:
            for path in ("leases", "webhooks"):
                number = (await ask(admin, path)).json()["id"]
                assert (await admin.delete(f"{V2}/{path}/{number}")).status_code == 204
    async with running_server(tmp_path, rest_open=False) as service:
        async with rest_client(service, over_socket=False, token=text) as admin:
            for path in ("leases", "webhooks"):
                problem(await ask(admin, path), 409, "done_before")
            # It gets the number of the one that was deleted, and nobody takes it for that.
            assert (await ask(admin, "webhooks", "other")).json()["id"] == 1
            problem(await ask(admin, "webhooks"), 409, "done_before")


async def test_trial_is_not_stored_and_that_nothing_differed_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        assert (await ask(rest, "apply", "trial", dry_run="true")).json()["dry_run"] is True
        assert len((await ask(rest, "apply", "first")).json()["changes"]) == 1
        assert (await ask(rest, "apply", "second")).json()["changes"] == []
        monkeypatch.setattr(idempotency, "MAX_KEPT_BYTES", 10)
        assert (await rest.delete(f"{V2}/mappings/C7:0")).status_code == 204
        assert (await ask(rest, "apply", "long")).status_code == 200
        assert (await rest.delete(f"{V2}/mappings/C7:0")).status_code == 204
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        assert (await ask(rest, "apply", "second")).json()["changes"] == []
        assert "idempotent-replay" not in (await ask(rest, "apply", "trial", dry_run="true")).headers
        # The answer was too long to be kept, so the key is free.
        assert "idempotent-replay" not in (await ask(rest, "apply", "long")).headers


def stored(folder: Path) -> tuple[set[str], set[str]]:
    """What a copy of the database holds: mappings by their slots, and the keys of what was done."""
    with closing(sqlite3.connect(folder / "server.sqlite")) as database:
        mapped = {f"B{bank}:{nr}" for bank, nr in database.execute("SELECT bank_id, bank_slot_nr FROM mappings")}
        return mapped, {key for (key,) in database.execute("SELECT key FROM requests")}


async def test_whenever_it_is_killed_key_and_change_are_stored_or_neither_is(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    crashes = Crashes(state, tmp_path / "copies")

    def by(slot: BankSlot) -> Actor:
        return Actor("token", "test", request=KeyedRequest(("token", "/path", str(slot)), b"digest"))

    async with small_server(state) as server:
        slots = [BankSlot(1, 0), SPOILT, BankSlot(1, 4)]
        with crashes.watched():
            # They wait together, so they are committed together; as one of them is spoilt, then one by one.
            changes = (
                server.runtime.change_mappings([], [(slot, ClientSlot(7, slot.slot_nr))], by(slot)) for slot in slots
            )
            results = await asyncio.gather(*changes, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), StoreError, type(None)]
    for folder in crashes.folders():
        mapped, keys = stored(folder)
        assert mapped == keys, folder
    assert stored(crashes.folders()[-1])[1] == {"B1:0", "B1:4"}
    # There were copies with one of them, and there is no other commit than theirs.
    assert {len(stored(folder)[1]) for folder in crashes.folders()} == {0, 1, 2}


async def test_keys_are_bounded_and_refusals_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_KEPT", 2)
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        for key in "abc":
            await ask(rest, "apply", key)
        refused = await rest.post(
            f"{V2}/apply", json={"mappings": {"C7:0": "label:none"}}, headers={"Idempotency-Key": "refused"}
        )
        problem(refused, 409, "conflict")
    assert stored(tmp_path)[1] == {"b", "c"}


class _LostError(Exception):
    """Ends a transaction that is rolled back."""


def losing(monkeypatch: pytest.MonkeyPatch, *, took_place: bool) -> asyncio.Event:
    """When it is set, the answer to the next commit is lost."""
    is_lost, run = asyncio.Event(), FileWriter.run

    async def lose(writer: FileWriter, work: Work[T], *, deadline_s: float = 1.0) -> T:
        if not is_lost.is_set():
            return await run(writer, work, deadline_s=deadline_s)
        is_lost.clear()

        async def lost(connection: AsyncConnection) -> None:
            await work(connection)
            if not took_place:
                raise _LostError

        with contextlib.suppress(_LostError):
            await run(writer, lost, deadline_s=deadline_s)
        raise DoubtfulCommitError("lost", 7)

    async def is_committed(_writer: FileWriter, number: int) -> bool:
        return took_place and number == 7

    monkeypatch.setattr(FileWriter, "run", lose)
    monkeypatch.setattr(FileWriter, "is_committed", is_committed)
    return is_lost


@pytest.mark.parametrize("path", ["leases", "webhooks"])
@pytest.mark.parametrize("took_place", [True, False])
async def test_request_whose_commit_is_in_doubt_is_done_once_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, took_place: bool, path: str
) -> None:
    is_lost = losing(monkeypatch, took_place=took_place)
    text = await token(tmp_path, TokenRole.ADMIN)
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False, token=text) as rest:
        is_lost.set()
        problem(await ask(rest, path), 503, "in_doubt")
        problem(await ask(rest, path), 409, "in_progress")
        # Whatever is stored next finds out first what became of it.
        assert (await rest.put(f"{V2}/labels/B1:0", json={"labels": ["a"]})).status_code == 200
        again = await ask(rest, path)
        assert (again.status_code, again.headers.get("idempotent-replay") == "true") == (201, took_place), again.text
        assert len((await rest.get(f"{V2}/{path}")).json()["items"]) == 1
    assert stored(tmp_path)[1] == {"k"}


async def test_key_of_an_answer_that_is_too_long_is_free_when_its_commit_was_in_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_lost = losing(monkeypatch, took_place=True)
    monkeypatch.setattr(idempotency, "MAX_KEPT_BYTES", 10)
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        is_lost.set()
        problem(await ask(rest, "apply"), 503, "in_doubt")
        assert (await rest.put(f"{V2}/labels/B1:0", json={"labels": ["a"]})).status_code == 200
        again = await ask(rest, "apply")
        assert (again.status_code, again.json()["changes"]) == (200, [])


@pytest.mark.parametrize("took_place", [True, False])
async def test_webhook_whose_change_was_in_doubt_is_as_the_database_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, took_place: bool
) -> None:
    is_lost = losing(monkeypatch, took_place=took_place)
    text = await token(tmp_path, TokenRole.ADMIN)
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False, token=text) as rest:
        # Nothing of that kind happens here: no other commit may be the one that is lost.
        order = {"url": "http://127.0.0.1:9/hook", "kinds": ["mapping_created"]}
        for _ in range(2):
            assert (await rest.post(f"{V2}/webhooks", json=order)).status_code == 201
        is_lost.set()
        problem(await rest.post(f"{V2}/webhooks/1/pause"), 503, "in_doubt")
        assert (await rest.put(f"{V2}/labels/B1:0", json={"labels": ["a"]})).status_code == 200
        assert ("paused_since" in (await rest.get(f"{V2}/webhooks/1")).json()) == took_place
        is_lost.set()
        problem(await rest.delete(f"{V2}/webhooks/1"), 503, "in_doubt")
        assert (await rest.put(f"{V2}/labels/B1:0", json={"labels": ["b"]})).status_code == 200
        assert [each["id"] for each in (await rest.get(f"{V2}/webhooks")).json()["items"]] == [1, 2][took_place:]
        # Two at the same time, of which neither knows of the other.
        ends = await asyncio.gather(*(rest.delete(f"{V2}/webhooks/2") for _ in range(2)))
        assert {answer.status_code for answer in ends} == {204}
