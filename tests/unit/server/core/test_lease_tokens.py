# SPDX-License-Identifier: Apache-2.0
"""Which tokens are good for a lease that was taken by them."""

from dataclasses import replace

import pytest

from remsim.core.ids import BankSlot, ClientSlot
from remsim.server.core.actions import LeaseOrder
from remsim.server.core.lease_tokens import lapsed
from remsim.server.core.leases import Lease, LeaseState
from remsim.server.core.tokens import Scope, StoredToken, TokenRole

NOW = 1e9
TOKEN = StoredToken("0123456789ab", "program", TokenRole.OPERATOR, b"", 0.0)


def leases(token_id: str, banks: frozenset[int] | None) -> list[Lease]:
    """Number 1 waits, number 2 has a card of bank 1; both are of client 7."""
    order = LeaseOrder(1, "label:x", ClientSlot(7, 0), banks, "program", 0, 60.0, 60.0, token_id)
    has = Lease(replace(order, id=2), 0.0, LeaseState.GRANTED, 1, BankSlot(1, 3))
    return [Lease(order, 0.0), has]


@pytest.mark.parametrize(
    ("token", "waiting", "granted"),
    [
        (TOKEN, "", ""),
        (replace(TOKEN, revoked_at=1.0), "its token was revoked", "its token was revoked"),
        (replace(TOKEN, revoked_at=1.0, keeps_leases=True), "", ""),
        (replace(TOKEN, expires_at=NOW), "its token has expired", "its token has expired"),
        (replace(TOKEN, expires_at=NOW + 1), "", ""),
        (replace(TOKEN, role=TokenRole.VIEWER), "its token may only look now", "its token may only look now"),
        (replace(TOKEN, scope=Scope(None, frozenset({8}))), "its token is for less now", "its token is for less now"),
        (replace(TOKEN, scope=Scope(frozenset({1, 2, 3}), frozenset({7}))), "", ""),
        (replace(TOKEN, scope=Scope(frozenset({1}), None)), "its token is for less now", ""),
        (replace(TOKEN, scope=Scope(frozenset({2}), None)), "its token is for less now", "its token is for less now"),
        (replace(TOKEN, token_id="other"), "its token is not there any more", "its token is not there any more"),
    ],
)
def test_a_lease_lasts_no_longer_than_its_token_is_good_for_it(token: StoredToken, waiting: str, granted: str) -> None:
    found = lapsed(leases(TOKEN.token_id, frozenset({1, 2})), {token.token_id: token}, NOW)
    assert (found.get(1, ""), found.get(2, "")) == (waiting, granted)


def test_one_that_was_for_all_banks_ends_when_its_token_is_for_some() -> None:
    token = replace(TOKEN, scope=Scope(frozenset({1}), None))
    assert lapsed(leases(TOKEN.token_id, None), {TOKEN.token_id: token}, NOW) == {1: "its token is for less now"}


def test_one_that_was_taken_without_a_token_depends_on_none() -> None:
    assert lapsed(leases("", None), {}, NOW) == {}
