# SPDX-License-Identifier: Apache-2.0
"""What the log says of refused connections, when they have more sources than can be remembered."""

import asyncio
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_network
from typing import cast

import pytest

from remsim.core.limits import LimitCounts, LimitName
from remsim.net.accept.connection_limiter import MAX_REPORTED_SOURCES, ConnectionLimiter
from remsim.net.log_limiter import UNAUTHENTICATED_LINES, LogRateLimiter
from remsim.net.tls.transport import SecureTransport
from remsim.wire.link.actions import PeerAddress
from tests.doubles.noted_log import NotedLog

SOURCES = 2 * MAX_REPORTED_SOURCES
INSIDE = (ip_network("192.0.2.0/24"),)


def source(number: int) -> PeerAddress:
    """One of the 65,536 networks of 2001:db8::/48."""
    return PeerAddress(IPv6Address((0x20010DB80000 << 16 | number) << 64 | 1), 4711)


class Refused:
    """A connection whose handshake failed."""

    def __init__(self, peer: PeerAddress) -> None:
        self.peer = peer

    def give_way(self) -> None:
        """Nobody asks for it."""


def refuse_handshake(limiter: ConnectionLimiter, peer: PeerAddress) -> None:
    limiter.on_refused(cast(SecureTransport, Refused(peer)), "the peer does not speak TLS")


def refuse_plaintext(limiter: ConnectionLimiter, peer: PeerAddress) -> None:
    assert limiter.refuse_plaintext(peer, INSIDE, Refused(peer)) is not None


async def test_floods_of_unidentified_peers_leave_few_lines() -> None:
    log, limits = NotedLog(), LimitCounts()
    lines = LogRateLimiter(log.logger, limits, now=asyncio.get_running_loop().time)
    limiter = ConnectionLimiter(None, log.logger, limits=limits, lines=lines, links=lambda: 0)
    for number in range(SOURCES):
        limiter.on_unidentified(source(number), "unknown IPA protocol FF")
    shown = Counter[tuple[str, str]]()
    while not log.is_empty():
        line = await log.any()
        shown[line["event"], line["level"]] += 1
    assert shown["peer_unidentified", "warning"] == UNAUTHENTICATED_LINES
    assert shown["limit_reached", "warning"] == 1


@pytest.mark.parametrize(
    ("refuse", "event"), [(refuse_handshake, "tls_refused"), (refuse_plaintext, "plaintext_refused")]
)
async def test_flood_of_many_sources_leaves_few_lines_and_each_is_counted(
    refuse: Callable[[ConnectionLimiter, PeerAddress], None], event: str
) -> None:
    log, limits, refused = NotedLog(), LimitCounts(), Counter[str]()
    lines = LogRateLimiter(log.logger, limits, now=asyncio.get_running_loop().time)
    limiter = ConnectionLimiter(
        None, log.logger, lambda kind: refused.update([kind]), limits=limits, lines=lines, links=lambda: 0
    )
    for number in range(SOURCES):
        refuse(limiter, source(number))
    shown = Counter[tuple[str, str]]()
    while not log.is_empty():
        line = await log.any()
        shown[line["event"], line["level"]] += 1
    assert shown == {
        (event, "warning"): UNAUTHENTICATED_LINES,
        (event, "debug"): SOURCES - UNAUTHENTICATED_LINES,
        ("limit_reached", "warning"): 1,
    }
    assert refused.total() == SOURCES
    assert limits[LimitName.LOG_LINES] == SOURCES - UNAUTHENTICATED_LINES
