# SPDX-License-Identifier: Apache-2.0
"""Ids for clients that have none: how a client is known again."""

import pytest

from remsim.server.core.client_ids import ClientIds, client_key
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


def test_id_stays_when_the_pool_changes() -> None:
    client_ids = ClientIds((5,), {("name", "old"): 900})
    assert client_ids.find(("name", "old")) == 900
    assert client_ids.assign(("name", "new"), lambda _client_id: True) == 5
    assert client_ids.assign(("name", "newer"), lambda _client_id: True) is None


def test_id_that_is_not_free_is_left_out() -> None:
    client_ids = ClientIds((5, 6), {})
    assert client_ids.assign(("name", "new"), lambda client_id: client_id != 5) == 6
