# SPDX-License-Identifier: Apache-2.0
"""Paths that are almost those of a route: none gives a token more than the route that answers it allows."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.routing import iter_route_contexts

from remsim.config import ServerConfig
from remsim.server.api.auth import OPEN_PATHS
from remsim.server.core.tokens import Scope, StoredToken, TokenRole
from remsim.server.query import ServerQuery
from remsim.server.service import ServerService
from remsim.server.store.tokens import create_token
from tests.doubles.asgi_caller import ask_app
from tests.doubles.server_rig import V1, running_server
from tests.doubles.short_http import Caller, ask

# Thousands of calls in each; on a machine with other work they take several times as long.
pytestmark = pytest.mark.timeout(240)

#: Each kind of right once; test_rest_access walks the other methods.
METHODS = ("GET", "POST", "DELETE")


def almost(path: str) -> list[str]:
    """Spellings that some router, proxy or library takes for ``path``."""
    parts = path.split("/")
    last = parts[-1]
    endings = ("%0A", "%0D", "%0D%0A", "%00", "%20", "%09", "%0B", "%0C", "%1C", "%C2%85", "%E2%80%A8", "%3F", "%23")
    inner = ("//", "/./", "/x/../", "/%2e/", "/%2f/", "/;x/", "%2F", "%5C")
    return [
        path,
        *(
            path + ending
            for ending in (*endings, "/", "//", "/.", "/%2e", ";x", ";x=1", "/;", "%2F", "%252F", "%250A", "?", "#")
        ),
        *(path + "/" + ending for ending in endings),
        *("%0A" + path, "/" + path, "//" + path, "/." + path, "/x/.." + path, "/%2e" + path),
        *("/".join(parts[:-1]) + between + last for between in inner),
        path.upper(),
        path.title(),
        "/".join([*parts[:-1], "%" + f"{ord(last[0]):02X}" + last[1:]]) if last else path,
        "/".join([*parts[:-1], quote(quote("".join(f"%{ord(sign):02X}" for sign in last)))]),
        f"http://127.0.0.1{path}%0A",
    ]


def paths_of(service: ServerService) -> list[str]:
    assert service.app is not None
    return [re.sub(r"\{\w+\}", "1", str(route.path)) for route in iter_route_contexts(service.app.routes)]


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """No token changes while paths are walked: each is looked up in the database once."""
    known: dict[str, StoredToken | None] = {}
    find = ServerQuery.find_token

    async def find_once(query: ServerQuery, token_id: str) -> StoredToken | None:
        if token_id not in known:
            known[token_id] = await find(query, token_id)
        return known[token_id]

    monkeypatch.setattr(ServerQuery, "find_token", find_once)


async def make(state: Path, role: TokenRole, scope: Scope | None = None) -> str:
    config = ServerConfig(state_dir=state)
    text, _ = await asyncio.to_thread(create_token, config, name=role.text, role=role, scope=scope or Scope())
    return text


Outcomes = dict[tuple[str, str, str], tuple[int, bytes]]


def questions(paths: list[str]) -> Iterator[tuple[str, str, str]]:
    """Every method, path, and spelling of it, once."""
    for path in dict.fromkeys(paths):
        for spelling in dict.fromkeys(almost(path)):
            for method in METHODS:
                yield method, path, spelling


def proof(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


async def outcomes(service: ServerService, token: str | None, paths: list[str] | None = None) -> Outcomes:
    """What every method on every spelling of every path is answered, without the work of HTTP itself."""
    assert service.app is not None
    app, headers = service.app, proof(token)
    answers: dict[tuple[str, str], tuple[int, bytes]] = {}
    found: Outcomes = {}
    for method, path, spelling in questions(paths or paths_of(service)):
        if (method, spelling) not in answers:
            answers[method, spelling] = await ask_app(app, method, spelling, headers)
        found[method, path, spelling] = answers[method, spelling]
    return found


async def outcomes_over_http(service: ServerService, token: str | None, paths: list[str]) -> Outcomes:
    """The same over a socket."""
    headers = proof(token)
    async with Caller(service.rest_address) as caller:
        return {
            (method, path, spelling): await caller.ask(method, spelling, headers)
            for method, path, spelling in questions(paths)
        }


def check(found: Outcomes, *, can_write: bool) -> None:
    """No spelling is answered with more than the path itself, and none with the audit log."""
    assert len(found) > 1000
    for (method, path, spelling), (status, body) in found.items():
        right = found[method, path, path][0]
        assert status >= 400 or right < 400, (method, spelling, status)
        assert status >= 400 or can_write or method == "GET", (method, spelling, status)
        assert b'"audit"' not in body or path == "/openapi.json", (method, spelling)
    assert found["GET", f"{V1}/audit", f"{V1}/audit%0A"][0] in (401, 403)
    assert found["GET", "/api/v2/tokens", "/api/v2/tokens%0A"][0] in (401, 403)


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize(
    ("role", "scope"), [(TokenRole.VIEWER, None), (TokenRole.OPERATOR, Scope(frozenset({5}), None))]
)
async def test_no_spelling_of_a_path_gives_a_token_more(tmp_path: Path, role: TokenRole, scope: Scope | None) -> None:
    async with running_server(tmp_path, rest_open=False) as service:
        found = await outcomes(service, await make(tmp_path, role, scope))
    check(found, can_write=role is not TokenRole.VIEWER)


async def test_no_spelling_of_a_path_answers_without_a_token(tmp_path: Path) -> None:
    async with running_server(tmp_path, rest_open=False) as service:
        found = await outcomes_over_http(service, None, paths_of(service))
    for (method, path, spelling), (status, _body) in found.items():
        is_open = path in OPEN_PATHS
        assert status in (400, 401) or is_open, (method, spelling, status)
    check(found, can_write=False)


async def test_no_spelling_of_a_path_gives_an_open_rest_more(tmp_path: Path) -> None:
    async with running_server(tmp_path, rest_open=True) as service:
        found = await outcomes(service, None)
    check(found, can_write=True)


async def test_answers_are_the_same_over_http(tmp_path: Path) -> None:
    paths = [f"{V1}/audit", "/api/v2/tokens", f"{V1}/banks", "/health"]
    async with running_server(tmp_path, rest_open=False) as service:
        token = await make(tmp_path, TokenRole.OPERATOR)
        direct = await outcomes(service, token, paths)
        over_http = await outcomes_over_http(service, token, paths)
    for asked, (status, _) in over_http.items():
        assert direct[asked][0] == status, asked


async def test_the_path_of_the_audit_log_with_a_newline_is_an_admins_only(tmp_path: Path) -> None:
    async with running_server(tmp_path, rest_open=False) as service:
        for role, expected in ((TokenRole.VIEWER, 403), (TokenRole.OPERATOR, 403), (TokenRole.ADMIN, 200)):
            headers = {"Authorization": f"Bearer {await make(tmp_path, role)}"}
            status, _ = await ask(service.rest_address, "GET", f"{V1}/audit%0A", headers)
            assert status == expected, role
