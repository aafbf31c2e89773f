# SPDX-License-Identifier: Apache-2.0
"""The routes of the page: its views, the stream that keeps them up to date, and its files."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Final, cast

from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.responses import Response, StreamingResponse

from remsim.core.limits import LimitName
from remsim.net.runtime.tasks import in_thread
from remsim.server.api import limits
from remsim.server.api.auth import TheGrant, for_anybody
from remsim.server.api.errors import ApiError, bad_request, not_found
from remsim.server.api.judging import TokenJudge, cookie_of
from remsim.server.api.routing import TheQuery, TheRuntime
from remsim.server.api.v2.events import STREAM_TYPE, Readers
from remsim.server.core.tokens import Grant, Scope, TokenRole
from remsim.server.page import assets, login
from remsim.server.page.board import OverviewBoard
from remsim.server.page.frame import HEADERS, page
from remsim.server.page.rendering import environment
from remsim.server.page.stream import PageStream, Viewer
from remsim.server.query import ServerQuery
from remsim.server.store.page_files import PageFiles

router = APIRouter(include_in_schema=False)

#: Boards that are kept: one for each scope that is looked at.
_MAX_BOARDS: Final = 32
_POSITION: Final = re.compile(r"([0-9]{1,10})-([0-9]{1,10})-([0-9]{1,12})", re.ASCII)


class Boards:
    """What is shown, shared by those who may see the same."""

    def __init__(self, query: ServerQuery) -> None:
        self._query = query
        self._boards: OrderedDict[tuple[Scope, bool], OverviewBoard] = OrderedDict()

    def overview(self, grant: Grant) -> OverviewBoard:
        """The overview for this caller."""
        key = (grant.scope, grant.role >= TokenRole.OPERATOR)
        board = self._boards.get(key)
        if board is None:
            board = self._boards[key] = OverviewBoard(self._query, grant)
            if len(self._boards) > _MAX_BOARDS:
                self._boards.popitem(last=False)
        self._boards.move_to_end(key)
        return board


async def _boards(request: Request) -> Boards:
    return cast(Boards, request.app.state.boards)


TheBoards = Annotated[Boards, Depends(_boards)]


def mount(app: FastAPI, query: ServerQuery, files: PageFiles, *, is_open: bool) -> login.Login:
    """Add the page to the application."""
    made = login.Login(cast(TokenJudge, app.state.judge), files, is_open=is_open)
    made.restore()
    app.state.login = made
    app.state.boards = Boards(query)
    app.include_router(router)
    app.include_router(login.router)
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
async def follow(
    request: Request,
    runtime: TheRuntime,
    grant: TheGrant,
    boards: TheBoards,
    at: str = "",
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """What changes in the overview, behind the version that a browser has."""
    if STREAM_TYPE not in request.headers.get("accept", ""):
        raise bad_request("this is a stream", f"ask for it with Accept: {STREAM_TYPE}")
    readers = cast(Readers, request.app.state.event_readers)
    if readers.count >= limits.MAX_READERS:
        text = f"{limits.MAX_READERS} streams are open already"
        raise ApiError(503, "too_many_readers", text, "close other pages", limit=LimitName.EVENT_READERS)
    await in_thread(environment)
    epoch, version = _position(last_event_id or at, runtime.query.restart_counter)
    viewer = Viewer(grant, cookie_of(request.scope))
    ask: Callable[[], Awaitable[str | None]] = partial(viewer.end, request.app.state.judge, runtime)
    stream = PageStream(runtime, readers, boards.overview(grant), ask)
    headers = {**HEADERS, "X-Accel-Buffering": "no"}
    return StreamingResponse(stream.run(epoch, version), 200, headers, STREAM_TYPE)


def _position(text: str, run: int) -> tuple[int, int]:
    """Epoch and version that a browser has; (0, 0), which no board has, if they are of another run."""
    found = _POSITION.fullmatch(text)
    if found is None or int(found[1]) != run:
        return 0, 0
    return int(found[2]), int(found[3])


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
