# SPDX-License-Identifier: Apache-2.0
"""The page without a browser: who gets in, what proves a write, what browsers are told, and that it shows no more."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from remsim.config import ServerConfig
from remsim.core.limits import LimitName
from remsim.pki.codes import EnrolmentCode
from remsim.pki.credentials import Credentials
from remsim.pki.enrol import enroll
from remsim.pki.toolkit import CryptographyToolkit
from remsim.server.api import limits
from remsim.server.core.page_sessions import SESSION_S, proof_of
from remsim.server.core.tokens import FAILURES_ALLOWED, Scope, TokenRole
from remsim.server.page import access
from remsim.server.service import ServerService
from remsim.server.store.page_files import PageFiles, login_link
from remsim.server.store.tokens import create_token
from tests.doubles.certificates import SERVER, CertificateWorld
from tests.doubles.reaching import reaches
from tests.doubles.server_rig import PATIENCE_S, connect_bank, rest_client, running_server

HTML = {"Accept": "text/html"}
STREAM = {"Accept": "text/event-stream"}
WRONG = "remsim_0123456789ab_" + "a" * 52
MAPPING = "/api/v2/mappings/C7:0"


async def make(state: Path, role: TokenRole = TokenRole.OPERATOR, scope: Scope | None = None) -> str:
    config = ServerConfig(state_dir=state)
    text, _ = await asyncio.to_thread(create_token, config, name=role.text, role=role, scope=scope or Scope())
    return text


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServerService]:
    async with running_server(tmp_path, rest_open=False) as running:
        yield running


async def enter(rest: httpx2.AsyncClient, **form: str) -> httpx2.Response:
    return await rest.post("/login", data=form)


def cookie_of(rest: httpx2.AsyncClient) -> str:
    (cookie,) = rest.cookies.jar
    assert cookie.value is not None
    return cookie.value


async def test_session_may_do_what_its_token_may_if_it_proves_itself(service: ServerService, tmp_path: Path) -> None:
    async with rest_client(service, over_socket=True) as rest:
        entered = await enter(rest, token=await make(tmp_path), next="/activity")
        assert (entered.status_code, entered.headers["location"]) == (303, "/activity")
        assert (await rest.get("/api/v2/banks")).status_code == 200
        for headers in ({}, {"X-Remsim-Proof": "0" * 64}, {"X-Remsim-Proof": cookie_of(rest)}):
            refused = await rest.put(MAPPING, json={"card": "B1:0"}, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "no_proof")
        headers = {"X-Remsim-Proof": proof_of(cookie_of(rest))}
        assert (await rest.put(MAPPING, json={"card": "B1:0"}, headers=headers)).status_code == 201
        # The page itself carries it, masked: its text is another one each time.
        first, second = [(await rest.get("/")).text.split('name="proof" content="')[1].split('"')[0] for _ in range(2)]
        assert first != second
        assert (await rest.delete(MAPPING, headers={"X-Remsim-Proof": first})).status_code == 204
        text = (await rest.get("/")).text
        assert proof_of(cookie_of(rest)) not in text
        assert cookie_of(rest) not in text


async def test_viewer_writes_nothing_by_a_session_either(service: ServerService, tmp_path: Path) -> None:
    async with rest_client(service, over_socket=False) as rest:
        await enter(rest, token=await make(tmp_path, TokenRole.VIEWER))
        headers = {"X-Remsim-Proof": proof_of(cookie_of(rest))}
        assert (await rest.put(MAPPING, json={"card": "B1:0"}, headers=headers)).status_code == 403
        assert (await rest.get("/access")).status_code == 403
        assert (await rest.get("/api/v2/codes")).status_code == 403


async def test_login_is_limited_as_tokens_are(service: ServerService, tmp_path: Path) -> None:
    good = await make(tmp_path)
    async with rest_client(service, over_socket=False) as rest:
        for number in range(FAILURES_ALLOWED):
            form = {"token": WRONG} if number % 2 else {"link": "0" * 12 + "." + "0" * 64}
            assert (await enter(rest, **form)).status_code == 401
        refused = await enter(rest, token="something else")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert (await enter(rest, link="0" * 12 + "." + "0" * 64)).status_code == 429
        # Who has a good one is not kept out by others at his address.
        assert (await enter(rest, token=good)).status_code == 303


async def test_link_works_once_and_names_the_server(service: ServerService, tmp_path: Path) -> None:
    token = await make(tmp_path)
    link = await asyncio.to_thread(login_link, ServerConfig(state_dir=tmp_path), token.split("_")[1])
    address, _, secret = link.partition("#")
    assert address == "http://127.0.0.1:9997/login"
    async with rest_client(service, over_socket=False) as rest, rest_client(service, over_socket=False) as other:
        both = await asyncio.gather(enter(rest, link=secret), enter(other, link=secret))
        assert sorted(answer.status_code for answer in both) == [303, 401]
    assert not list((tmp_path / "page").glob("link-*"))


async def test_session_outlives_the_server_and_ends_at_the_logout(tmp_path: Path) -> None:
    async with running_server(tmp_path, rest_open=False) as service:
        port = service.rest_address.port
        async with rest_client(service, over_socket=True) as rest:
            await enter(rest, token=await make(tmp_path))
            name, cookie = f"remsim-{port}", cookie_of(rest)
    assert (tmp_path / "page" / "sessions.json").stat().st_mode & 0o777 == 0o600
    async with running_server(tmp_path, rest_open=False) as service:
        name = f"remsim-{service.rest_address.port}"
        async with rest_client(service, over_socket=True) as rest:
            rest.cookies.set(name, cookie)
            assert (await rest.get("/api/v2/banks")).status_code == 200
            assert (await rest.post("/logout", data={"proof": "0" * 64})).status_code == 403
            assert (await rest.post("/logout", data={"proof": proof_of(cookie)})).status_code == 303
        async with rest_client(service, over_socket=True) as rest:
            rest.cookies.set(name, cookie)
            refused = await rest.get("/api/v2/banks")
            assert (refused.status_code, refused.json()["code"]) == (401, "ended")
            shown = await rest.get("/slots/B1:3", headers=HTML)
            assert shown.headers["location"] == "/login?next=%2Fslots%2FB1%3A3&why=ended"


async def test_damaged_file_of_sessions_ends_them_and_nothing_else(tmp_path: Path) -> None:
    PageFiles(tmp_path).write_sessions("nonsense")
    async with running_server(tmp_path, rest_open=False) as service, rest_client(service, over_socket=False) as rest:
        assert (await enter(rest, token=await make(tmp_path))).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_form_of_another_site_is_refused(service: ServerService, tmp_path: Path, headers: dict[str, str]) -> None:
    token = await make(tmp_path)
    async with rest_client(service, over_socket=False) as rest:
        for path in ("/login", "/logout"):
            assert (await rest.post(path, data={"token": token}, headers=headers)).status_code == 403
        assert not list(rest.cookies.jar)


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/a\\b", "/a\nb", ""]
)
async def test_login_leads_nowhere_else(service: ServerService, tmp_path: Path, target: str) -> None:
    async with rest_client(service, over_socket=False) as rest:
        entered = await enter(rest, token=await make(tmp_path), next=target)
        # An empty server has its first start shown.
        assert entered.headers["location"] == "/start"


async def test_browsers_are_told_to_be_strict(service: ServerService, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {await make(tmp_path, TokenRole.ADMIN)}", **HTML}
    async with rest_client(service, over_socket=True) as rest:
        for path in ("/", "/activity", "/access", "/start", "/login"):
            answer = await rest.get(path, headers=headers)
            assert answer.status_code == 200, path
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "same-origin"


async def test_refusals_are_pages_with_a_way_on_for_people_and_json_for_programs(
    service: ServerService, tmp_path: Path
) -> None:
    viewer = {"Authorization": f"Bearer {await make(tmp_path, TokenRole.VIEWER)}"}
    async with rest_client(service, over_socket=True) as rest:
        for path, status, text in (
            ("/nowhere", 404, "There is no GET /nowhere."),
            ("/slots/B9:9", 404, "There is no B9:9."),
            ("/slots/nonsense", 404, "There is no"),
            ("/access", 403, "admin"),
        ):
            shown = await rest.get(path, headers={**viewer, **HTML})
            assert shown.status_code == status, path
            assert shown.headers["content-type"] == "text/html; charset=utf-8"
            assert "default-src 'none'" in shown.headers["content-security-policy"]
            assert text in shown.text
            assert '<a class="button main" href="/">' in shown.text
            assert "<nav" in shown.text
            plain = await rest.get(path, headers=viewer)
            assert plain.headers["content-type"] == "application/json"
        # Nobody is known here: no menu, and what was said is text.
        refused = await rest.post("/login", data={"token": "x"}, headers={**HTML, "Sec-Fetch-Site": "cross-site"})
        assert refused.status_code == 403
        assert "sent by another site" in refused.text
        assert "<nav" not in refused.text
        script = await rest.get("/<script>alert(1)</script>", headers={**viewer, **HTML})
        assert "<script>alert" not in script.text
        # REST stays as it is, whatever it is asked for.
        problem = await rest.get("/api/v2/banks/9", headers={**viewer, **HTML})
        assert problem.headers["content-type"] == "application/problem+json"


async def test_html_is_compressed_and_nothing_else_that_is_told(service: ServerService, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {await make(tmp_path)}", **HTML}
    async with rest_client(service, over_socket=True) as rest, await connect_bank(service, 1, 400):
        shown = await rest.get("/", headers=headers)
        assert shown.headers["content-encoding"] == "gzip"
        assert "accept-encoding" in shown.headers["vary"].lower()
        assert 'id="s1-399"' in shown.text
        plain = await rest.get("/", headers={**headers, "Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert int(plain.headers["content-length"]) > 5 * int(shown.headers["content-length"])
        # Its answers may hold secrets beside what a caller has written.
        answer = await rest.get("/api/v2/banks", headers=headers)
        assert "content-encoding" not in answer.headers
        async with rest.stream("GET", "/page/stream", headers=headers | STREAM) as stream:
            assert "content-encoding" not in stream.headers


async def test_files_of_the_page_are_kept_for_good_and_compressed(service: ServerService) -> None:
    async with rest_client(service, over_socket=True) as rest:
        page = (await rest.get("/login", headers=HTML)).text
        address = page.split('rel="stylesheet" href="')[1].split('"')[0]
        answer = await rest.get(address)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-encoding"] == "gzip"
        again = await rest.get(address, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
        assert (await rest.get("/page/static/page.css")).headers["cache-control"] == "no-cache"
        assert (await rest.get("/page/static/ORIGINS.toml")).status_code == 401


async def test_reports_of_browsers_are_logged_and_no_flood(service: ServerService) -> None:
    async with rest_client(service, over_socket=False) as rest:
        report = {"Content-Type": "application/csp-report"}
        for _ in range(50):
            assert (await rest.post("/page/report", content=b'{"csp-report":{}}', headers=report)).status_code == 200
        assert (await rest.post("/page/report", content=b"{}")).status_code == 400
    assert service.app is not None
    assert len(service.app.state.login.reports) == 10


async def test_stream_goes_on_behind_the_version_that_a_browser_has(service: ServerService, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {await make(tmp_path)}"}
    async with rest_client(service, over_socket=True) as rest, await connect_bank(service, 1, 4):
        page = (await rest.get("/", headers=headers)).text
        at = page.split('data-stream="/page/stream?at=')[1].split('"')[0]
        assert (await rest.get(f"/page/stream?at={at}", headers=headers)).status_code == 400
        async with rest.stream("GET", f"/page/stream?at={at}", headers=headers | STREAM) as stream:
            lines = stream.aiter_lines()
            # It has everything: the first that it hears is a beat.
            assert await anext(lines) == "event: beat"
            async with await connect_bank(service, 2, 4):
                while "afterend:#bank1" not in (line := await anext(lines)):
                    pass
            assert 'id="bank2"' in line
        for lost in ("9-9-9", "x"):
            async with rest.stream("GET", "/page/stream", headers=headers | STREAM | {"Last-Event-ID": lost}) as stream:
                lines = stream.aiter_lines()
                await anext(lines)
                assert "innerHTML:#banks" in await anext(lines)


async def test_access_follows_at_once_what_is_ordered_or_enrolled_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the command line does meanwhile is not what is looked for.
    monkeypatch.setattr(access, "ANEW_S", 3600.0)
    authority = CertificateWorld(tmp_path).credentials(SERVER, folder="tls").authority_file
    async with running_server(tmp_path, rest_open=False, plaintext=None) as service:
        headers = {"Authorization": f"Bearer {await make(tmp_path, TokenRole.ADMIN)}"}
        trust = ssl.create_default_context(cafile=authority)
        url = f"https://{service.rest_address}"
        async with (
            httpx2.AsyncClient(base_url=url, headers=headers, verify=trust, timeout=PATIENCE_S) as rest,
            rest.stream("GET", "/page/stream/access", headers=STREAM) as stream,
        ):
            lines = stream.aiter_lines()

            async def told(*parts: str) -> None:
                line = ""
                while not all(part in line for part in parts):
                    line = await anext(lines)

            async with asyncio.timeout(PATIENCE_S):
                await told('id="tokens"', 'id="webhooks"')
                made = (await rest.post("/api/v2/codes", json={"identity": "bank/7"})).json()
                await told('id="codes"', "<td>bank/7</td>", ">open<")
                code, host = EnrolmentCode.parse(made["code"]), Credentials(tmp_path / "host" / "tls")
                await asyncio.to_thread(enroll, url, code, host, CryptographyToolkit())
                await told('id="certificates"', "<td>bank/7</td>", 'id="codes"', ">used<")
                hook = (await rest.post("/api/v2/webhooks", json={"url": "https://hooks.invalid/x"})).json()
                await told('id="webhooks"', "https://hooks.invalid/x", "nothing waits")
                assert (await rest.post(f"/api/v2/webhooks/{hook['id']}/pause")).status_code == 200
                await told('id="webhooks"', "paused")
                assert (await rest.delete(f"/api/v2/webhooks/{hook['id']}")).status_code == 204
                await told('id="webhooks"', "There are none")


async def test_limited_token_gets_nothing_of_others_in_any_view(service: ServerService, tmp_path: Path) -> None:
    own = {"Authorization": f"Bearer {await make(tmp_path, TokenRole.ADMIN, Scope(frozenset({1}), frozenset({7})))}"}
    everything = {"Authorization": f"Bearer {await make(tmp_path)}"}
    async with (
        rest_client(service, over_socket=False) as rest,
        await connect_bank(service, 1, 4),
        await connect_bank(service, 2, 4),
    ):
        for client, card in (("C8:0", "B1:0"), ("C7:0", "B1:1"), ("C8:1", "B2:3")):
            path = f"/api/v2/mappings/{client}"
            assert (await rest.put(path, json={"card": card}, headers=everything)).status_code == 201
        for path in ("/", "/slots/B1:0", "/slots/B1:1", "/activity", "/activity/export"):
            text = (await rest.get(path, headers=own)).text
            assert "C8" not in text, path
            assert "B2" not in text, path
        for path in ("/slots/B2:3", "/clients/C8:0"):
            assert (await rest.get(path, headers=own)).status_code == 404
            assert (await rest.get(f"/page/stream/{path.split('/')[2]}", headers=own | STREAM)).status_code == 404
        assert (await rest.get("/access", headers=own)).status_code == 403
        assert SESSION_S > 0


@reaches(LimitName.PAGE_BOARDS)
async def test_overview_that_was_looked_at_longest_ago_is_made_anew(
    service: ServerService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_BOARDS", 1)
    one = {"Authorization": f"Bearer {await make(tmp_path, scope=Scope(frozenset({1}), None))}"}
    two = {"Authorization": f"Bearer {await make(tmp_path, scope=Scope(frozenset({2}), None))}"}
    async with (
        rest_client(service, over_socket=False) as rest,
        await connect_bank(service, 1, 2),
        await connect_bank(service, 2, 2),
    ):
        for headers, own in ((one, "B1:0"), (two, "B2:0"), (one, "B1:0")):
            assert f'data-slot="{own}"' in (await rest.get("/", headers=headers)).text
    assert service.app is not None
    assert service.app.state.metrics.limits[LimitName.PAGE_BOARDS] == 2


async def test_open_rest_has_a_page_for_this_machine_and_for_no_other_site(tmp_path: Path) -> None:
    async with running_server(tmp_path) as service, rest_client(service, over_socket=True) as rest:
        assert (await rest.get("/", headers=HTML)).status_code == 200
        assert (await rest.get("/login", headers=HTML)).headers["location"] == "/"
        own = f"http://{service.rest_address}"
        assert (await rest.put(MAPPING, json={"card": "B1:0"}, headers={"Origin": own})).status_code == 201
        for origin in ("http://127.0.0.1:1", f"https://{service.rest_address}", "null", f"{own}, {own}"):
            assert (await rest.delete(MAPPING, headers={"Origin": origin})).status_code == 403
