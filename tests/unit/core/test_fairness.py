# SPDX-License-Identifier: Apache-2.0
"""Who gives up something where there is no room for more."""

import pytest

from remsim.core.fairness import oldest_of_busiest


@pytest.mark.parametrize(
    ("owned", "found"),
    [
        ("a1", "a1"),
        ("a1 b1", "a1"),
        ("a1 b1 b2", "b1"),
        ("a1 b1 a2 b2 b3", "b1"),
        ("b1 a1 a2 b2", "b1"),
    ],
)
def test_oldest_of_the_owner_with_most_is_found(owned: str, found: str) -> None:
    assert oldest_of_busiest((thing[0], thing) for thing in owned.split()) == found


def test_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        oldest_of_busiest(())
