# SPDX-License-Identifier: Apache-2.0
"""Numbers for clients that have none: how a client is known again."""

import pytest

from remsim.server.core.client_ids import ClientNumbers, client_key
from remsim.wire.messages.rspro import ComponentIdentity, ComponentType


@pytest.mark.parametrize(
    ("serial", "expected"),
    [
        (None, ("name", "modem")),
        ("S1", ("serial", "S1")),
    ],
)
def test_client_is_known_by_the_best_that_it_shows(serial: str | None, expected: tuple[str, str]) -> None:
    identity = ComponentIdentity(ComponentType.REMSIM_CLIENT, "modem", "own", "1", hw_serial_nr=serial)
    assert client_key(identity) == expected


def test_number_stays_when_the_pool_changes() -> None:
    numbers = ClientNumbers((5,), {("name", "old"): 900})
    assert numbers.find(("name", "old")) == 900
    assert numbers.assign(("name", "new"), lambda _number: True) == 5
    assert numbers.assign(("name", "newer"), lambda _number: True) is None


def test_number_that_is_not_free_is_left_out() -> None:
    numbers = ClientNumbers((5, 6), {})
    assert numbers.assign(("name", "new"), lambda number: number != 5) == 6
