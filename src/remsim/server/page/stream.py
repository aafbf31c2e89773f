# SPDX-License-Identifier: Apache-2.0
"""What keeps an open page up to date: server-sent events with the pieces of HTML that have changed.

Each has an id, from which a browser goes on after a break. Beats say that the server is there, and what time it is; a
page that hears none for a while says that it is not up to date. At most four messages a second.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Final, Protocol, cast

from fastapi import Request
from fastapi.responses import StreamingResponse

from remsim.core.limits import LimitName
from remsim.core.values import dataclass
from remsim.net.runtime.tasks import in_thread
from remsim.server.api import limits
from remsim.server.api.errors import ApiError, bad_request
from remsim.server.api.judging import TokenJudge, cookie_of
from remsim.server.api.v2.streams import STREAM_TYPE, Readers
from remsim.server.core.event_feed import EventFeed
from remsim.server.core.tokens import Grant, is_still_good
from remsim.server.page.frame import HEADERS
from remsim.server.page.rendering import environment
from remsim.server.runtime import ServerRuntime
from remsim.server.store.writer import StoreError

#: Between two messages.
SPACING_S: Final = 0.25
#: A page that has heard nothing for five seconds shows its content as out of date.
BEAT_S: Final = 2.0
#: A session or token that has ended ends its streams within this time.
CHECK_S: Final = 5.0
_POSITION: Final = re.compile(r"([0-9]{1,10})-([0-9]{1,10})-([0-9]{1,12})", re.ASCII)


class Followed(Protocol):
    """What a page shows, in versions."""

    epoch: int
    version: int

    @property
    def others(self) -> object:
        """Compared before and after: what may have changed without an event."""
        ...

    async def look(self, now: float, *, spacing_s: float = 0.0) -> None:
        """Bring it up to date, unless that was done less than ``spacing_s`` ago."""
        ...

    def newer_than(self, epoch: int, version: int) -> str:
        """What has changed since, as HTML; empty: nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: by a session of the page, or by a token of its own."""

    grant: Grant
    cookie: str | None

    async def end(self, judge: TokenJudge, runtime: ServerRuntime) -> str | None:
        """Why this browser may not look any more; None: it may."""
        try:
            if self.cookie is not None:
                await judge.session(self.cookie)
            elif self.grant.token_id:
                stored = await runtime.query.find_token(self.grant.token_id)
                return None if is_still_good(stored, time.time()) else "ended"
        except ApiError as error:
            return error.code
        except StoreError:
            # What is shown is in memory.
            return None
        return None


class PageStream:
    """The pieces and beats that one open page gets."""

    def __init__(
        self,
        runtime: ServerRuntime,
        shown: Followed,
        may_go_on: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._runtime = runtime
        self._shown = shown
        self._may_go_on = may_go_on

    async def run(self, epoch: int, version: int) -> AsyncGenerator[str, None]:
        """The lines of the stream behind this version, until the server stops or the viewer may not look any more."""
        shown, changes, feed = self._shown, self._runtime.changes, self._runtime.query.feed
        loop = asyncio.get_running_loop()
        beat_at, checked_at = 0.0, loop.time()
        while not changes.is_closed:
            heard = feed.last, shown.others
            await shown.look(loop.time(), spacing_s=SPACING_S * 0.8)
            html = shown.newer_than(epoch, version)
            epoch, version = shown.epoch, shown.version
            if html:
                yield _message(f"{self._runtime.query.restart_counter}-{epoch}-{version}", html)
            if loop.time() - checked_at >= CHECK_S:
                checked_at = loop.time()
                if (reason := await self._may_go_on()) is not None:
                    yield f"event: ended\ndata: {reason}\n\n"
                    return
            if html or loop.time() - beat_at >= BEAT_S:
                beat_at = loop.time()
                yield f"event: beat\ndata: {json.dumps({'now': round(time.time() * 1000)})}\n\n"
            # What happens meanwhile is told together.
            await asyncio.sleep(SPACING_S)
            left_s = max(0.0, beat_at + BEAT_S - loop.time())
            await changes.until(partial(_newer, feed, shown, heard), left_s)


def _message(position: str, html: str) -> str:
    lines = "\n".join(f"data: {line}" for line in html.split("\n"))
    return f"id: {position}\n{lines}\n\n"


async def open_stream(
    request: Request, runtime: ServerRuntime, grant: Grant, show: Callable[[], Followed]
) -> StreamingResponse:
    """Answer with the stream of what ``show`` gives, behind the position that the browser has. Raises ApiError."""
    if STREAM_TYPE not in request.headers.get("accept", ""):
        raise bad_request("this is a stream", f"ask for it with Accept: {STREAM_TYPE}")
    await in_thread(environment)
    readers = cast(Readers, request.app.state.event_readers)
    if text := readers.are_too_many(grant, limits.MAX_READERS, limits.most_of_one(limits.MAX_READERS)):
        raise ApiError(503, "too_many_readers", text, "close other pages", limit=LimitName.EVENT_READERS)
    asked = request.headers.get("last-event-id") or request.query_params.get("at", "")
    epoch, version = _position(asked, runtime.query.restart_counter)
    judge = cast(TokenJudge, request.app.state.judge)
    may_go_on = partial(Viewer(grant, cookie_of(request.scope)).end, judge, runtime)
    stream = PageStream(runtime, show(), may_go_on)
    headers = {**HEADERS, "X-Accel-Buffering": "no"}
    return StreamingResponse(_counted(readers, grant, stream.run(epoch, version)), 200, headers, STREAM_TYPE)


async def _counted(readers: Readers, grant: Grant, lines: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    with readers.reading(grant):
        async with aclosing(lines):
            async for text in lines:
                yield text


def _position(text: str, run: int) -> tuple[int, int]:
    """Epoch and version that a browser has; (0, 0), which nothing has, if they are of another run."""
    found = _POSITION.fullmatch(text)
    if found is None or int(found[1]) != run:
        return 0, 0
    return int(found[2]), int(found[3])


def _newer(feed: EventFeed, shown: Followed, heard: tuple[int, object]) -> bool | None:
    return True if (feed.last, shown.others) != heard else None
