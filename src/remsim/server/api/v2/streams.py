# SPDX-License-Identifier: Apache-2.0
"""What streams of REST v2 have in common: they last, so their token is looked at again while they do."""

import re
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from time import time
from typing import Final

from fastapi.responses import Response, StreamingResponse

from remsim.server.api.errors import bad_request
from remsim.server.core.tokens import Grant, is_still_good
from remsim.server.runtime import ServerRuntime
from remsim.server.store.writer import StoreError

STREAM_TYPE: Final = "text/event-stream"
#: A stream on which nothing happens says so this often, and looks whether its token is good still.
KEEP_ALIVE_S: Final = 15.0
#: How long a reader waits before it comes back, in ms.
RETRY_MS: Final = 2000
#: Things of a feed that are read between two looks at others' work.
PORTION: Final = 64
#: The run of the server, and a number that counts on.
_ID: Final = re.compile(r"([0-9]{1,10})-([0-9]{1,15})", re.ASCII)
#: What each event of a stream is.
_EVENT_FIELDS: Final[dict[str, dict[str, str]]] = {
    "id": {"type": "string", "description": "for Last-Event-ID"},
    "event": {"type": "string", "description": "its kind"},
    "data": {"type": "string", "contentMediaType": "application/json"},
}
_NO_PARTS: Final[tuple[bytes, ...]] = ()
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Readers:
    """How many streams there are, and of whom."""

    def __init__(self) -> None:
        self._of = Counter[str]()

    @property
    def count(self) -> int:
        """How many there are."""
        return self._of.total()

    def are_too_many(self, grant: Grant, most: int, most_of_one: int) -> str:
        """Why there is no place for one more of this token; empty: there is."""
        if self.count >= most:
            return f"{most} streams are open already"
        if self._of[grant.token_id] >= most_of_one:
            return f"{most_of_one} streams are open with this token already"
        return ""

    @contextmanager
    def reading(self, grant: Grant) -> Iterator[None]:
        """Count one while it lasts."""
        self._of[grant.token_id] += 1
        try:
            yield
        finally:
            self._of[grant.token_id] -= 1
            if not self._of[grant.token_id]:
                del self._of[grant.token_id]


def streams(data: str) -> dict[str, dict[str, object]]:
    """How a stream is described: as one of its events. ``data``: what these hold."""
    fields = _EVENT_FIELDS | {"data": {**_EVENT_FIELDS["data"], "description": data}}
    event = {"type": "object", "description": "each event of the stream", "properties": fields, "required": ["data"]}
    return {STREAM_TYPE: {"schema": event}}


async def _nothing() -> AsyncGenerator[bytes, None]:
    for part in _NO_PARTS:
        yield part


def head_of_stream(kind: str) -> Response:
    """The answer to HEAD: that of a stream which ends at once. It has no length, for the stream has none."""
    return StreamingResponse(_nothing(), 200, HEADERS, kind)


def number_of(text: str, run: int, *, thing: str) -> int | None:
    """The number in the id of a ``thing``, None if that is of another run of the server. Raises ApiError."""
    found = _ID.fullmatch(text)
    if found is None:
        raise bad_request(
            f"that is no {thing}'s id", f"give the id of the last {thing} that was heard, or leave it out"
        )
    return int(found[2]) if int(found[1]) == run else None


async def may_go_on(runtime: ServerRuntime, grant: Grant) -> bool:
    """Whether the token of a stream is good still."""
    token_id = grant.token_id
    if not token_id:
        # No token was needed.
        return True
    try:
        return is_still_good(await runtime.query.find_token(token_id), time())
    except StoreError:
        # What is shown is in memory.
        return True
