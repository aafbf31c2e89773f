# SPDX-License-Identifier: Apache-2.0
"""Webhooks: to whom events are sent, and what came of it. For admins: the server calls where they say."""

import secrets
from functools import partial
from typing import Annotated, Final, cast

from fastapi import Depends, Path, Request
from fastapi.responses import Response
from pydantic import WithJsonSchema

from remsim.core.event_kinds import KINDS
from remsim.rest import webhooks as models
from remsim.server.api.auth import TheActor, TheGrant, for_admins
from remsim.server.api.errors import V2, ApiError, bad_request, not_found
from remsim.server.api.resource import Resource
from remsim.server.api.routing import TheRuntime
from remsim.server.api.v1.views import time_text
from remsim.server.api.v2.answers import gives, look, page, problems, shown
from remsim.server.api.v2.idempotency import TheKept, once
from remsim.server.api.v2.peers import KeyHeader
from remsim.server.api.v2.reading import DEFAULT_LIMIT, CursorText, LimitText, read_json, read_model
from remsim.server.core.actions import Actor, StoredDelivery, StoredRequest
from remsim.server.core.tokens import Grant
from remsim.server.core.webhooks import WebhookError, WebhookQueue
from remsim.server.webhooks import WebhookSender

router = Resource(prefix=V2, tags=["v2 webhooks"])

#: How long the answer to a test waits for what comes of it.
TEST_S: Final = 15.0
_SECRET_BYTES: Final = 32
_MAX_NUMBER: Final = (1 << 31) - 1

NumberText = Annotated[
    str,
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": _MAX_NUMBER, "examples": [1]}),
    Path(alias="number"),
]


async def _sender(request: Request) -> WebhookSender:
    return cast(WebhookSender, request.app.state.webhooks)


TheSender = Annotated[WebhookSender, Depends(_sender)]


@router.get("/webhooks", responses={**gives(models.WebhookPage), **problems(400)})
@for_admins
async def list_webhooks(
    sender: TheSender, grant: TheGrant, limit: LimitText = DEFAULT_LIMIT, cursor: CursorText = None
) -> Response:
    """All webhooks that a token with these limits may see."""
    found = [queue for queue in sender.table if _may_see(grant, queue)]
    return await page(found, key=lambda queue: (queue.hook.number,), show=webhook_model, limit=limit, cursor=cursor)


@router.post(
    "/webhooks",
    status_code=201,
    responses={**gives(models.NewWebhookModel, 201, text="made"), **problems(400, 409, 413, 415, 422)},
    takes=models.WebhookOrder,
)
@for_admins
async def create_webhook(
    request: Request, sender: TheSender, grant: TheGrant, actor: TheActor, kept: TheKept, key: KeyHeader = None
) -> Response:
    """Send events to a URL from now on: those of these kinds that the token may see."""
    raw = await read_json(request)
    order = read_model(raw, models.WebhookOrder)
    unknown = [kind for kind in order.kinds or () if kind not in KINDS]
    if unknown:
        raise bad_request(f"{unknown[0][:64]!r} is no kind of event", "kinds are in /openapi.json, in EventModel")
    secret = order.secret or secrets.token_urlsafe(_SECRET_BYTES)
    kinds = None if order.kinds is None else frozenset(order.kinds)

    async def work(by: Actor) -> Response:
        try:
            hook = await sender.create(order.url, secret, kinds, grant.scope, by)
        except WebhookError as error:
            if error.limit is not None:
                raise ApiError(409, "too_many", str(error), error.hint, limit=error.limit) from None
            raise bad_request(str(error), error.hint) from None
        return _made(WebhookQueue(hook))

    async def again(done: StoredRequest) -> Response | None:
        queue = None if done.made is None else sender.table.get(done.made)
        # The number of one that was deleted may have become that of another one, made later.
        return None if queue is None or queue.hook.created_at > done.done_at else _made(queue)

    return await once(request, grant, actor, key, raw, kept, work, again)


def _made(queue: WebhookQueue) -> Response:
    return shown(models.NewWebhookModel(**webhook_model(queue).model_dump(), secret=queue.hook.secret), 201)


@router.get("/webhooks/{number}", responses={**gives(models.WebhookModel), **problems(400, 404)})
@for_admins
async def show_webhook(number: NumberText, sender: TheSender, grant: TheGrant) -> Response:
    """One webhook."""
    return shown(webhook_model(_known(sender, grant, number)))


@router.delete("/webhooks/{number}", status_code=204, response_class=Response, responses=problems(400, 404))
@for_admins
async def delete_webhook(number: NumberText, sender: TheSender, grant: TheGrant, actor: TheActor) -> Response:
    """Send nothing there any more; what waits is dropped."""
    await sender.delete(_known(sender, grant, number).hook.number, actor)
    return Response(status_code=204)


@router.get("/webhooks/{number}/deliveries", responses={**gives(models.DeliveryPage), **problems(400, 404)})
@for_admins
async def list_deliveries(
    number: NumberText,
    sender: TheSender,
    grant: TheGrant,
    limit: LimitText = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> Response:
    """What ended of late, and what waits, in the order in which it happened."""
    queue = _known(sender, grant, number)
    return await page(
        [*queue.ended, *queue.pending],
        key=lambda delivery: (delivery.number,),
        show=delivery_model,
        limit=limit,
        cursor=cursor,
    )


@router.post("/webhooks/{number}/pause", responses={**gives(models.WebhookModel), **problems(400, 404)})
@for_admins
async def pause_webhook(number: NumberText, sender: TheSender, grant: TheGrant, actor: TheActor) -> Response:
    """Send nothing there for now; what happens waits."""
    queue = _known(sender, grant, number)
    await sender.pause(queue, actor, is_on=True)
    return shown(webhook_model(queue))


@router.post("/webhooks/{number}/resume", responses={**gives(models.WebhookModel), **problems(400, 404)})
@for_admins
async def resume_webhook(number: NumberText, sender: TheSender, grant: TheGrant, actor: TheActor) -> Response:
    """Send what waits, and what happens from now on."""
    queue = _known(sender, grant, number)
    await sender.pause(queue, actor, is_on=False)
    return shown(webhook_model(queue))


@router.post("/webhooks/{number}/test", responses={**gives(models.DeliveryModel), **problems(400, 404, 409)})
@for_admins
async def test_webhook(number: NumberText, runtime: TheRuntime, sender: TheSender, grant: TheGrant) -> Response:
    """Send something there, behind what waits; the answer says what came of it, within 15 s."""
    queue = _known(sender, grant, number)
    if queue.hook.paused_at is not None:
        raise ApiError(409, "paused", f"webhook {queue.hook.number} is paused", "let it go on first: …/resume")
    made = sender.test(queue)
    await runtime.changes.until(partial(_tried, sender, queue, made.number), TEST_S)
    return shown(delivery_model(sender.table.find(queue, made.number) or made))


def _tried(sender: WebhookSender, queue: WebhookQueue, number: int) -> bool | None:
    found = sender.table.find(queue, number)
    return True if found is None or found.attempts or found.ended_at is not None else None


def _known(sender: WebhookSender, grant: Grant, text: str) -> WebhookQueue:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise bad_request(f"{text!r} is no webhook", "give the id of a webhook")
    queue = sender.table.get(int(text))
    if queue is None or not _may_see(grant, queue):
        raise not_found(f"there is no webhook {int(text)}", look("webhooks", "webhooks"))
    return queue


def _may_see(grant: Grant, queue: WebhookQueue) -> bool:
    """A token with limits sees those that hear no more than it may."""
    mine, its = grant.scope, queue.hook
    return _within(its.banks, mine.banks) and _within(its.clients, mine.clients)


def _within(inner: frozenset[int] | None, outer: frozenset[int] | None) -> bool:
    return outer is None or (inner is not None and inner <= outer)


def webhook_model(queue: WebhookQueue) -> models.WebhookModel:
    """One webhook, without its secret."""
    hook = queue.hook
    head = queue.pending[0] if queue.pending else None
    return models.WebhookModel(
        id=hook.number,
        url=hook.url,
        kinds=None if hook.kinds is None else sorted(hook.kinds),
        banks=None if hook.banks is None else sorted(hook.banks),
        clients=None if hook.clients is None else sorted(hook.clients),
        created_at=time_text(hook.created_at),
        paused_since=None if hook.paused_at is None else time_text(hook.paused_at),
        waiting=len(queue.pending),
        failing_since=time_text(head.created_at) if head is not None and head.attempts else None,
    )


def delivery_model(delivery: StoredDelivery) -> models.DeliveryModel:
    """One delivery."""
    state = "waiting" if delivery.ended_at is None else "delivered" if delivery.is_delivered else "dropped"
    return models.DeliveryModel.model_validate(
        {
            "id": delivery.number,
            "kind": delivery.kind,
            "state": state,
            "created_at": time_text(delivery.created_at),
            "attempts": delivery.attempts,
            "tried_at": None if delivery.tried_at is None else time_text(delivery.tried_at),
            "ended_at": None if delivery.ended_at is None else time_text(delivery.ended_at),
            "outcome": delivery.outcome,
            "body": delivery.body,
        }
    )
