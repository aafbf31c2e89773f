# SPDX-License-Identifier: Apache-2.0
"""Words that the view of leases has for what REST says."""

from typing import get_args

from remsim.rest.leases import LeaseModel
from remsim.server.page.leases import ENDS
from remsim.server.page.rendering import without_wait


def test_every_end_of_a_lease_has_words() -> None:
    literal = next(part for part in get_args(LeaseModel.model_fields["ended"].annotation) if part is not type(None))
    assert set(get_args(literal)) == set(ENDS)


def test_what_changes_with_each_look_is_left_out() -> None:
    assert without_wait("no card of B1:3 is free; it has waited for 12 s") == "no card of B1:3 is free"
    assert without_wait("client C7:0 is not connected; x") == "client C7:0 is not connected; x"
