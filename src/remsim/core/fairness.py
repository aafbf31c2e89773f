# SPDX-License-Identifier: Apache-2.0
"""Who gives up something where there is no room for more: so that one caller takes it from himself, not from others."""

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TypeVar

T = TypeVar("T")


def oldest_of_busiest(owned: Iterable[tuple[Hashable, T]]) -> T:
    """Of what the owner with most has, the first; ``owned``: owner and thing, the oldest first.

    Raises ValueError if there is nothing. Looks at everything, so it is for tables of a thousand.
    """
    everything = list(owned)
    counts = Counter(owner for owner, _ in everything)
    most = max(counts.values())
    return next(thing for owner, thing in everything if counts[owner] == most)
