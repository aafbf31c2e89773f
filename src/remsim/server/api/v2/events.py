# SPDX-License-Identifier: Apache-2.0
"""What happens, as it happens: server-sent events, or pages of them for programs that rather ask."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from time import monotonic
from typing import Annotated, Final, cast

from fastapi import Header, Request
from fastapi.responses import Response, StreamingResponse

from remsim.core.limits import LimitName
from remsim.rest import models
from remsim.server.api import limits
from remsim.server.api.auth import TheGrant
from remsim.server.api.errors import V2, ApiError
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheRuntime
from remsim.server.api.v2.answers import gives, problems
from remsim.server.api.v2.reading import DEFAULT_LIMIT, CursorText, LimitText, page_size
from remsim.server.api.v2.streams import (
    HEADERS,
    KEEP_ALIVE_S,
    PORTION,
    RETRY_MS,
    STREAM_TYPE,
    Readers,
    head_of_stream,
    may_go_on,
    number_of,
    streams,
)
from remsim.server.core.event_feed import EventFeed, FeedEvent, is_visible
from remsim.server.core.tokens import Grant
from remsim.server.runtime import ServerRuntime

router = Resource(prefix=V2, tags=["v2 events"])

_Accept = Annotated[str, Header(description=f"{STREAM_TYPE} for a stream, anything else for a page")]
_LastId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="the last event that was heard: a stream goes on behind it")
]
_STREAM: Final = {"content": streams("an EventModel; of lost only the id")}


@router.get("/events", responses={200: {**gives(models.EventPage)[200], **_STREAM}, **problems(400)})
async def follow(
    request: Request,
    runtime: TheRuntime,
    grant: TheGrant,
    accept: _Accept = "application/json",
    last_event_id: _LastId = None,
    limit: LimitText = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """What happened to banks, clients, cards and mappings that the token is for; the last 100 000 events are kept.

    A stream begins with what happens from now on, or behind Last-Event-ID or cursor. A page begins with the oldest
    event that is kept; its next is always there, to ask again later. Where events between were lost, a stream says
    ``lost``, a page has ``lost``: get the lists anew then.
    """
    size = page_size(limit)
    if STREAM_TYPE in accept:
        readers = cast(Readers, request.app.state.event_readers)
        if text := readers.are_too_many(grant, limits.MAX_READERS, limits.most_of_one(limits.MAX_READERS)):
            hint = "close others, or ask for pages"
            raise ApiError(503, "too_many_readers", text, hint, limit=LimitName.EVENT_READERS)
        start = _position(runtime, last_event_id if last_event_id is not None else cursor)
        if request.method == "HEAD":
            return head_of_stream(STREAM_TYPE)
        stream = EventStream(runtime, grant, readers)
        return StreamingResponse(stream.run(start), 200, HEADERS, STREAM_TYPE)
    number, is_lost = (0, False) if cursor is None else _position(runtime, cursor)
    return await _page(runtime, grant, number, size, is_lost=is_lost)


def _position(runtime: ServerRuntime, text: str | None) -> tuple[int, bool]:
    """The number behind which to go on, and whether something between was lost. Raises ApiError."""
    feed = runtime.query.feed
    if text is None:
        return feed.last, False
    number = number_of(text, runtime.query.restart_counter, thing="event")
    if number is None:
        # Of an earlier run: what happened then, and between, is not kept.
        return 0, True
    return (feed.first - 1, True) if feed.is_lost(number) else (number, False)


async def _page(runtime: ServerRuntime, grant: Grant, number: int, size: int, *, is_lost: bool) -> Response:
    feed, run = runtime.query.feed, runtime.query.restart_counter
    shown: list[str] = []
    while len(shown) < size and (events := feed.after(number, PORTION)):
        for event in events:
            number = event.number
            if is_visible(event, grant.scope):
                shown.append(_with_id(run, event))
                if len(shown) == size:
                    break
        # None of them may be for this token, however many there are.
        await asyncio.sleep(0)
    lost = ',"lost":true' if is_lost else ""
    body = f'{{"items":[{",".join(shown)}],"next":"{run}-{number}"{lost}}}'
    return Response(body.encode(), media_type="application/json")


class EventStream:
    """One reader."""

    def __init__(self, runtime: ServerRuntime, grant: Grant, readers: Readers) -> None:
        self._runtime = runtime
        self._grant = grant
        self._readers = readers

    async def run(self, start: tuple[int, bool]) -> AsyncGenerator[str, None]:
        """The lines of the stream, until the server stops, the token ends, or the reader is too slow."""
        async with aclosing(self._run(*start)) as lines:
            with self._readers.reading(self._grant):
                async for text in lines:
                    yield text

    async def _run(self, number: int, is_lost: bool) -> AsyncGenerator[str, None]:
        feed, run, changes = self._runtime.query.feed, self._runtime.query.restart_counter, self._runtime.changes
        yield f"retry: {RETRY_MS}\n\n"
        if is_lost:
            yield _lost(run, number)
        checked_at = monotonic()
        while not changes.is_closed:
            if feed.is_lost(number):
                # It did not keep up. It may come back, and gets what it needs by the lists.
                yield _lost(run, feed.first - 1)
                return
            events = feed.after(number, PORTION)
            for event in events:
                number = event.number
                if is_visible(event, self._grant.scope):
                    yield f"id: {run}-{number}\nevent: {event.kind}\ndata: {_with_id(run, event)}\n\n"
            if events:
                # Neither what it may not see nor what the system takes at once lets others have their turn.
                await asyncio.sleep(0)
            elif await changes.until(partial(_newer, feed, number), KEEP_ALIVE_S) is None:
                yield f": {run}-{number}\n\n"
            if monotonic() - checked_at >= KEEP_ALIVE_S:
                checked_at = monotonic()
                if not await may_go_on(self._runtime, self._grant):
                    return


def _newer(feed: EventFeed, number: int) -> int | None:
    return feed.last if feed.last > number else None


def _with_id(run: int, event: FeedEvent) -> str:
    return f'{{"id":"{run}-{event.number}",{event.text[1:]}'


def _lost(run: int, number: int) -> str:
    return f'id: {run}-{number}\nevent: lost\ndata: {{"id":"{run}-{number}"}}\n\n'
