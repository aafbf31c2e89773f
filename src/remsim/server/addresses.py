# SPDX-License-Identifier: Apache-2.0
"""Where clients reach a bankd: what the operator says, else what the bankd says, else where it calls from.

Knows addresses only; which client is told when is decided in ``announcer``.
"""

from ipaddress import IPv4Address, IPv6Address

from remsim.config import BANKD_PORT
from remsim.wire.actions import PeerAddress
from remsim.wire.rspro import AddressKind, AdvertisedAddress, IpPort


def bankd_addresses(
    *,
    override: tuple[IpPort, ...],
    advertise: tuple[AdvertisedAddress, ...] | None,
    peer: PeerAddress,
    dialled_port: int | None,
) -> tuple[IpPort, ...]:
    """All addresses at which clients may reach a bankd, the preferred one first; never empty.

    ``dialled_port`` is set if the server dialled the bankd: clients reach it where the server did.
    """
    if override:
        return override
    said = tuple(
        _usable(entry.address, peer)
        for entry in advertise or ()
        if entry.kind is AddressKind.PLAINTEXT and entry.address.port != 0
    )
    return said or (IpPort(plain_host(peer.host), BANKD_PORT if dialled_port is None else dialled_port),)


def plain_host(host: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) as the IPv4 address that it stands for."""
    mapped = host.ipv4_mapped if isinstance(host, IPv6Address) else None
    return mapped or host


def _usable(said: IpPort, peer: PeerAddress) -> IpPort:
    """What a bankd said, with "every address" replaced by the one that it calls from."""
    host = plain_host(said.ip)
    return IpPort(plain_host(peer.host) if host.is_unspecified else host, said.port)


def address_for_client(
    addresses: tuple[IpPort, ...], *, link: PeerAddress, is_classic: bool, takes_ipv6: bool
) -> IpPort | None:
    """The address to give to one client, which talks to us over ``link``; None if there is none that it survives.

    A classic client ends when it has no route to the address (known-limits 7), so it gets IPv6 only where the
    operator said so. Ours gets the IP version that it uses itself, if there is a choice.
    """
    ipv4 = next((address for address in addresses if address.ip.version == 4), None)
    if is_classic:
        return ipv4 or (addresses[0] if addresses and takes_ipv6 else None)
    same_version = (address for address in addresses if address.ip.version == link.host.version)
    return next(same_version, addresses[0] if addresses else None)
