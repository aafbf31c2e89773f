# SPDX-License-Identifier: Apache-2.0
"""What coordinators ask the I/O around them to do with links. Programs add actions of their own."""

from collections.abc import Hashable
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final, NewType

from remsim.core.values import dataclass
from remsim.wire.messages.rspro import Message, ResumeInd

#: Names one link for its lifetime; never used again within a process.
LinkId = NewType("LinkId", int)


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """The other end of a TCP connection; an IPv4-mapped IPv6 address stands here as IPv4."""

    host: IPv4Address | IPv6Address
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.host.version == 6 else f"{self.host}:{self.port}"


#: An IPv6 host has a network of this length to itself (RFC 6177).
_IPV6_PREFIX: Final = 64


def source_network(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Network:
    """What counts as one source where sources are limited: an IPv4 address, or an IPv6 network of 64 bits."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Network((address, _IPV6_PREFIX), strict=False)
    return address


def source_of(address: IPv4Address | IPv6Address) -> Hashable:
    """The same for tables: found for each connection of a flood, so it is quickly made and quickly hashed."""
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return address.packed[: _IPV6_PREFIX // 8] if mapped is None else mapped.packed
    return address.packed


@dataclass(frozen=True, slots=True)
class Send:
    """Send ``message``; an answer names the operation tag of its request in ``reply_to``."""

    link: LinkId
    message: Message
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Close the link once everything sent before is written. ``on_link_lost`` follows, with ``reason``."""

    link: LinkId
    reason: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The peer introduced itself properly, or accepted us: its connect deadline is over, dialling was a success."""

    link: LinkId


@dataclass(frozen=True, slots=True)
class Probe:
    """Find out whether the peer lives; ``ProbeAnswered`` or ``on_link_lost`` follows within ``timeout_s``."""

    link: LinkId
    timeout_s: float


@dataclass(frozen=True, slots=True)
class AskIdentity:
    """Send the CCM message ID_GET; ``IdentityReceived`` follows from a peer of ours.

    ``when_heard``: not before the peer has said anything.
    """

    link: LinkId
    when_heard: bool = False


@dataclass(frozen=True, slots=True)
class AnnounceReturn:
    """Show a bankd that has given us a token that we return to our session; the connect request follows."""

    link: LinkId
    message: ResumeInd


LinkAction = Send | Close | Accepted | Probe | AskIdentity
