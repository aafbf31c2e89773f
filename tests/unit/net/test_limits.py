# SPDX-License-Identifier: Apache-2.0
"""How many strangers may wait, in all and from one place."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from remsim.net.limits import Admission, Limit, source_of
from remsim.wire.actions import PeerAddress


def peer(host: str) -> PeerAddress:
    """A peer at this address."""
    return PeerAddress(ip_address(host), 4711)


def test_total_is_bounded_until_somebody_leaves() -> None:
    admission = Admission(most=2)
    assert admission.admit(peer("192.0.2.1")) is None
    assert admission.admit(peer("192.0.2.2")) is None
    assert admission.admit(peer("192.0.2.3")) is Limit.UNIDENTIFIED
    admission.release(peer("192.0.2.1"))
    assert admission.admit(peer("192.0.2.3")) is None
    assert len(admission) == 2
    assert admission.refused == {Limit.UNIDENTIFIED: 1}


def test_one_source_does_not_take_everything() -> None:
    admission = Admission(most=4, most_per_source=1)
    assert admission.admit(peer("2001:db8::1")) is None
    assert admission.admit(peer("2001:db8::2")) is Limit.UNIDENTIFIED_PER_SOURCE
    assert admission.admit(peer("2001:db8:0:1::1")) is None
    assert admission.admit(peer("192.0.2.1")) is None


def test_ipv6_host_is_its_network_and_ipv4_host_its_address() -> None:
    assert source_of(ip_address("2001:db8::1")) == source_of(ip_address("2001:db8::ffff"))
    assert source_of(ip_address("192.0.2.1")) != source_of(ip_address("192.0.2.2"))


def test_limit_is_news_once_until_the_flood_has_ebbed_away() -> None:
    admission = Admission(most=4)
    for _ in range(4):
        admission.admit(peer("192.0.2.1"))
    assert admission.is_news(Limit.UNIDENTIFIED)
    assert not admission.is_news(Limit.UNIDENTIFIED)
    admission.release(peer("192.0.2.1"))
    assert not admission.is_news(Limit.UNIDENTIFIED)
    admission.release(peer("192.0.2.1"))
    admission.release(peer("192.0.2.1"))
    assert admission.is_news(Limit.UNIDENTIFIED)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=60))
def test_count_is_always_that_of_the_open_connections(steps: list[tuple[bool, int]]) -> None:
    admission = Admission(most=6, most_per_source=3)
    open_connections: list[int] = []
    for is_new, number in steps:
        address = peer(f"192.0.2.{number}")
        if is_new:
            limit = admission.admit(address)
            is_full = len(open_connections) >= 6 or open_connections.count(number) >= 3
            assert (limit is not None) is is_full
            if limit is None:
                open_connections.append(number)
        elif number in open_connections:
            open_connections.remove(number)
            admission.release(address)
        assert len(admission) == len(open_connections)
