# SPDX-License-Identifier: Apache-2.0
"""What a bankd tells the server about where clients reach it."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

from remsim.config import BANKD_PORT, BankdConfig
from remsim.core.errors import StartError
from remsim.wire.messages.rspro import AddressKind, AdvertisedAddress, IpPort

#: Addresses that are announced, each with its port; 0: the one on which we listen.
Hosts = list[tuple[IPv4Address | IPv6Address, int]]


async def advertised_hosts(config: BankdConfig) -> Hosts:
    """The configured addresses for clients, names resolved; port 0 stands for ours. Raises StartError."""
    found: Hosts = []
    for given in config.advertise:
        try:
            resolved = await asyncio.get_running_loop().getaddrinfo(given.host, given.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise StartError(f"cannot resolve {given.host}: {error}", hint="see --advertise HOST:PORT") from None
        found.append((ip_address(resolved[0][4][0]), given.port))
    return found


def announcement(hosts: Hosts, ports: dict[AddressKind, int]) -> tuple[AdvertisedAddress, ...] | None:
    """What ``connectBankReq`` says about where clients reach us; nothing if that is the classic default.

    ``ports`` are those on which we listen, the main one first. The address 0.0.0.0 stands for the one that the server
    sees us come from.
    """
    if not hosts and ports == {AddressKind.PLAINTEXT: BANKD_PORT}:
        return None
    return tuple(
        AdvertisedAddress(IpPort(ip, given or port), kind)
        for kind, port in ports.items()
        for ip, given in hosts or [(IPv4Address(0), 0)]
    )
