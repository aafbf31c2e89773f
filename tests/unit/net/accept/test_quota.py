# SPDX-License-Identifier: Apache-2.0
"""How many unknown peers may wait, in all and from one place."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from remsim.net.accept.quota import ConnectionQuota, QuotaKind, source_of
from remsim.wire.link.actions import PeerAddress


def peer(host: str) -> PeerAddress:
    """A peer at this address."""
    return PeerAddress(ip_address(host), 4711)


class Caller:
    """A connection that may have to give way."""

    def __init__(self, host: str) -> None:
        self.peer = peer(host)
        self.has_given_way = False

    def give_way(self) -> None:
        self.has_given_way = True


def come(quota: ConnectionQuota, host: str, connections: int = 0) -> tuple[Caller, tuple[bool, QuotaKind | None]]:
    """A new connection, and what becomes of it."""
    caller = Caller(host)
    return caller, quota.admit(caller.peer, caller, connections=connections)


def test_at_the_limit_the_oldest_makes_room_until_somebody_leaves() -> None:
    quota = ConnectionQuota(most=2)
    first, outcome = come(quota, "192.0.2.1")
    assert outcome == (True, None)
    second, outcome = come(quota, "192.0.2.2")
    assert outcome == (True, None)
    third, outcome = come(quota, "192.0.2.3")
    assert outcome == (True, QuotaKind.UNIDENTIFIED)
    assert [caller.has_given_way for caller in (first, second, third)] == [True, False, False]
    # What had to give way is released again when its connection ends.
    quota.release(first)
    assert len(quota) == 2
    quota.release(second)
    assert come(quota, "192.0.2.4")[1] == (True, None)
    assert quota.refused == {QuotaKind.UNIDENTIFIED: 1}


def test_one_source_makes_room_among_its_own() -> None:
    quota = ConnectionQuota(most=4, most_per_source=1)
    first, _ = come(quota, "2001:db8::1")
    elsewhere, _ = come(quota, "2001:db8:0:1::1")
    assert come(quota, "2001:db8::2")[1] == (True, QuotaKind.UNIDENTIFIED_PER_SOURCE)
    assert first.has_given_way
    assert not elsewhere.has_given_way
    assert come(quota, "192.0.2.1")[1] == (True, None)


def test_source_that_floods_makes_room_and_a_single_connection_does_not() -> None:
    quota = ConnectionQuota(most=8, most_per_source=4)
    quiet, _ = come(quota, "192.0.2.9")
    floods = [come(quota, f"192.0.2.{number % 2}")[0] for number in range(7)]
    for number in range(50):
        caller, (is_in, _) = come(quota, f"192.0.2.{number % 2}")
        assert is_in
        floods.append(caller)
    assert not quiet.has_given_way
    assert [caller.has_given_way for caller in floods] == [True] * 50 + [False] * 7


def test_nobody_who_is_known_makes_room_for_a_newcomer() -> None:
    quota = ConnectionQuota(most_connections=2)
    assert come(quota, "192.0.2.1", connections=3)[1] == (False, QuotaKind.CONNECTIONS)
    waiting, _ = come(quota, "192.0.2.2", connections=2)
    assert come(quota, "192.0.2.3", connections=3)[1] == (True, QuotaKind.CONNECTIONS)
    assert waiting.has_given_way


def test_ipv6_host_is_its_network_and_ipv4_host_its_address() -> None:
    assert source_of(ip_address("2001:db8::1")) == source_of(ip_address("2001:db8::ffff"))
    assert source_of(ip_address("192.0.2.1")) != source_of(ip_address("192.0.2.2"))


def test_limit_is_reported_once_until_the_flood_has_ebbed_away() -> None:
    quota = ConnectionQuota(most=4)
    callers = [come(quota, "192.0.2.1")[0] for _ in range(4)]
    assert quota.is_first_report(QuotaKind.UNIDENTIFIED)
    assert not quota.is_first_report(QuotaKind.UNIDENTIFIED)
    quota.release(callers[0])
    assert not quota.is_first_report(QuotaKind.UNIDENTIFIED)
    quota.release(callers[1])
    quota.release(callers[2])
    assert quota.is_first_report(QuotaKind.UNIDENTIFIED)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=60))
def test_who_waits_and_who_makes_room_is_as_a_slow_model_says(steps: list[tuple[bool, int]]) -> None:
    quota = ConnectionQuota(most=6, most_per_source=3)
    model: list[tuple[int, Caller]] = []
    for is_new, number in steps:
        own = [caller for source, caller in model if source == number]
        if is_new:
            caller, (is_in, limit) = come(quota, f"192.0.2.{number}")
            assert is_in
            gone = [one for _, one in model if one.has_given_way]
            assert len(gone) == (limit is not None)
            if limit is QuotaKind.UNIDENTIFIED_PER_SOURCE:
                assert gone == own[:1]
            elif limit is QuotaKind.UNIDENTIFIED:
                sources = [source for source, _ in model]
                (source,) = [source for source, one in model if one is gone[0]]
                assert sources.count(source) == max(sources.count(other) for other in sources)
                assert next(one for other, one in model if other == source) is gone[0]
            model = [(source, one) for source, one in model if not one.has_given_way] + [(number, caller)]
        elif own:
            quota.release(own[0])
            model.remove((number, own[0]))
        assert len(quota) == len(model)
        assert len(model) <= 6
