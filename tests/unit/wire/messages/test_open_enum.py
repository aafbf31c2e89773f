# SPDX-License-Identifier: Apache-2.0
"""Enumerations that a later version may add to."""

import pytest

from remsim.wire.messages.open_enum import OpenEnum


class Colour(OpenEnum):
    """Some colours."""

    RED = 1


def test_a_number_that_is_not_listed_is_kept() -> None:
    later = Colour(7)
    assert (later, later.name, later.value) == (7, "UNKNOWN_7", 7)
    assert isinstance(later, Colour)
    assert later == Colour(7)
    assert later != Colour.RED
    assert list(Colour) == [Colour.RED]


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="blue"):
        Colour("blue")
