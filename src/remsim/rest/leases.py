# SPDX-License-Identifier: Apache-2.0
"""Leases in REST v2: models, and calls as values (see ``calls``)."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from remsim.core.ids import ClientSlot
from remsim.rest.calls import Call, Nothing
from remsim.rest.models import (
    CARD,
    CLIENT_SLOT,
    DURATION,
    ClientSlotText,
    MappingModel,
    Observed,
    PageOf,
    Time,
    V2Model,
    V2Order,
)

MAX_PRIORITY: Final = 100
LeaseGoal = Literal["granted", "operational"]

DurationText = Annotated[str, Field(pattern=f"^{DURATION}$", examples=["2h"])]
_LEASES: Final = "/leases"

__all__ = [
    "CLIENT_SLOT",
    "LeaseGoal",
    "LeaseModel",
    "LeaseObserved",
    "LeasePage",
    "LeaseRenewal",
    "LeaseRequest",
    "list_leases",
    "release_lease",
    "renew_lease",
    "show_lease",
    "take_lease",
]


class LeaseObserved(Observed):
    """How far a lease has come: it waits for a free card, it has one, or it has ended."""

    state: Literal["waiting", "granted", "ended"]


class LeaseModel(V2Model):
    """A card of a pool, lent to a client slot for a time, or a request that waits for one."""

    id: int
    pool: str = Field(examples=["label:roaming"])
    client: ClientSlotText
    priority: int
    state: LeaseObserved
    ahead: int | None = Field(
        None, ge=0, description="of those that the token may see: how many wait before it; absent: it does not wait"
    )
    for_s: float = Field(description="for how many seconds, from when it is granted or renewed")
    requested_at: Time
    waits_until: Time | None = Field(None, description="then it ends, if no card is free; absent: it does not wait")
    granted_at: Time | None = None
    expires_at: Time | None = None
    ended_at: Time | None = None
    ended: Literal["expired", "released", "unmapped", "timed_out", "revoked"] | None = Field(
        None,
        description="its time is over; it was given back or withdrawn; its mapping was deleted; no card was free; the "
        "token that took it is not good any more",
    )
    operational: bool = Field(description="it has a card, and nothing is missing, as far as the server knows")
    missing: list[str] = Field(description="in words, what stands between the modem and a card")
    mapping: MappingModel | None = Field(None, description="absent: it has no card")


class LeasePage(PageOf[LeaseModel]):
    """Leases."""


class LeaseRequest(V2Order):
    """Any free card of a pool for a client slot, for a time."""

    model_config = ConfigDict(extra="forbid", strict=True, validate_by_name=True, serialize_by_alias=True)

    pool: str = Field(
        description="any free card with a label; or one card, by its slot or number",
        pattern=f"^{CARD}$",
        examples=["label:roaming"],
    )
    client: ClientSlotText
    duration: DurationText = Field(alias="for", description="for how long; 400 days at most")
    wait: DurationText | None = Field(
        None, description="how long to wait for a free card, 7 days at most; absent: a card that is free now, or none"
    )
    priority: int = Field(
        0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="a higher one is served before those that wait already"
    )


class LeaseRenewal(V2Order):
    """A lease is to last so long from now on."""

    model_config = ConfigDict(extra="forbid", strict=True, validate_by_name=True, serialize_by_alias=True)

    duration: DurationText = Field(alias="for", description="for how long; 400 days at most")


def list_leases(*, state: str | None = None, client: str | None = None) -> Call[LeasePage]:
    """The leases that wait or have a card; all in this state, or of this client slot."""
    given = {"state": state, "client": client}
    return Call("GET", _LEASES, LeasePage, {name: value for name, value in given.items() if value is not None})


def show_lease(number: int, *, wait: LeaseGoal | None = None, timeout: str = "30s") -> Call[LeaseModel]:
    """One lease, now or when it has come as far as ``wait`` says."""
    return Call("GET", f"{_LEASES}/{number}", LeaseModel, {} if wait is None else {"wait": wait, "timeout": timeout})


def take_lease(
    pool: str, client: str, duration: str, *, wait: str | None = None, priority: int = 0, timeout: str | None = None
) -> Call[LeaseModel]:
    """Lend a card of a pool to a client slot. Raises IdRangeError, and ValidationError for what names no pool.

    With ``wait``, the answer comes when the modem can use the card, or after ``timeout``.
    """
    body = LeaseRequest(
        pool=pool, client=str(ClientSlot.parse(client)), duration=duration, wait=wait, priority=priority
    )
    return Call("POST", _LEASES, LeaseModel, {} if timeout is None else {"timeout": timeout}, body)


def renew_lease(number: int, duration: str) -> Call[LeaseModel]:
    """Let a lease last so long from now on. Raises ValidationError for what is no time."""
    return Call("POST", f"{_LEASES}/{number}/renew", LeaseModel, {}, LeaseRenewal(duration=duration))


def release_lease(number: int) -> Call[Nothing]:
    """Give a card back, or withdraw a request."""
    return Call("DELETE", f"{_LEASES}/{number}", Nothing)
