# SPDX-License-Identifier: Apache-2.0
"""Links without TLS: with which networks they are allowed. Knows nothing of who asked for it."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from remsim.config import IpNetwork
from remsim.net.tls.contexts import HandshakeError

Networks = tuple[IpNetwork, ...]


def is_within(address: IPv4Address | IPv6Address, networks: Networks) -> bool:
    """Whether ``address`` belongs to one of the networks; an IPv4-mapped one counts as IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    found = mapped or address
    return any(found in network for network in networks)


def outside_text(host: str, networks: Networks) -> str:
    """Why ``host`` is not dialled."""
    allowed = ", ".join(str(network) for network in networks) or "no network"
    return f"{host} is outside the networks with which plain TCP is allowed ({allowed}); see --plaintext=NET"


async def dial_plain(
    host: str, port: int, networks: Networks | None, make_protocol: Callable[[], asyncio.BaseProtocol]
) -> None:
    """Connect without TLS, to addresses in ``networks`` only (None: any). Raises OSError and HandshakeError."""
    loop = asyncio.get_running_loop()
    if networks is None:
        await loop.create_connection(make_protocol, host, port)
        return
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses: Sequence[str] = list(dict.fromkeys(str(name[0]) for *_, name in found))
    allowed = [text for text in addresses if is_within(ip_address(text.partition("%")[0]), networks)]
    if not allowed:
        raise HandshakeError(outside_text(host, networks))
    for address in allowed[:-1]:
        try:
            await loop.create_connection(make_protocol, address, port)
        except OSError:
            continue
        return
    await loop.create_connection(make_protocol, allowed[-1], port)
