# SPDX-License-Identifier: Apache-2.0
"""Extensible enumerations keep what they do not know."""

import pytest

from remsim.wire.messages.open_enum import OpenEnum


class Colour(OpenEnum):
    RED = 1


def test_unknown_numbers_are_kept_and_named() -> None:
    assert Colour(1) is Colour.RED
    assert (Colour(7), Colour(7).name) == (7, "UNKNOWN_7")
    assert list(Colour) == [Colour.RED]


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="x"):
        Colour("x")  # type: ignore[arg-type]  # what a decoder does not give
