# SPDX-License-Identifier: Apache-2.0
"""Who may use REST: tokens, roles, scopes, the open mode, and what the audit log keeps of it."""

import asyncio
import re
import sqlite3
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from fastapi.routing import iter_route_contexts

from remsim.config import HostPort, ServerConfig
from remsim.core.errors import StartError
from remsim.server.api.auth import OPEN_PATHS
from remsim.server.authority import audit, monitor
from remsim.server.core.tokens import FAILURES_ALLOWED, Scope, TokenRole
from remsim.server.page.assets import ASSET_PATHS
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token, list_tokens, revoke_token
from tests.doubles.certificates import BANK, SERVER, CertificateWorld
from tests.doubles.server_rig import V1, connect_bank, connect_client, mapping, rest_client, running_server
from tests.doubles.tls_rig import note_log

WRITING = ("POST", "PUT", "PATCH", "DELETE")
WRONG = "remsim_0123456789ab_" + "a" * 52


def settings(state: Path) -> ServerConfig:
    return ServerConfig(state_dir=state)


async def make(state: Path, role: TokenRole, scope: Scope | None = None) -> str:
    """A token, made as ``remsim token create`` makes it."""
    text, _ = await asyncio.to_thread(
        create_token, settings(state), name=f"{role.text} of a test", role=role, scope=scope or Scope()
    )
    return text


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServerService]:
    async with running_server(tmp_path, rest_open=False) as running:
        yield running


def every_request(service: ServerService) -> list[tuple[str, str]]:
    """Every method on every path that this server routes, whether its schema has it or not, and on some others."""
    assert service.app is not None
    paths = [str(route.path) for route in iter_route_contexts(service.app.routes)]
    assert set(service.app.openapi()["paths"]) <= set(paths)
    paths = [re.sub(r"\{\w+\}", "1", path) for path in paths]
    assert not [path for path in paths if not path.startswith("/") or "{" in path]
    return [
        (method, path)
        for path in [*paths, "/", V1, "/nowhere", "/health/x", "/enrolment", "//health", "/docs"]
        for method in ("GET", "HEAD", "OPTIONS", *WRITING)
    ]


ENROLMENT = ["/enrolment/anchor", "/enrolment/certificate", "/enrolment/renewal"]


def test_nothing_is_open_but_health_enrolment_login_and_the_files_of_the_page() -> None:
    files = {path for path in OPEN_PATHS if path.startswith("/page/static/")}
    assert files == ASSET_PATHS
    assert sorted(OPEN_PATHS - files) == [*ENROLMENT, "/health", "/login", "/logout", "/page/report", "/ready"]


def code_of(answer: httpx2.Response) -> object:
    """The code of a refusal: v2 gives it as a problem (RFC 9457)."""
    if answer.request.url.path.startswith("/api/v2/"):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
        return answer.json()["code"]
    return answer.json()["error"]["code"]


async def check_that_nothing_answers(rest: httpx2.AsyncClient, service: ServerService) -> None:
    walked = every_request(service)
    for method, path in walked:
        if path in OPEN_PATHS:
            continue
        answer = await rest.request(method, path)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"] == "Bearer"
        if method != "HEAD":
            assert code_of(answer) == "unauthorized"
    assert ("DELETE", f"{V1}/slotmaps/1") in walked
    assert ("PUT", "/api/v2/mappings/1") in walked


async def test_no_route_answers_without_a_token(service: ServerService) -> None:
    async with rest_client(service, over_socket=True) as rest:
        await check_that_nothing_answers(rest, service)


async def test_no_route_of_a_server_with_an_authority_answers_without_a_token(tmp_path: Path) -> None:
    world = CertificateWorld(tmp_path)
    server = world.credentials(SERVER, folder="tls")
    async with running_server(tmp_path, rest_open=False, plaintext=None) as service:
        context = ssl.create_default_context(cafile=server.authority_file)
        async with httpx2.AsyncClient(base_url=f"https://{service.rest_address}", verify=context) as rest:
            await check_that_nothing_answers(rest, service)
            # Who has neither a code nor a certificate gets nothing here, either.
            for path in ENROLMENT:
                assert ("POST", path) in every_request(service)
                assert (await rest.post(path, json={})).status_code == 400
                assert (await rest.get(path)).status_code == 404


async def test_health_and_ready_answer_without_a_token(service: ServerService) -> None:
    async with rest_client(service, over_socket=True) as rest:
        assert (await rest.get("/health")).status_code == 200
        assert (await rest.get("/ready")).status_code == 200


# A call over a socket for each route and method.
@pytest.mark.timeout(240)
async def test_no_route_lets_a_viewer_write(service: ServerService, tmp_path: Path) -> None:
    token = await make(tmp_path, TokenRole.VIEWER)
    async with rest_client(service, over_socket=True, token=token) as rest:
        for method, path in every_request(service):
            if method not in WRITING or path in OPEN_PATHS:
                continue
            answer = await rest.request(method, path, json=mapping((1, 0), (7, 0)))
            assert answer.status_code == 403, (method, path)
            assert code_of(answer) == "forbidden"
        assert (await rest.get(f"{V1}/slotmaps")).json() == {"slotmaps": []}
        assert (await rest.get("/openapi.json")).status_code == 200


async def test_only_an_admin_reads_the_audit_log(service: ServerService, tmp_path: Path) -> None:
    for role, status in ((TokenRole.VIEWER, 403), (TokenRole.OPERATOR, 403), (TokenRole.ADMIN, 200)):
        async with rest_client(service, over_socket=False, token=await make(tmp_path, role)) as rest:
            assert (await rest.get(f"{V1}/audit")).status_code == status


async def test_a_change_is_in_the_audit_log(service: ServerService, tmp_path: Path) -> None:
    token = await make(tmp_path, TokenRole.ADMIN)
    async with rest_client(service, over_socket=False, token=token) as rest:
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).status_code == 201
        assert (await rest.delete(f"{V1}/slotmaps/65536")).status_code == 200
        assert (await rest.post(f"{V1}/global-reset")).status_code == 200
        found = (await rest.get(f"{V1}/audit")).json()["audit"]
        behind = (await rest.get(f"{V1}/audit?after={found[1]['id']}")).json()["audit"]
        assert (await rest.get(f"{V1}/audit?after=x")).status_code == 400
    actions = [(entry["action"], entry["target"], entry["outcome"]) for entry in found]
    assert actions[1:] == [
        ("mapping.create", "B1:0 C7:0", "done"),
        ("mapping.delete", "B1:0 C7:0", "done"),
        ("mapping.reset", "all", "done"),
    ]
    assert behind == found[2:]
    assert actions[0][0] == "token.create"
    assert found[0]["who"].startswith("user ")
    assert found[1]["who"].endswith("admin of a test")
    assert found[1]["source"] == "127.0.0.1"


async def test_codes_and_certificates_that_are_made_and_revoked_are_in_the_audit_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "CHECK_INTERVAL_S", 0.05)
    monkeypatch.setattr(audit, "SETTLED_S", 0.0)
    world = CertificateWorld(tmp_path)
    server = world.credentials(SERVER, folder="tls")

    async def wait_for(service: ServerService, token: str, expected: list[str]) -> None:
        async with rest_client(service, over_socket=False, token=token) as rest, asyncio.timeout(20):
            found: list[str] = []
            while found != expected:
                await asyncio.sleep(0)
                entries = (await rest.get(f"{V1}/audit")).json()["audit"]
                found = [
                    f"{e['action']} {e['target']}" for e in entries if e["action"].startswith(("certificate.", "code."))
                ]

    token = await make(tmp_path, TokenRole.ADMIN)
    expected = [f"certificate.issue server/lab {server.certificate().serial:x}"]
    async with running_server(tmp_path, plaintext=None, rest_open=False) as service:
        await wait_for(service, token, expected)
        bank = world.credentials(BANK)
        expected.append(f"certificate.issue bank/1 {bank.certificate().serial:x}")
        await wait_for(service, token, expected)
        second = int(time.time())
        world.authority.make_code(BANK, now=second + 0.25)
        expected.append(f"code.make bank/1 {datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.250Z")
        await wait_for(service, token, expected)
    # While no server runs.
    world.revoke(bank)
    expected.append(f"certificate.revoke bank/1 {bank.certificate().serial:x}")
    async with running_server(tmp_path, plaintext=None, rest_open=False) as service:
        await wait_for(service, token, expected)


async def test_a_refused_change_is_in_no_mapping_and_in_the_audit_log_only_as_refused(
    service: ServerService, tmp_path: Path
) -> None:
    limited = await make(tmp_path, TokenRole.OPERATOR, Scope(frozenset({1}), frozenset({7})))
    async with rest_client(service, over_socket=False, token=limited) as rest:
        assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).status_code == 201
        for pair in (((2, 0), (7, 1)), ((1, 1), (8, 0))):
            assert (await rest.post(f"{V1}/slotmaps", json=mapping(*pair))).status_code == 403
        assert (await rest.post(f"{V1}/global-reset")).status_code == 403
        assert (await rest.post(f"{V1}/banks/1/reset-state")).status_code == 403
    async with rest_client(service, over_socket=False, token=await make(tmp_path, TokenRole.ADMIN)) as rest:
        assert len((await rest.get(f"{V1}/slotmaps")).json()["slotmaps"]) == 1
        found = (await rest.get(f"{V1}/audit")).json()["audit"]
    assert [entry["outcome"] for entry in found if "limited" not in entry["who"]].count("refused") == 4


async def test_a_limited_token_sees_its_part(service: ServerService, tmp_path: Path) -> None:
    limited = await make(tmp_path, TokenRole.OPERATOR, Scope(frozenset({1}), frozenset({7})))
    everything = await make(tmp_path, TokenRole.OPERATOR)
    async with AsyncExitStack() as stack:
        for number in (1, 2):
            await stack.enter_async_context(await connect_bank(service, number))
        for number in (7, 8):
            await stack.enter_async_context(await connect_client(service, number))
        admin = await stack.enter_async_context(rest_client(service, over_socket=False, token=everything))
        rest = await stack.enter_async_context(rest_client(service, over_socket=False, token=limited))
        for pair in (((1, 0), (7, 0)), ((2, 0), (8, 0))):
            assert (await admin.post(f"{V1}/slotmaps", json=mapping(*pair))).status_code == 201
        shown = {name: (await rest.get(f"{V1}/{name}")).json()[name] for name in ("banks", "clients", "slotmaps")}
        assert {name: len(items) for name, items in shown.items()} == {"banks": 1, "clients": 1, "slotmaps": 1}
        assert [
            (await rest.get(f"{V1}/{path}")).status_code for path in ("banks/1", "clients/7", "slotmaps/65536")
        ] == [200] * 3
        for path in ("banks/2", "clients/8", "slotmaps/131072"):
            assert (await rest.get(f"{V1}/{path}")).status_code == 404
        # Those that exist and those that do not are refused in the same words.
        assert (await admin.post(f"{V1}/slotmaps", json=mapping((1, 5), (8, 1)))).status_code == 201
        for foreign in (131072, 65541):
            absent = foreign + 1
            refusals = [(await rest.delete(f"{V1}/slotmaps/{number}")) for number in (foreign, absent)]
            assert [refusal.status_code for refusal in refusals] == [404, 404]
            assert refusals[0].text.replace(str(foreign), str(absent)) == refusals[1].text
        assert (await rest.delete(f"{V1}/slotmaps/65536")).status_code == 200


async def test_a_limited_token_learns_nothing_of_what_its_own_things_are_mapped_to(
    service: ServerService, tmp_path: Path
) -> None:
    scope = Scope(frozenset({1}), frozenset({7}))
    limited = await make(tmp_path, TokenRole.ADMIN, scope)
    everything = await make(tmp_path, TokenRole.OPERATOR)
    async with AsyncExitStack() as stack:
        for number in (1, 2):
            await stack.enter_async_context(await connect_bank(service, number))
        await stack.enter_async_context(await connect_client(service, 7))
        admin = await stack.enter_async_context(rest_client(service, over_socket=False, token=everything))
        rest = await stack.enter_async_context(rest_client(service, over_socket=False, token=limited))
        for pair in (((1, 0), (8, 0)), ((2, 0), (7, 0))):
            assert (await admin.post(f"{V1}/slotmaps", json=mapping(*pair))).status_code == 201
        for path in ("banks/1", "clients/7", "banks", "clients"):
            own = (await rest.get(f"{V1}/{path}?more=true")).text
            seen = (await admin.get(f"{V1}/{path}?more=true")).text
            assert ('"mapping":' in seen) == (path != "banks")
            assert '"mapping":' not in own
            assert '"told":' not in own
        refused = await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))
        assert refused.status_code == 409
        assert "C8" not in refused.text
        assert "B2" not in refused.text
        # The log is about everything.
        assert (await rest.get(f"{V1}/audit")).status_code == 403


async def test_a_token_is_made_and_revoked_while_the_server_runs(service: ServerService, tmp_path: Path) -> None:
    token = await make(tmp_path, TokenRole.OPERATOR)
    async with rest_client(service, over_socket=True, token=token) as rest:
        assert (await rest.get(f"{V1}/banks")).status_code == 200
        (stored,) = await asyncio.to_thread(list_tokens, settings(tmp_path))
        await asyncio.to_thread(revoke_token, settings(tmp_path), stored.token_id)
        answer = await rest.get(f"{V1}/banks")
        assert answer.status_code == 401
        assert answer.json()["error"]["message"] == "the token is not valid"


async def test_the_database_holds_no_token(service: ServerService, tmp_path: Path) -> None:
    secret = (await make(tmp_path, TokenRole.OPERATOR)).rpartition("_")[2]
    with closing(sqlite3.connect(tmp_path / "server.sqlite")) as raw:
        assert secret not in "\n".join(raw.iterdump())


async def test_failures_are_slowed_down_but_not_those_who_were_right(service: ServerService, tmp_path: Path) -> None:
    token = await make(tmp_path, TokenRole.OPERATOR)
    async with (
        rest_client(service, over_socket=False, token=token) as good,
        rest_client(service, over_socket=False, token=WRONG) as bad,
    ):
        assert (await good.get(f"{V1}/banks")).status_code == 200
        statuses = [(await bad.get(f"{V1}/banks")).status_code for _ in range(FAILURES_ALLOWED + 3)]
        assert statuses == [401] * FAILURES_ALLOWED + [429] * 3
        answer = await bad.get(f"{V1}/banks")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.json()["error"]["code"] == "too_many_failures"
        assert (await good.get(f"{V1}/banks")).status_code == 200
        # A token that was never used before is as good.
        other = await make(tmp_path, TokenRole.VIEWER)
        assert (await good.get(f"{V1}/banks", headers={"Authorization": f"Bearer {other}"})).status_code == 200


async def test_callers_over_ipv4_are_told_apart_on_a_socket_for_both(tmp_path: Path) -> None:
    token = await make(tmp_path, TokenRole.ADMIN)
    async with running_server(tmp_path, rest=HostPort("", 0), rest_open=False) as service:
        base = f"http://127.0.0.1:{service.rest_address.port}"
        elsewhere = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
        bad, good = {"Authorization": f"Bearer {WRONG}"}, {"Authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(base_url=base, headers=bad) as failing,
            httpx2.AsyncClient(base_url=base, headers=good, transport=elsewhere) as neighbour,
        ):
            for _ in range(FAILURES_ALLOWED):
                await failing.get(f"{V1}/banks")
            assert (await failing.get(f"{V1}/banks")).status_code == 429
            assert (await neighbour.get(f"{V1}/banks")).status_code == 200
            sources = {entry["source"] for entry in (await neighbour.get(f"{V1}/audit")).json()["audit"]}
    assert sources == {"local", "127.0.0.1"}


@pytest.mark.parametrize(
    "header", ["Basic YTpi", "Bearer", "Bearer ", "Bearer x", f"bearer {WRONG}", WRONG, "Bearer remsim_é"]
)
async def test_what_is_no_token_is_refused(service: ServerService, header: str) -> None:
    async with rest_client(service, over_socket=False) as rest:
        answer = await rest.get(f"{V1}/banks", headers=[(b"Authorization", header.encode())])
        assert answer.status_code == 401
        # The tools of both names show this hint, so it names both.
        assert "remsim ctl and remsim-apitool take it from REMSIM_TOKEN" in answer.json()["error"]["hint"]


@pytest.mark.parametrize(("rest", "is_told"), [("127.0.0.1:0", False), ("0.0.0.0:0", True)])
async def test_rest_without_tls_beyond_this_host_is_warned_about(tmp_path: Path, rest: str, is_told: bool) -> None:
    log = note_log()
    async with running_server(tmp_path, rest=rest, rest_open=False):
        assert ("warning server rest_without_tls" in log.getvalue()) == is_told


class TestOpen:
    """``--rest-open``."""

    @pytest.mark.parametrize("host", ["", "0.0.0.0", "192.0.2.1", "::", "example.org"])
    async def test_only_on_loopback(self, tmp_path: Path, host: str) -> None:
        with pytest.raises(StartError, match="loopback address only"):
            async with running_server(tmp_path, rest=HostPort(host, 0)):
                pass

    async def test_lets_programs_in_as_operator(self, tmp_path: Path) -> None:
        async with running_server(tmp_path) as service, rest_client(service, over_socket=True) as rest:
            assert (await rest.post(f"{V1}/slotmaps", json=mapping((1, 0), (7, 0)))).status_code == 201
            assert (await rest.get(f"{V1}/audit")).status_code == 403

    async def test_a_token_is_judged_all_the_same(self, tmp_path: Path) -> None:
        async with running_server(tmp_path) as service:
            async with rest_client(service, over_socket=True, token=WRONG) as rest:
                assert (await rest.get(f"{V1}/banks")).status_code == 401
            async with rest_client(service, over_socket=True, token=await make(tmp_path, TokenRole.ADMIN)) as rest:
                assert (await rest.get(f"{V1}/audit")).status_code == 200

    @pytest.mark.parametrize(
        "header",
        [
            {"Origin": "http://localhost"},
            {"Origin": "null"},
            {"Host": "evil.example"},
            {"Host": "evil.example:9997"},
            {"Host": "127.0.0.1.evil.example"},
            {"Host": "192.0.2.1"},
            {"Host": ""},
        ],
    )
    async def test_refuses_web_pages(self, tmp_path: Path, header: dict[str, str]) -> None:
        async with running_server(tmp_path) as service, rest_client(service, over_socket=True) as rest:
            answer = await rest.get(f"{V1}/banks", headers=header)
            assert answer.status_code == 403
            assert (await rest.get("/health", headers=header)).status_code == 403

    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.9.9.9:1", "[::1]:9997", "::1"])
    async def test_takes_loopback_names(self, tmp_path: Path, host: str) -> None:
        async with running_server(tmp_path) as service, rest_client(service, over_socket=True) as rest:
            assert (await rest.get(f"{V1}/banks", headers={"Host": host})).status_code == 200


POLICY = """
[[client]]
client = "7"
banks = ["1"]
"""


async def test_policy_refuses_a_mapping_and_removes_those_that_it_no_longer_allows(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service, rest_client(service, over_socket=False) as rest:
        for pair in (((1, 0), (7, 0)), ((2, 0), (7, 1)), ((2, 1), (8, 0))):
            assert (await rest.post(f"{V1}/slotmaps", json=mapping(*pair))).status_code == 201
    rules = tmp_path / "policy.toml"
    rules.write_text(POLICY)
    async with running_server(tmp_path, policy=rules) as service:
        async with rest_client(service, over_socket=False) as rest:
            left = [item["id"] for item in (await rest.get(f"{V1}/slotmaps?more=true")).json()["slotmaps"]]
            assert left == [1 << 16, 2 << 16 | 1]
            answer = await rest.post(f"{V1}/slotmaps", json=mapping((3, 0), (7, 2)))
            assert answer.status_code == 403
            assert answer.json()["error"]["code"] == "policy"
            assert "client rule 1" in answer.json()["error"]["message"]
        async with rest_client(service, over_socket=False, token=await make(tmp_path, TokenRole.ADMIN)) as rest:
            found = (await rest.get(f"{V1}/audit")).json()["audit"]
    assert ("server", "mapping.delete", "B2:0 C7:1") in [(e["who"], e["action"], e["target"]) for e in found]
    assert ("mapping.create", "refused") in [(e["action"], e["outcome"]) for e in found]


async def test_policy_that_cannot_be_read_or_understood_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot be read"):
        async with running_server(tmp_path, policy=tmp_path / "none.toml"):
            pass
