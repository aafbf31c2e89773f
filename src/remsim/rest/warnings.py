# SPDX-License-Identifier: Apache-2.0
"""Warnings in REST v2: models, and calls as values (see ``calls``)."""

from typing import Literal

from pydantic import Field

from remsim.rest.calls import Call
from remsim.rest.models import PageOf, Time, V2Model


class WarningModel(V2Model):
    """Something is wrong now. It goes by itself when it is over."""

    id: int = Field(description="of this run of the server")
    kind: str = Field(examples=["card-pulled"])
    about: str = Field(description="a slot, a bank, a client, or server", examples=["B1:3", "C7:0", "B1", "server"])
    severity: Literal["warning", "error"]
    since: Time
    age_s: float = Field(ge=0)
    text: str = Field(description="for people")
    hint: str = Field(description="what to do")


class WarningPage(PageOf[WarningModel]):
    """Warnings."""


def list_warnings(*, kind: str | None = None) -> Call[WarningPage]:
    """What is wrong now, the oldest first."""
    return Call("GET", "/warnings", WarningPage, {} if kind is None else {"kind": kind})
