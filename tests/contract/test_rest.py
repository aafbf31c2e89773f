# SPDX-License-Identifier: Apache-2.0
"""REST v1 as rsres.md lays it down, with the defects mended that known-limits.md lists (67 to 76).

Each test runs twice: in process, and over a real socket.
"""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from itertools import product
from pathlib import Path

import httpx2
import pytest

from remsim.server.api.v1 import shapes
from remsim.server.service import ServerService
from remsim.wire.messages import rspro
from remsim.wire.messages.rspro import ResultCode
from tests.doubles import strict_json
from tests.doubles.server_rig import V1, connect_bank, connect_client, mapping, rest_client, running_server

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables made: to make them takes longer than most tests here."""
    state = tmp_path_factory.mktemp("empty")

    async def make() -> None:
        async with running_server(state):
            return

    asyncio.run(make())
    return state / "server.sqlite"


@pytest.fixture
async def service(tmp_path: Path, empty_database: Path) -> AsyncIterator[ServerService]:
    shutil.copy(empty_database, tmp_path)
    async with running_server(tmp_path) as running:
        yield running


@pytest.fixture(params=["in process", "socket"])
async def rest(request: pytest.FixtureRequest, service: ServerService) -> AsyncIterator[httpx2.AsyncClient]:
    async with rest_client(service, over_socket=request.param == "socket") as client:
        yield client


def assert_refused(answer: httpx2.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert set(error) == {"code", "message", "hint"}


def assert_done(answer: httpx2.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.content == b""
    assert answer.headers["content-length"] == "0"
    assert "content-type" not in answer.headers


async def post(rest: httpx2.AsyncClient, body: object) -> httpx2.Response:
    return await rest.post(f"{V1}/slotmaps", json=body)


class TestLists:
    @pytest.mark.parametrize("name", ["clients", "banks", "slotmaps"])
    @pytest.mark.parametrize("ending", ["", "/", "?x=1", "/?x=1"])
    async def test_empty_list(self, rest: httpx2.AsyncClient, name: str, ending: str) -> None:
        answer = await rest.get(f"{V1}/{name}{ending}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {name: []}

    async def test_connected_peers_have_the_shape_of_v1_and_more(
        self, rest: httpx2.AsyncClient, service: ServerService
    ) -> None:
        async with await connect_client(service, 7, 3), await connect_bank(service, 1, 4):
            (client,) = (await rest.get(f"{V1}/clients?more=true")).json()["clients"]
            (bank,) = (await rest.get(f"{V1}/banks?more=true")).json()["banks"]
        identity = {"name": "peer", "software": "remsim-rig", "swVersion": "1"}
        assert (client["peer"], client["state"]) == ("C7:3", "CONNECTED_CLIENT")
        assert client["component_id"] == {"type_": "remsimClient", **identity, "hwModel": "modem"}
        assert (bank["peer"], bank["state"]) == ("B1", "CONNECTED_BANKD")
        assert bank["component_id"] == {"type_": "remsimBankd", **identity}
        assert (bank["bankId"], bank["numberOfSlots"]) == (1, 4)
        assert bank["clientsGoTo"] == [{"ip": "127.0.0.1", "port": 9999}]
        assert client["address"].startswith("127.0.0.1:")
        shapes.ClientShape.model_validate(client)
        shapes.BankShape.model_validate(bank)

    @pytest.mark.parametrize("is_own", [False, True])
    async def test_v1_is_exactly_v1(self, rest: httpx2.AsyncClient, service: ServerService, is_own: bool) -> None:
        # Strict decoders of back-ends refuse a member that the C server does not give.
        clients, banks = connect_client(service, 7, 3, is_own=is_own), connect_bank(service, 1, 4, is_own=is_own)
        async with await clients, await banks as bank:
            await post(rest, mapping((1, 2), (7, 3)))
            await post(rest, mapping((1, 9), (7, 4)))
            await bank.expect(rspro.CreateMappingReq)
            bank.send(rspro.CreateMappingRes(ResultCode.OK), bank.tag)
            await bank.expect(rspro.CreateMappingReq)
            bank.send(rspro.CreateMappingRes(ResultCode.ILLEGAL_SLOT_ID), bank.tag)
            await bank.settle()
            for path in ("clients", "clients/7", "clients/7:3", "banks", "banks/1", "slotmaps", "slotmaps/65538"):
                for query in ("", "?more=false", "?x=1"):
                    found = strict_json.decode(f"{V1}/{path}", (await rest.get(f"{V1}/{path}{query}")).content)
                    assert found
                with pytest.raises(strict_json.StrictError, match="unknown"):
                    strict_json.decode(f"{V1}/{path}", (await rest.get(f"{V1}/{path}?more=true")).content)

    async def test_time_of_connection_does_not_change(
        self, rest: httpx2.AsyncClient, service: ServerService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with await connect_client(service, 7, 3):
            before = (await rest.get(f"{V1}/clients/7?more=true")).json()["connectedAt"]
            # Neither because time passes nor because the clock is set.
            monkeypatch.setattr("time.time", lambda: 1_000_000_000.0)
            assert (await rest.get(f"{V1}/clients/7?more=true")).json()["connectedAt"] == before

    async def test_mapping_shows_how_far_the_bankd_has_followed(
        self, rest: httpx2.AsyncClient, service: ServerService
    ) -> None:
        assert_done(await post(rest, mapping((1, 2), (7, 0))), 201)
        assert (await rest.get(f"{V1}/slotmaps")).json()["slotmaps"][0]["state"] == "NEW"
        async with await connect_bank(service, 1) as bank:
            await bank.expect(rspro.CreateMappingReq)
            assert (await rest.get(f"{V1}/slotmaps")).json()["slotmaps"][0]["state"] == "UNACKNOWLEDGED"
            async with await connect_client(service, 7) as client:
                bank.send(rspro.CreateMappingRes(ResultCode.OK), bank.tag)
                told = await client.expect(rspro.ConfigClientBankReq)
                assert (str(told.bank_slot), str(told.bankd.ip), told.bankd.port) == ("B1:2", "127.0.0.1", 9999)
                shown = (await rest.get(f"{V1}/slotmaps/65538?more=true")).json()
                assert shown["state"] == "ACTIVE"
                assert shown["bank"] == {"bankId": 1, "slotNr": 2}
                assert shown["client"] == {"clientId": 7, "slotNr": 0}
                assert (await rest.get(f"{V1}/clients/7?more=true")).json()["mapping"] == shown
                shapes.MappingShape.model_validate(shown)

    async def test_refused_mapping_is_unacknowledged_with_a_result(
        self, rest: httpx2.AsyncClient, service: ServerService
    ) -> None:
        async with await connect_bank(service, 1) as bank, await connect_client(service, 7) as client:
            await post(rest, mapping((1, 9), (7, 0)))
            await bank.expect(rspro.CreateMappingReq)
            bank.send(rspro.CreateMappingRes(ResultCode.ILLEGAL_SLOT_ID), bank.tag)
            assert (await client.expect(rspro.ConfigClientBankReq)).bankd.port == 0
            shown = (await rest.get(f"{V1}/slotmaps?more=true")).json()["slotmaps"][0]
        assert shown["problem"] == "bank 1 has no slot 9"
        assert (shown["state"], shown["result"]) == ("UNACKNOWLEDGED", "illegalSlotId")

    async def test_mappings_are_listed_in_the_order_of_creation(self, rest: httpx2.AsyncClient) -> None:
        for slot in (5, 1, 3):
            await post(rest, mapping((1, slot), (slot, 0)))
        shown = (await rest.get(f"{V1}/slotmaps")).json()["slotmaps"]
        assert [entry["bank"]["slotNr"] for entry in shown] == [5, 1, 3]


class TestSingleObjects:
    async def test_client_is_found_by_id_and_by_slot(self, rest: httpx2.AsyncClient, service: ServerService) -> None:
        async with await connect_client(service, 7, 5), await connect_client(service, 7, 2):
            assert (await rest.get(f"{V1}/clients/7")).json()["peer"] == "C7:2"
            assert (await rest.get(f"{V1}/clients/7:5")).json()["peer"] == "C7:5"
            assert (await rest.get(f"{V1}/clients/7:5/")).json()["peer"] == "C7:5"
            assert_refused(await rest.get(f"{V1}/clients/7:0"), 404, "not_found")

    async def test_bank_is_found_by_id(self, rest: httpx2.AsyncClient, service: ServerService) -> None:
        async with await connect_bank(service, 3):
            assert (await rest.get(f"{V1}/banks/3")).json()["peer"] == "B3"

    async def test_unknown_object_is_404(self, rest: httpx2.AsyncClient) -> None:
        for path in (
            *("clients/0", "clients/7:1", "clients/1024", "clients/7:65535", "banks/0", "banks/1024", "banks/65535"),
            *("slotmaps/0", "slotmaps/65537", "slotmaps/1024", "slotmaps/99999999999"),
            "slotmaps/18446744073709551615",
        ):
            assert_refused(await rest.get(f"{V1}/{path}"), 404, "not_found")

    async def test_malformed_number_is_400(self, rest: httpx2.AsyncClient) -> None:
        for path in (
            *("clients/abc", "clients/-1", "clients/1:", "clients/:1", "clients/1:2:3", "clients/65536", "clients/1x"),
            *("banks/abc", "banks/-1", "banks/65536", "banks/1x", "banks/0x1", "banks/+1", "banks/%D9%A1", "banks/1.0"),
            *("slotmaps/abc", "slotmaps/-1", "slotmaps/18446744073709551616", "slotmaps/1e5", "slotmaps/%2065536"),
        ):
            assert_refused(await rest.get(f"{V1}/{path}"), 400, "bad_request")

    async def test_restart_counter_counts(self, rest: httpx2.AsyncClient) -> None:
        assert (await rest.get(f"{V1}/restart-counter")).json() == {"restart-counter": 2}

    @pytest.mark.parametrize(("path", "status"), [("/health", "ok"), ("/ready", "ready")])
    async def test_server_says_that_it_is_well(self, rest: httpx2.AsyncClient, path: str, status: str) -> None:
        answer = await rest.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": status})


async def test_server_that_cannot_store_is_not_ready(rest: httpx2.AsyncClient, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "server.sqlite")) as other, other:
        other.execute("drop table pending_releases")
        other.execute("drop table pending_removals")
        other.execute("drop table mappings")
    assert_refused(await post(rest, mapping((1, 0), (7, 0))), 503, "not_stored")
    assert_refused(await rest.get("/ready"), 503, "not_ready")
    assert (await rest.get("/health")).status_code == 200
    assert (await rest.get(f"{V1}/slotmaps")).json() == {"slotmaps": []}


class TestPost:
    @pytest.mark.parametrize("header", ["application/json", "application/json; charset=utf-8", "application/json;x=y"])
    async def test_correct_body_is_stored(self, rest: httpx2.AsyncClient, header: str) -> None:
        body = json.dumps(mapping((1, 0), (1, 0)))
        assert_done(await rest.post(f"{V1}/slotmaps", content=body, headers={"Content-Type": header}), 201)

    @pytest.mark.parametrize("header", ["text/json", "APPLICATION/JSON", "application/jsonp", None])
    async def test_other_content_type_is_400(self, rest: httpx2.AsyncClient, header: str | None) -> None:
        body = json.dumps(mapping((1, 0), (1, 0))).encode()
        headers = {} if header is None else {"Content-Type": header}
        assert_refused(await rest.post(f"{V1}/slotmaps", content=body, headers=headers), 400, "bad_request")

    async def test_body_that_is_no_mapping_is_400(self, rest: httpx2.AsyncClient) -> None:
        for body in (
            *(b"", b"{", b"[]", b'"text"', b"{}", b"null", b"NaN", b"\xff", b"1" * 5000, b'{"bank":NaN}'),
            b"[" * 50_000,
            b'\xef\xbb\xbf{"bank":{"bankId":1,"slotNr":0},"client":{"clientId":1,"slotNr":0}}',
        ):
            assert_refused(await rest.post(f"{V1}/slotmaps", content=body, headers=JSON), 400, "bad_request")

    async def test_missing_member_is_400(self, rest: httpx2.AsyncClient) -> None:
        for text in (
            '{"client":{"clientId":1,"slotNr":0}}',
            '{"bank":{"bankId":1,"slotNr":0}}',
            '{"bank":[1,0],"client":{"clientId":1,"slotNr":0}}',
            '{"bank":{"bankId":1},"client":{"clientId":1,"slotNr":0}}',
            '{"bank":{"slotNr":1},"client":{"clientId":1,"slotNr":0}}',
        ):
            assert_refused(await rest.post(f"{V1}/slotmaps", content=text, headers=JSON), 400, "bad_request")

    async def test_number_out_of_range_or_of_another_type_is_400(self, rest: httpx2.AsyncClient) -> None:
        wrong = ('"1"', "1.0", "1024", "-1", "65536", "65537", "65540", "true", "null", "1e0", "9" * 5000)
        for member, number in product(("bankId", "slotNr", "clientId"), wrong):
            text = json.dumps(mapping((1, 2), (3, 4))).replace(f'"{member}": ', f'"{member}": {number}, "was": ', 1)
            assert_refused(await rest.post(f"{V1}/slotmaps", content=text, headers=JSON), 400, "bad_request")
        assert (await rest.get(f"{V1}/slotmaps")).json() == {"slotmaps": []}

    async def test_extra_members_are_ignored(self, rest: httpx2.AsyncClient) -> None:
        body = {**mapping((1, 0), (1, 0)), "state": "ACTIVE", "x": [1]}
        assert_done(await post(rest, body), 201)

    async def test_last_of_equal_members_counts(self, rest: httpx2.AsyncClient) -> None:
        text = '{"bank":{"bankId":9,"bankId":1,"slotNr":0},"client":{"clientId":2,"slotNr":0}}'
        assert_done(await rest.post(f"{V1}/slotmaps", content=text, headers=JSON), 201)
        assert (await rest.get(f"{V1}/slotmaps")).json()["slotmaps"][0]["bank"]["bankId"] == 1

    async def test_largest_numbers(self, rest: httpx2.AsyncClient) -> None:
        assert_done(await post(rest, mapping((1023, 1023), (1023, 1023))), 201)
        assert_done(await rest.delete(f"{V1}/slotmaps/67044351"), 200)

    @pytest.mark.parametrize("second", [mapping((1, 0), (1, 0)), mapping((1, 0), (2, 0)), mapping((1, 1), (1, 0))])
    async def test_conflict_is_409_and_says_with_what(self, rest: httpx2.AsyncClient, second: object) -> None:
        assert_done(await post(rest, mapping((1, 0), (1, 0))), 201)
        answer = await post(rest, second)
        assert_refused(answer, 409, "conflict")
        assert "mapped to" in answer.json()["error"]["message"]

    async def test_one_of_many_at_once_wins(self, rest: httpx2.AsyncClient) -> None:
        answers = await asyncio.gather(*(post(rest, mapping((1, 0), (client, 0))) for client in range(20)))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
        assert len((await rest.get(f"{V1}/slotmaps")).json()["slotmaps"]) == 1

    async def test_large_body_is_413(self, rest: httpx2.AsyncClient) -> None:
        answer = await rest.post(f"{V1}/slotmaps", content=b" " * 70_000, headers=JSON)
        assert_refused(answer, 413, "too_large")


class TestDelete:
    async def test_existing_mapping_then_again(self, rest: httpx2.AsyncClient) -> None:
        await post(rest, mapping((1, 2), (7, 0)))
        assert_done(await rest.delete(f"{V1}/slotmaps/65538"), 200)
        assert_refused(await rest.delete(f"{V1}/slotmaps/65538"), 404, "not_found")

    async def test_malformed_number_deletes_nothing(self, rest: httpx2.AsyncClient) -> None:
        await post(rest, mapping((0, 0), (7, 0)))
        await post(rest, mapping((1, 0), (8, 0)))
        for name in ("abc", "65536abc", "0x10000", "-1", "18446744073709551616", "65536.0", ":1"):
            assert_refused(await rest.delete(f"{V1}/slotmaps/{name}"), 400, "bad_request")
        assert len((await rest.get(f"{V1}/slotmaps")).json()["slotmaps"]) == 2

    async def test_unknown_is_404(self, rest: httpx2.AsyncClient) -> None:
        for name in ("", "1/2", "67044352", "99999999999"):
            assert_refused(await rest.delete(f"{V1}/slotmaps/{name}"), 404, "not_found")

    async def test_slots_are_free_again_at_once(self, rest: httpx2.AsyncClient, service: ServerService) -> None:
        async with await connect_bank(service, 1) as bank:
            await post(rest, mapping((1, 2), (7, 0)))
            await bank.expect(rspro.CreateMappingReq)
            bank.send(rspro.CreateMappingRes(ResultCode.OK), bank.tag)
            assert_done(await rest.delete(f"{V1}/slotmaps/65538"), 200)
            assert_done(await post(rest, mapping((1, 2), (7, 0))), 201)
            await bank.expect(rspro.RemoveMappingReq)
            bank.send(rspro.RemoveMappingRes(ResultCode.OK), bank.tag)
            await bank.expect(rspro.CreateMappingReq)


class TestResets:
    @pytest.mark.parametrize("body", [b"", b"{", b"x" * 100_000])
    async def test_global_reset_deletes_all_whatever_the_body(self, rest: httpx2.AsyncClient, body: bytes) -> None:
        for slot in range(3):
            await post(rest, mapping((1, slot), (slot, 0)))
        assert_done(await rest.post(f"{V1}/global-reset", content=body), 200)
        assert_done(await rest.post(f"{V1}/global-reset"), 200)
        assert (await rest.get(f"{V1}/slotmaps")).json() == {"slotmaps": []}

    async def test_reset_of_a_bank_sends_reset_state(self, rest: httpx2.AsyncClient, service: ServerService) -> None:
        async with await connect_bank(service, 1) as bank:
            assert_done(await rest.post(f"{V1}/banks/1/reset-state"), 200)
            await bank.expect(rspro.ResetStateReq)

    async def test_reset_of_an_unknown_bank_is_404(self, rest: httpx2.AsyncClient) -> None:
        assert_refused(await rest.post(f"{V1}/banks/1/reset-state"), 404, "not_found")
        assert_refused(await rest.post(f"{V1}/banks/x/reset-state"), 400, "bad_request")


async def test_everything_else_is_404(rest: httpx2.AsyncClient) -> None:
    for method, path in (
        *(("PUT", "slotmaps"), ("DELETE", "slotmaps"), ("POST", "clients"), ("OPTIONS", "slotmaps")),
        *(("GET", "global-reset"), ("POST", "slotmaps/"), ("GET", "nothing"), ("GET", ""), ("GET", "slotmaps//")),
        *(("PATCH", "banks/1"), ("BREW", "slotmaps")),
    ):
        assert_refused(await rest.request(method, f"{V1}/{path}"), 404, "not_found")


async def test_head_is_404(rest: httpx2.AsyncClient) -> None:
    assert (await rest.head(f"{V1}/slotmaps")).status_code == 404


async def test_other_paths_are_404(rest: httpx2.AsyncClient) -> None:
    for path in ("/docs", "/redoc", "/api/backend/v2/slotmaps", "/no/page"):
        assert (await rest.get(path)).status_code == 404
    # The operators' page is at the root.
    assert (await rest.get("/")).headers["content-type"].startswith("text/html")


async def test_schema_is_served(rest: httpx2.AsyncClient) -> None:
    schema = (await rest.get("/openapi.json")).json()
    assert schema["openapi"].startswith("3.1")
    assert set(schema["paths"][f"{V1}/slotmaps"]) == {"get", "post"}
