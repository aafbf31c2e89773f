# SPDX-License-Identifier: Apache-2.0
"""Idempotency-Key: a POST that is repeated with the same key is done once, and its answer is given again.

Answers are kept in memory, for a day at most, and not over a restart: see ``remsim.server.core.kept_answers``.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.responses import Response

from remsim.server.api.errors import ApiError
from remsim.server.core.kept_answers import KeptAnswer, KeptAnswers, KeyUse
from remsim.server.core.tokens import Grant


async def _kept(request: Request) -> KeptAnswers:
    return cast(KeptAnswers, request.app.state.kept_answers)


TheKept = Annotated[KeptAnswers, Depends(_kept)]


async def once(
    request: Request,
    grant: Grant,
    key: str | None,
    body: bytes,
    kept: KeptAnswers,
    work: Callable[[], Awaitable[Response]],
) -> Response:
    """Do ``work`` unless it was done under this key. Raises ApiError, and what ``work`` raises."""
    if key is None:
        return await work()
    # A key is one caller's, for one path; what others use as theirs means nothing here.
    name = (grant.token_id, request.url.path, key)
    found = kept.begin(name, _digest(request, body), time.monotonic())
    match found:
        case KeptAnswer():
            headers = {"Idempotent-Replay": "true"} | ({"ETag": found.etag} if found.etag else {})
            return Response(found.body, found.status, headers, found.media_type)
        case KeyUse.OTHER_REQUEST:
            text = "this Idempotency-Key was used for another request"
            raise ApiError(422, "key_reused", text, "take a new key for each request")
        case KeyUse.IN_PROGRESS:
            text = "the request with this Idempotency-Key is still being done"
            raise ApiError(409, "in_progress", text, "ask again in a moment", retry_after_s=1.0)
        case KeyUse.NEW:
            try:
                answer = await work()
            except BaseException:
                # It may be tried again: what is refused was not done.
                kept.forget(name)
                raise
            etag = answer.headers.get("etag", "")
            kept.finish(name, KeptAnswer(answer.status_code, bytes(answer.body), answer.media_type, etag))
            return answer


def _digest(request: Request, body: bytes) -> bytes:
    """That of what is asked for: the query says as much as the body (``dry_run``), but not how long a caller waits."""
    query = sorted((name, value) for name, value in request.query_params.multi_items() if name != "timeout")
    return hashlib.blake2b(repr(query).encode() + b"\0" + body, digest_size=16).digest()
