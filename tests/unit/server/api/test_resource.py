# SPDX-License-Identifier: Apache-2.0
"""Routes are made once, at the first request, and are described in the schema only."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from remsim.server.api.resource import Resource, RestApplication
from remsim.server.core.tokens import EVERYTHING, Grant, TokenRole


class Order(BaseModel):
    """What is asked for."""

    count: int


class Answer(BaseModel):
    """What is said."""

    text: str


RESOURCE = Resource(prefix="/things", tags=["things"])


@RESOURCE.get("/{name}", responses={200: {"model": Answer, "description": "done"}})
async def show(name: str) -> Response:
    """One thing."""
    return Response(f"shown {name}")


@RESOURCE.put("/{name}", takes=Order, tags=["orders"])
async def change(name: str, request: Request) -> Response:
    """Change it."""
    return Response(f"changed {name} by {(await request.body()).decode()}")


@RESOURCE.post("", status_code=201, response_class=Response)
async def make() -> Response:
    """Make one."""
    return Response("made", 201)


@RESOURCE.delete("/{name}")
async def remove(name: str) -> Response:
    """Remove it."""
    return Response(f"removed {name}")


UNSEEN = Resource(include_in_schema=False)


@UNSEEN.get("/unseen")
async def look() -> Response:
    """Not in the schema."""
    return Response("seen")


class _AsOperator:
    """In place of what judges tokens."""

    def __init__(self, app: ASGIApp, role: TokenRole) -> None:
        self._app, self._role = app, role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"grant": Grant("", "test", self._role, EVERYTHING), "actor": None}
        await self._app(scope, receive, send)


def _client(role: TokenRole) -> TestClient:
    app = RestApplication()
    app.state.runtime = SimpleNamespace(refuse=lambda *_: None)
    app.add_middleware(_AsOperator, role=role)
    app.offer(UNSEEN, RESOURCE)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def client() -> Iterator[TestClient]:
    with _client(TokenRole.OPERATOR) as made:
        yield made


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/things/a", 200, "shown a"),
        ("PUT", "/things/a", 200, "changed a by 1"),
        ("POST", "/things", 201, "made"),
        ("DELETE", "/things/a", 200, "removed a"),
        ("GET", "/unseen", 200, "seen"),
    ],
)
def test_each_method_is_answered(client: TestClient, method: str, path: str, status: int, text: str) -> None:
    answer = client.request(method, path, content="1" if method == "PUT" else None)
    assert (answer.status_code, answer.text) == (status, text)


def test_routes_are_made_at_the_first_request_and_once_but_for_those_of_the_first_resource() -> None:
    client = _client(TokenRole.OPERATOR)
    app = client.app
    assert isinstance(app, RestApplication)
    before = [getattr(route, "path", "") for route in app.router.routes]
    for _ in range(2):
        assert client.get("/things/a").status_code == 200
    after = [getattr(route, "path", "") for route in app.router.routes]
    assert before == ["/openapi.json", "/unseen"]
    assert after == [*before, "/things/{name}", "/things/{name}", "/things", "/things/{name}"]


WHOSE = Resource()


@WHOSE.get("/whose")
async def tell(request: Request) -> Response:
    """Which application answers."""
    return Response(str(request.app.state.name))


def test_applications_of_one_process_have_the_same_routes_and_answer_each_for_itself() -> None:
    clients = [_client(role) for role in (TokenRole.OPERATOR, TokenRole.VIEWER)]
    apps = [client.app for client in clients if isinstance(client.app, RestApplication)]
    for client, app, name in zip(clients, apps, ("one", "other"), strict=True):
        app.state.name = name
        app.offer(WHOSE)
        assert client.get("/whose").text == name
    first, second = ([route for route in app.routes if isinstance(route, APIRoute)] for app in apps)
    assert all(one is other for one, other in zip(first, second, strict=True))
    assert [client.delete("/things/a").status_code for client in clients] == [200, 500]


def test_who_asks_for_the_routes_gets_them_without_any_request() -> None:
    app = RestApplication()
    app.offer(UNSEEN)
    app.offer(RESOURCE)
    assert [getattr(route, "path", "") for route in app.routes][:3] == ["/openapi.json", "/unseen", "/things/{name}"]
    assert len(app.routes) == 6


def test_each_route_is_judged_by_the_role() -> None:
    with _client(TokenRole.VIEWER) as client:
        assert client.get("/things/a").status_code == 200
        # Nobody has installed what makes an answer of the refusal.
        assert client.put("/things/a").status_code == 500


def test_schema_says_what_a_route_takes_and_gives_and_no_request_needs_it() -> None:
    app = RestApplication()
    app.offer(UNSEEN, RESOURCE)
    schema = app.openapi()
    assert set(schema["paths"]) == {"/things", "/things/{name}"}
    shown, changed = (schema["paths"]["/things/{name}"][method] for method in ("get", "put"))
    assert shown["responses"]["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Answer"}
    assert (shown["tags"], changed["tags"]) == (["things"], ["things", "orders"])
    taken = changed["requestBody"]
    assert taken["required"]
    assert taken["content"]["application/json"]["schema"]["required"] == ["count"]
    assert shown["security"] == [{"token": []}]
    assert "201" in schema["paths"]["/things"]["post"]["responses"]
    assert "Problem" in schema["components"]["schemas"]
    assert "HTTPValidationError" not in schema["components"]["schemas"]
    # Routes that answer were not made for it.
    assert [getattr(route, "path", "") for route in app.router.routes] == ["/openapi.json", "/unseen"]
    assert app.openapi() is schema


def test_schema_is_made_once_for_all_applications_with_the_same_resources_and_given_as_json() -> None:
    client = _client(TokenRole.VIEWER)
    app = client.app
    assert isinstance(app, RestApplication)
    assert client.get("/openapi.json").json() == app.openapi()
    assert client.head("/openapi.json").status_code == 200
    same, other = RestApplication(), RestApplication()
    same.offer(UNSEEN, RESOURCE)
    other.offer(RESOURCE)
    assert same.openapi() is app.openapi()
    assert other.openapi() is not app.openapi()
