# SPDX-License-Identifier: Apache-2.0
"""Routes, written beside the functions that answer; and the application, which makes them when the first request comes.

To make a route, the framework reads its function's signature and builds a model for each argument and each answer. It
did so at each start, and again for each router that the first request passed. Here a route is made once, without what
only the schema tells (answers, bodies, tags), and serves all applications of the process: which one it answers for, the
request says. The schema is made of routes of its own when it is asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Final, TypedDict, TypeVar, Unpack

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Scope

from remsim import __version__
from remsim.core.values import dataclass
from remsim.net.runtime.tasks import in_thread
from remsim.server.api import errors
from remsim.server.api.auth import OPEN_PATHS, judge_route
from remsim.server.api.reading import judge_query

#: What the schema calls the token.
_TOKEN: Final = "token"
_TOKEN_TEXT: Final = "made by remsim token create; its role and scope say what it may do"

#: Of every route.
_JUDGED: Final = (Depends(judge_route), Depends(judge_query))

#: With an authority beside the server, and without.
_SCHEMAS: Final = 2

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., object])

Responses = Mapping[int | str, Mapping[str, object]]


class Described(TypedDict, total=False):
    """What may be said of a route. ``takes`` is the model of its body, which the route reads by itself."""

    responses: Responses
    tags: Sequence[str]
    status_code: int
    response_class: type[Response]
    takes: type[BaseModel]
    openapi_extra: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    path: str
    endpoint: Callable[..., object]
    described: Described


class _QuickRoute(APIRoute):
    """Says at once that a request is not for it: each request passes dozens of routes before it comes to its own."""

    @cached_property
    def _beginning(self) -> str:
        """The path up to its first argument."""
        return self.path.partition("{")[0]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the request is for this route."""
        if not scope.get("root_path") and not scope["path"].startswith(self._beginning):
            return Match.NONE, {}
        return super().matches(scope)


class Resource:
    """Routes that belong together. Its methods are decorators, as those of ``fastapi.APIRouter``."""

    def __init__(self, *, prefix: str = "", tags: Sequence[str] = (), include_in_schema: bool = True) -> None:
        """``prefix`` stands before each path; ``tags`` are those of each route in the schema."""
        self._prefix: Final = prefix
        self._tags: Final = list(tags)
        self._include_in_schema: Final = include_in_schema
        self._routes: Final[list[_Route]] = []
        self._made: APIRouter | None = None

    def get(self, path: str, **described: Unpack[Described]) -> Callable[[_Endpoint], _Endpoint]:
        """Answer GET."""
        return self._declare("GET", path, described)

    def post(self, path: str, **described: Unpack[Described]) -> Callable[[_Endpoint], _Endpoint]:
        """Answer POST."""
        return self._declare("POST", path, described)

    def put(self, path: str, **described: Unpack[Described]) -> Callable[[_Endpoint], _Endpoint]:
        """Answer PUT."""
        return self._declare("PUT", path, described)

    def delete(self, path: str, **described: Unpack[Described]) -> Callable[[_Endpoint], _Endpoint]:
        """Answer DELETE."""
        return self._declare("DELETE", path, described)

    def _declare(self, method: str, path: str, described: Described) -> Callable[[_Endpoint], _Endpoint]:
        def declare(endpoint: _Endpoint) -> _Endpoint:
            self._routes.append(_Route(method, self._prefix + path, endpoint, described))
            return endpoint

        return declare

    def add_to(self, app: FastAPI) -> None:
        """Have ``app`` answer. All that are declared were declared before, in the module of the resource."""
        if self._made is None:
            self._made = APIRouter(dependencies=_JUDGED, route_class=_QuickRoute)
            for route in self._routes:
                self._made.add_api_route(
                    route.path,
                    route.endpoint,
                    methods=_methods_of(route),
                    status_code=route.described.get("status_code"),
                    response_class=route.described.get("response_class", JSONResponse),
                    include_in_schema=False,
                )
        app.router.routes.extend(self._made.routes)

    def describe_to(self, app: FastAPI) -> None:
        """Have ``app`` make a schema: routes with all that it says of them, which answer nothing."""
        for route in self._routes:
            said = route.described
            app.add_api_route(
                route.path,
                route.endpoint,
                methods=[route.method],
                status_code=said.get("status_code"),
                response_class=said.get("response_class", JSONResponse),
                include_in_schema=self._include_in_schema,
                tags=[*self._tags, *said.get("tags", ())],
                responses={key: dict(value) for key, value in said.get("responses", {}).items()},
                openapi_extra=_extra(said),
            )


def _methods_of(route: _Route) -> list[str]:
    """HEAD is answered as GET is (RFC 9110, 9.3.2); the listener leaves out the body. Not in v1: rsres.md, 1."""
    return ["GET", "HEAD"] if route.method == "GET" and errors.is_of_v2(route.path) else [route.method]


def _extra(said: Described) -> dict[str, object]:
    extra = dict(said.get("openapi_extra", {}))
    if (model := said.get("takes")) is not None:
        content = {"application/json": {"schema": model.model_json_schema()}}
        extra["requestBody"] = {"required": True, "content": content}
    return extra


class RestApplication(FastAPI):
    """Makes its routes when it needs them, and each with the judgement of who may use it.

    Describes itself as it is: by a token, and without the answers that the framework would give and ours does.
    """

    def __init__(self) -> None:
        """Without any resource yet: see ``offer``."""
        self._offered: Final[list[Resource]] = []
        self._waiting: Final[list[Resource]] = []
        super().__init__(**_TITLES, docs_url=None, redoc_url=None, redirect_slashes=False, dependencies=_JUDGED)

    def offer(self, *resources: Resource) -> None:
        """Answer requests to these, too.

        The routes of the very first are made at once: the framework imports some of what it needs for it only then, and
        when the first request comes, there may be no descriptor left to import anything.
        """
        is_first = not self._offered
        self._offered.extend(resources)
        self._waiting.extend(resources)
        if is_first:
            self._make_routes(1)

    def _make_routes(self, most: int | None = None) -> None:
        for resource in self._waiting[:most]:
            resource.add_to(self)
            self._waiting.remove(resource)

    @property
    def routes(self) -> list[BaseRoute]:
        """All routes."""
        self._make_routes()
        return super().routes

    def build_middleware_stack(self) -> ASGIApp:
        """The framework calls this at the first request."""
        self._make_routes()
        return super().build_middleware_stack()

    def setup(self) -> None:
        """The framework calls this when the application is made: it has the schema as its own route."""
        self.add_route("/openapi.json", self._describe, include_in_schema=False)

    async def _describe(self, _request: Request) -> Response:
        # It takes a third of a second at first; links are not to wait for it.
        return await in_thread(lambda: JSONResponse(self.openapi()))

    def openapi(self) -> dict[str, Any]:
        """The schema. Made once in the process, with what is offered at the first call."""
        if self.openapi_schema is None:
            self.openapi_schema = _schema_of(tuple(self._offered))
        return self.openapi_schema


@lru_cache(maxsize=_SCHEMAS)
def _schema_of(resources: tuple[Resource, ...]) -> dict[str, Any]:
    described = FastAPI(**_TITLES)
    for resource in resources:
        resource.describe_to(described)
    return _with_ours(described.openapi())


class _Titles(TypedDict):
    title: str
    version: str
    summary: str


_TITLES: Final[_Titles] = {
    "title": "remsim server",
    "version": __version__,
    "summary": "Banks, clients and mappings of a remote SIM system.",
}


def _with_ours(schema: dict[str, Any]) -> dict[str, Any]:
    components = schema["components"]
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    components["schemas"]["Problem"] = errors.Problem.model_json_schema()
    components["securitySchemes"] = {_TOKEN: {"type": "http", "scheme": "bearer", "description": _TOKEN_TEXT}}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                # The framework's own; ours is a problem.
                del operation["responses"]["422"]
            if path not in OPEN_PATHS:
                operation["security"] = [{_TOKEN: []}]
    return schema
