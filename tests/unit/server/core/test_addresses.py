# SPDX-License-Identifier: Apache-2.0
"""Where clients reach a bankd."""

from ipaddress import ip_address

import pytest

from remsim.server.core.addresses import address_for_client, bankd_addresses
from remsim.wire.link.actions import PeerAddress
from remsim.wire.messages.rspro import AddressKind, AdvertisedAddress, IpPort

PEER = PeerAddress(ip_address("192.0.2.9"), 41000)
PEER6 = PeerAddress(ip_address("2001:db8::9"), 41000)


def at(text: str, port: int = 9999) -> IpPort:
    return IpPort(ip_address(text), port)


def said(text: str, port: int = 9990, kind: AddressKind = AddressKind.PLAINTEXT) -> AdvertisedAddress:
    return AdvertisedAddress(at(text, port), kind)


def test_operator_knows_better_than_the_bankd() -> None:
    assert bankd_addresses(
        override=(at("203.0.113.1", 1),), advertise=(said("192.0.2.1"),), peer=PEER, dialled_port=None
    ) == (
        said("203.0.113.1", 1, AddressKind.TLS),
        said("203.0.113.1", 1),
    )


@pytest.mark.parametrize(
    ("advertised", "expected"),
    [
        ("192.0.2.1", at("192.0.2.1", 9990)),
        ("::ffff:192.0.2.1", at("192.0.2.1", 9990)),
        ("0.0.0.0", at("192.0.2.9", 9990)),
        ("::", at("192.0.2.9", 9990)),
        ("2001:db8::1", at("2001:db8::1", 9990)),
    ],
)
def test_bankd_says_where_it_is(advertised: str, expected: IpPort) -> None:
    assert bankd_addresses(override=(), advertise=(said(advertised),), peer=PEER, dialled_port=None) == (
        AdvertisedAddress(expected, AddressKind.PLAINTEXT),
    )


@pytest.mark.parametrize(
    "advertise", [None, (), (said("192.0.2.1", kind=AddressKind.TLS),), (said("192.0.2.1", 0),)], ids=str
)
def test_without_a_usable_word_it_is_where_it_calls_from(advertise: tuple[AdvertisedAddress, ...] | None) -> None:
    assert bankd_addresses(override=(), advertise=advertise, peer=PEER, dialled_port=None) == (said("192.0.2.9", 9999),)
    assert bankd_addresses(override=(), advertise=advertise, peer=PEER, dialled_port=77) == (said("192.0.2.9", 77),)


@pytest.mark.parametrize(
    ("addresses", "link", "is_classic", "takes_ipv6", "expected"),
    [
        ((), PEER, True, True, None),
        ((), PEER, False, False, None),
        ((at("2001:db8::1"), at("192.0.2.1")), PEER, True, True, at("192.0.2.1")),
        ((at("2001:db8::1"),), PEER, True, False, None),
        ((at("2001:db8::1"),), PEER, True, True, at("2001:db8::1")),
        ((at("2001:db8::1"),), PEER, False, False, at("2001:db8::1")),
        ((at("192.0.2.1"), at("2001:db8::1")), PEER6, False, False, at("2001:db8::1")),
        ((at("192.0.2.1"),), PEER6, False, False, at("192.0.2.1")),
    ],
)
def test_client_gets_an_address_that_it_survives(
    addresses: tuple[IpPort, ...], link: PeerAddress, is_classic: bool, takes_ipv6: bool, expected: IpPort | None
) -> None:
    places = tuple(AdvertisedAddress(address, AddressKind.PLAINTEXT) for address in addresses)
    assert address_for_client(places, link=link, is_classic=is_classic, takes_ipv6=takes_ipv6) == expected


def test_client_gets_what_it_speaks() -> None:
    places = (said("192.0.2.1", 1, AddressKind.TLS), said("192.0.2.1", 2))
    for kind, port in ((AddressKind.TLS, 1), (AddressKind.PLAINTEXT, 2)):
        found = address_for_client(places, link=PEER, is_classic=False, takes_ipv6=False, kind=kind)
        assert found == at("192.0.2.1", port)
    assert address_for_client(places[:1], link=PEER, is_classic=False, takes_ipv6=False) is None


def test_bankd_that_says_nothing_speaks_with_clients_as_with_us() -> None:
    found = bankd_addresses(override=(), advertise=None, peer=PEER, dialled_port=None, kind=AddressKind.TLS)
    assert found == (said("192.0.2.9", 9999, AddressKind.TLS),)
