# SPDX-License-Identifier: Apache-2.0
"""Idempotency-Key: a POST that is repeated with the same key is done once, and its answer is given again.

Answers are kept in memory, for a day at most: see ``remsim.server.core.kept_answers``. The database keeps, with each
change, that it was done, and for which key. After a start, the answer to such a key is made of what there is now. So no
secret that an answer holds is stored for it.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Final, cast

from fastapi import Depends, Request
from fastapi.responses import Response

from remsim.server.api.errors import ApiError
from remsim.server.api.v2.answers import look
from remsim.server.core.actions import Actor, KeyedRequest, StoredRequest
from remsim.server.core.kept_answers import MAX_KEPT_BYTES, KeptAnswer, KeptAnswers, KeyUse
from remsim.server.core.tokens import Grant
from remsim.server.store.writer import CommitInDoubtError

_REPLAY: Final = {"Idempotent-Replay": "true"}


async def _kept(request: Request) -> KeptAnswers:
    return cast(KeptAnswers, request.app.state.kept_answers)


TheKept = Annotated[KeptAnswers, Depends(_kept)]


async def once(
    request: Request,
    grant: Grant,
    actor: Actor,
    key: str | None,
    body: bytes,
    kept: KeptAnswers,
    work: Callable[[Actor], Awaitable[Response]],
    again: Callable[[StoredRequest], Awaitable[Response | None]],
) -> Response:
    """Do ``work`` unless it was done under this key, as the actor that it is given. Raises ApiError.

    ``again`` gives the answer for what an earlier run has done; None if what it made is there no more. Both may raise
    what they like.
    """
    if key is None:
        return await work(actor)
    # A key is one caller's, for one path; what others use as theirs means nothing here.
    name, digest = (grant.token_id, request.url.path, key), _digest(request, body)
    found = kept.begin(name, digest, time.monotonic())
    match found:
        case KeptAnswer():
            headers = _REPLAY | ({"ETag": found.etag} if found.etag else {})
            return Response(found.body, found.status, headers, found.media_type)
        case StoredRequest():
            answer = await again(found)
            if answer is None:
                text = "this was done before the server was started again, and what it made is gone"
                raise ApiError(409, "done_before", text, look("audit", "audit"))
            answer.headers.update(_REPLAY)
            return answer
        case KeyUse.OTHER_REQUEST:
            text = "this Idempotency-Key was used for another request"
            raise ApiError(422, "key_reused", text, "take a new key for each request")
        case KeyUse.IN_PROGRESS:
            text = "the request with this Idempotency-Key is still being done"
            raise ApiError(409, "in_progress", text, "ask again in a moment", retry_after_s=1.0)
        case KeyUse.NEW:
            try:
                answer = await work(replace(actor, request=KeyedRequest(name, digest)))
            except CommitInDoubtError:
                # It is in progress until the store knows: see ``KeptAnswers.settle``.
                raise
            except BaseException:
                # It may be tried again: what is refused was not done.
                kept.forget(name)
                raise
            etag = answer.headers.get("etag", "")
            kept.finish(name, KeptAnswer(answer.status_code, bytes(answer.body), answer.media_type, etag))
            return answer


def with_answer(actor: Actor, body: bytes) -> Actor:
    """The actor, with the answer that is stored with what it does; one that is too long is not kept, nor is its key."""
    if actor.request is None:
        return actor
    is_kept = len(body) <= MAX_KEPT_BYTES
    return replace(actor, request=replace(actor.request, answer=body.decode()) if is_kept else None)


def _digest(request: Request, body: bytes) -> bytes:
    """That of what is asked for: the query says as much as the body (``dry_run``), but not how long a caller waits."""
    query = sorted((name, value) for name, value in request.query_params.multi_items() if name != "timeout")
    return hashlib.blake2b(repr(query).encode() + b"\0" + body, digest_size=16).digest()
