# SPDX-License-Identifier: Apache-2.0
"""State tables of links. A pair that is not listed is illegal; the diagrams in the docs are drawn from here."""

from enum import Enum
from typing import Final


class DialState(Enum):
    """A link that we dial: client to server, client to bankd, bankd to server."""

    DISCONNECTED = "DISCONNECTED"  # not wanted
    CONNECTING = "CONNECTING"  # TCP connect running
    ESTABLISHED = "ESTABLISHED"  # TCP is up, waiting for the connect response
    CONNECTED = "CONNECTED"  # in service
    BACKOFF = "BACKOFF"  # waiting before the next attempt


class DialEvent(Enum):
    """What moves a dialled link."""

    WANTED = "wanted"  # a target is set
    UNWANTED = "unwanted"  # the target is withdrawn
    TCP_UP = "TCP up"
    FAILED = "failed"  # refused, timed out, unreachable, reset, closed, or not accepted
    ACCEPTED = "accepted"  # connect response ok
    TIMER = "delay over"


DIAL_TRANSITIONS: Final[dict[tuple[DialState, DialEvent], DialState]] = {
    (DialState.DISCONNECTED, DialEvent.WANTED): DialState.CONNECTING,
    (DialState.DISCONNECTED, DialEvent.UNWANTED): DialState.DISCONNECTED,
    (DialState.CONNECTING, DialEvent.WANTED): DialState.CONNECTING,
    (DialState.CONNECTING, DialEvent.UNWANTED): DialState.DISCONNECTED,
    (DialState.CONNECTING, DialEvent.TCP_UP): DialState.ESTABLISHED,
    (DialState.CONNECTING, DialEvent.FAILED): DialState.BACKOFF,
    (DialState.ESTABLISHED, DialEvent.WANTED): DialState.CONNECTING,
    (DialState.ESTABLISHED, DialEvent.UNWANTED): DialState.DISCONNECTED,
    (DialState.ESTABLISHED, DialEvent.ACCEPTED): DialState.CONNECTED,
    (DialState.ESTABLISHED, DialEvent.FAILED): DialState.BACKOFF,
    (DialState.CONNECTED, DialEvent.WANTED): DialState.CONNECTING,
    (DialState.CONNECTED, DialEvent.UNWANTED): DialState.DISCONNECTED,
    (DialState.CONNECTED, DialEvent.FAILED): DialState.BACKOFF,
    (DialState.BACKOFF, DialEvent.WANTED): DialState.CONNECTING,
    (DialState.BACKOFF, DialEvent.UNWANTED): DialState.DISCONNECTED,
    (DialState.BACKOFF, DialEvent.TIMER): DialState.CONNECTING,
}

#: Names that event scripts of the classic client know.
CLASSIC_DIAL_STATE: Final[dict[DialState, str]] = {
    DialState.DISCONNECTED: "INIT",
    DialState.CONNECTING: "REESTABLISH",
    DialState.ESTABLISHED: "ESTABLISHED",
    DialState.CONNECTED: "CONNECTED",
    DialState.BACKOFF: "REESTABLISH_DELAY",
}
