# SPDX-License-Identifier: Apache-2.0
"""Webhooks in REST v2: models, and calls as values (see ``calls``)."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from remsim.core.event_kinds import KINDS
from remsim.rest.calls import Call, Nothing
from remsim.rest.models import Id, PageOf, Time, V2Model, V2Order

_KINDS = Annotated[str, Field(json_schema_extra={"enum": list(KINDS)})]


class WebhookModel(V2Model):
    """To whom events are sent."""

    id: int
    url: str
    kinds: list[str] | None = Field(None, description="absent: all")
    banks: list[Id] | None = Field(None, description="those of the token that made it; absent: all")
    clients: list[Id] | None = Field(None, description="those of the token that made it; absent: all")
    created_at: Time
    paused_since: Time | None = Field(None, description="nothing is sent since then, and what happens waits")
    waiting: int = Field(ge=0, description="deliveries that wait")
    failing_since: Time | None = Field(
        None, description="when the oldest delivery that waits was made, if it has failed"
    )


class NewWebhookModel(WebhookModel):
    """A webhook that was just made."""

    secret: str = Field(description="what deliveries are signed with; it is not shown again")


class WebhookPage(PageOf[WebhookModel]):
    """Webhooks."""


class DeliveryModel(V2Model):
    """One event for one webhook."""

    id: int
    kind: str
    state: Literal["waiting", "delivered", "dropped"]
    created_at: Time
    attempts: int = Field(ge=0)
    tried_at: Time | None = None
    ended_at: Time | None = None
    outcome: str = Field(description="what came of the last attempt; empty: there was none")
    body: str = Field(description="the JSON that is sent")


class DeliveryPage(PageOf[DeliveryModel]):
    """Deliveries."""


class WebhookOrder(V2Order):
    """To whom which events are to be sent."""

    url: str = Field(max_length=2048, examples=["https://example.org/remsim"])
    kinds: list[_KINDS] | None = Field(None, min_length=1, max_length=len(KINDS), description="absent: all")
    secret: str | None = Field(
        None, min_length=16, max_length=128, description="absent: the server makes one", examples=["0123456789abcdef"]
    )


def list_webhooks() -> Call[WebhookPage]:
    """All webhooks; for admins."""
    return Call("GET", "/webhooks", WebhookPage)


def create_webhook(url: str, *, kinds: Sequence[str] | None = None, secret: str | None = None) -> Call[NewWebhookModel]:
    """Let events be sent to a URL. Raises ValidationError for what can be no webhook."""
    body = WebhookOrder(url=url, kinds=None if kinds is None else list(kinds), secret=secret)
    return Call("POST", "/webhooks", NewWebhookModel, {}, body)


def delete_webhook(number: int) -> Call[Nothing]:
    """Send nothing there any more."""
    return Call("DELETE", f"/webhooks/{number}", Nothing)


def pause_webhook(number: int) -> Call[WebhookModel]:
    """Send nothing there for now; what happens waits."""
    return Call("POST", f"/webhooks/{number}/pause", WebhookModel)


def resume_webhook(number: int) -> Call[WebhookModel]:
    """Send what waits, and what happens from now on."""
    return Call("POST", f"/webhooks/{number}/resume", WebhookModel)


def list_deliveries(number: int) -> Call[DeliveryPage]:
    """What waits for a webhook, and what ended of late."""
    return Call("GET", f"/webhooks/{number}/deliveries", DeliveryPage)


def test_webhook(number: int) -> Call[DeliveryModel]:
    """Send something there, and see what comes of it."""
    return Call("POST", f"/webhooks/{number}/test", DeliveryModel)
