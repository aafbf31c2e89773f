# SPDX-License-Identifier: Apache-2.0
"""The routes of the overview, of the stream that keeps it up to date, and of the page's files; mounts the page."""

import asyncio
from collections import OrderedDict
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.responses import Response

from remsim.core.limits import LimitCounts, LimitName
from remsim.net.runtime.tasks import in_thread
from remsim.server.api import limits
from remsim.server.api.auth import TheGrant, for_anybody
from remsim.server.api.errors import not_found
from remsim.server.api.judging import TokenJudge
from remsim.server.api.resource import Resource, RestApplication
from remsim.server.api.routing import TheQuery, TheRuntime
from remsim.server.core.tokens import Grant, Scope, TokenRole
from remsim.server.metrics import ServerMetrics
from remsim.server.page import assets, login, routes
from remsim.server.page.board import OverviewBoard
from remsim.server.page.frame import page
from remsim.server.page.middleware import PageMiddleware
from remsim.server.page.rendering import environment
from remsim.server.page.stream import open_stream
from remsim.server.runtime import ServerRuntime
from remsim.server.store.page_files import PageFiles

router = Resource(include_in_schema=False)


class Boards:
    """What is shown, shared by those who may see the same."""

    def __init__(self, runtime: ServerRuntime, counts: LimitCounts) -> None:
        self._runtime = runtime
        self._counts = counts
        self._boards: OrderedDict[tuple[Scope, bool], OverviewBoard] = OrderedDict()

    def overview(self, grant: Grant) -> OverviewBoard:
        """The overview for this caller."""
        key = (grant.scope, grant.role >= TokenRole.OPERATOR)
        board = self._boards.get(key)
        if board is None:
            board = self._boards[key] = OverviewBoard(self._runtime, grant)
            if len(self._boards) > limits.MAX_BOARDS:
                self._counts.reached(LimitName.PAGE_BOARDS)
                self._boards.popitem(last=False)
        self._boards.move_to_end(key)
        return board


async def _boards(request: Request) -> Boards:
    return cast(Boards, request.app.state.boards)


TheBoards = Annotated[Boards, Depends(_boards)]


def mount(
    app: RestApplication, runtime: ServerRuntime, files: PageFiles, *, is_open: bool, rspro_port: int
) -> login.Login:
    """Add the page to the application; ``rspro_port`` is where bankds and clients reach the server."""
    made = login.Login(cast(TokenJudge, app.state.judge), files, is_open=is_open)
    made.restore()
    app.state.login = made
    app.state.boards = Boards(runtime, cast(ServerMetrics, app.state.metrics).limits)
    app.offer(router, login.router, routes.router)
    app.state.rspro_port = rspro_port
    # The outermost: what others refuse becomes a page, too.
    app.add_middleware(PageMiddleware)
    return made


@router.get("/")
async def show_overview(request: Request, grant: TheGrant, boards: TheBoards, query: TheQuery) -> Response:
    """Everything at a glance."""
    await in_thread(environment)
    board = boards.overview(grant)
    await board.look(asyncio.get_running_loop().time())
    return await page(
        request, grant, "overview.html", here="overview", board=board, run=query.restart_counter, stream="overview"
    )


@router.get("/page/stream")
async def follow(request: Request, runtime: TheRuntime, grant: TheGrant, boards: TheBoards) -> Response:
    """What changes in the overview, behind the version that a browser has."""
    return await open_stream(request, runtime, grant, lambda: boards.overview(grant))


@router.get(f"{assets.PREFIX}/{{name}}")
@for_anybody
async def show_asset(name: str, request: Request) -> Response:
    """A file of the page."""
    if name not in assets.TYPES:
        raise not_found(f"the page has no file {name!r}")
    found = await in_thread(assets.asset, name)
    is_named = request.query_params.get("v") == found.stamp
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "public, max-age=31536000, immutable" if is_named else "no-cache",
        "ETag": f'"{found.stamp}"',
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.compressed, 200, {**headers, "Content-Encoding": "gzip"}, found.media_type)
    return Response(found.content, 200, headers, found.media_type)
