# SPDX-License-Identifier: Apache-2.0
"""What a ``LinkEngine`` reports to its owner."""

from remsim.core.limits import LimitName
from remsim.core.values import dataclass
from remsim.wire.errors import DecodeError
from remsim.wire.messages.rspro import Message, Request, UnknownMessage


@dataclass(frozen=True, slots=True)
class Received:
    """A message arrived. ``request`` is our request that it answers; None for an answer that nobody asked for."""

    message: Message
    tag: int
    request: Request | None = None


@dataclass(frozen=True, slots=True)
class ReceivedUnknown:
    """A PDU alternative of a later version."""

    number: int
    tag: int


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A frame that is no RSPRO PDU. The stream goes on.

    If ``error.tag`` is set and ``error.alternative`` is a request, the request may be answered like any other.
    """

    error: DecodeError
    payload: bytes


@dataclass(frozen=True, slots=True)
class UnsupportedVersion:
    """A message of a later protocol version; a request has been refused already."""

    version: int
    message: Message | UnknownMessage


@dataclass(frozen=True, slots=True)
class ProbeAnswered:
    """The PONG that ``probe`` waited for."""


@dataclass(frozen=True, slots=True)
class IdentityReceived:
    """An ID_RESP: the peer knows CCM identities (a classic server would have closed the link)."""


@dataclass(frozen=True, slots=True)
class LinkFailed:
    """The link must be closed: framing broken, a limit reached, or the peer is silent. No event follows."""

    reason: str
    #: The limit that was reached, to be counted.
    limit: LimitName | None = None


Event = Received | ReceivedUnknown | Undecodable | UnsupportedVersion | ProbeAnswered | IdentityReceived | LinkFailed
