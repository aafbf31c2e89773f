# SPDX-License-Identifier: Apache-2.0
"""How addresses of peers are written, and what counts as one source where sources are limited."""

from ipaddress import ip_address

import pytest

from remsim.wire.link.actions import PeerAddress, source_network, source_of


@pytest.mark.parametrize(("host", "text"), [("127.0.0.1", "127.0.0.1:9998"), ("2001:db8::1", "[2001:db8::1]:9998")])
def test_address_is_written_as_in_a_url(host: str, text: str) -> None:
    assert str(PeerAddress(ip_address(host), 9998)) == text


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("192.0.2.2", "192.0.2.2"),
    ],
)
def test_key_and_words_tell_the_same_sources_apart(address: str, network: str) -> None:
    others = ("192.0.2.1", "192.0.2.2", "2001:db8::2", "2001:db8:0:1::2")
    found = ip_address(address)
    assert str(source_network(found)) == network
    same = [
        str(source_network(ip_address(other))) for other in others if source_of(ip_address(other)) == source_of(found)
    ]
    assert same == [network]
