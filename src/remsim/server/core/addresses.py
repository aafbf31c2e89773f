# SPDX-License-Identifier: Apache-2.0
"""Where clients reach a bankd: what the operator says, else what the bankd says, else where it calls from.

Knows addresses only; which client is told when is decided in ``client_config``.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from remsim.config import BANKD_PORT
from remsim.wire.link.actions import PeerAddress
from remsim.wire.messages.rspro import AddressKind, AdvertisedAddress, IpPort

_KINDS: Final = (AddressKind.TLS, AddressKind.PLAINTEXT)


def bankd_addresses(
    *,
    override: tuple[IpPort, ...],
    advertise: tuple[AdvertisedAddress, ...] | None,
    peer: PeerAddress,
    dialled_port: int | None,
    kind: AddressKind = AddressKind.PLAINTEXT,
) -> tuple[AdvertisedAddress, ...]:
    """All addresses at which clients may reach a bankd, the preferred one first; never empty.

    ``dialled_port`` is set if the server dialled the bankd: clients reach it where the server did. ``kind`` is what
    the bankd speaks with us, and so, unless it says otherwise, with clients.
    """
    if override:
        return of_any_kind(override)
    said = tuple(
        AdvertisedAddress(_usable(entry.address, peer), entry.kind)
        for entry in advertise or ()
        if entry.address.port != 0
    )
    port = BANKD_PORT if dialled_port is None else dialled_port
    if any(place.kind is kind for place in said):
        return said
    return (AdvertisedAddress(IpPort(plain_host(peer.host), port), kind),)


def of_any_kind(addresses: tuple[IpPort, ...]) -> tuple[AdvertisedAddress, ...]:
    """What an operator says holds for all clients, whatever they speak."""
    return tuple(AdvertisedAddress(address, kind) for address in addresses for kind in _KINDS)


def plain_host(host: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) as the IPv4 address that it stands for."""
    mapped = host.ipv4_mapped if isinstance(host, IPv6Address) else None
    return mapped or host


def _usable(said: IpPort, peer: PeerAddress) -> IpPort:
    """What a bankd said, with "every address" replaced by the one that it calls from."""
    host = plain_host(said.ip)
    return IpPort(plain_host(peer.host) if host.is_unspecified else host, said.port)


def address_for_client(
    places: tuple[AdvertisedAddress, ...],
    *,
    link: PeerAddress,
    is_classic: bool,
    takes_ipv6: bool,
    kind: AddressKind = AddressKind.PLAINTEXT,
) -> IpPort | None:
    """The address to give to one client, which talks to us over ``link``; None if there is none that it survives.

    A classic client ends when it has no route to the address (known-limits 7), so it gets IPv6 only where the
    operator said so. Ours gets the IP version that it uses itself, if there is a choice. Each gets what it speaks.
    """
    addresses = tuple(place.address for place in places if place.kind is kind)
    ipv4 = next((address for address in addresses if address.ip.version == 4), None)
    if is_classic:
        return ipv4 or (addresses[0] if addresses and takes_ipv6 else None)
    same_version = (address for address in addresses if address.ip.version == link.host.version)
    return next(same_version, addresses[0] if addresses else None)
