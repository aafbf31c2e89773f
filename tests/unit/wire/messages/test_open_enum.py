# SPDX-License-Identifier: Apache-2.0
"""Enumerations that a later version may add to."""

import pytest

from remsim.wire.messages.open_enum import OpenEnum


class Colour(OpenEnum):
    """Some colours."""

    RED = 1


def test_a_number_that_is_not_listed_is_kept() -> None:
    later = Colour(7)
    assert (int(later), later.name, type(later)) == (7, "UNKNOWN_7", Colour)
    assert later == Colour(7)
    assert list(Colour) == [Colour.RED]


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.5"):
        Colour(1.5)  # type: ignore[arg-type]
