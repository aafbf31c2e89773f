# SPDX-License-Identifier: Apache-2.0
"""Which connections must make room when too many connections have no card."""

from ipaddress import ip_address

import pytest

from remsim.bankd.core import connections
from remsim.bankd.core.connections import PendingConnections
from remsim.bankd.core.session import Connection
from remsim.core.limits import LimitName
from remsim.wire.link.actions import LinkId, PeerAddress


def connection(number: int, host: str) -> Connection:
    return Connection(LinkId(number), PeerAddress(ip_address(host), 4000 + number))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_UNSERVED", 3)
    monkeypatch.setattr(connections, "MAX_UNSERVED_PER_SOURCE", 2)


def test_source_with_too_many_loses_its_own_oldest() -> None:
    waiting = PendingConnections()
    patient = connection(1, "192.0.2.1")
    others = [connection(number, f"2001:db8::{number}") for number in range(2, 5)]
    assert waiting.add(patient) is None
    assert waiting.add(others[0]) is None
    assert waiting.add(others[1]) is None
    assert waiting.add(others[2]) == (others[0], LimitName.UNSERVED_PER_SOURCE)


def test_otherwise_the_oldest_of_all_leaves() -> None:
    waiting = PendingConnections()
    comers = [connection(number, f"192.0.2.{number}") for number in range(1, 5)]
    assert [waiting.add(one) for one in comers] == [None, None, None, (comers[0], LimitName.UNSERVED)]


def test_who_leaves_makes_room() -> None:
    waiting = PendingConnections()
    first, second = connection(1, "192.0.2.1"), connection(2, "192.0.2.1")
    waiting.add(first)
    waiting.add(second)
    waiting.discard(first)
    waiting.discard(first)
    assert len(waiting) == 1
    assert waiting.add(connection(3, "192.0.2.1")) is None
    waiting.discard(second)
    waiting.discard(connection(9, "192.0.2.9"))
    assert len(waiting) == 1
